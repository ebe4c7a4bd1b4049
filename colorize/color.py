"""sRGB to CIELAB and back: an exact 8-bit code for data, floating point for display and measures.

The code of a pixel is three bytes: `l` = L*·255/100, `a` = a* + 128 and `b` = b* + 128, each rounded to the nearest.
It is computed with integers only, from tables that Python's integers and fractions fill, so every machine gets the
same bits. 0.001 % of the 2^24 colours differ by one from the rounding of a float64 calculation. Many pixels are coded
several times as fast by `colorize.color_kernel`, to the same bits; what is here needs no compiler in the process.

Definitions: IEC 61966-2-1 (sRGB's transfer function), CIE 15 (CIELAB), white point D65 of the 2° observer. Matrix and
white point have the digits that scikit-image and OpenCV use, so that their values can be compared with ours.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ENCODING = "CIELAB uint8: L*255/100, a+128, b+128"
WHITE_POINT = "D65/2"

# Linear sRGB to XYZ, and the white point, both in millionths.
_RGB_TO_XYZ = ((412453, 357580, 180423), (212671, 715160, 72169), (19334, 119193, 950227))
_WHITE = (950470, 1000000, 1088830)

_LINEAR_BITS = 30  # XYZ relative to the white point: 1.0 is 2^30
_CELL_BITS = 14  # f(t) has 2^14 cells over 0..1, linear inside: off by 1.4e-4 of a's code at most, near black
_FRACTION_BITS = _LINEAR_BITS - _CELL_BITS
_MATRIX_BITS = 32
_CUBE_ROOT_BITS = 26  # f(t): 1.0 is 2^26; a cell's steepest rise times a fraction still fits 31 bits
_LIGHTNESS_BITS = 42
_BLOCK = 8192  # pixels at a time: the intermediate values stay in the second-level cache

_DELTA = Fraction(6, 29)  # CIELAB: f(t) is linear below delta^3


class Tables(NamedTuple):
    """What the code of a pixel is computed from.

    With v the linear light of R, G, B, t = (matrix @ v) >> 32 holds X/Xn, Y/Yn, Z/Zn. Of each, c = t >> 16 is the cell
    and f = start[c] + (rise[c] * (t & 0xffff) >> 16) CIELAB's f. The code is then

    - l = (lightness_slope * fy + lightness_start) >> 42,
    - a = 128 + ((fx - fy) * 125 + 2^23 >> 24), which is 500 (fx - fy) scaled by 2^24,
    - b = 128 + ((fy - fz) * 25 + 2^22 >> 23), which is 200 (fy - fz) scaled by 2^23.
    """

    light: NDArray[np.int64]  # 256: linear light of a channel's value, 1.0 is 2^30
    matrix: NDArray[np.int64]  # 3 (X, Y, Z) × 3 (R, G, B), over the white point; 1.0 is 2^32
    start: NDArray[np.int32]  # f at the start of a cell, 1.0 is 2^26
    rise: NDArray[np.int32]  # by how much f rises over the cell
    lightness_slope: np.int64  # L*·255/100 = 2.55 (116 f - 16); 1.0 of the product with f is 2^42
    lightness_start: np.int64  # with the half that makes a floor a rounding


def rgb_to_lab_code(rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """CIELAB codes of sRGB pixels: the same bits on every machine.

    Args:
        rgb: uint8, shape (..., 3).

    Returns:
        `l` of shape (...), and `ab` of shape (..., 2), a view of memory that holds all of a, then all of b.

    Raises:
        ValueError: `rgb` has another type or shape.
    """
    _require_rgb(rgb)
    pixels = rgb.reshape(-1, 3)
    l = np.empty(len(pixels), np.uint8)  # noqa: E741
    ab = np.empty((2, len(pixels)), np.uint8)
    scratch = _Scratch.of(min(_BLOCK, len(pixels)))
    for start in range(0, len(pixels), _BLOCK):
        block = slice(start, start + _BLOCK)
        if len(pixels[block]) < len(scratch.position):
            scratch = _Scratch.of(len(pixels[block]))
        _code_block(pixels[block], l[block], ab[:, block], scratch)
    return l.reshape(rgb.shape[:-1]), np.moveaxis(ab.reshape(2, *rgb.shape[:-1]), 0, -1)


def lab_from_code(
    l: NDArray[np.uint8],  # noqa: E741 - the field's own name
    ab: NDArray[np.uint8],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Lightness 0..100 and a, b in CIELAB units, as float32 arrays of the same shapes as the codes."""
    return l.astype(np.float32) * np.float32(100 / 255), ab.astype(np.float32) - np.float32(128)


