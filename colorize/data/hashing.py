"""What is kept of a photo to find its copies: perceptual codes, a small grey picture and a few colours.

A code is a pHash (Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010): the lowest
frequencies of a cosine transform of a small grey picture, each compared with their median. It stays near when a photo
is resized, re-encoded, brightened or lightly marked, but not when a part is cut off; so each photo has codes of
several windows as well. Everything is computed in integers, so that every machine finds the same bits.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from colorize.color import rgb_to_lab_code
from colorize.data.description import CODES, COLOR_SIDE, FIELDS, SIDE, TURNS

_Level = TypeVar("_Level", bound=np.integer)

WINDOWS: Final = (
    *((x, y, 0.95) for x, y in ((0, 0), (0.05, 0), (0, 0.05), (0.05, 0.05), (0.025, 0.025))),
    *((x, y, 0.9) for x, y in ((0, 0), (0.1, 0), (0, 0.1), (0.1, 0.1), (0.05, 0.05))),
    *((x, y, 0.7) for x, y in ((0, 0), (0.3, 0), (0, 0.3), (0.3, 0.3), (0.15, 0.15))),
)
"""Parts of the picture without its border that have codes of their own: left, top, and share of width and height."""

_TRANSFORMED = 32  # cells along a window's side, of which the cosine transform is taken
_HIGHEST = 11  # frequencies below
# cos(j * pi / 64) * 2**14 for j = 0..32, rounded: a table, because the last bit of np.cos depends on the machine.
_COSINE: Final = (16384, 16364, 16305, 16207, 16069, 15893, 15679, 15426, 15137, 14811, 14449, 14053, 13623, 13160,
                  12665, 12140, 11585, 11003, 10394, 9760, 9102, 8423, 7723, 7005, 6270, 5520, 4756, 3981, 3196, 2404,
                  1606, 804, 0)  # fmt: skip
_UNIT = 240  # of a thumbnail's pixel: all windows and their cells begin and end on whole ones
_TOLERANCE = 20  # levels of 255 within which a border is of one colour: JPEG leaves waves beside an edge
_CLEAR = 40  # levels that are clearly another colour
_STRAYS = 20  # one pixel of so many in a line of the border may have another colour
_SAMPLES = 128  # pixels of a line that are looked at, or up to twice as many
_LARGEST_BORDER = 3  # at most a third of the picture on each side
_ALONE = 10  # a wider one than a tenth has one on the other side, at least half as wide
_BORDERS = 3  # one in another at most
_BLURRED = 3  # lines at most between a border and the picture's first line
_EDGE = 8  # at least one pixel of so many in the picture's first line has clearly another colour


def _cosine(j: int) -> int:
    """cos(j * pi / 64) * 2**14 for any j >= 0, by the symmetries of the cosine."""
    j %= 128
    j = min(j, 128 - j)
    return _COSINE[j] if j <= 32 else -_COSINE[64 - j]


_BASIS: Final = np.array(
    [[_cosine((2 * x + 1) * k) for x in range(_TRANSFORMED)] for k in range(_HIGHEST)], dtype=np.int64
)


def _basis_of(start: float, share: float) -> NDArray[np.float64]:
    """Cosines over a part of the thumbnail's side, 11 x 48: whole numbers of 13 bits.

    The part is cut into 32 cells; a pixel counts for a cell by how much of it the cell covers.
    """
    first, length = round(start * SIDE * _UNIT), round(share * SIDE * _UNIT)
    edges = first + length * np.arange(_TRANSFORMED + 1, dtype=np.int64) // _TRANSFORMED
    pixels = np.arange(SIDE, dtype=np.int64)[None, :] * _UNIT
    covered = np.minimum(edges[1:, None], pixels + _UNIT) - np.maximum(edges[:-1, None], pixels)
    cosines: NDArray[np.int64] = (_BASIS @ np.maximum(covered, 0)) // (2 * _UNIT)
    return cosines.astype(np.float64)


_PARTS: Final = sorted({(0.0, 1.0)} | {(start, share) for x, y, share in WINDOWS for start in (x, y)})
# One below the other: all frequencies of all parts. Whole numbers in floating point are added exactly below 2**53,
# whatever the order: a sum over a column is below 48 * 2**13 * 2**8, and one over that below 48 * 2**13 * 2**27.
_BASES: Final = np.concatenate([_basis_of(*part) for part in _PARTS])
_ROWS_OF: Final = np.array([_PARTS.index((0.0, 1.0)), *(_PARTS.index((y, share)) for _, y, share in WINDOWS)])
_COLUMNS_OF: Final = np.array([_PARTS.index((0.0, 1.0)), *(_PARTS.index((x, share)) for x, _, share in WINDOWS)])
# The 64 lowest frequencies (vertical, horizontal) but the constant one, nearest to it first.
_FREQUENCIES: Final = sorted(
    ((v, u) for v in range(_HIGHEST) for u in range(_HIGHEST) if (v, u) != (0, 0)),
    key=lambda f: (f[0] ** 2 + f[1] ** 2, f),
)[:64]
_VERTICAL: Final = np.array([v for v, _ in _FREQUENCIES])
_HORIZONTAL: Final = np.array([u for _, u in _FREQUENCIES])


class Description(NamedTuple):
    """What is kept of a photo.

    Attributes:
        codes: uint64, 17: of the full picture, of the picture without its border, and of `WINDOWS` in the latter.
        turned_codes: uint64, 7: of the full picture after each turn 1..7.
        thumbnail: uint8, 48 x 48: luma of the picture without its border, squeezed to a square.
        colors: int8, 8 x 8 x 2: a and b of CIELAB of the mean colours of its cells.
        box: uint16, 4: left, top, right and bottom of the picture without its border, in 1/65535 of the full one.
    """

    codes: NDArray[np.uint64]
    turned_codes: NDArray[np.uint64]
    thumbnail: NDArray[np.uint8]
    colors: NDArray[np.int8]
    box: NDArray[np.uint16]


def describe(rgb: NDArray[np.uint8]) -> Description:
    """Find what is kept of a photo: the same bits on every machine.

    Args:
        rgb: uint8, height x width x 3, at least one pixel.
    """
    height, width = rgb.shape[:2]
    image = Image.fromarray(rgb)
    left, top, right, bottom = box = trimmed_box(rgb)
    whole = _squeezed(image)
    # Cut out first: of a box in a larger image, Pillow lets the pixels around it in.
    inner = whole if box == (0, 0, width, height) else _squeezed(image.crop(box))
    grey = np.asarray(inner.convert("L"))
    around = grey if inner is whole else np.asarray(whole.convert("L"))
    outer = _spectra(around, 1)
    spectra = np.concatenate([outer, _spectra(grey, len(_ROWS_OF)), turned_spectra(outer[0])])
    found = _codes(spectra[:, _VERTICAL, _HORIZONTAL])
    lab = rgb_to_lab_code(np.asarray(inner.resize((COLOR_SIDE, COLOR_SIDE), Image.Resampling.BOX)))[1]
    colors = (lab.astype(np.int16) - 128).astype(np.int8)
    share = [(65535 * left) // width, (65535 * top) // height, (65535 * right) // width, (65535 * bottom) // height]
    return Description(found[:CODES], found[CODES:], grey, colors, np.array(share, dtype=np.uint16))


def packed(description: Description) -> dict[str, bytes]:
    """The bytes of `colorize.data.description.FIELDS`; numbers begin with their lowest byte."""
    codes, turned_codes, grey, colors, box = description
    arrays = (codes.astype("<u8"), turned_codes.astype("<u8"), grey, colors, box.astype("<u2"))
    return {name: array.tobytes() for name, array in zip(FIELDS, arrays, strict=True)}


def turned(picture: NDArray[_Level], turn: int) -> NDArray[_Level]:
    """A square picture after a turn of 0..7; see `colorize.data.description.TURNS`."""
    if turn & 4:
        picture = np.swapaxes(picture, 0, 1)
    if turn & 2:
        picture = picture[::-1]
    return picture[:, ::-1] if turn & 1 else picture


def trimmed_box(rgb: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """The part of a picture inside its borders of one colour: left, top, right and bottom in pixels.

    A border is of one colour, that of its outermost line, and ends at an edge: a clear sky fades and is none. Inside
    may be another border, of another colour. Each takes a third of the side at most.

    Args:
        rgb: uint8, height x width x 3.
    """
    height, width = rgb.shape[:2]
    left, top, right, bottom = 0, 0, width, height
    for _ in range(_BORDERS):
        found = _borders(rgb[top:bottom, left:right])
        if not any(found):
            break
        left, top, right, bottom = left + found[0], top + found[1], right - found[2], bottom - found[3]
    return left, top, right, bottom


def _borders(rgb: NDArray[np.uint8]) -> list[int]:
    """Width of the border on the left, at the top, on the right and at the bottom."""
    across = rgb.swapaxes(0, 1)
    sides = [_plain(lines) for lines in (across, rgb, across[::-1], rgb[::-1])]
    found = [width if ended else 0 for _, width, ended in sides]
    for k, (color, width, ended) in enumerate(sides):
        # Where a white sky meets a white border is no edge to see, but the other sides tell how wide the border is.
        alike = [n for n in (k + 2, k + 1, k + 3) if sides[n % 4][2] and _are_alike(color, sides[n % 4][0])]
        if width and not ended and alike and width >= sides[alike[0] % 4][1] - _BLURRED:
            found[k] = sides[alike[0] % 4][1]
    # A wide one on one side alone is a burnt-out sky or a black shadow that ends somewhere.
    sizes = (rgb.shape[1], rgb.shape[0])
    return [
        width if width * _ALONE <= sizes[k % 2] or 2 * found[(k + 2) % 4] >= width else 0
        for k, width in enumerate(found)
    ]


def _are_alike(one: NDArray[np.int16], other: NDArray[np.int16]) -> bool:
    return int(np.abs(one - other).max()) <= _TOLERANCE


def _plain(lines: NDArray[np.uint8]) -> tuple[NDArray[np.int16], int, bool]:
    """The colour of the first line, how many of the first lines are of this colour, and if they end at an edge."""
    lines = lines[:, :: max(1, lines.shape[1] // _SAMPLES)]
    color = np.sort(lines[0], axis=0)[lines.shape[1] // 2].astype(np.int16)
    limit = len(lines) // _LARGEST_BORDER
    number, step, ended = 0, 1, False
    while number < limit and not ended:  # most photos have none: one line is looked at, then ever more at a time
        others = _others(lines[number : min(number + step, limit)], color, _TOLERANCE) * _STRAYS > lines.shape[1]
        ended = bool(others.any())
        number += int(np.argmax(others)) if ended else len(others)
        step = min(2 * step, 32)
    if number == 0 or not ended:
        return color, number, False
    # Between border and picture are lines of both, which JPEG has blurred: they belong to neither.
    edge = _others(lines[number : number + _BLURRED + 1], color, _CLEAR) * _EDGE > lines.shape[1]
    return color, number + int(np.argmax(edge)), bool(edge.any())


def _others(lines: NDArray[np.uint8], color: NDArray[np.int16], tolerance: int) -> NDArray[np.int64]:
    """How many pixels of each line have another colour."""
    others: NDArray[np.int64] = (np.abs(lines - color) > tolerance).any(axis=2).sum(axis=1)
    return others


def _squeezed(image: Image.Image) -> Image.Image:
    return image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=1.5)


def _spectra(grey: NDArray[np.uint8], number: int) -> NDArray[np.float64]:
    """Cosine transforms of the first of a thumbnail and its windows: whole numbers, number x 11 x 11."""
    middle = int(grey.sum(dtype=np.int64)) // grey.size  # without it, a plain picture has no structure at all
    rows = (_BASES @ (grey.astype(np.float64) - middle)).reshape(len(_PARTS), _HIGHEST, SIDE)
    columns = _BASES.reshape(len(_PARTS), _HIGHEST, SIDE).transpose(0, 2, 1)
    found: NDArray[np.float64] = rows[_ROWS_OF[:number]] @ columns[_COLUMNS_OF[:number]]
    return found


def turned_spectra(spectrum: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosine transforms of the picture after turns 1..7: mirroring turns the sign of the odd frequencies."""
    odd = np.where(np.arange(_HIGHEST) % 2, -1.0, 1.0)
    found = []
    for turn in range(1, TURNS):
        one = spectrum.T if turn & 4 else spectrum
        one = one * odd[:, None] if turn & 2 else one
        found.append(one * odd if turn & 1 else one)
    return np.stack(found)


def _codes(coefficients: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Codes of N x 64 coefficients: which are above the median. A picture of one single grey has code 0."""
    ordered = np.sort(coefficients, axis=1)
    above = 2 * coefficients > (ordered[:, 31] + ordered[:, 32])[:, None]
    packed = np.ascontiguousarray(np.packbits(above, axis=1, bitorder="little"))
    return packed.view("<u8")[:, 0].astype(np.uint64)
