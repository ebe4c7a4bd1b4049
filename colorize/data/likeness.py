"""Whether two photos show the same picture: their small grey pictures are laid over each other and compared.

Sums are of whole numbers, and the rest is done in a fixed order: every machine finds the same.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="assignment"

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from colorize.compiled import compiled
from colorize.data.agreement import agreement as agreement_of
from colorize.data.agreement import color_agreement
from colorize.data.description import COLOR_SIDE, FIELDS, SIDE
from colorize.data.hashing import turned
from colorize.data.overlay import LEVEL, ONE, align, place

OTHER: Final = 0
RELATED: Final = 1
COPY: Final = 2

# The worst hundredth of the copies that are promised differs by 0.11, photos taken a moment apart by 0.13 and more.
_COPY_DIFFERENCE, _RELATED_DIFFERENCE = 0.12, 0.3
_FINE_DIFFERENCE, _FINE_AGREEMENT, _FINE_SHAPE = 0.16, 0.97, 0.99  # of copies of pictures all of whose detail is fine
_COPY_AGREEMENT, _RELATED_AGREEMENT = 0.5, 0.45  # correlation of structure; an opaque mark on a clear sky leaves 0.54
_RELATED_SHAPE = 0.6  # correlation of the whole
_COPY_COLORS = 0.15  # brightness or contrast of 130 % leave up to 0.14, sepia tones of a brown picture 0.154
_UNSURE = 0.1  # structure that differs so much may have been laid over wrongly
_STRETCH = 1.25  # at most, from where the laying over begins
_SKEW = 1.125  # at most, of one axis more than of the other
_SLANT = 0.08  # at most: 2 degrees slant a picture of 3:2 by 0.05
_SAME_BOX = 300  # of 65535: boxes that differ less are the same
_CLEAR = 0.02  # structure that differs by less cannot be laid over better
_COLORED = 1.5  # CIELAB units: of less, re-encoding may leave nothing
_KEPT_COLOR = 0.5  # of the chroma: contrast of 70 % leaves 0.68, sepia toning of a red sunset 0.47


class Features(NamedTuple):
    """What is kept of N photos, a row each; see `colorize.data.hashing.Description`.

    Attributes:
        codes: uint64, N x 17.
        turned: uint64, N x 7: turn k + 1 in column k.
        thumbnails: uint8, N x 48 x 48, perhaps on disk.
        colors: int8, N x 8 x 8 x 2, perhaps on disk.
        boxes: uint16, N x 4.
    """

    codes: NDArray[np.uint64]
    turned: NDArray[np.uint64]
    thumbnails: NDArray[np.uint8]
    colors: NDArray[np.int8]
    boxes: NDArray[np.uint16]


def features_of(batches: Iterable[pa.RecordBatch], places: NDArray[np.int64], scratch: Path) -> Features:
    """The features of N rows of manifests: codes in memory, what is only looked at when codes are near in a file.

    Args:
        batches: have the columns `colorize.data.description.FIELDS`.
        places: int64: for each row the photo's place among the features, 0..N-1, each once; or -1 to leave it out.
        scratch: folder for the file, 2.5 KB a photo; it has no name and is gone with the features.

    Raises:
        ValueError: a photo that has a place was refused, so that it has no features.
        OSError: the folder cannot be written to, or the disk is full.
    """
    number = int(places.max(initial=-1)) + 1
    shape = (max(number, 1), FIELDS["thumbnail"] + FIELDS["colors"])  # a file of no bytes cannot be mapped
    with tempfile.TemporaryFile(dir=scratch) as file:
        # Asked for now: a disk that turns out to be full when a mapped page is written would kill the process.
        os.posix_fallocate(file.fileno(), 0, math.prod(shape))
        seldom = np.memmap(file, np.uint8, "r+", shape=shape)[:number]
    found = {
        "codes": np.empty((number, FIELDS["codes"]), np.uint8),
        "turned_codes": np.empty((number, FIELDS["turned_codes"]), np.uint8),
        "thumbnail": seldom[:, : FIELDS["thumbnail"]],
        "colors": seldom[:, FIELDS["thumbnail"] :],
        "box": np.empty((number, FIELDS["box"]), np.uint8),
    }
    begin = 0
    for batch in batches:
        to = places[begin : begin + len(batch)]
        begin += len(batch)
        for name, values in found.items():
            values[to[to >= 0]] = _bytes_of(batch.column(name).filter(pa.array(to >= 0)), name)
    return Features(
        found["codes"].view("<u8"),
        found["turned_codes"].view("<u8"),
        found["thumbnail"].reshape(-1, SIDE, SIDE),
        found["colors"].view(np.int8).reshape(-1, COLOR_SIDE, COLOR_SIDE, 2),
        found["box"].view("<u2"),
    )


def _bytes_of(column: pa.Array, name: str) -> NDArray[np.uint8]:
    """uint8, N x bytes of the field."""
    if column.null_count:
        raise ValueError(f"{column.null_count} of {len(column)} photos have no {name}: leave out refused ones")
    begin, length = column.offset * FIELDS[name], len(column) * FIELDS[name]
    values = np.frombuffer(column.buffers()[1] or b"", np.uint8)
    return values[begin : begin + length].reshape(-1, FIELDS[name])


def compare(features: Features, i: int, j: int, turn: int) -> int:
    """Compare two photos.

    Args:
        features: of all photos.
        i: one of them.
        j: another.
        turn: 0..7, done to the second one before it is compared; see `colorize.data.description.TURNS`.

    Returns:
        `COPY`: the same picture, of which one is enough. `RELATED`: the same picture turned or coloured otherwise, or
        perhaps the same: both stay, in one split. `OTHER`. Exchanging the photos changes nothing, if the turn is
        exchanged for the one that undoes it.
    """
    return judged(measured(features, i, j, turn), turn)


class Measured(NamedTuple):
    """How two photos agree when one is laid over the other in the best way found.

    Attributes:
        difference: of structure: 0 none, 1 unrelated.
        agreement: correlation of structure, cell by cell.
        shape: correlation of the whole.
        something_else: something else is to be seen in one place.
        color: difference of the colours but for their strength: 0 none, 1 or more altogether.
        strengths: root mean square of the chroma of each, in CIELAB units.
    """

    difference: float
    agreement: float
    shape: float
    something_else: bool
    color: float
    strengths: tuple[float, float]


def judged(found: Measured, turn: int) -> int:
    """What it means for two photos to agree so; see `compare`."""
    if found.difference > _RELATED_DIFFERENCE or found.agreement < _RELATED_AGREEMENT or found.shape < _RELATED_SHAPE:
        return OTHER
    is_fine = found.agreement >= _FINE_AGREEMENT and found.shape >= _FINE_SHAPE
    is_certain = found.difference <= (_FINE_DIFFERENCE if is_fine else _COPY_DIFFERENCE)
    is_certain = is_certain and found.agreement >= _COPY_AGREEMENT
    is_recolored = found.color > _COPY_COLORS or _has_lost_colors(found.strengths)
    return RELATED if turn or not is_certain or found.something_else or is_recolored else COPY


def _has_lost_colors(strengths: tuple[float, float]) -> bool:
    """Whether one of two photos has colours, and the other so much less of them that somebody took them out."""
    weaker, stronger = sorted(strengths)
    return stronger >= _COLORED and weaker < _KEPT_COLOR * stronger


def measured(features: Features, i: int, j: int, turn: int) -> Measured:
    """Lay two photos over each other, the second one turned; see `compare`."""
    if features.thumbnails[j].tobytes() < features.thumbnails[i].tobytes():  # an order of their own, not of their names
        i, j = j, i
        turn = {5: 6, 6: 5}.get(turn, turn)  # the only turns that another one undoes
    whole = np.array([[0, ONE, 0], [0, 0, ONE]], np.int64)
    a, b = features.boxes[i].astype(np.int64), features.boxes[j].astype(np.int64)
    placings = [whole]
    if turn == 0 and np.abs(a - b).max() > _SAME_BOX:
        placings.append(_full_placing(a, b))
    difference, agreement, shape, something_else, color, *strengths = _measured(
        np.array(features.thumbnails[i], np.int32),
        np.array(turned(features.thumbnails[j], turn), np.int32, order="C"),
        np.array(features.colors[i].transpose(2, 0, 1), np.int32, order="C") * LEVEL,
        np.array([turned(features.colors[j, :, :, k], turn) for k in range(2)], np.int32, order="C") * LEVEL,
        np.stack(placings),
    )
    return Measured(difference, agreement, shape, something_else, color, (strengths[0], strengths[1]))


def _full_placing(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where two pictures lie if the full ones are the same, whatever was taken for a border."""
    placing = np.zeros((2, 3), np.int64)
    for axis in range(2):
        length = a[2 + axis] - a[axis]
        placing[axis, 0] = (b[axis] + b[2 + axis] - a[axis] - a[2 + axis]) * ONE // length
        placing[axis, 1 + axis] = (b[2 + axis] - b[axis]) * ONE // length
    return placing


