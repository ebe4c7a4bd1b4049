"""Colours known at a few pixels, spread to where lightness is alike: interactive colorization without learning.

Levin, Lischinski and Weiss, "Colorization using Optimization" (SIGGRAPH 2004). Each pixel without a hint is the
weighted mean of its neighbours' colours; the weights fall with the difference of lightness, so that colour flows within
even areas and stops at edges. Hints stay as they are. That is one sparse linear system a photo.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from colorize.models.base import Colorization, Hints, Prediction
from colorize.models.blocks import resize
from colorize.models.registry import register
from colorize.settings.architectures import ColorByOptimizationSettings

# A larger photo is solved at this number of pixels: elimination takes 0.5 s and 100 MB there, and grows faster than
# the photo; the eye sees colour more coarsely than lightness anyway.
MAXIMUM_PIXELS = 2**16

# The paper's weight is exp(-difference² / 2σ²), σ² the variance around the pixel. The authors' program takes 0.6 of the
# variance for 2σ², at least so much that the most similar neighbour weighs 0.01, and never less than 2e-6 (of 0..1).
_VARIANCE = 0.6
_MOST_SIMILAR = 0.01
_LEAST = 2e-6
# Below the least weight of a 3 x 3 window (4.6e-8). Larger windows reach weights that float64 cannot tell from none,
# and an area that nothing connects to a hint has no colour.
_WEAKEST = 1e-8


@register("color_by_optimization", ColorByOptimizationSettings)
class ColorByOptimization(Colorization):
    """Spreads hints; without hints, photos stay grey. Has no parameters.

    A photo of more than `MAXIMUM_PIXELS` is solved at about that size and its colours are enlarged; its hints are kept.

    Args:
        settings: side of the window in which neighbours lie.
    """

    paper = "Levin, Lischinski and Weiss, SIGGRAPH 2004"
    trained = False
    takes_hints = True

    def __init__(self, settings: ColorByOptimizationSettings) -> None:
        super().__init__()
        self.window = settings.window

    def colors(self, l: Tensor, seeds: Sequence[int] | None = None, hints: Hints | None = None) -> Prediction:  # noqa: E741, ARG002
        """See `Predictor.colors`; the solve is done on the CPU in float64 and gives no gradients."""
        photos, _, height, width = l.shape
        if hints is None:
            return Prediction(ab=l.new_zeros(photos, 2, height, width))
        known = hints.mask > 0
        lightness, ab, mask = _reduced(l, torch.where(known, hints.ab, 0.0), known.to(l.dtype))
        arrays = [tensor.detach().cpu().double().numpy() for tensor in (lightness, ab, mask)]
        solved = [spread(l_[0], ab_, mask_[0], self.window) for l_, ab_, mask_ in zip(*arrays, strict=True)]
        ab = torch.from_numpy(np.stack(solved)).to(device=l.device, dtype=l.dtype)
        return Prediction(ab=torch.where(known, hints.ab, resize(ab, (height, width))))


def _reduced(l: Tensor, ab: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # noqa: E741
    """Lightness, hints (0 where there are none) and mask at the size at which a photo is solved.

    Where several hints fall on one pixel, it gets their mean.
    """
    height, width = l.shape[-2:]
    scale = math.sqrt(MAXIMUM_PIXELS / (height * width))
    if scale >= 1:
        return l, ab, mask
    reduced_height = min(height, max(1, math.floor(height * scale)))
    size = (reduced_height, min(width, MAXIMUM_PIXELS // reduced_height))
    lightness, sums, share = (functional.adaptive_avg_pool2d(values, size) for values in (l, ab, mask))
    is_known = share > 0
    return lightness, sums / torch.where(is_known, share, 1.0), is_known.to(l.dtype)


def spread(
    l: NDArray[np.float64],  # noqa: E741
    ab: NDArray[np.float64],
    mask: NDArray[np.float64],
    window: int,
) -> NDArray[np.float64]:
    """Fill in the colours of one photo.

    Args:
        l: H x W, 0..100.
        ab: 2 x H x W, 0 where nothing is known.
        mask: H x W, 0 where nothing is known.
        window: side of the square in which neighbours lie, odd.

    Returns:
        2 x H x W; 0 everywhere where nothing is known.
    """
    from scipy.sparse import csr_array, eye_array  # type: ignore[import-untyped]
    from scipy.sparse.linalg import splu  # type: ignore[import-untyped]

    known = mask > 0
    if known.all() or not known.any():
        return ab
    result = ab.copy()
    weights, neighbours = affinities(l / 100, window)
    free = ~known.ravel()
    unknowns = np.flatnonzero(free)
    is_there = neighbours[:, unknowns] >= 0
    rows = np.broadcast_to(np.arange(len(unknowns)), is_there.shape)[is_there]
    entries = (weights[:, unknowns][is_there], (rows, neighbours[:, unknowns][is_there]))
    mean = csr_array(entries, shape=(len(unknowns), free.size))
    system = (eye_array(len(unknowns), format="csr") - mean[:, unknowns]).tocsc()
    given = mean[:, np.flatnonzero(~free)] @ result[:, known].T
    # Diagonally dominant: no pivoting is needed, and an ordering for symmetric patterns gives half the fill.
    options: dict[str, Any] = {"SymmetricMode": True}
    factors = splu(system, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
    result[:, ~known] = factors.solve(given).T
    return result


def affinities(y: NDArray[np.float64], window: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """How much each pixel takes after each of its neighbours, by their lightness alone.

    Args:
        y: H x W, lightness in 0..1.
        window: side of the square of neighbours, odd.

    Returns:
        Weights, which add up to 1 in each pixel (but for a photo of one pixel), and the neighbours' numbers, row by
        row, -1 beyond the border with weight 0: both K x HW, K the number of pixels of the window but its middle.
    """
    radius, (height, width) = window // 2, y.shape
    offsets = [(i, j) for i in range(window) for j in range(window) if (i, j) != (radius, radius)]

    def shifted(values: NDArray[Any], beyond: int) -> NDArray[Any]:
        padded = np.pad(values, radius, constant_values=beyond)
        return np.stack([padded[i : i + height, j : j + width].ravel() for i, j in offsets])

    neighbours = shifted(np.arange(y.size).reshape(y.shape), -1)
    there = neighbours >= 0
    difference = np.where(there, shifted(y, 0) - y.ravel(), 0.0)
    count = there.sum(axis=0) + 1  # the window with its middle, whose difference is 0
    squares = difference**2
    variance = squares.sum(axis=0) / count - (difference.sum(axis=0) / count) ** 2
    most_similar = np.where(there, squares, np.inf).min(axis=0)
    scale = np.maximum(_VARIANCE * variance, _LEAST)
    scale = np.maximum(scale, most_similar / -math.log(_MOST_SIMILAR)) if y.size > 1 else scale
    weights = np.where(there, np.maximum(np.exp(-squares / scale), _WEAKEST), 0.0)
    return weights / np.maximum(weights.sum(axis=0), _WEAKEST), neighbours
