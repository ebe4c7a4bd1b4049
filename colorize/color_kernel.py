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
def _flat_tables() -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint64], np.uint64, np.uint64]:
    """The tables as the kernel wants them: start and rise of a cell in one word, no number below 0."""
    table = tables()
    cells = table.start.astype(np.uint64) << np.uint64(32) | table.rise.astype(np.uint64)
    return (
        table.light.astype(np.uint32),
        table.matrix.astype(np.uint32),
        cells,
        np.uint64(table.lightness_slope),
        np.uint64(-table.lightness_start),
    )


# Every step is a function of its own: of one with fewer arrays the compiler makes vectors, look-ups aside.


@compiled("void(uint8[:], uint32[::1], uint32[::1])")
def _linear_light(levels: Any, light: Any, linear: Any) -> None:
    for i in range(levels.size):
        linear[i] = light[levels[i]]


@compiled("void(uint32[:,::1], uint32[::1], uint32[::1])")
def _position(linear: Any, row: Any, position: Any) -> None:
    word = np.uint64
    red, green, blue = linear[0], linear[1], linear[2]
    of_red, of_green, of_blue = word(row[0]), word(row[1]), word(row[2])
    for i in range(position.size):
        total = word(red[i]) * of_red + word(green[i]) * of_green + word(blue[i]) * of_blue
        position[i] = np.uint32(total >> word(32))


@compiled("void(uint32[::1], uint64[::1], uint64[::1])")
def _cell(position: Any, cells: Any, cell: Any) -> None:
    for i in range(position.size):
        cell[i] = cells[position[i] >> np.uint32(16)]


@compiled("void(uint32[::1], uint64[::1], int32[::1])")
def _f(position: Any, cell: Any, f: Any) -> None:
    half, small = np.uint32, np.int32
    for i in range(position.size):
        risen = half(half(cell[i]) * half(position[i] & half(0xFFFF))) >> half(16)
        f[i] = small(small(cell[i] >> np.uint64(32)) + small(risen))


@compiled("void(int32[:,::1], uint64, uint64, uint8[::1], uint8[::1], uint8[::1])")
def _rounded(f: Any, lightness_slope: Any, lightness_less: Any, l: Any, a: Any, b: Any) -> None:  # noqa: E741
    word, small = np.uint64, np.int32
    fx, fy, fz = f[0], f[1], f[2]
    slope = lightness_slope & word(0xFFFFFFFF)  # so that the compiler knows that it has 32 bits
    for i in range(l.size):
        l[i] = np.uint8((word(np.uint32(fy[i])) * slope - lightness_less) >> word(42))
        a[i] = np.uint8(small(small(small(fx[i] - fy[i]) * small(125) + small(1 << 23)) >> small(24)) + small(128))
        b[i] = np.uint8(small(small(small(fy[i] - fz[i]) * small(25) + small(1 << 22)) >> small(23)) + small(128))


@compiled("void(uint8[:,:], uint32[::1], uint32[:,::1], uint64[::1], uint64, uint64, uint8[:,::1])")
def _code(
    planes: Any, light: Any, matrix: Any, cells: Any, lightness_slope: Any, lightness_less: Any, codes: Any
) -> None:
    linear, f = np.zeros((3, _BLOCK), np.uint32), np.empty((3, _BLOCK), np.int32)
    position, cell = np.empty(_BLOCK, np.uint32), np.empty(_BLOCK, np.uint64)
    for begin in range(0, planes.shape[1], _BLOCK):
        end = min(begin + _BLOCK, planes.shape[1])
        for channel in range(3):
            _linear_light(planes[channel, begin:end], light, linear[channel])
        # A last block that is not full leaves old values behind its pixels, which do no harm.
        for axis in range(3):
            _position(linear, matrix[axis], position)
            _cell(position, cells, cell)
            _f(position, cell, f[axis])
        l, a, b = codes[0, begin:end], codes[1, begin:end], codes[2, begin:end]  # noqa: E741
        _rounded(f, lightness_slope, lightness_less, l, a, b)
