"""Colorizers that look at nothing: what a model has to beat before any of its figures mean something."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: Names of the baselines, as the evaluation's folders and the report use them.
GREY = "grey"
MEAN_COLOR = "mean_color"
NAMES = (GREY, MEAN_COLOR)


def constant_ab(lightness: NDArray[np.float32], ab: Sequence[float]) -> NDArray[np.float32]:
    """The same colour everywhere: (0, 0) leaves the photo grey, the training split's mean is the best constant guess.

    Args:
        lightness: N×1×H×W, only its shape is used.
        ab: a and b in CIELAB units.

    Returns:
        N×2×H×W.
    """
    photos, _, height, width = lightness.shape
    colour = np.asarray(ab, dtype=np.float32).reshape(1, 2, 1, 1)
    return np.broadcast_to(colour, (photos, 2, height, width))
