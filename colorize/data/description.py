"""What the manifest keeps of a photo to find its copies: the sizes alone, so that readers of rows need not compute any.

`colorize.data.hashing` makes it, `colorize.data.likeness` compares it.
"""

from __future__ import annotations

from typing import Final

SIDE: Final = 48
"""Pixels of the thumbnail's side."""
COLOR_SIDE: Final = 8
"""Cells of the colours' side."""
CODES: Final = 17
"""Perceptual codes of 64 bits: of the full picture, of the picture without its border, and of 15 windows in it."""
TURNS: Final = 8
"""Symmetries of a square, numbered in bits: 1 mirrored left to right, 2 upside down, 4 transposed before either."""

FIELDS: Final = {
    "codes": 8 * CODES,
    "turned_codes": 8 * (TURNS - 1),
    "thumbnail": SIDE**2,
    "colors": 2 * COLOR_SIDE**2,
    "box": 8,
}
"""Bytes of what is kept in the manifest, by the name of the field."""
