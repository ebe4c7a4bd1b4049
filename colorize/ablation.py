"""The ablation: the study's network as published, then with each cure by itself; what each cure moved, how surely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from colorize.metrics.comparison import interval, wins
from colorize.settings import Settings

ARCHITECTURE: Final = "simple_unet"
Size = Literal["small", "full"]

_MSE: Final = {"name": "regression", "loss": "mse"}
_REBALANCED: Final = {**_MSE, "rebalancing": 0.5}
# Beside Huber, 0.1 is usual; MSE is a third of that (0.024 to 0.070 for the mean colour of 313 real photos).
_DOMINANT: Final = {"name": "dominant_colors", "weight": 0.03}
_WIDTHS: Final[Mapping[Size, float]] = {"small": 0.25, "full": 1.0}
# About a minute of one core at 64 pixels. Small batches: it is steps that so short a training lacks.
_TRAINING: Final[Mapping[Size, Mapping[str, Any]]] = {
    "small": {"epochs": 6, "photos_per_epoch": 600, "batch_size": 8, "learning_rate": 0.003},
    "full": {},
}


@dataclass(frozen=True, slots=True)
class Variant:
    """A network of the ablation, by what it has other than the published one.

    Attributes:
        name: one word for it.
        title: what it is called in tables.
        model: settings of `simple_unet`.
        objective: terms of what is minimised.
        balance: every dataset equally often in training.
    """

    name: str
    title: str
    model: Mapping[str, Any] = field(default_factory=dict)
    objective: tuple[Mapping[str, Any], ...] = (_MSE,)
    balance: bool = False


BASE: Final = Variant("published", "as published")
CURES: Final = (
    Variant("padding", "padding (reflect)", {"padding": "reflect"}),
    Variant("skips", "skip connections", {"skips": True}),
    Variant("resize", "resize-convolution", {"upsampler": "resize"}),
    Variant("icnr", "ICNR + blur", {"upsampler": "pixelshuffle"}),
    Variant("ab", "ab instead of Lab", {"output": "ab"}),
    Variant("rebalancing", "rebalancing", objective=(_REBALANCED,)),
    Variant("dominant", "dominant-colour penalty", objective=(_MSE, _DOMINANT)),
    Variant("balance", "balanced sampling", balance=True),
    Variant(
        "all",
        "all together, with resize-convolution",
        {"padding": "reflect", "skips": True, "upsampler": "resize", "output": "ab"},
        (_REBALANCED, _DOMINANT),
        balance=True,
    ),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that a cure may move.

    Attributes:
        column: of the evaluation's rows.
        title: what it is called in tables.
        goal: its natural value; the name of a column where that is the true photo's.
    """

    column: str
    title: str
    goal: float | str = 0.0


FIGURES: Final = (
    Figure("false_blue_rate", "false blue"),
    Figure("hue_divergence", "hue divergence"),
    Figure("border_ratio", "border ratio"),
    Figure("sharpness_ab", "sharpness of ab", 1.0),
    Figure("sharpness_own_l", "sharpness of own L", 1.0),
    Figure("edge_alignment", "edge alignment", "edge_alignment_truth"),
    Figure("checkerboard", "checkerboard"),
    Figure("ab_error_rebalanced", "rebalanced ab error"),
    Figure("ab_rmse", "ab RMSE"),
    Figure("colorfulness_error", "colourfulness error"),
)

_RANKED_BY: Final = "ab_error_rebalanced"


