"""Is one model better than another? A paired bootstrap over the photos that both were measured on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

#: Metrics of which more is better; of every other one, less is.
LARGER_IS_BETTER = frozenset(
    {"psnr", "ssim", "psnr_own_l", "ssim_own_l", "auc", "auc_rebalanced", "class_agreement", "top_bin_accuracy"}
)

_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two models score on the same photos.

    Attributes:
        metric: the column compared.
        photos: how many photos both have a value for.
        first: mean of the first model.
        second: mean of the second model.
        difference: first - second.
        low: lower end of the difference's 95 % interval.
        high: upper end.
    """

    metric: str
    photos: int
    first: float
    second: float
    difference: float
    low: float
    high: float

    @property
    def first_is_better(self) -> bool:
        """Whether the whole interval lies on the better side for the first model."""
        return self.low > 0 if self.metric in LARGER_IS_BETTER else self.high < 0

    @property
    def second_is_better(self) -> bool:
        """Whether the whole interval lies on the better side for the second model."""
        return self.high < 0 if self.metric in LARGER_IS_BETTER else self.low > 0


def compare(
    first: pa.Table,
    second: pa.Table,
    metric: str,
    resamples: int = 10_000,
    *,
    seed: int = 0,
    ids: Collection[str] | None = None,
) -> Comparison:
    """Difference of a metric between two models, with a 95 % percentile interval by paired bootstrap.

    Photos are drawn with replacement and both models are scored on the same draw, so that what makes a photo hard for
    both cancels out (Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13). A figure of a whole set
    (`SET_FIGURES`) is computed anew from each drawn set.

    Args:
        first: per-photo rows with the column `id` and those that the metric is made of.
        second: the same of the other model; photos that only one of them has are left out.
        metric: name of a column, or of a figure of the set.
        resamples: number of draws.
        seed: the same seed gives the same interval.
        ids: only photos of these; None: all.

    Raises:
        ValueError: a table lacks the metric, or no photo is common to both.
    """
    columns, figure = SET_FIGURES.get(metric, ((metric,), _plain_mean))
    for rows in (first, second):
        if missing := [column for column in columns if column not in rows.column_names]:
            known = [*sorted(set(rows.column_names) - {"id", "dataset"}), *SET_FIGURES]
            raise ValueError(f"no metric '{missing[0]}' in these rows; there are: {', '.join(known)}")
    a, b = _paired(first, second, columns, ids)
    if not len(a):
        raise ValueError(f"no photo has '{metric}' in both evaluations; evaluate both models on the same test split")
    differences = np.concatenate(
        [figure(one) - figure(other) for one, other in _resampled(np.stack([a, b], axis=1), resamples, seed)]
    )
    low, high = np.percentile(differences, [2.5, 97.5])
    of_first, of_second = (float(figure(values.mean(axis=0))) for values in (a, b))
    return Comparison(metric, len(a), of_first, of_second, of_first - of_second, float(low), float(high))


def interval(values: NDArray[np.float64], resamples: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean of some values.

    Args:
        values: one per photo, at least one.
        resamples: number of draws.
        seed: the same seed gives the same interval.
    """
    means = np.concatenate([drawn[0] for drawn in _resampled(values[:, None], resamples, seed)])
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _resampled(values: NDArray[np.float64], resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Means over photos of drawn sets: of values photos×models(×columns), models×draws(×columns) at a time."""
    generator = np.random.default_rng(seed)
    # In chunks: a thousand photos and ten thousand draws would be 80 MB of indices at once.
    step = max(1, _CHUNK // values.size)
    for start in range(0, resamples, step):
        drawn = generator.integers(0, len(values), (min(step, resamples - start), len(values)))
        yield np.moveaxis(values[drawn].mean(axis=1), 1, 0)


def best(scores: dict[str, float], metric: str) -> str:
    """Name of the best score; the first one in order where several are equal.

    Args:
        scores: mean of the metric by name, not empty.
        metric: decides whether more or less is better.
    """
    return max(scores, key=lambda name: scores[name] if metric in LARGER_IS_BETTER else -scores[name])


def wins(measured: Mapping[str, pa.Table], metric: str) -> dict[str, float]:
    """Share of the photos on which each has the best value; of those that are equally good each has its part.

    Args:
        measured: per-photo rows by name, at least one; only photos that all have a value for count.
        metric: name of a column.

    Returns:
        Shares by name; their sum is 1, or 0 where no photo is common to all.
    """
    values = {
        name: dict(zip(rows["id"].to_pylist(), rows[metric].to_pylist(), strict=True))
        for name, rows in measured.items()
    }
    common = [
        identity
        for identity in next(iter(values.values()))
        if all(photos.get(identity) is not None for photos in values.values())
    ]
    if not common:
        return dict.fromkeys(measured, 0.0)
    scores = np.array([[photos[identity] for identity in common] for photos in values.values()])
    best_of_photo = (scores.max if metric in LARGER_IS_BETTER else scores.min)(axis=0)
    won = scores == best_of_photo
    shares = (won / won.sum(axis=0)).mean(axis=1)
    return dict(zip(measured, map(float, shares), strict=True))


def pareto_front(costs: Mapping[str, float], scores: Mapping[str, float], metric: str) -> set[str]:
    """Those that nothing beats: no other is as cheap or cheaper, as good or better, and one of the two truly.

    Args:
        costs: by name; less is better.
        scores: the metric by the same names.
        metric: decides whether more or less is better.
    """
    sign = -1 if metric in LARGER_IS_BETTER else 1
    points = {name: (cost, sign * scores[name]) for name, cost in costs.items()}
    return {
        name
        for name, (cost, badness) in points.items()
        if not any(
            other_cost <= cost and other_badness <= badness and (other_cost, other_badness) != (cost, badness)
            for other_cost, other_badness in points.values()
        )
    }


def _plain_mean(means: NDArray[np.float64]) -> NDArray[np.float64]:
    plain: NDArray[np.float64] = means[..., 0]
    return plain


def _distance_of_means(means: NDArray[np.float64]) -> NDArray[np.float64]:
    distance: NDArray[np.float64] = np.abs(means[..., 0] - means[..., 1])
    return distance


#: Figures of a whole set of photos that no photo has by itself: columns, and what to make of their means (…×columns).
SET_FIGURES: dict[str, tuple[tuple[str, ...], Callable[[NDArray[np.float64]], NDArray[np.float64]]]] = {
    "colorfulness_difference": (("colorfulness", "colorfulness_truth"), _distance_of_means),
}


def _paired(
    first: pa.Table, second: pa.Table, columns: Sequence[str], ids: Collection[str] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values of the photos that both have, photos×columns, in the order of their ids: draws index into it."""
    one, other = (np.asarray(rows["id"].to_numpy(zero_copy_only=False), dtype=str) for rows in (first, second))
    _, left, right = np.intersect1d(one, other, return_indices=True)
    if ids is not None:
        wanted = np.isin(one[left], sorted(ids))
        left, right = left[wanted], right[wanted]
    a, b = (
        np.stack([rows[column].to_numpy(zero_copy_only=False).astype(np.float64)[places] for column in columns], axis=1)
        for rows, places in ((first, left), (second, right))
    )
    there = ~(np.isnan(a) | np.isnan(b)).any(axis=1)
    return a[there], b[there]
