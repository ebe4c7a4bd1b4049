"""Bicubic resizing in integers: Pillow's filter, several times as fast, the same bits on every machine.

The filter is the cubic convolution of R. Keys (1981) with a = -1/2, widened by the factor of reduction as in Pillow;
across first, then down, rounded to 8 bits after each. Pillow's weights are rounded from floating point, these from the
exact fractions.
"""

# ruff: noqa: PLR0917 - compiled loops take their arrays one by one

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colorize.compiled import compiled

_WEIGHT_BITS = 22  # 255 times the largest sum of a pixel's weights, 1.25, still fits 31 bits
_LARGEST_EXACT = 2**62


def resize(pictures: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize squares to squares.

    Args:
        pictures: uint8, N x side x side x channels.
        size: pixels, side of the result.

    Returns:
        uint8, (N · channels) x size x size: the channels of the first picture, of the second, ...; not contiguous.
    """
    count, side, _, channels = pictures.shape
    planes = count * channels
    first, weights = _weights(side, size)
    # Both passes run down the columns, where neighbours lie side by side: transpose, resize, transpose, resize. A row
    # holds all planes one behind the other, so that there is much to do in each.
    long, short = _eights(side), _eights(size)
    # What is read-only is copied: numba tells the two apart.
    flat = np.require(pictures, requirements=["C", "W"]).reshape(-1)
    turned = np.empty((side * planes, long), np.uint64)
    _transpose(flat, (count, side * side * channels), (side, side * channels), channels, turned)
    narrow = np.empty((size, planes * 8 * long), np.uint8)
    _resize_down(turned.view(np.uint8).reshape(side, -1), first, weights, narrow)
    turned = np.empty((side * planes, short), np.uint64)
    _transpose(narrow.reshape(-1), (planes, 8 * long), (size, planes * 8 * long), 1, turned)
    small = np.empty((size, planes * 8 * short), np.uint8)
    _resize_down(turned.view(np.uint8).reshape(side, -1), first, weights, small)
    return small.reshape(size, planes, 8 * short)[:, :, :size].transpose(1, 0, 2)


def _eights(length: int) -> int:
    return -(-length // 8)


# Photos come in few sizes.
@lru_cache(maxsize=256)
def _weights(side: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """For each pixel of the result, the first of the pixels it is made of, and their weights (sum 2^22), 0 behind."""
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
    # Only the columns that hold something: as many for each row, from its first, an even number and at least four.
    begins = (weights != 0).argmax(axis=1)
    needed = int((taps - (weights != 0)[:, ::-1].argmax(axis=1) - begins).max())
    columns = begins[:, None] + np.arange(max(4, needed + needed % 2))
    chosen = np.take_along_axis(weights, np.minimum(columns, taps - 1), axis=1) * (columns < taps)
    return source[rows, begins].astype(np.int64), np.ascontiguousarray(chosen.astype(np.int32))


# The steps are functions of their own: of loops over few arrays the compiler makes vectors.


@compiled(f"void({', '.join(['uint8[::1]'] * 8)}, uint64[::1])")
def _pack(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any, words: Any) -> None:
    half, word = np.uint32, np.uint64
    for x in range(words.size):
        low = half(a[x]) | half(b[x]) << half(8) | half(c[x]) << half(16) | half(d[x]) << half(24)
        high = half(e[x]) | half(f[x]) << half(8) | half(g[x]) << half(16) | half(h[x]) << half(24)
        words[x] = word(low) | word(high) << word(32)


@compiled("void(uint64[:,::1], int64, int64, uint64[:,::1], int64, int64)")
def _spread(words: Any, channels: Any, planes: Any, turned: Any, plane: Any, column: Any) -> None:
    for x in range(words.shape[1] // channels):
        for channel in range(channels):
            for eight in range(words.shape[0]):
                turned[x * planes + plane + channel, column + eight] = words[eight, x * channels + channel]


@compiled("void(uint8[::1], UniTuple(int64, 2), UniTuple(int64, 2), int64, uint64[:,::1])")
def _transpose(flat: Any, pictures: Any, rows: Any, channels: Any, turned: Any) -> None:
    """Transpose pictures together, to rows of which each has a column of one channel of one picture.

    Args:
        flat: the bytes.
        pictures: how many, and bytes from one to the next.
        rows: of a picture, and bytes from one to the next.
        channels: bytes of a pixel.
        turned: a row for each x, picture and channel, in this order; eight y to a word, filled up with the last.
    """
    planes, last = pictures[0] * channels, rows[0] - 1
    length = turned.shape[0] // pictures[0]
    words = np.empty((8, length), np.uint64)
    for picture in range(pictures[0]):
        here = flat[picture * pictures[1] :]
        for top in range(0, last + 1, 64):
            eights = min(8, (last - top) // 8 + 1)
            for eight in range(eights):
                y = top + 8 * eight
                _pack(
                    here[y * rows[1] :][:length],
                    here[min(y + 1, last) * rows[1] :][:length],
                    here[min(y + 2, last) * rows[1] :][:length],
                    here[min(y + 3, last) * rows[1] :][:length],
                    here[min(y + 4, last) * rows[1] :][:length],
                    here[min(y + 5, last) * rows[1] :][:length],
                    here[min(y + 6, last) * rows[1] :][:length],
                    here[min(y + 7, last) * rows[1] :][:length],
                    words[eight],
                )
            _spread(words[:eights], channels, planes, turned, picture * channels, top >> 3)


@compiled("void(uint8[::1], uint8[::1], uint8[::1], uint8[::1], int32[::1], int32[::1])")
def _begin(a: Any, b: Any, c: Any, d: Any, weights: Any, total: Any) -> None:
    small = np.int32  # asked for throughout: numba would go over to int64
    of_a, of_b, of_c, of_d = weights[0], weights[1], weights[2], weights[3]
    for x in range(total.size):
        total[x] = small(
            small(small(a[x] * of_a) + small(b[x] * of_b))
            + small(small(small(c[x] * of_c) + small(d[x] * of_d)) + small(1 << (_WEIGHT_BITS - 1)))
        )


@compiled("void(uint8[::1], uint8[::1], int32, int32, int32[::1])")
def _add(a: Any, b: Any, of_a: Any, of_b: Any, total: Any) -> None:
    small = np.int32
    for x in range(total.size):
        total[x] = small(total[x] + small(small(a[x] * of_a) + small(b[x] * of_b)))


@compiled("void(int32[::1], uint8[::1])")
def _finish(total: Any, result: Any) -> None:
    for x in range(total.size):
        result[x] = min(max(total[x] >> np.int32(_WEIGHT_BITS), np.int32(0)), np.int32(255))


@compiled("void(uint8[:,::1], int64[::1], int32[:,::1], uint8[:,::1])")
def _resize_down(rows: Any, first: Any, weights: Any, resized: Any) -> None:
    """Resize H x W to size x W."""
    last = rows.shape[0] - 1
    total = np.empty(rows.shape[1], np.int32)
    for y in range(first.size):
        top, of = first[y], weights[y]
        # A weight of 0 may stand where there is no row any more.
        second, third, fourth = rows[min(top + 1, last)], rows[min(top + 2, last)], rows[min(top + 3, last)]
        _begin(rows[top], second, third, fourth, of, total)
        for tap in range(4, of.size, 2):
            _add(rows[min(top + tap, last)], rows[min(top + tap + 1, last)], of[tap], of[tap + 1], total)
        _finish(total, resized[y])
