"""The code of `colorize.color` for many pixels: the same tables and the same bits, several times as fast.

In a module of its own because it brings numba into the process (0.4 s, and some 150 MB of address space).
"""

# ruff: noqa: PLR0917 - compiled loops take their arrays one by one

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colorize.color import tables
from colorize.compiled import compiled

_BLOCK = 256  # pixels at a time: the intermediate values stay in the first-level cache


def code_planes(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """CIELAB codes of sRGB pixels, plane by plane.

    Args:
        planes: uint8, shape (3, ...): all of R, all of G, all of B; with any strides.

    Returns:
        uint8 of the same shape, C-contiguous: all of l, all of a, all of b.
    """
    codes = np.empty(planes.shape, np.uint8)
    # What is read-only is copied: numba tells the two apart.
    _code(np.require(planes.reshape(3, -1), requirements="W"), *_flat_tables(), codes.reshape(3, -1))
    return codes


@lru_cache(maxsize=1)
def _flat_tables() -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64], np.uint64, np.uint64]:
    """The tables as the kernel wants them: start and rise of a cell in one word, no number below 0."""
    table = tables()
    cells = table.start.astype(np.uint64) << np.uint64(32) | table.rise.astype(np.uint64)
    return (
        table.light.astype(np.uint64),
        table.matrix.astype(np.uint64),
        cells,
        np.uint64(table.lightness_slope),
        np.uint64(-table.lightness_start),
    )


# Every step is a function of its own: of one with fewer arrays the compiler makes vectors, look-ups aside. They are
# given whole arrays and where to begin: every part cut out by the caller would be counted as a user of its array, and
# off again, which takes as long as some of the loops.


@compiled("void(uint8[:,:], int64, int64, uint64[::1], uint64[:,::1])")
def _linear_light(planes: Any, begin: Any, count: Any, light: Any, linear: Any) -> None:
    for channel in range(3):
        levels, result = planes[channel, begin:], linear[channel]
        for i in range(count):
            result[i] = light[levels[i]]


@compiled("void(uint64[:,::1], uint64[:,::1], uint32[:,::1])")
def _position(linear: Any, matrix: Any, position: Any) -> None:
    word = np.uint64
    low = word(0xFFFFFFFF)  # so that the compiler knows that all have 32 bits
    red, green, blue = linear[0], linear[1], linear[2]
    x, y, z = position[0], position[1], position[2]
    x_red, x_green, x_blue = matrix[0, 0] & low, matrix[0, 1] & low, matrix[0, 2] & low
    y_red, y_green, y_blue = matrix[1, 0] & low, matrix[1, 1] & low, matrix[1, 2] & low
    z_red, z_green, z_blue = matrix[2, 0] & low, matrix[2, 1] & low, matrix[2, 2] & low
    for i in range(x.size):
        r, g, b = red[i] & low, green[i] & low, blue[i] & low
        x[i] = np.uint32((r * x_red + g * x_green + b * x_blue) >> word(32))
        y[i] = np.uint32((r * y_red + g * y_green + b * y_blue) >> word(32))
        z[i] = np.uint32((r * z_red + g * z_green + b * z_blue) >> word(32))


@compiled("void(uint32[:,::1], uint64[::1], uint64[:,::1])")
def _cell(position: Any, cells: Any, cell: Any) -> None:
    for axis in range(3):
        for i in range(position.shape[1]):
            cell[axis, i] = cells[position[axis, i] >> np.uint32(16)]


@compiled("void(uint32[:,::1], uint32[:,::1], int32[:,::1])")
def _f(position: Any, cell: Any, f: Any) -> None:
    half, small = np.uint32, np.int32
    for axis in range(3):
        at, values, result = position[axis], cell[axis], f[axis]
        for i in range(at.size):
            risen = half(half(values[2 * i]) * half(at[i] & half(0xFFFF))) >> half(16)
            result[i] = small(small(values[2 * i + 1]) + small(risen))


@compiled("void(int32[:,::1], uint64, uint64, uint8[:,::1], int64, int64)")
def _rounded(f: Any, lightness_slope: Any, lightness_less: Any, codes: Any, begin: Any, count: Any) -> None:
    word, small = np.uint64, np.int32
    fx, fy, fz = f[0], f[1], f[2]
    slope = lightness_slope & word(0xFFFFFFFF)  # so that the compiler knows that it has 32 bits
    l, a, b = codes[0, begin:], codes[1, begin:], codes[2, begin:]  # noqa: E741
    for i in range(count):
        l[i] = np.uint8((word(np.uint32(fy[i])) * slope - lightness_less) >> word(42))
        a[i] = np.uint8(small(small(small(fx[i] - fy[i]) * small(125) + small(1 << 23)) >> small(24)) + small(128))
        b[i] = np.uint8(small(small(small(fy[i] - fz[i]) * small(25) + small(1 << 22)) >> small(23)) + small(128))


@compiled("void(uint8[:,:], uint64[::1], uint64[:,::1], uint64[::1], uint64, uint64, uint8[:,::1])")
def _code(
    planes: Any, light: Any, matrix: Any, cells: Any, lightness_slope: Any, lightness_less: Any, codes: Any
) -> None:
    linear, f = np.zeros((3, _BLOCK), np.uint64), np.empty((3, _BLOCK), np.int32)
    position, cell = np.empty((3, _BLOCK), np.uint32), np.empty((3, _BLOCK), np.uint64)
    parts = cell.view(np.uint32)
    for begin in range(0, planes.shape[1], _BLOCK):
        count = min(_BLOCK, planes.shape[1] - begin)
        # A last block that is not full leaves old values behind its pixels, which do no harm.
        _linear_light(planes, begin, count, light, linear)
        _position(linear, matrix, position)
        _cell(position, cells, cell)
        _f(position, parts, f)
        _rounded(f, lightness_slope, lightness_less, codes, begin, count)