def rgb_to_lab(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """CIELAB values of sRGB pixels, not rounded to a code.

    Args:
        rgb: uint8, shape (..., 3).

    Returns:
        float32, shape (..., 3): L 0..100, a, b.

    Raises:
        ValueError: `rgb` has another type or shape.
    """
    _require_rgb(rgb)
    linear = _linear_float()[rgb]
    xyz = linear @ _to_relative_xyz().T
    f = np.where(xyz > float(_DELTA**3), np.cbrt(xyz), xyz * float(1 / (3 * _DELTA**2)) + float(Fraction(4, 29)))
    lab = np.empty_like(f)
    lab[..., 0] = 116 * f[..., 1] - 16
    lab[..., 1] = 500 * (f[..., 0] - f[..., 1])
    lab[..., 2] = 200 * (f[..., 1] - f[..., 2])
    return lab


def lab_to_rgb(lab: NDArray[np.float32]) -> NDArray[np.uint8]:
    """sRGB pixels of CIELAB values; a colour that sRGB lacks is clipped channel by channel.

    Args:
        lab: floating point, shape (..., 3): L 0..100, a, b.

    Returns:
        uint8, shape (..., 3), rounded to the nearest.
    """
    values = np.asarray(lab, dtype=np.float32)
    fy = (values[..., 0] + 16) / 116
    f = np.stack([fy + values[..., 1] / 500, fy, fy - values[..., 2] / 200], axis=-1)
    xyz = np.where(f > float(_DELTA), f * f * f, (f - float(Fraction(4, 29))) * float(3 * _DELTA**2))
    linear = np.clip(xyz @ _from_relative_xyz().T, 0, 1)
    # The level whose interval of linear light holds the value: rounding without a power for every pixel.
    cells = (linear * (len(_level_of_cell()) - 1)).astype(np.int32)
    level = _level_of_cell()[cells]
    return (level + (linear >= _upper_limits()[level])).astype(np.uint8)


def _require_rgb(rgb: NDArray[np.uint8]) -> None:
    if rgb.dtype != np.uint8 or rgb.ndim < 1 or rgb.shape[-1] != 3:
        raise ValueError(f"expected sRGB pixels as uint8 of shape (..., 3), found {rgb.dtype} of shape {rgb.shape}")


class _Scratch(NamedTuple):
    """Intermediate values of a block, used again for the next one: fresh memory would cost a third of the time."""

    light: NDArray[np.int64]  # 3×N
    position: NDArray[np.int64]
    product: NDArray[np.int64]
    fraction: NDArray[np.int32]
    spare: NDArray[np.int32]
    f: NDArray[np.int32]  # 3×N

    @classmethod
    def of(cls, pixels: int) -> _Scratch:
        """Scratch space for a block of that many pixels."""
        shapes: tuple[tuple[int, ...], ...] = ((3, pixels), (pixels,), (pixels,), (pixels,), (pixels,), (3, pixels))
        types = (np.int64, np.int64, np.int64, np.int32, np.int32, np.int32)
        return cls(*(np.empty(shape, kind) for shape, kind in zip(shapes, types, strict=True)))


def _code_block(
    pixels: NDArray[np.uint8],
    l: NDArray[np.uint8],  # noqa: E741
    ab: NDArray[np.uint8],
    scratch: _Scratch,
) -> None:
    """Code N×3 pixels into `l` (N) and `ab` (2×N)."""
    # mode="clip" spares a copy; no index is out of range.
    tables().light.take(pixels.T, out=scratch.light, mode="clip")
    for row, value in zip(tables().matrix, scratch.f, strict=True):
        _f(row, value, scratch)
    fx, fy, fz = scratch.f
    # 500 (fx - fy), scaled by 2^24, and 200 (fy - fz), scaled by 2^23: both stay below 2^31.
    for code, first, second, factor, bits in ((ab[0], fx, fy, 500 >> 2, 24), (ab[1], fy, fz, 200 >> 3, 23)):
        value = np.subtract(first, second, out=scratch.spare)
        value *= np.int32(factor)
        value += np.int32(1 << (bits - 1))
        value >>= np.int32(bits)
        value += np.int32(128)
        code[:] = value
    lightness = np.multiply(fy, tables().lightness_slope, out=scratch.product)
    lightness += tables().lightness_start
    lightness >>= np.int64(_LIGHTNESS_BITS)
    l[:] = lightness


def _f(row: NDArray[np.int64], value: NDArray[np.int32], scratch: _Scratch) -> None:
    """CIELAB's f of one of X/Xn, Y/Yn, Z/Zn, scaled by 2^26, into `value`."""
    _, position, product, fraction, spare, _ = scratch
    np.multiply(scratch.light[0], row[0], out=position)
    for channel in (1, 2):
        position += np.multiply(scratch.light[channel], row[channel], out=product)
    position >>= np.int64(_MATRIX_BITS)
    np.bitwise_and(position, np.int64((1 << _FRACTION_BITS) - 1), out=product)
    fraction[:] = product
    position >>= np.int64(_FRACTION_BITS)
    tables().rise.take(position, out=value, mode="clip")
    value *= fraction
    value >>= np.int32(_FRACTION_BITS)
    value += tables().start.take(position, out=spare, mode="clip")


@lru_cache(maxsize=1)
def tables() -> Tables:
    """The tables, filled once in a process (some 40 ms)."""
    light = [round(_linear_light(level) * 2**_LINEAR_BITS) for level in range(256)]
    matrix = [
        [round(Fraction(part, white) * 2**_MATRIX_BITS) for part in row]
        for row, white in zip(_RGB_TO_XYZ, _WHITE, strict=True)
    ]
    # White itself starts the cell after the last.
    start = np.array([_f_of_cell(cell) for cell in range(2**_CELL_BITS + 2)], dtype=np.int32)
    return Tables(
        np.array(light, dtype=np.int64),
        np.array(matrix, dtype=np.int64),
        start[:-1].copy(),
        np.diff(start),
        np.int64(round(Fraction(255 * 116, 100) * 2 ** (_LIGHTNESS_BITS - _CUBE_ROOT_BITS))),
        np.int64(round((Fraction(1, 2) - Fraction(255 * 16, 100)) * 2**_LIGHTNESS_BITS)),
    )


def _linear_light(level: int) -> Fraction:
    """IEC 61966-2-1: linear light 0..1 of an 8-bit level, exact to 2^-64."""
    value = Fraction(level, 255)
    if value <= Fraction(4045, 100000):
        return value / Fraction(1292, 100)
    power = ((value + Fraction(55, 1000)) / Fraction(1055, 1000)) ** 12
    scale = 64
    return Fraction(_integer_root((power.numerator << (5 * scale)) // power.denominator, 5), 2**scale)


def _f_of_cell(cell: int) -> int:
    t = Fraction(cell, 2**_CELL_BITS)
    if t <= _DELTA**3:
        return round((t / (3 * _DELTA**2) + Fraction(4, 29)) * (1 << _CUBE_ROOT_BITS))
    return _integer_root(cell << (3 * _CUBE_ROOT_BITS - _CELL_BITS), 3)


def _integer_root(value: int, degree: int) -> int:
    """Largest whole number whose power of that degree is at most `value` (Newton's method from above)."""
    root: int = 1 << -(-value.bit_length() // degree)
    while True:
        smaller: int = ((degree - 1) * root + value // root ** (degree - 1)) // degree
        if smaller >= root:
            return root
        root = smaller


@lru_cache(maxsize=1)
def _linear_float() -> NDArray[np.float32]:
    return np.array([float(_linear_light(level)) for level in range(256)], dtype=np.float32)


@lru_cache(maxsize=1)
def _to_relative_xyz() -> NDArray[np.float32]:
    matrix = np.array(_RGB_TO_XYZ, dtype=np.float64) / np.array(_WHITE, dtype=np.float64)[:, None]
    return matrix.astype(np.float32)


@lru_cache(maxsize=1)
def _from_relative_xyz() -> NDArray[np.float32]:
    matrix = np.array(_RGB_TO_XYZ, dtype=np.float64) / np.array(_WHITE, dtype=np.float64)[:, None]
    return np.linalg.inv(matrix).astype(np.float32)


@lru_cache(maxsize=1)
def _upper_limits() -> NDArray[np.float32]:
    """Linear light from which on a pixel is rounded to the next level; never reached for 255."""
    half = (np.arange(255) + 0.5) / 255
    limits = np.where(half <= 0.04045, half / 12.92, ((half + 0.055) / 1.055) ** 2.4)
    return np.append(limits, np.inf).astype(np.float32)


@lru_cache(maxsize=1)
def _level_of_cell() -> NDArray[np.uint8]:
    """Level at the start of each of 2^13 cells of linear light; a cell is too short to hold two limits."""
    cells = 2**13
    starts = (np.arange(cells + 1) / cells).astype(np.float32)
    return np.searchsorted(_upper_limits()[:-1], starts, side="right").astype(np.uint8)
