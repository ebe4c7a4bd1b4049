"""Water: the sea under any sky, its shore, and still lakes that mirror what stands behind them."""

from __future__ import annotations

import numpy as np

from colorize.data.scenes import noise
from colorize.data.scenes.canvas import Canvas, Colour, mix, ramp
from colorize.data.scenes.noise import smooth


def sea(canvas: Canvas, horizon: float, far: Colour, near: Colour, haze: Colour, *, glints: float = 1.0) -> None:
    """Open water with waves that grow towards the viewer, from the horizon to the bottom edge."""
    plane = canvas.plane(horizon, tilt=canvas.between(3.5, 5.0))
    ripples = noise.tile(canvas.generator, max(20 * canvas.unit, 8), stretch=3.2, roughness=0.62, smallest=1.5)
    waves = noise.sample(ripples, plane.u, plane.v)
    swell = noise.sample(ripples, plane.u * np.float32(0.22), plane.v * np.float32(0.22))
    body = np.clip(plane.near * np.float32(0.9) + swell * np.float32(0.12), 0, 1)
    water = ramp((mix(far, haze, 0.35), far, mix(far, near, 0.6), near), body)
    relief = (waves * np.float32(0.75) + swell * np.float32(0.4)) * smooth(-0.01, 0.05, plane.near)
    for channel, gain in enumerate((26, 32, 32)):
        water[channel] += relief * np.float32(gain)
    canvas.blend(water, 1.0, plane.top)
    if glints:
        canvas.blend((238, 246, 248), smooth(0.62, 1.15, relief) * np.float32(0.75 * glints), plane.top)


def sun_path(canvas: Canvas, horizon: float, column: float, colour: Colour) -> None:
    """The glitter under a low sun: a band of bright facets below it, broad and broken towards the viewer."""
    plane = canvas.plane(horizon, tilt=5.0)
    ripples = noise.tile(canvas.generator, max(14 * canvas.unit, 6), stretch=4.0, roughness=0.65, smallest=1.5)
    waves = noise.sample(ripples, plane.u, plane.v)
    width = canvas.unit * (5 + 13 * plane.near)
    aside = (canvas.x - np.float32(column)) / width
    strength = np.float32(1) / (np.float32(1) + aside * aside)
    canvas.blend(colour, smooth(0.35, 1.0, waves * np.float32(0.55) + strength) * np.float32(0.9), plane.top)


def beach(canvas: Canvas, level: float) -> None:
    """Sand in front of the sea: wet and dark at the foam, then dry and bright with ripples and pebbles."""
    line = canvas.skyline(level, canvas.unit * 7, 70, 0.4) + (canvas.x[0] - canvas.width / 2) * np.float32(
        canvas.between(-0.16, 0.16)
    )
    foam_top, foam = canvas.below(line - np.float32(canvas.unit * 5))
    lace = canvas.fractal(foam.shape[0], 5, stretch=2.5, roughness=0.8)
    canvas.blend((240, 246, 246), foam * smooth(-0.35, 0.25, lace), foam_top)
    top, mask = canvas.below(line)
    rows = mask.shape[0]
    depth = canvas.y[top:] - line[None, :]
    dry = smooth(0.02, 0.4, depth / np.float32(max(canvas.height - level, 1)))
    ripples = canvas.fractal(rows, 9, stretch=4, roughness=0.6)
    sand = ramp(((142, 108, 76), (196, 158, 112), (232, 198, 148)), dry)
    grain = canvas.leaves(min(rows, noise.TILE), min(canvas.width, noise.TILE))
    if grain.shape != mask.shape:
        grain = ripples
    shade = ripples * np.float32(14) + grain * np.float32(9)
    for channel, gain in enumerate((1.0, 0.95, 0.8)):
        sand[channel] += shade * np.float32(gain)
    canvas.blend(sand, mask, top)
    wash = np.clip(np.float32(1) - np.abs(depth) * np.float32(1 / (canvas.unit * 1.3)), 0, 1)
    canvas.blend((250, 252, 250), wash * np.float32(0.9), top)


def lake(canvas: Canvas, shore: float, deep: Colour, clear: float = 0.75) -> None:
    """Mirror what lies above the row `shore`, stirred by ripples and tinted towards the viewer."""
    top = int(shore)
    rows = canvas.height - top
    plane = canvas.plane(shore, tilt=4.0)
    ripples = noise.tile(canvas.generator, max(10 * canvas.unit, 5), stretch=6, roughness=0.55, smallest=1.5)
    stir = noise.sample(ripples, plane.u[:rows], plane.v[:rows])
    reach = canvas.unit * (0.5 + 3.5 * plane.near[:rows])
    source = top - 1 - np.arange(rows)[:, None] * min(1.0, (top - 1) / max(rows, 1)) + stir * reach
    index = np.clip(source, 0, top - 1).astype(np.int32)
    columns = np.arange(canvas.width, dtype=np.int32)[None, :]
    mirrored = np.stack([plane_of[index, columns] for plane_of in canvas.pixels])
    tint = np.clip(np.float32(1 - clear) + plane.near[:rows] * np.float32(0.4), 0, 1)
    canvas.blend(mirrored + (np.asarray(deep, np.float32)[:, None, None] - mirrored) * tint, 1.0, top)
    canvas.blend((225, 236, 240), smooth(0.75, 1.3, stir) * np.float32(0.35), top)
    edge = np.clip(np.float32(1) - np.abs(canvas.y[top:] - shore) * np.float32(1 / (canvas.unit * 0.8)), 0, 1)
    canvas.blend((60, 62, 54), edge * np.float32(0.6), top)


def sailboat(canvas: Canvas, column: float, row: float, size: float) -> None:
    """A boat with two white sails, `size` pixels high."""
    lean = canvas.light * size * 0.06
    mast = (column + lean, row - size)
    canvas.stencil(
        [
            [mast, (column + 0.02 * size, row - 0.16 * size), (column + 0.42 * size, row - 0.16 * size)],
            [
                (mast[0], row - 0.92 * size),
                (column - 0.04 * size, row - 0.16 * size),
                (column - 0.3 * size, row - 0.2 * size),
            ],
        ],
        (246, 244, 236),
    )
    hull = [(-0.36, -0.13), (0.46, -0.13), (0.34, 0.0), (-0.26, 0.0)]
    canvas.stencil([[(column + x * size, row + y * size) for x, y in hull]], (112, 40, 34))
