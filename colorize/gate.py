"""The gate between a challenger and the champion's place: better for sure, and worse in nothing that is guarded."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from colorize.metrics.comparison import LARGER_IS_BETTER, Comparison, compare
from colorize.settings.sections import GateSettings

#: Descriptions of which neither more nor less is better: of photos, or with an aim in the middle.
_WITHOUT_DIRECTION = frozenset(
    {
        "colorfulness",
        "colorfulness_truth",
        "colorfulness_absolute",
        "colorfulness_absolute_truth",
        "bias_a",
        "bias_b",
        "sharpness_ab",
        "sharpness_own_l",
        "edge_alignment",
        "edge_alignment_truth",
    }
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a challenger beside the champion's, on the same photos.

    Attributes:
        metric: its name.
        challenger: the challenger's.
        champion: the champion's.
        difference: challenger - champion.
        low: lower end of the difference's 95 % interval.
        high: upper end.
        limit: what the interval's worse end must not pass, in the metric's own direction.
        passed: whether it keeps to that.
    """

    metric: str
    challenger: float
    champion: float
    difference: float
    low: float
    high: float
    limit: float
    passed: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says.

    Attributes:
        promote: whether the challenger passes.
        reason: why, with the figures, for people.
        photos: number that both were measured on and none was trained on.
        figures: primary and guards by name; empty where too few photos are common.
    """

    promote: bool
    reason: str
    photos: int
    figures: dict[str, Figure]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: photos, and the figures by name."""
        return {"photos": self.photos, **{name: asdict(figure) for name, figure in self.figures.items()}}


def judge(
    challenger: pa.Table,
    champion: pa.Table,
    primary: str,
    settings: GateSettings,
    *,
    only: Collection[str] | None = None,
    leave_out: Collection[str] = (),
    resamples: int = 10_000,
) -> Verdict:
    """Decide by paired bootstrap over photos whether a challenger takes the champion's place.

    It does when at least `min_n` photos are common to both, the whole 95 % interval of the primary metric's difference
    is better by more than `min_delta`, and the worse end of each guard's interval is worse by no more than its
    tolerance. So of challengers that are no better, about 2.5 in 100 pass.

    Args:
        challenger: per-photo rows of an evaluation.
        champion: the same of the present holder.
        primary: name of the metric that decides.
        settings: the section `gate` of `params.yaml`.
        only: ids of the frozen evaluation list; None: all.
        leave_out: ids that one of the two was trained on.
        resamples: number of draws.

    Raises:
        ValueError: a metric is not measured, or has no better and worse.
    """
    for name in (primary, *settings.guards):
        if name in _WITHOUT_DIRECTION:
            raise ValueError(
                f"'{name}' describes a photo: no value of it is better than another; name an error instead"
            )
    common = set(challenger["id"].to_pylist()) & set(champion["id"].to_pylist()) - set(leave_out)
    common = common if only is None else common & set(only)
    if len(common) < settings.min_n:
        reason = f"too few photos to tell: {len(common)} were measured with both, gate.min_n is {settings.min_n}"
        return Verdict(False, reason, len(common), {})
    pair = compare(challenger, champion, primary, resamples, ids=common)
    figures = {primary: _figure(pair, -settings.min_delta)}
    for name, tolerance in settings.guards.items():
        if name != primary:
            figures[name] = _figure(compare(challenger, champion, name, resamples, ids=common), tolerance)
    return Verdict(
        all(figure.passed for figure in figures.values()), _reason(primary, figures, pair.photos), pair.photos, figures
    )


def _figure(pair: Comparison, worse: float) -> Figure:
    """A figure that may be `worse` by so much at most; negative: that has to be better by more."""
    if pair.metric in LARGER_IS_BETTER:
        limit, passed = -worse, pair.low > -worse if worse <= 0 else pair.low >= -worse
    else:
        limit, passed = worse, pair.high < worse if worse <= 0 else pair.high <= worse
    return Figure(pair.metric, pair.first, pair.second, pair.difference, pair.low, pair.high, limit, passed)


def _reason(primary: str, figures: dict[str, Figure], photos: int) -> str:
    first = figures[primary]
    outcome = "better" if first.passed else "not better for sure"
    margin = f" by more than {abs(first.limit):g}" if first.limit else ""
    sentence = f"{outcome}{margin}: {_in_words(first)} on {photos} photos"
    failed = [figure for name, figure in figures.items() if name != primary and not figure.passed]
    for figure in failed:
        sentence += f"; {figure.metric} may be {abs(figure.limit):g} worse at most: {_in_words(figure)}"
    if first.passed and not failed and len(figures) > 1:
        sentence += f"; {', '.join(name for name in figures if name != primary)} within tolerance"
    return sentence


def _in_words(figure: Figure) -> str:
    return (
        f"{figure.metric} {figure.challenger:.3f} against {figure.champion:.3f} "
        f"(95 % interval of the difference {figure.low:+.3f} to {figure.high:+.3f})"
    )
