"""The picture while it is being drawn: float planes, blending, shapes, perspective and the camera at the end."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from colorize.data.scenes import noise
from colorize.data.scenes.noise import Field

Colour: TypeAlias = tuple[float, float, float]
"""sRGB, 0..255 each."""

OVERSAMPLING = 4
"""Shapes are drawn this many times larger and averaged: smooth edges."""


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The colour at `share` (0..1) of the way from the first to the second."""
    red, green, blue = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return red, green, blue


def ramp(colours: Sequence[Colour], t: Field) -> Field:
    """Colours along a gradient: `t` 0..1 (any shape) -> float32 3 x shape."""
    position = t * np.float32(len(colours) - 1)
    steps = [np.clip(position - np.float32(i), 0, 1) for i in range(len(colours) - 1)]
    planes = np.empty((3, *t.shape), np.float32)
    for channel in range(3):
        planes[channel] = colours[0][channel]
        for i, step in enumerate(steps):
            planes[channel] += step * np.float32(colours[i + 1][channel] - colours[i][channel])
    return planes


@dataclass(frozen=True)
class Plane:
    """Flat ground under a horizon, seen in perspective. All fields cover the rows below the horizon."""

    top: int
    """First row."""
    near: Field
    """Rows x 1: 0 at the horizon, 1 at the bottom edge."""
    u: Field
    """Rows x width: texels to the side, one per pixel at the bottom edge; never negative."""
    v: Field
    """Rows x 1: texels into the distance."""
    across: Field
    """Rows x width: sideways from the vanishing point, in picture heights at the bottom edge; straight lines meet."""


