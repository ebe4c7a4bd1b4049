"""How far off colours are, as a curve: the share of pixels whose ab error is below each threshold, and its area."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from colorize.bins import ab_bins
from colorize.metrics.quality import Floats, ab_distance

#: Largest threshold, CIELAB units.
LARGEST: Final = 150
_PRIOR = Path(__file__).with_name("imagenet_prior.json")


def error_curve(truth: Floats, prediction: Floats, weights: Floats | None = None) -> NDArray[np.float64]:
    """Share of the pixels whose distance in the ab plane is at most 0, 1, …, 150 CIELAB units: 151 values, 0…1.

    The cumulative error of Deshpande et al., "Learning Large-Scale Automatic Image Colorization" (2015), as Zhang et
    al. 2016 (section 3.1) use it.

    Args:
        truth: a and b, …×2.
        prediction: the same shape.
        weights: of each pixel, shape without the last axis; None: all count the same.
    """
    distance = ab_distance(truth, prediction).ravel()
    # The first threshold that a distance does not exceed.
    first = np.minimum(np.ceil(distance), LARGEST + 1).astype(np.intp)
    share = None if weights is None else np.asarray(weights, np.float64).ravel()
    counts = np.bincount(first, share, minlength=LARGEST + 2)
    curve: NDArray[np.float64] = np.cumsum(counts)[: LARGEST + 1] / counts.sum()
    return curve


def area_under(curve: NDArray[np.float64]) -> float:
    """Area under an error curve by trapezoids, over the largest threshold: 0…1, 1 for no error. Larger is better.

    Papers print it in percent. The plain mean of the 151 values, another
    reading, is up to 0.003 lower.
    """
    return float(np.trapezoid(curve) / LARGEST)


def imagenet_weights(ab: Floats) -> NDArray[np.float64]:
    """Weight of each pixel for the class-rebalanced curve: one over how common its colour is in ImageNet.

    The bin nearest to the colour among the 313 of Zhang et al. 2016, and their published share of it. A fixed prior, so
    that figures of different sets of photos compare; the project's own error (`ab_error_rebalanced`) uses that of its
    training split.

    Args:
        ab: true a and b, …×2.

    Returns:
        Shape without the last axis.
    """
    return (1.0 / imagenet_prior())[nearest_bin(ab)]


def nearest_bin(ab: Floats) -> NDArray[np.intp]:
    """Number of the nearest of the 313 bins, of equally near ones the first.

    Args:
        ab: a and b, …×2.

    Returns:
        Shape without the last axis.
    """
    from scipy.spatial import cKDTree  # type: ignore[import-untyped]

    _, numbers = cKDTree(bins()).query(np.asarray(ab, np.float64).reshape(-1, 2))
    return np.asarray(numbers, np.intp).reshape(ab.shape[:-1])


@lru_cache(maxsize=1)
def imagenet_prior() -> NDArray[np.float64]:
    """Share of each of the 313 bins in ImageNet, in the order of `bins`."""
    prior = np.array(json.loads(_PRIOR.read_text(encoding="utf-8"))["prior"], np.float64)
    prior.setflags(write=False)
    return prior


@lru_cache(maxsize=1)
def bins() -> NDArray[np.float64]:
    """The centres of the 313 bins of Zhang et al. 2016: 313×2, CIELAB units."""
    return ab_bins().astype(np.float64)
