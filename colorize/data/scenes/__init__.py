"""Photographs drawn by code, in which colour follows from what is seen; the same bytes on every machine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from colorize.data.scenes import buildings, closeups, compositions
from colorize.data.scenes.canvas import Canvas

KINDS: dict[str, Callable[[Canvas], None]] = {
    "coast": compositions.coast,
    "sunset-sea": compositions.sunset_sea,
    "sunset-hills": compositions.sunset_hills,
    "alps": compositions.alps,
    "mountain-lake": compositions.mountain_lake,
    "forest": compositions.forest,
    "autumn": compositions.autumn,
    "meadow": compositions.meadow,
    "desert": compositions.desert,
    "farmland": compositions.farmland,
    "grey-day": compositions.grey_day,
    "moonlight": compositions.moonlight,
    "village": buildings.village,
    "street": buildings.street,
    "night-town": buildings.night_town,
    "blossom": closeups.blossom,
    "still-life": closeups.still_life,
}
"""What can be drawn, by name."""

SMALL = 256
"""Pixels: a picture whose long side is shorter is drawn twice as large and reduced, as a camera would."""


def draw(kind: str, seed: str, width: int, height: int) -> NDArray[np.uint8]:
    """Draw one photograph: uint8 height x width x 3, sRGB; a pure function of its arguments.

    Args:
        kind: one of `KINDS`.
        seed: any text; another one is another photograph of that kind.
        width: pixels, at least 16.
        height: pixels, at least 16.
    """
    factor = 2 if max(width, height) < SMALL else 1
    canvas = Canvas(width * factor, height * factor, f"{kind}/{seed}")
    KINDS[kind](canvas)
    photo = canvas.develop()
    return photo if factor == 1 else np.asarray(Image.fromarray(photo).reduce(factor))
