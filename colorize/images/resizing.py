"""Bicubic resizing in integers: Pillow's filter, many times as fast, the same bits on every machine.

The filter is the cubic convolution of R. Keys (1981) with a = -1/2, widened by the factor of reduction as in Pillow;
down first, then across, rounded to 8 bits after each. (Pillow goes across first.)

Weights are rounded from the exact fractions to 2^-15. Where no more than six pixels are made one, all is done in
sixteen bits, of which vectors hold the most: the product of a weight and a level's distance from 127.5 is rounded down
to 1/128 of a level, and a half of that is added for each. So a pass rounds 0.5 % of the values to the neighbour of the
level that exact weights give. Where more pixels are made one, products are exact: it is 0.1 % at 1/3 of the size,
0.8 % at 1/50.
"""

# ruff: noqa: PLR0917 - compiled loops take their arrays one by one

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colorize.compiled import compiled

_WEIGHT_BITS = 15
_VECTOR = 32  # rows are filled up to so many values, so that no loop is left with single ones
_LARGEST_EXACT = 2**62


def resize(pictures: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize squares to squares.

    Args:
        pictures: uint8, N x side x side x channels.
        size: pixels, side of the result.

    Returns:
        uint8, (N · channels) x size x size: the channels of the first picture, of the second, ...; contiguous where
        `size` is a multiple of 8.
    """
    count, side, _, channels = pictures.shape
    planes, words = count * channels, _filled(size, 8) // 8
    # numba tells apart what is read-only and what is not.
    if pictures.strides[2:] != (channels, 1) or not pictures.flags.writeable:
        pictures = pictures.copy()
    # Both passes run down the columns, where neighbours lie side by side: resize, transpose, resize, transpose. A row
    # holds all planes one behind the other, so that there is much to do in each.
    wide = _filled(planes * words, _VECTOR // 8)
    places = _places((count, channels * words), (side, wide), (channels, words))
    turned = _resized_and_turned(pictures.reshape(count, side, side * channels), size, places, (side, wide))
    places = _places((planes, 8 * words * words), (8 * words, words))
    back = _resized_and_turned(turned[None], size, places, (planes * 8 * words, words))
    return back.reshape(planes, 8 * words, 8 * words)[:, :size, :size]


def _resized_and_turned(
    pictures: NDArray[np.uint8], size: int, places: NDArray[np.uint64], shape: tuple[int, int]
) -> NDArray[np.uint8]:
    """Resize down and transpose.

    Args:
        pictures: uint8, N x H x W.
        size: pixels, height of the result.
        places: for each column of each picture, the word of the result at which it begins.
        shape: rows of the result, and words of eight bytes in each.

    Returns:
        uint8, rows x bytes: `size` bytes for each column; what lies between has no meaning.
    """
    turned = np.empty(shape, np.uint64)
    _resize_and_turn(pictures, *_weights(pictures.shape[1], size), places, turned.reshape(-1))
    return turned.view(np.uint8)


def _filled(length: int, unit: int) -> int:
    return -(-length // unit) * unit


# Photos come in few sizes.
@lru_cache(maxsize=256)
def _places(*axes: tuple[int, int]) -> NDArray[np.uint64]:
    """Where each column of a row goes to.

    Args:
        axes: what a row is made of, the slowest first: how many there are, and how far apart they lie in the result.
    """
    places = np.zeros(1, np.uint64)
    for number, distance in axes:
        places = np.add.outer(places, np.arange(number, dtype=np.uint64) * np.uint64(distance)).reshape(-1)
    return places


@lru_cache(maxsize=256)
def _weights(side: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
    """For each pixel of the result, the first of the pixels it is made of, and their weights, times -2^15.

    int16 holds 1 with this sign only. Pixels before the first and behind the last stand for these two: beside an edge a
    weight may be larger than 1, and what is too much is put there. There are 4, 6 or a multiple of 4 weights.
    """
    unit = 2 * max(side, size)  # distances are counted in such parts of the filter's unit
    taps = 2 * unit // size + 2
    exact = taps * unit**3 << (_WEIGHT_BITS + 2) < _LARGEST_EXACT
    pixel = np.arange(size).astype(np.int64 if exact else object)[:, None]
    source = ((2 * pixel + 1) * side - 2 * unit) // (2 * size) + np.arange(taps)
    distance = abs((2 * source + 1) * size - (2 * pixel + 1) * side)
    square, cube = distance * distance, distance * distance * distance
    inner = 3 * cube - 5 * square * unit + 2 * unit**3
    outer = 5 * square * unit - cube - 8 * distance * unit**2 + 4 * unit**3
    inside = (source >= 0) & (source < side)
    shares = np.where(distance < unit, inner, np.where(distance < 2 * unit, outer, 0)) * inside
    total = shares.sum(axis=1)[:, None]
    weights = ((shares << (_WEIGHT_BITS + 1)) + total) // (2 * total)
    rows = np.arange(size)
    weights[rows, weights.argmax(axis=1)] += 2**_WEIGHT_BITS - weights.sum(axis=1)
    # Only the first and the last pixel have too much; there is always a column beside them.
    beyond = np.maximum(weights - 2**_WEIGHT_BITS, 0)
    weights -= beyond
    weights[:, :-1] += np.where(source == 0, beyond, 0)[:, 1:]
    weights[:, 1:] += np.where(source == 0, 0, beyond)[:, :-1]
    # Only the columns that hold something: as many for each row, from its first, 4, 6 or a multiple of 4. The first
    # never goes back: rows that were left behind are not kept.
    holds = weights != 0
    firsts = source[rows, holds.argmax(axis=1)].astype(np.int64)
    firsts = np.minimum.accumulate(firsts[::-1])[::-1]
    lasts = source[rows, taps - 1 - holds[:, ::-1].argmax(axis=1)].astype(np.int64)
    needed = int((lasts - firsts).max()) + 1
    kept = next((few for few in (4, 6) if needed <= few), _filled(needed, 4))
    columns = (firsts - source[:, 0].astype(np.int64))[:, None] + np.arange(kept)
    chosen = np.take_along_axis(weights, np.clip(columns, 0, taps - 1), axis=1) * ((columns >= 0) & (columns < taps))
    return np.ascontiguousarray(firsts), np.ascontiguousarray((-chosen).astype(np.int16))


# The steps are functions of their own: of loops over few arrays the compiler makes vectors. They are given whole arrays
# and the numbers of rows: every row cut out by the caller would be counted as a user of its array, and off again, which
# takes longer than some of the loops.


@compiled("void(uint8[:,:,:], int64, int64, int16[:,::1], int64)")
def _widen(pictures: Any, picture: Any, y: Any, window: Any, at: Any) -> None:
    """A level v as 127.5 - v, 8 bits of fraction, the last of them set.

    An odd number's products have all fractions alike, and half a unit makes up for floors taken of whole numbers only.
    """
    small = np.int16
    row = pictures[picture, y]
    widened = window[at, picture * row.size :]
    for x in range(row.size):
        widened[x] = small(small(255 * 128 + 1) - small(row[x]) * small(256))


@compiled()
def _plus(total: Any, value: Any, weight: Any) -> Any:
    """With a product, rounded down to 7 bits of fraction: for the upper half of one there is a vector instruction."""
    return np.int16(total + np.int16(np.int32(np.int32(value) * np.int32(weight)) >> np.int32(16)))


@compiled()
def _level(total: Any) -> Any:
    """The level of a sum, which is less by 127.5 and has 7 bits of fraction; the half rounds."""
    return np.uint8(np.int16(min(max(np.int16(total >> np.int16(7)), np.int16(-128)), np.int16(127)) + np.int16(128)))


@compiled("void(int16[:,::1], UniTuple(int64, 4), int16[:,::1], int64, uint8[:,::1])")
def _of_four(window: Any, at: Any, weights: Any, y: Any, resized: Any) -> None:
    a, b, c, d = window[at[0]], window[at[1]], window[at[2]], window[at[3]]
    of_a, of_b, of_c, of_d = weights[y, 0], weights[y, 1], weights[y, 2], weights[y, 3]
    result = resized[y & 7]
    half = np.int16(2)  # of each product
    for x in range(result.size):
        result[x] = _level(_plus(_plus(_plus(_plus(half, a[x], of_a), b[x], of_b), c[x], of_c), d[x], of_d))


@compiled("void(int16[:,::1], UniTuple(int64, 4), UniTuple(int64, 2), int16[:,::1], int64, uint8[:,::1])")
def _of_six(window: Any, at: Any, and_at: Any, weights: Any, y: Any, resized: Any) -> None:
    a, b, c, d = window[at[0]], window[at[1]], window[at[2]], window[at[3]]
    e, f = window[and_at[0]], window[and_at[1]]
    of_a, of_b, of_c, of_d = weights[y, 0], weights[y, 1], weights[y, 2], weights[y, 3]
    of_e, of_f = weights[y, 4], weights[y, 5]
    result = resized[y & 7]
    half = np.int16(3)
    for x in range(result.size):
        total = _plus(_plus(_plus(half, a[x], of_a), b[x], of_b), c[x], of_c)
        result[x] = _level(_plus(_plus(_plus(total, d[x], of_d), e[x], of_e), f[x], of_f))


@compiled("void(int16[:,::1], UniTuple(int64, 4), int16[:,::1], int64, int64, int32[::1])")
def _add_four(window: Any, at: Any, weights: Any, y: Any, tap: Any, total: Any) -> None:
    long = np.int32
    a, b, c, d = window[at[0]], window[at[1]], window[at[2]], window[at[3]]
    of_a, of_b = long(weights[y, tap]), long(weights[y, tap + 1])
    of_c, of_d = long(weights[y, tap + 2]), long(weights[y, tap + 3])
    for x in range(total.size):
        ab = long(long(long(a[x]) * of_a) + long(long(b[x]) * of_b))
        cd = long(long(long(c[x]) * of_c) + long(long(d[x]) * of_d))
        total[x] = long(total[x] + long(ab + cd))


@compiled("void(int32[::1], int64, uint8[:,::1])")
def _round(total: Any, y: Any, resized: Any) -> None:
    long = np.int32
    result = resized[y & 7]
    for x in range(total.size):
        result[x] = np.uint8(long(min(max(total[x] >> long(23), long(-128)), long(127)) + long(128)))


@compiled("void(uint8[:,::1], uint8[:,::1], int64)")
def _zip(rows: Any, words: Any, eight: Any) -> None:
    a, b, c, d, e, f, g, h = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6], rows[7]
    zipped = words[eight]
    for x in range(rows.shape[1]):
        zipped[8 * x] = a[x]
        zipped[8 * x + 1] = b[x]
        zipped[8 * x + 2] = c[x]
        zipped[8 * x + 3] = d[x]
        zipped[8 * x + 4] = e[x]
        zipped[8 * x + 5] = f[x]
        zipped[8 * x + 6] = g[x]
        zipped[8 * x + 7] = h[x]


@compiled("void(uint64[:,::1], int64, uint64[::1], uint64[::1], uint64)")
def _spread(words: Any, eights: Any, places: Any, turned: Any, begin: Any) -> None:
    if eights == 8:  # half the time, as the compiler knows how many
        for x in range(places.size):
            for eight in range(8):
                turned[places[x] + begin + np.uint64(eight)] = words[eight, x]
    else:
        for x in range(places.size):
            for eight in range(eights):
                turned[places[x] + begin + np.uint64(eight)] = words[eight, x]


@compiled()
def _four_rows(y: Any, last: Any, mask: Any) -> Any:
    return (
        min(max(y, 0), last) & mask,
        min(max(y + 1, 0), last) & mask,
        min(max(y + 2, 0), last) & mask,
        min(max(y + 3, 0), last) & mask,
    )


@compiled("void(uint8[:,:,:], int64[::1], int16[:,::1], uint64[::1], uint64[::1])")
def _resize_and_turn(pictures: Any, first: Any, weights: Any, places: Any, turned: Any) -> None:
    """Resize pictures that are N x H x W to N x size x W and transpose what results.

    Args:
        pictures: N x H x W.
        first, weights: those of `_weights`.
        places: for each column of each picture, the word of `turned` at which it begins.
        turned: eight y to a word; what is behind the last y has no meaning.
    """
    count, height, width = pictures.shape
    taps, last = weights.shape[1], height - 1
    filled = -(-count * width // _VECTOR) * _VECTOR
    mask = 3
    while mask < taps - 1:
        mask = 2 * mask + 1
    window = np.zeros((mask + 1, filled), np.int16)  # the row y of the pictures is its row y & mask
    total = np.empty(filled, np.int32)
    resized, words = np.zeros((8, filled), np.uint8), np.empty((8, filled), np.uint64)
    zipped = words.view(np.uint8)
    come = 0
    for y in range(first.size):
        top = first[y]
        while come < min(top + taps, height):
            for picture in range(count):
                _widen(pictures, picture, come, window, come & mask)
            come += 1
        if taps > 6:
            total[:] = 1 << _WEIGHT_BITS  # what the bit set in every level comes to
            for tap in range(0, taps, 4):
                _add_four(window, _four_rows(top + tap, last, mask), weights, y, tap, total)
            _round(total, y, resized)
        elif taps == 6:
            last_two = min(top + 4, last) & mask, min(top + 5, last) & mask
            _of_six(window, _four_rows(top, last, mask), last_two, weights, y, resized)
        else:
            _of_four(window, _four_rows(top, last, mask), weights, y, resized)
        full = y + 1 == first.size
        if y & 7 == 7 or full:
            _zip(resized, zipped, (y >> 3) & 7)
        if y & 63 == 63 or full:
            _spread(words, ((y >> 3) & 7) + 1, places, turned, np.uint64((y >> 6) * 8))