class Canvas:
    """A picture being drawn.

    Attributes:
        pixels: float32 3 x height x width, sRGB 0..255 (may leave that range until `develop`).
        unit: one hundredth of the short side in pixels: the measure of sizes.
        random: for the composition; `generator` is for textures.
        light: -1 when the light comes from the left, 1 from the right.
    """

    def __init__(self, width: int, height: int, seed: str) -> None:
        self.width, self.height = width, height
        self.unit = min(width, height) / 100
        self.random = random.Random(seed)
        self.generator = noise.stream(seed)
        self.pixels: Field = np.zeros((3, height, width), np.float32)
        self.x: Field = np.arange(width, dtype=np.float32)[None, :] + np.float32(0.5)
        self.y: Field = np.arange(height, dtype=np.float32)[:, None] + np.float32(0.5)
        self.light = self.random.choice((-1.0, 1.0))

    def between(self, low: float, high: float) -> float:
        """A random number of the composition."""
        return low + (high - low) * self.random.random()

    def vary(self, colour: Colour, amount: float) -> Colour:
        """The colour with each channel moved by up to `amount`."""
        red, green, blue = (channel + self.between(-amount, amount) for channel in colour)
        return red, green, blue

    def fractal(
        self, rows: int, cell: float, stretch: float = 1.0, roughness: float = 0.5, smallest: float = 1.0
    ) -> Field:
        """Noise over the width of the picture, cells in units; see `noise.fractal`."""
        cell = max(cell * self.unit, 1.0)
        return noise.fractal(self.generator, rows, self.width, cell, stretch, roughness=roughness, smallest=smallest)

    def skyline(self, level: float, amplitude: float, cell: float, roughness: float = 0.5) -> Field:
        """A random line over the width, in rows: `level` and `amplitude` in pixels, `cell` in units."""
        line = noise.fractal(self.generator, 1, self.width, max(cell * self.unit, 2.0), 1.0, roughness=roughness)
        rows: Field = np.float32(level) - line[0] * np.float32(amplitude)
        return rows

    @cached_property
    def foliage(self) -> Field:
        """A tile of leaf-like noise."""
        return noise.tile(self.generator, max(3 * self.unit, 3.0), roughness=0.8)

    def leaves(self, height: int, width: int) -> Field:
        """A random piece of `foliage`."""
        side = noise.TILE
        height, width = min(height, side), min(width, side)
        top, left = self.random.randrange(side - height + 1), self.random.randrange(side - width + 1)
        return self.foliage[top : top + height, left : left + width]

    def blend(self, colour: Colour | Field, mask: Field | float = 1.0, top: int = 0, left: int = 0) -> None:
        """Lay a colour over the rectangle at (top, left) that mask or colour planes span.

        Args:
            colour: one colour, or planes 3 x rows x columns (axes of length 1 are spread).
            mask: opacity 0..1, rows x columns (axes of length 1 are spread); must lie inside the picture.
            top: first row.
            left: first column.
        """
        shape = np.broadcast_shapes(np.shape(mask), np.shape(colour[0]))
        rows = shape[0] if len(shape) == 2 and shape[0] > 1 else self.height - top
        columns = shape[1] if len(shape) == 2 and shape[1] > 1 else self.width - left
        for channel in range(3):
            region = self.pixels[channel, top : top + rows, left : left + columns]
            value = colour[channel]
            if isinstance(mask, float):
                region += (value - region) * np.float32(mask)
            else:
                region += (value - region) * mask

    def box(self, left: float, top: float, right: float, bottom: float) -> tuple[int, int, int, int] | None:
        """The rectangle in whole pixels inside the picture, or None when nothing of it is visible."""
        x0, y0 = max(0, int(left)), max(0, int(top))
        x1, y1 = min(self.width, int(right) + 1), min(self.height, int(bottom) + 1)
        return (x0, y0, x1, y1) if x1 - x0 > 1 and y1 - y0 > 1 else None

    def below(self, line: Field) -> tuple[int, Field]:
        """First row and mask (rows x width) of all that lies under a skyline."""
        top = min(max(int(line.min()) - 1, 0), self.height - 2)
        return top, np.clip(self.y[top:] - line[None, :] + np.float32(0.5), 0, 1)

    def plane(self, horizon: float, tilt: float = 2.5, vanishing: float = 0.5) -> Plane:
        """The ground below a horizon (row). Larger tilts look along the ground, smaller ones down on it."""
        top = min(max(int(horizon), 0), self.height - 2)
        depth = self.height - horizon
        down = np.maximum(self.y[top:] - np.float32(horizon), np.float32(0.5))
        enlarge = np.float32(depth) / down
        side = (self.x - np.float32(vanishing * self.width)) * enlarge
        # Off the tile's lines of symmetry, which would otherwise meet the vanishing point.
        start = np.float32((1 << 20) + self.between(0.18, 0.32) * noise.TILE)
        return Plane(top, down / np.float32(depth), side + start, enlarge * np.float32(depth * tilt), side / depth)

    def stencil(self, shapes: Sequence[Sequence[tuple[float, float]]], colour: Colour) -> None:
        """Fill polygons with one colour, with smooth edges. Two points span an ellipse."""
        found = self.shape_mask(shapes)
        if found is not None:
            top, left, mask = found
            self.blend(colour, mask, top, left)

    def shape_mask(self, shapes: Sequence[Sequence[tuple[float, float]]]) -> tuple[int, int, Field] | None:
        """Row, column and mask of polygons (pixel coordinates; two points span an ellipse); None when out of sight."""
        points = [point for shape in shapes for point in shape]
        if not points:
            return None
        area = self.box(
            min(x for x, _ in points) - 1,
            min(y for _, y in points) - 1,
            max(x for x, _ in points) + 1,
            max(y for _, y in points) + 1,
        )
        if area is None:
            return None
        x0, y0, x1, y1 = area
        scale = OVERSAMPLING
        image = Image.new("L", ((x1 - x0) * scale, (y1 - y0) * scale))
        pen = ImageDraw.Draw(image)
        for shape in shapes:
            # Whole numbers: how a rasteriser rounds half pixels is nobody's contract.
            flat = [(round((x - x0) * scale), round((y - y0) * scale)) for x, y in shape]
            if len(flat) == 2:
                pen.ellipse(flat, fill=255)
            else:
                pen.polygon(flat, fill=255)
        mask = np.asarray(image.reduce(scale)).astype(np.float32) * np.float32(1 / 255)
        return y0, x0, mask

    def glow(self, x: float, y: float, radius: float, colour: Colour, strength: float) -> None:
        """Add light around a point; it falls to a half at `radius` pixels."""
        reach = radius * 6
        area = self.box(x - reach, y - reach, x + reach, y + reach)
        if area is None:
            return
        x0, y0, x1, y1 = area
        across, down = self.x[:, x0:x1] - np.float32(x), self.y[y0:y1] - np.float32(y)
        distance = (across * across + down * down) * np.float32(1 / (radius * radius))
        # Minus its value at the reach, so that it ends there without a step.
        light = np.maximum(np.float32(1) / (np.float32(1) + distance) - np.float32(1 / 37), 0) * np.float32(strength)
        for channel in range(3):
            self.pixels[channel, y0:y1, x0:x1] += light * np.float32(colour[channel])

    def develop(self, grain: float = 2.2) -> NDArray[np.uint8]:
        """The finished photograph: exposure, vignette, sensor noise. uint8 height x width x 3, sRGB."""
        exposure = self.between(0.94, 1.05)
        balance = self.between(-0.015, 0.015)
        across = (self.x - np.float32(self.width / 2)) * np.float32(2 / self.width)
        down = (self.y - np.float32(self.height / 2)) * np.float32(2 / self.height)
        lens = np.float32(exposure) * (np.float32(1) - (across * across + down * down) * np.float32(0.045))
        shared = noise.white(self.generator, self.height, self.width) * np.float32(grain)
        photo = np.empty((self.height, self.width, 3), np.uint8)
        for channel, tint in enumerate((1 + balance, 1.0, 1 - balance)):
            plane = self.pixels[channel] * (lens * np.float32(tint)) + shared
            own = noise.white(self.generator, self.height, self.width) * np.float32(grain / 2)
            photo[:, :, channel] = np.clip(plane + own + np.float32(0.5), 0, 255)
        return photo