@dataclass(frozen=True, slots=True)
class Effect:
    """What one cure does to one figure.

    Attributes:
        variant: name of the cure.
        figure: column of the figure.
        photos: how many have a value.
        goal: the natural value, the mean over these photos where it is their own.
        base: mean of the published network, seed by seed.
        cured: mean with the cure, seed by seed.
        low: lower end of the difference's 95 % interval.
        high: upper end.
    """

    variant: str
    figure: str
    photos: int
    goal: float
    base: tuple[float, ...]
    cured: tuple[float, ...]
    low: float
    high: float

    @property
    def difference(self) -> float:
        """Cured - base, mean over photos and seeds."""
        return fmean(self.cured) - fmean(self.base)

    @property
    def agreeing(self) -> int:
        """With how many seeds the difference has this sign."""
        pairs = zip(self.cured, self.base, strict=True)
        return sum((cured - base) * self.difference > 0 for cured, base in pairs)

    @property
    def verdict(self) -> Literal["better", "worse", "seeds disagree", ""]:
        """Nearer to the goal or farther from it for sure; nothing where the interval holds 0."""
        if self.low <= 0 <= self.high:
            return ""
        if self.agreeing < len(self.base):
            return "seeds disagree"
        before, after = (abs(fmean(values) - self.goal) for values in (self.base, self.cured))
        return "better" if after < before else "worse"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a network does among all of the ablation, by the rebalanced ab error.

    Attributes:
        variant: its name.
        errors: seed by seed, mean over the photos.
        ranks: seed by seed, 1 for the smallest error; equal ones share the better rank.
        wins: share of the photos on which it is the best of all, mean over the seeds.
    """

    variant: str
    errors: tuple[float, ...]
    ranks: tuple[int, ...]
    wins: float

    @property
    def rank(self) -> float:
        """Mean over the seeds."""
        return fmean(self.ranks)


def variants(cures: Sequence[str] = (), datasets: int = 2) -> list[Variant]:
    """The published network, then the cures.

    Args:
        cures: only these; empty: all.
        datasets: how many there are to train on; with one, there is nothing to balance, and that cure is left out.

    Raises:
        ValueError: there is no such cure, or none is left.
    """
    known = [cure.name for cure in CURES]
    if unknown := [name for name in cures if name not in known]:
        raise ValueError(f"no cure '{unknown[0]}'; there are: {', '.join(known)}")
    chosen = [cure for cure in CURES if (not cures or cure.name in cures) and (datasets > 1 or cure.name != "balance")]
    if not chosen:
        raise ValueError("all photos are of one dataset: there is nothing that cure 'balance' could balance")
    return [BASE, *chosen]


def settings_of(variant: Variant, seed: int, size: Size, settings: Settings) -> Settings:
    """Settings of one training of a variant.

    Args:
        variant: the network.
        seed: of first weights, order and mirroring.
        size: full: the published width and the training of `params.yaml`; small: narrow and short.
        settings: all of `params.yaml`; its training counts, with what it has for `simple_unet`.
    """
    own = ARCHITECTURE in settings.architectures.chosen()
    training = settings.training_of(ARCHITECTURE) if own else settings.training
    changes = {**_TRAINING[size], "seed": seed, "balance": variant.balance, "keep_checkpoints": 1}
    run = {"model": {"width": _WIDTHS[size], **variant.model}, "objective": variant.objective}
    return Settings.model_validate(
        {"datasets": {}, "training": {**training.model_dump(), **changes}, "architectures": {ARCHITECTURE: run}}
    )


def effects(measured: Mapping[str, Sequence[pa.Table]]) -> list[Effect]:
    """What every cure does to every figure that both it and the published network have.

    For each photo the difference to the published network of the same seed is averaged over the seeds; the interval is
    a bootstrap over the photos of these means, so it is paired over photos and seeds.

    Args:
        measured: rows of each evaluation, seed by seed, by name of the variant, the published one first.

    Raises:
        ValueError: not all were measured on the same photos.
    """
    rows = {name: [table.sort_by("id") for table in tables] for name, tables in measured.items()}
    base, *cures = rows
    if any(table["id"] != rows[base][0]["id"] for tables in rows.values() for table in tables):
        raise ValueError("the variants were measured on different photos; remove runs/ablation and run it again")
    found = (_effect(cure, figure, rows[base], rows[cure]) for cure in cures for figure in FIGURES)
    return [effect for effect in found if effect is not None]


def _effect(cure: str, figure: Figure, base: Sequence[pa.Table], cured: Sequence[pa.Table]) -> Effect | None:
    first, second = (_values(tables, figure.column) for tables in (base, cured))
    there = ~np.isnan(first + second).any(axis=0)
    if not there.any():
        return None
    first, second = first[:, there], second[:, there]
    low, high = interval((second - first).mean(axis=0))
    goal = figure.goal if isinstance(figure.goal, float) else float(_values(base, figure.goal)[0, there].mean())
    before, after = (tuple(values.mean(axis=1).tolist()) for values in (first, second))
    return Effect(cure, figure.column, int(there.sum()), goal, before, after, low, high)


def _values(tables: Sequence[pa.Table], column: str) -> NDArray[np.float64]:
    """Seeds × photos; NaN where a photo has no value."""
    return np.stack([table[column].to_numpy(zero_copy_only=False).astype(np.float64) for table in tables])


def standings(measured: Mapping[str, Sequence[pa.Table]]) -> list[Standing]:
    """All networks, the best first: by mean rank, then by mean error.

    Args:
        measured: as for `effects`.
    """
    errors = {name: _values(tables, _RANKED_BY).mean(axis=1) for name, tables in measured.items()}
    by_seed = np.stack(list(errors.values()))
    ranks = 1 + (by_seed[:, None] > by_seed[None]).sum(axis=1)
    seeds = [dict(zip(measured, tables, strict=True)) for tables in zip(*measured.values(), strict=True)]
    won = [wins(tables, _RANKED_BY) for tables in seeds]
    found = [
        Standing(name, tuple(errors[name].tolist()), tuple(ranks[number].tolist()), fmean(seed[name] for seed in won))
        for number, name in enumerate(measured)
    ]
    return sorted(found, key=lambda standing: (standing.rank, fmean(standing.errors)))


def records(found: Sequence[Effect]) -> list[dict[str, Any]]:
    """The effects as plain values that JSON can hold."""
    return [
        {**asdict(effect), "difference": effect.difference, "agreeing": effect.agreeing, "verdict": effect.verdict}
        for effect in found
    ]


def rows_of(found: Sequence[Effect]) -> list[dict[str, str]]:
    """The effects as rows of a table, by heading."""
    cures, figures = _titles()
    rows = []
    for effect in found:
        base, cured = fmean(effect.base), fmean(effect.cured)
        digits = _digits(base)
        rows.append(
            {
                "cure": cures[effect.variant],
                "figure": figures[effect.figure],
                "as published": f"{base:.{digits}f}",
                "cured": f"{cured:.{digits}f}",
                "difference": f"{effect.difference:+.{digits}f}",
                "95 % interval": f"{effect.low:+.{digits}f} … {effect.high:+.{digits}f}",
                "seeds": f"{effect.agreeing} of {len(effect.base)}",
                "moved": effect.verdict,
            }
        )
    return rows


def markdown(found: Sequence[Effect], standing: Sequence[Standing], about: str) -> str:
    """Three tables: which cure moves which figure, the same with intervals, and how the networks rank.

    Args:
        found: the effects.
        standing: of all networks.
        about: a sentence on what was trained, without a full stop.
    """
    parts = [_overview(found), _explanation(found, about), _table(rows_of(found)), _table(_ranking(standing))]
    return "\n\n".join(parts) + "\n"


def _ranking(standing: Sequence[Standing]) -> list[dict[str, str]]:
    titles = {variant.name: variant.title for variant in (BASE, *CURES)}
    return [
        {
            "network": titles[one.variant],
            "rebalanced ab error": _spread(one.errors),
            "rank by seed": ", ".join(map(str, one.ranks)),
            "mean rank": f"{one.rank:.1f}",
            "photos won": f"{100 * one.wins:.0f} %",
        }
        for one in standing
    ]


def _overview(found: Sequence[Effect]) -> str:
    cures, figures = _titles()
    cells = {(effect.variant, effect.figure): effect for effect in found}
    shown = [name for name in figures if any(effect.figure == name for effect in found)]
    base = {name: next(effect for effect in found if effect.figure == name) for name in shown}
    rows = [{"": BASE.title, **{figures[name]: _spread(base[name].base) for name in shown}}]
    for cure in dict.fromkeys(effect.variant for effect in found):
        values = {figures[name]: _moved(cells.get((cure, name))) for name in shown}
        rows.append({"": cures[cure], **values})
    return _table(rows)


def _explanation(found: Sequence[Effect], about: str) -> str:
    moved = sum(effect.verdict in ("better", "worse") for effect in found)
    return (
        f"First row: the figures, and their range over the seeds. Below: by how much each cure moves them; bold and ✓ "
        f"nearer to the natural value, ✗ farther from it, where the 95 % interval of the difference excludes 0 and all "
        f"seeds agree. {len(found)} comparisons were made, {moved} are marked; of those where a cure does nothing, 5 % "
        f"have an interval that excludes 0 by chance, up to {0.05 * len(found):.1f} on average. Intervals say what "
        f"other photos would change, given these trainings; the seeds, what other trainings would. ({about})"
    )


def _moved(effect: Effect | None) -> str:
    if effect is None:
        return ""
    difference = f"{effect.difference:+.{_digits(fmean(effect.base))}f}"
    mark = {"better": "✓", "worse": "✗"}.get(effect.verdict)
    return f"**{difference}** {mark}" if mark else difference


def _spread(values: Sequence[float]) -> str:
    digits = _digits(fmean(values))
    return f"{fmean(values):.{digits}f} ({min(values):.{digits}f} … {max(values):.{digits}f})"


def _digits(value: float) -> int:
    return 3 if abs(value) < 2 else 2


def _titles() -> tuple[dict[str, str], dict[str, str]]:
    """Of cures and of figures, in the order of tables."""
    return {cure.name: cure.title for cure in CURES}, {figure.column: figure.title for figure in FIGURES}


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    """Markdown whose columns are padded, so that it can be read on a console as well."""
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    padded.insert(1, ["-" * max(3, width) for width in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)