@compiled()
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


@compiled()
def _is_bent(placing, start):
    """Whether one picture would have to be stretched more than copies are."""
    across, along = placing[0, 1] / start[0, 1], placing[1, 2] / start[1, 2]
    if not _STRETCH > across > 1 / _STRETCH or not _STRETCH > along > 1 / _STRETCH:
        return True
    if not _SKEW > across / along > 1 / _SKEW:
        return True
    return abs(placing[0, 2]) > _SLANT * ONE or abs(placing[1, 1]) > _SLANT * ONE


@compiled(
    "Tuple((float64, float64, float64, boolean, float64, float64, float64))"
    "(int32[:, ::1], int32[:, ::1], int32[:, :, ::1], int32[:, :, ::1], int64[:, :, ::1])"
)
def _measured(first, second, colors, other_colors, placings):
    """Lay one picture over another, beginning with each of the placings, and measure how they agree at best."""
    placing = placings[0]
    found = _overlaid(first, second, placing)
    if len(placings) > 1 and found[0] > _CLEAR:
        # A plain edge is taken for a border now and then, in one copy and not in the other.
        other = _overlaid(first, second, placings[1])
        if other[0] < found[0]:
            found, placing = other, placings[1]
    difference, agreement, shape, something_else = found
    colored = (1.0, 0.0, 0.0)
    if difference <= _RELATED_DIFFERENCE:
        laid = np.zeros((2, COLOR_SIDE, COLOR_SIDE), np.int32)
        part = place(colors[0], placing, laid[0])
        place(colors[1], placing, laid[1])
        colored = color_agreement(laid, other_colors, part)
    color, strength, other_strength = colored
    return difference, agreement, shape, something_else, color, strength, other_strength
