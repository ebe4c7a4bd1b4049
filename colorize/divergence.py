"""How different two histograms are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def divergence(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Jensen-Shannon divergence in bits: 0 (the same shares) to 1 (no cell in common).

    Lin, "Divergence Measures Based on the Shannon Entropy", IEEE Transactions on Information Theory 37 (1991). An empty
    histogram stands for equal shares.

    Args:
        first: counts or weights, not negative.
        second: the same shape.
    """
    p, q = (one / one.sum() if one.sum() > 0 else np.full(one.shape, 1 / one.size) for one in (first, second))
    mean = (p + q) / 2
    return float(max(0.0, _entropy(mean) - (_entropy(p) + _entropy(q)) / 2))


def _entropy(shares: NDArray[Any]) -> float:
    there = shares[shares > 0]
    return float(-(there * np.log2(there)).sum())
