"""Whether two photos show the same picture: their small grey pictures are laid over each other and compared.

Sums are of whole numbers, and the rest is done in a fixed order: every machine finds the same.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="assignment"

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from colorize.data.agreement import agreement as agreement_of
from colorize.data.agreement import color_difference
from colorize.data.hashing import CODES, COLOR_SIDE, FIELDS, SIDE, TURNS
from colorize.data.overlay import LEVEL, ONE, align, place, turned

OTHER: Final = 0
RELATED: Final = 1
COPY: Final = 2

# The worst hundredth of the copies that are promised differs by 0.11, photos taken a moment apart by 0.13 and more.
_COPY_DIFFERENCE, _RELATED_DIFFERENCE = 0.12, 0.3
_COPY_AGREEMENT, _RELATED_AGREEMENT = 0.6, 0.45  # correlation of structure; words across a picture leave 0.7
_RELATED_SHAPE = 0.6  # correlation of the whole
_COPY_COLORS = 0.3  # of re-encoding at quality 20: 0.2
_UNSURE = 0.1  # structure that differs so much may have been laid over wrongly
_STRETCH = 1.25  # at most, from where the laying over begins
_SKEW = 1.125  # at most, of one axis more than of the other
_SLANT = 0.08  # at most: 2 degrees slant a picture of 3:2 by 0.05
_SAME_BOX = 300  # of 65535: boxes that differ less are the same
_GREY = 4  # CIELAB units: a picture none of whose cells has more of a or b has no colours


class Features(NamedTuple):
    """What is kept of N photos, a row each; see `colorize.data.hashing.Description`.

    Attributes:
        codes: uint64, N x 17.
        turned: uint64, N x 7: turn k + 1 in column k.
        thumbnails: uint8, N x 48 x 48.
        colors: int8, N x 8 x 8 x 2.
        boxes: uint16, N x 4.
        colorless: bool, N: grey all over.
    """

    codes: NDArray[np.uint64]
    turned: NDArray[np.uint64]
    thumbnails: NDArray[np.uint8]
    colors: NDArray[np.int8]
    boxes: NDArray[np.uint16]
    colorless: NDArray[np.bool_]


def features_of(table: pa.Table) -> Features:
    """The features of the rows of a manifest, in their order.

    Args:
        table: has the columns `colorize.data.hashing.FIELDS`, without nulls.

    Raises:
        ValueError: a photo has none, since it was refused.
    """
    found = []
    for name, length in FIELDS.items():
        column = table[name].combine_chunks()
        if column.null_count:
            raise ValueError(f"{column.null_count} of {len(column)} photos have no {name}: leave out refused ones")
        array = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
        size = array.type.byte_width * len(array)
        start = array.type.byte_width * array.offset
        found.append(np.frombuffer(array.buffers()[1] or b"", np.uint8)[start : start + size].reshape(-1, length))
    codes, turned, thumbnails, colors, boxes = found
    cells = colors.view(np.int8).reshape(-1, COLOR_SIDE, COLOR_SIDE, 2)
    return Features(
        np.ascontiguousarray(codes).view("<u8").reshape(-1, CODES),
        np.ascontiguousarray(turned).view("<u8").reshape(-1, TURNS - 1),
        thumbnails.reshape(-1, SIDE, SIDE),
        cells,
        np.ascontiguousarray(boxes).view("<u2").reshape(-1, 4),
        np.maximum(cells.max(axis=(1, 2, 3), initial=0), -1 - cells.min(axis=(1, 2, 3), initial=0)) <= _GREY,
    )


@numba.njit
def _goes_first(features, i, j):
    """An order of two photos that does not depend on which is named first."""
    for k in range(CODES):
        if features.codes[i, k] != features.codes[j, k]:
            return features.codes[i, k] < features.codes[j, k]
    for y in range(SIDE):
        for x in range(SIDE):
            if features.thumbnails[i, y, x] != features.thumbnails[j, y, x]:
                return features.thumbnails[i, y, x] < features.thumbnails[j, y, x]
    return True


def _kept(digest: int) -> Callable[[Features, int, int, int], int]:
    @numba.njit(cache=True)
    def compare(features, i, j, turn):
        """Compare two photos.

        Args:
            features: of all photos.
            i: one of them.
            j: another.
            turn: 0..7, done to the second one before it is compared; see `colorize.data.hashing.TURNS`.

        Returns:
            `COPY`: the same picture, of which one is enough. `RELATED`: the same picture turned or coloured otherwise,
            or perhaps the same: both stay, in one split. `OTHER`. Exchanging the photos changes nothing, if the turn is
            exchanged for the one that undoes it.
        """
        return _judged(measured(features, i, j, turn), turn) if digest >= 0 else OTHER

    found: Callable[[Features, int, int, int], int] = compare
    return found


@numba.njit
def _judged(found, turn):
    difference, agreement, shape, color, something_else = found
    if difference > _RELATED_DIFFERENCE or agreement < _RELATED_AGREEMENT or shape < _RELATED_SHAPE:
        return OTHER
    if turn or difference > _COPY_DIFFERENCE or agreement < _COPY_AGREEMENT or color > _COPY_COLORS or something_else:
        return RELATED
    return COPY


@numba.njit
def measured(features, i, j, turn):
    """How two photos agree when one is laid over the other in the best way found; `compare` judges it.

    Returns:
        The difference of structure, its correlation, and that of the whole (see `agreement`); the difference of colours
        (see `color_difference`); whether something else is to be seen in one place.
    """
    if not _goes_first(features, i, j):
        i, j = j, i
        if turn in (5, 6):  # the only turns that another one undoes
            turn = 11 - turn
    first = turned(features.thumbnails[i], 0)
    second = turned(features.thumbnails[j], turn)
    placing = np.array([[0, ONE, 0], [0, 0, ONE]])
    found = _overlaid(first, second, placing)
    a, b = features.boxes[i].astype(np.int64), features.boxes[j].astype(np.int64)
    if turn == 0 and found[0] > 0.02 and np.abs(a - b).max() > _SAME_BOX:
        # A plain edge is taken for a border now and then, in one copy and not in the other.
        full = np.zeros((2, 3), np.int64)
        for axis in range(2):
            length = a[2 + axis] - a[axis]
            full[axis, 0] = (b[axis] + b[2 + axis] - a[axis] - a[2 + axis]) * ONE // length
            full[axis, 1 + axis] = (b[2 + axis] - b[axis]) * ONE // length
        other = _overlaid(first, second, full)
        if other[0] < found[0]:
            found, placing = other, full
    difference, agreement, shape, something_else = found
    color = 1.0
    if difference <= _RELATED_DIFFERENCE:
        laid, others = np.zeros((2, COLOR_SIDE, COLOR_SIDE), np.int32), np.zeros((2, COLOR_SIDE, COLOR_SIDE), np.int32)
        part = (0, 0, 0, 0)
        for channel in range(2):
            part = place(turned(features.colors[i, :, :, channel], 0) * LEVEL, placing, laid[channel])
            others[channel] = turned(features.colors[j, :, :, channel], turn) * LEVEL
        color = color_difference(laid, others, part)
    return difference, agreement, shape, color, something_else


@numba.njit
def _overlaid(first, second, placing):
    """Lay `first` over `second`, beginning with `placing`, which is improved, and measure how they agree."""
    start = placing.copy()
    aligned, unmoved_alike = align(first, second, placing)
    found = (1.0, 0.0, 0.0, False)
    laid = np.zeros((SIDE, SIDE), np.int32)
    if aligned and not _is_bent(placing, start):
        part = place(first * LEVEL, placing, laid)
        if part[1]:
            found = agreement_of(laid, second * LEVEL, part)
    if found[0] > _UNSURE and unmoved_alike:
        part = place(first * LEVEL, start, laid)
        unmoved = agreement_of(laid, second * LEVEL, part)
        if unmoved[0] < found[0]:
            placing[:] = start
            return unmoved
    return found


@numba.njit
def _is_bent(placing, start):
    """Whether one picture would have to be stretched more than copies are."""
    across, along = placing[0, 1] / start[0, 1], placing[1, 2] / start[1, 2]
    if not _STRETCH > across > 1 / _STRETCH or not _STRETCH > along > 1 / _STRETCH:
        return True
    if not _SKEW > across / along > 1 / _SKEW:
        return True
    return abs(placing[0, 2]) > _SLANT * ONE or abs(placing[1, 1]) > _SLANT * ONE


# numba keeps machine code by a function's own file and by what it encloses: here, what is in the files that it calls.
# The functions between are compiled with it, and not kept.
_CODE = b"".join((Path(__file__).parent / name).read_bytes() for name in ("agreement.py", "hashing.py", "overlay.py"))
compare = _kept(zlib.crc32(_CODE))
