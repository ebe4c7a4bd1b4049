"""Perceptual codes: 64 bits that stay the same when a photo is resized, re-encoded or brightened.

The code is a pHash (Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010): the lowest
frequencies of a cosine transform of a small grey picture, each compared with their median. Everything is computed in
integers, so that every machine finds the same bits.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image

SIDE: Final = 32  # of the thumbnail

# cos(j * pi / 64) * 2**14 for j = 0..32, rounded: a table, because the last bit of np.cos depends on the machine.
_COSINE: Final = (16384, 16364, 16305, 16207, 16069, 15893, 15679, 15426, 15137, 14811, 14449, 14053, 13623, 13160,
                  12665, 12140, 11585, 11003, 10394, 9760, 9102, 8423, 7723, 7005, 6270, 5520, 4756, 3981, 3196, 2404,
                  1606, 804, 0)  # fmt: skip


def _cosine(j: int) -> int:
    """cos(j * pi / 64) * 2**14 for any j >= 0, by the symmetries of the cosine."""
    j %= 128
    j = min(j, 128 - j)
    return _COSINE[j] if j <= 32 else -_COSINE[64 - j]


_BASIS: Final = np.array([[_cosine((2 * x + 1) * k) for x in range(SIDE)] for k in range(11)], dtype=np.int64)
# The 64 lowest frequencies (vertical, horizontal) but the constant one, nearest to it first.
_FREQUENCIES: Final = sorted(
    ((v, u) for v in range(11) for u in range(11) if (v, u) != (0, 0)), key=lambda f: (f[0] ** 2 + f[1] ** 2, f)
)[:64]
_VERTICAL: Final = np.array([v for v, _ in _FREQUENCIES])
_HORIZONTAL: Final = np.array([u for _, u in _FREQUENCIES])
_BITS: Final = np.left_shift(np.uint64(1), np.arange(64, dtype=np.uint64))


def thumbnail(rgb: np.ndarray) -> np.ndarray:
    """A 32x32 grey picture, squeezed to a square.

    Args:
        rgb: uint8, height x width x 3.

    Returns:
        uint8, 32 x 32: ITU-R 601 luma, averaged over the area that each pixel covers.
    """
    grey = Image.fromarray(rgb).convert("L")
    return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def perceptual_code(thumbnail: np.ndarray) -> int:
    """The 64-bit code of a thumbnail.

    Args:
        thumbnail: uint8, 32 x 32.

    Returns:
        0 .. 2**64 - 1; a picture of one single grey has code 0.
    """
    spectrum = _BASIS @ thumbnail.astype(np.int64) @ _BASIS.T
    coefficients = spectrum[_VERTICAL, _HORIZONTAL]
    ordered = np.sort(coefficients)
    above_median = 2 * coefficients > ordered[31] + ordered[32]
    return int(np.bitwise_or.reduce(_BITS[above_median], initial=np.uint64(0)))


def mirrored_code(thumbnail: np.ndarray) -> int:
    """The code of the thumbnail mirrored left to right."""
    return perceptual_code(thumbnail[:, ::-1])
