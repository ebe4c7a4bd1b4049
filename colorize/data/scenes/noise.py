"""Random fields made only of operations whose bits are the same on every machine.

Random bytes come from numpy's PCG64 (integer arithmetic); everything after is `+ - * /` and comparisons on float32,
which IEEE 754 fixes to the last bit, and Pillow's resize, which has one code path. No transcendental function, no BLAS
and no float sum over an axis: their last bits depend on the CPU.
"""

from __future__ import annotations

import hashlib
import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field: TypeAlias = NDArray[np.float32]

TILE = 1024
"""Side of a tile in texels: a power of two, so that wrapping around is a bit mask."""


def stream(seed: str) -> np.random.Generator:
    """The random generator that belongs to a text."""
    return np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:16], "big")))


def white(generator: np.random.Generator, height: int, width: int) -> Field:
    """Independent values in -1..1, float32 height x width."""
    values = np.frombuffer(generator.bytes(height * width), np.int8).reshape(height, width)
    return values.astype(np.float32) * np.float32(1 / 128)


def resize(field: Field, height: int, width: int) -> Field:
    """Bicubic resize of a float field."""
    return np.asarray(Image.fromarray(field).resize((width, height), Image.Resampling.BICUBIC))


def fractal(
    generator: np.random.Generator,
    height: int,
    width: int,
    cell: float,
    stretch: float = 1.0,
    *,
    roughness: float = 0.5,
    smallest: float = 1.0,
) -> Field:
    """Multi-octave noise, mostly in -1..1: a coarse random lattice is doubled again and again, each time with detail.

    Every octave costs a quarter of the next finer one, so the whole costs little more than its last doubling.

    Args:
        generator: where the random numbers come from.
        height: rows of the field; 1 gives a line.
        width: columns.
        cell: height of the largest features in pixels.
        stretch: width / height of the features.
        roughness: amplitude of an octave relative to the coarser one.
        smallest: features below this height in pixels are left out: 1 is crisp, 4 is out of focus.
    """
    field: Field | None = None
    amplitude, power = 1.0, 0.0
    while True:
        rows = 1 if height == 1 else min(height, math.ceil(height / cell) + 1)
        columns = min(width, math.ceil(width / (cell * stretch)) + 1)
        detail = white(generator, rows, columns) * np.float32(amplitude)
        field = detail if field is None else resize(field, rows, columns) + detail
        power += amplitude * amplitude
        if cell / 2 < smallest or (rows == height and columns == width):
            break
        amplitude *= roughness
        cell /= 2
    if field.shape != (height, width):
        field = resize(field, height, width)
    return field * np.float32(1.25 / math.sqrt(power))


def tile(
    generator: np.random.Generator, cell: float, stretch: float = 1.0, roughness: float = 0.5, smallest: float = 1.0
) -> Field:
    """A fractal of `TILE` x `TILE` texels that continues at its borders (mirrored)."""
    quarter = fractal(generator, TILE // 2, TILE // 2, cell, stretch, roughness=roughness, smallest=smallest)
    half = np.concatenate([quarter, quarter[:, ::-1]], axis=1)
    return np.concatenate([half, half[::-1]], axis=0)


def sample(texture: Field, u: Field, v: Field) -> Field:
    """Texels of a tile at non-negative coordinates `u`, `v` (broadcast against each other), nearest neighbour."""
    index = (v.astype(np.int32) & (TILE - 1)) * TILE + (u.astype(np.int32) & (TILE - 1))
    return texture.reshape(-1).take(index)


def wave(phase: Field) -> Field:
    """A smooth periodic function of period 1 in -1..1, made of parabolas: a sine to the eye."""
    fraction = phase - np.floor(phase)
    first = np.minimum(fraction, np.float32(1) - fraction) * np.float32(4) - np.float32(1)
    curve: Field = first * (np.float32(2) - np.abs(first))
    return curve


def smooth(low: float, high: float, values: Field) -> Field:
    """0 below `low`, 1 above `high`, an S-curve between."""
    t = np.clip((values - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    curve: Field = t * t * (np.float32(3) - np.float32(2) * t)
    return curve
