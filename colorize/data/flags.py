"""Photos that teach a colorizer little or nothing: flat, grey, nearly grey, or of one tone.

They are judged in a picture averaged down to 64 to 127 pixels, which takes the colour noise of sensors and JPEG away,
and in whole units of CIELAB: sums of integers, then Python's own division and comparison, so every machine agrees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from colorize.color import rgb_to_lab_code
from colorize.settings.sections import ImageSettings

_SIDE = 64  # pixels
_BAND_BITS = 2  # of 8 of lightness: pixels count as equally light in bands of 1.6 units of L
_OPPOSITE = 2  # CIELAB units: so far on the other side of grey, colours are of another hue for sure
_ROUNDING = 0.5  # CIELAB units: what whole units alone scatter


@dataclass(frozen=True, slots=True)
class Flag:
    """Why a photo is kept out of training unless it is asked for.

    Attributes:
        reason: the first of these that fits: "flat", "grey", "near-grey", "sepia".
        detail: a sentence for people.
    """

    reason: Literal["flat", "grey", "near-grey", "sepia"]
    detail: str


def flag_of(rgb: np.ndarray, images: ImageSettings) -> Flag | None:
    """Judge the colours of a photo.

    - flat: 98 % of the picture lie within `flat_range` of each other in each of L, a and b;
    - grey: 99 % have a chroma below `grey_chroma`;
    - near-grey: 95 % have a chroma below `near_grey_chroma`;
    - sepia: a and b follow from the lightness, whatever the tone is (cyanotypes and tinted prints as well). The colours
      scatter round the mean of equally light pixels by no more than `sepia_scatter` of their chroma, and across their
      common hue by no more than `sepia_hue` of it; less than 1 % lie on the other side of grey; a mean chroma above
      `sepia_chroma` is a sunset and no print. Scatter and mean are root mean squares.

    Args:
        rgb: uint8, height x width x 3.
        images: the thresholds.

    Returns:
        None for a photo with colours.
    """
    l, code = rgb_to_lab_code(_averaged(rgb))  # noqa: E741
    lightness, ab = l.reshape(-1), code.reshape(-1, 2).astype(np.int64) - 128
    if _is_flat(lightness, ab, images.flat_range):
        return Flag("flat", f"98 % of the picture lie within {images.flat_range:g} units of L, a and b")
    chroma_squared = (ab * ab).sum(axis=-1)
    for reason, chroma, percent in (("grey", images.grey_chroma, 1), ("near-grey", images.near_grey_chroma, 5)):
        coloured = np.count_nonzero(chroma_squared >= chroma * chroma)
        if 100 * coloured < percent * len(ab):
            detail = f"{100 - percent} % of the picture has a chroma below {chroma:g} CIELAB units"
            return Flag("grey" if reason == "grey" else "near-grey", detail)
    if _is_one_tone(lightness, ab, images):
        return Flag("sepia", "one tone: the colours follow from the lightness")
    return None


def _averaged(rgb: np.ndarray) -> NDArray[np.uint8]:
    factor = max(1, max(rgb.shape[:2]) // _SIDE)
    step = max(1, factor // 2)  # two or three rows of each block are enough and take half the time
    return np.asarray(Image.fromarray(rgb[::step]).reduce((factor, max(1, factor // step))))


def _is_flat(lightness: NDArray[np.uint8], ab: NDArray[np.int64], largest: float) -> bool:
    """Whether the ranges of L, a and b without a hundredth at either end are at most `largest` CIELAB units."""
    skipped = len(ab) // 100
    for values, unit in ((lightness, 100 / 255), (ab[:, 0], 1.0), (ab[:, 1], 1.0)):
        ordered = np.sort(values)
        if (int(ordered[-1 - skipped]) - int(ordered[skipped])) * unit > largest:
            return False
    return True


def _is_one_tone(lightness: NDArray[np.uint8], ab: NDArray[np.int64], images: ImageSettings) -> bool:
    a, b = ab[:, 0], ab[:, 1]
    sum_a, sum_b = int(a.sum()), int(b.sum())
    aa, bb, a_times_b = int((a * a).sum()), int((b * b).sum()), int((a * b).sum())
    mean_square = (aa + bb) / len(ab)
    hue_square = sum_a**2 + sum_b**2
    if hue_square == 0 or mean_square > images.sepia_chroma**2:
        return False
    across = (aa * sum_b**2 - 2 * a_times_b * sum_a * sum_b + bb * sum_a**2) / hue_square
    if across > images.sepia_hue**2 * (aa + bb):
        return False
    along = a * sum_a + b * sum_b  # the component in the common hue's direction, times the length of its sum
    opposite = np.count_nonzero((along < 0) & (along * along > _OPPOSITE**2 * hue_square))
    if 100 * opposite >= len(ab):
        return False
    # What is left of the squares when each band of lightness has its mean taken away; sums of whole numbers, exact.
    bands = lightness >> _BAND_BITS
    count, in_a, in_b = (sums.tolist() for sums in (np.bincount(bands), np.bincount(bands, a), np.bincount(bands, b)))
    explained = sum((int(x) ** 2 + int(y) ** 2) / n for n, x, y in zip(count, in_a, in_b, strict=True) if n)
    scatter_square = max(0.0, (aa + bb - explained) / len(ab))
    # IEEE 754 rounds square roots like sums: math.sqrt has the same bits everywhere, a power may not.
    return math.sqrt(scatter_square) <= _ROUNDING + images.sepia_scatter * math.sqrt(mean_square)
