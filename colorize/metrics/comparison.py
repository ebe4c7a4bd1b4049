"""Is one model better than another? A paired bootstrap over the photos that both were measured on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

#: Metrics of which more is better; of every other one, less is.
LARGER_IS_BETTER = frozenset({"psnr", "ssim", "psnr_own_l", "ssim_own_l"})

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


def compare(first: pa.Table, second: pa.Table, metric: str, resamples: int = 10_000, seed: int = 0) -> Comparison:
    """Difference of a metric's mean between two models, with a 95 % percentile interval by paired bootstrap.

    Photos are drawn with replacement and both models are scored on the same draw, so that what makes a photo hard for
    both cancels out (Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13).

    Args:
        first: per-photo rows with the columns `id` and `metric`.
        second: the same of the other model; photos that only one of them has are left out.
        metric: name of the column.
        resamples: number of draws.
        seed: the same seed gives the same interval.

    Raises:
        ValueError: a table lacks the metric, or no photo is common to both.
    """
    for rows in (first, second):
        if metric not in rows.column_names:
            raise ValueError(f"no metric '{metric}' in these rows; there are: {', '.join(rows.column_names)}")
    a, b = _paired(first, second, metric)
    if not len(a):
        raise ValueError(f"no photo has '{metric}' in both evaluations; evaluate both models on the same test split")
    low, high = interval(a - b, resamples, seed)
    return Comparison(metric, len(a), float(a.mean()), float(b.mean()), float((a - b).mean()), low, high)


def interval(values: NDArray[np.float64], resamples: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean of some values.

    Args:
        values: one per photo, at least one.
        resamples: number of draws.
        seed: the same seed gives the same interval.
    """
    generator = np.random.default_rng(seed)
    # In chunks: a thousand photos and ten thousand draws would be 80 MB of indices at once.
    step = max(1, _CHUNK // len(values))
    means = [
        values[generator.integers(0, len(values), (min(step, resamples - start), len(values)))].mean(axis=1)
        for start in range(0, resamples, step)
    ]
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return float(low), float(high)


def best(scores: dict[str, float], metric: str) -> str:
    """Name of the best score; the first one in order where several are equal.

    Args:
        scores: mean of the metric by name, not empty.
        metric: decides whether more or less is better.
    """
    return max(scores, key=lambda name: scores[name] if metric in LARGER_IS_BETTER else -scores[name])


def _paired(first: pa.Table, second: pa.Table, metric: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    joined = first.select(["id", metric]).join(
        second.select(["id", metric]), "id", join_type="inner", right_suffix="_second"
    )
    # Sorted, because a join promises no order and the draws index into it.
    joined = joined.filter(pc.and_(pc.is_valid(joined[metric]), pc.is_valid(joined[f"{metric}_second"]))).sort_by("id")
    return joined[metric].to_numpy(), joined[f"{metric}_second"].to_numpy()
