"""Things seen from near: blossoms against a soft background, fruit on a wooden table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from colorize.data.scenes import noise
from colorize.data.scenes.canvas import Canvas, Colour, mix, ramp
from colorize.data.scenes.noise import Field, smooth


@dataclass(frozen=True)
class Patch:
    """A rectangle of the canvas in coordinates that turn and stretch with what is drawn there."""

    top: int
    left: int
    along: Field
    across: Field


def patch(
    canvas: Canvas, x: float, y: float, heading: tuple[float, float], length: float, *, width: float
) -> Patch | None:
    """Coordinates -1..1 inside an ellipse around (x, y): half axes `length` along a unit vector, and `width`."""
    reach = max(length, width) * 1.15
    area = canvas.box(x - reach, y - reach, x + reach, y + reach)
    if area is None:
        return None
    x0, y0, x1, y1 = area
    dx, dy = canvas.x[:, x0:x1] - np.float32(x), canvas.y[y0:y1] - np.float32(y)
    c, s = heading
    along = ((dx * c + dy * s) / length).astype(np.float32)
    across = ((dy * c - dx * s) / width).astype(np.float32)
    return Patch(y0, x0, along, across)


def direction(turn: float) -> tuple[float, float]:
    """A unit vector, `turn` full turns from the x axis; rational, because a cosine's last bit depends on the CPU."""
    quarter, part = divmod(turn * 4, 1.0)
    # The tangent of half the angle, 0..1 for 0..90 degrees, by its series.
    half = part * (0.7854 + part * part * (0.1615 + 0.0531 * part * part))
    c, s = (1 - half * half) / (1 + half * half), 2 * half / (1 + half * half)
    for _ in range(int(quarter) % 4):
        c, s = -s, c
    return c, s


def petal(
    canvas: Canvas, x: float, y: float, turn: float, length: float, *, width: float, colours: tuple[Colour, ...]
) -> None:
    """One petal that starts at (x, y): an ellipse with veins, darker at its root and edge."""
    c, s = direction(turn)
    found = patch(canvas, x + c * length / 2, y + s * length / 2, (c, s), length / 2, width=width / 2)
    if found is None:
        return
    shape = (
        np.float32(1)
        - found.along * found.along
        - found.across * found.across * (np.float32(1.15) - found.along * np.float32(0.25))
    )
    mask = np.clip(shape * np.float32(min(length, width) * 0.25) + np.float32(0.2), 0, 1)
    veins = noise.wave(found.across * np.float32(3.5)) * np.float32(0.07)
    shade = np.float32(0.46) + found.along * np.float32(0.28) + veins + found.across * np.float32(canvas.light * 0.16)
    shade = shade - smooth(0.3, 0.0, shape) * np.float32(0.28)
    canvas.blend(ramp(colours, np.clip(shade, 0, 1)), mask, found.top, found.left)


def blossom(canvas: Canvas) -> None:
    """One to three large flowers in front of blurred green: poppies, sunflowers, daisies or tulips."""
    backdrop = canvas.fractal(canvas.height, 46, roughness=0.42, smallest=6)
    canvas.blend(
        ramp(
            ((16, 40, 16), (52, 98, 40), (126, 166, 82)), np.clip(np.float32(0.44) + backdrop * np.float32(0.42), 0, 1)
        )
    )
    for _ in range(canvas.random.randrange(4, 10)):
        _bokeh(canvas)
    kind = canvas.random.choice((_poppy, _sunflower, _daisy, _tulip))
    count = canvas.random.choice((1, 1, 2, 3))
    size = canvas.unit * (34 if count == 1 else 24 if count == 2 else 19)
    spots = {
        1: ((0.5, 0.45),),
        2: ((0.3, 0.4), (0.7, 0.55)),
        3: ((0.24, 0.5), (0.52, 0.3), (0.77, 0.58)),
    }[count]
    for spot_x, spot_y in spots:
        x = (spot_x + canvas.between(-0.05, 0.05)) * canvas.width
        y = (spot_y + canvas.between(-0.05, 0.05)) * canvas.height
        _stem(canvas, x, y, size)
        kind(canvas, x, y, size * canvas.between(0.9, 1.1))


def _bokeh(canvas: Canvas) -> None:
    x, y = canvas.random.random() * canvas.width, canvas.random.random() * canvas.height
    radius = canvas.unit * canvas.between(4, 10)
    found = patch(canvas, x, y, (1.0, 0.0), radius, width=radius)
    if found is not None:
        shape = np.float32(1) - found.along * found.along - found.across * found.across
        canvas.blend((168, 200, 120), np.clip(shape * np.float32(4), 0, 1) * np.float32(0.3), found.top, found.left)


def _stem(canvas: Canvas, x: float, y: float, size: float) -> None:
    width, sway = size * 0.055, canvas.between(-0.3, 0.3) * size
    bottom = canvas.height + 2.0
    canvas.stencil(
        [[(x - width, y), (x + width, y), (x + sway + width, bottom), (x + sway - width, bottom)]], (56, 100, 36)
    )
    leaf = ((30, 66, 22), (70, 122, 44), (124, 168, 76))
    for side in (0.04, 0.46):
        petal(
            canvas,
            x + sway * 0.5,
            y + size * 1.15,
            side + canvas.between(-0.04, 0.04),
            size * 0.9,
            width=size * 0.3,
            colours=leaf,
        )


def _poppy(canvas: Canvas, x: float, y: float, size: float) -> None:
    red = ((112, 6, 10), (206, 26, 22), (244, 78, 52))
    start = canvas.between(0.0, 0.25)
    for i in (0, 2, 1, 3):
        petal(canvas, x, y, start + i / 4, size * 1.02, width=size * 1.35, colours=red)
    for i in range(12):
        petal(canvas, x, y, i / 12, size * 0.3, width=size * 0.06, colours=((14, 8, 14), (40, 26, 34)))
    _disc(canvas, x, y, size * 0.15, ((36, 44, 24), (98, 112, 62)), rough=0.5)


def _sunflower(canvas: Canvas, x: float, y: float, size: float) -> None:
    yellow = ((188, 112, 8), (246, 184, 22), (255, 226, 84))
    for ring in range(2):
        for i in range(18):
            petal(canvas, x, y, (i + ring / 2) / 18, size * (1.06 - 0.1 * ring), width=size * 0.24, colours=yellow)
    _disc(canvas, x, y, size * 0.42, ((34, 20, 10), (78, 46, 20), (120, 76, 32)), rough=0.9)


def _daisy(canvas: Canvas, x: float, y: float, size: float) -> None:
    white = ((168, 176, 190), (236, 238, 240), (255, 255, 252))
    for i in range(20):
        petal(canvas, x, y, i / 20 + canvas.between(-0.006, 0.006), size, width=size * 0.22, colours=white)
    _disc(canvas, x, y, size * 0.25, ((188, 122, 12), (244, 190, 34), (255, 224, 96)), rough=0.7)


def _tulip(canvas: Canvas, x: float, y: float, size: float) -> None:
    pink = ((132, 16, 66), (218, 56, 116), (250, 142, 178))
    foot = y + size * 0.55
    for turn, width in ((0.66, 0.62), (0.84, 0.62), (0.71, 0.66), (0.79, 0.66), (0.75, 0.72)):
        petal(canvas, x, foot, turn, size * 1.3, width=size * width, colours=pink)


def _disc(canvas: Canvas, x: float, y: float, radius: float, colours: tuple[Colour, ...], *, rough: float) -> None:
    found = patch(canvas, x, y, (1.0, 0.0), radius, width=radius)
    if found is None:
        return
    shape = np.float32(1) - found.along * found.along - found.across * found.across
    texture = canvas.leaves(shape.shape[0], shape.shape[1])
    shade = np.float32(0.3) + smooth(0.0, 1.2, shape) * np.float32(0.3) + texture * np.float32(rough * 0.5)
    mask = np.clip(shape * np.float32(radius * 0.5) + np.float32(0.5), 0, 1)
    canvas.blend(ramp(colours, np.clip(shade, 0, 1)), mask, found.top, found.left)


def still_life(canvas: Canvas) -> None:
    """Oranges, lemons, apples and grapes on a wooden table in front of a plain wall."""
    edge = canvas.height * canvas.between(0.42, 0.52)
    wall = canvas.vary((98, 132, 138), 8)
    plaster = canvas.fractal(canvas.height, 50, roughness=0.5)
    light = np.float32(0.5) + (canvas.x / np.float32(canvas.width) - np.float32(0.5)) * np.float32(canvas.light * 0.6)
    canvas.blend(
        ramp(
            (mix(wall, (30, 32, 36), 0.6), wall, mix(wall, (240, 236, 228), 0.45)),
            np.clip(light + plaster * np.float32(0.07), 0, 1),
        )
    )
    _table(canvas, edge)
    kinds: tuple[Callable[[Canvas, float, float, float], None], ...] = (_orange, _lemon, _apple, _grapes)
    favourite = canvas.random.randrange(len(kinds))
    for row, (level, size) in enumerate(((0.16, 12.0), (0.5, 15.0))):
        x = canvas.unit * canvas.between(12, 30)
        base = edge + (canvas.height - edge) * level
        while x < canvas.width - canvas.unit * 8:
            radius = canvas.unit * size * canvas.between(0.9, 1.12)
            if canvas.random.random() < 0.78 - 0.12 * row:
                kind = favourite if canvas.random.random() < 0.4 else canvas.random.randrange(len(kinds))
                y = base + canvas.between(-2, 3) * canvas.unit
                _cast(canvas, x, y, radius)
                kinds[kind](canvas, x, y - radius * 0.9, radius)
            x += radius * canvas.between(2.05, 2.9)


def _table(canvas: Canvas, edge: float) -> None:
    plane = canvas.plane(edge - canvas.height * 0.22, tilt=1.2)
    top = int(edge)
    grain = noise.tile(canvas.generator, max(3 * canvas.unit, 2), stretch=16, roughness=0.7)
    skip = top - plane.top
    figure = noise.sample(grain, plane.u[skip:], plane.v[skip:])
    planks = plane.near[skip:] * np.float32(6)
    groove = smooth(0.1, 0.02, planks - np.floor(planks))
    shade = np.clip(np.float32(0.55) + figure * np.float32(0.3) - groove * np.float32(0.5), 0, 1)
    canvas.blend(ramp(((70, 40, 22), (142, 92, 52), (192, 140, 88)), shade), 1.0, top)


def _cast(canvas: Canvas, x: float, y: float, radius: float) -> None:
    centre = x - canvas.light * radius * 0.4
    found = patch(canvas, centre, y, (1.0, 0.0), radius * 1.25, width=radius * 0.36)
    if found is not None:
        shape = np.float32(1) - found.along * found.along - found.across * found.across
        canvas.blend((26, 14, 10), np.clip(shape * np.float32(1.4), 0, 1) * np.float32(0.6), found.top, found.left)


def _ball(
    canvas: Canvas,
    x: float,
    y: float,
    radius: float,
    colours: tuple[Colour, ...],
    *,
    rough: float = 0.0,
    long: float = 1.0,
    gloss: float = 0.7,
    dent: float = 0.0,
) -> None:
    """A lit round body: shaded like a sphere, with a highlight; `dent` hollows the top, `long` stretches it."""
    found = patch(canvas, x, y, (1.0, 0.0), radius * long, width=radius)
    if found is None:
        return
    u, v = found.along, found.across
    hollow = np.maximum(np.float32(0.4) - np.abs(u), 0) * smooth(0.2, -0.6, v) * np.float32(dent)
    shape = np.float32(1) - u * u - v * v - hollow
    depth = np.sqrt(np.maximum(shape, np.float32(0)))
    lit = u * np.float32(canvas.light * 0.5) - v * np.float32(0.6) + depth * np.float32(0.62)
    if rough:
        lit = lit + canvas.leaves(shape.shape[0], shape.shape[1]) * np.float32(rough)
    mask = np.clip(shape * np.float32(radius * 0.5) + np.float32(0.5), 0, 1)
    canvas.blend(ramp(colours, np.clip(np.float32(0.3) + lit * np.float32(0.62), 0, 1)), mask, found.top, found.left)
    spot_u, spot_v = u - np.float32(canvas.light * 0.36), v + np.float32(0.42)
    shine = np.clip(np.float32(1) - (spot_u * spot_u + spot_v * spot_v) * np.float32(26), 0, 1)
    canvas.blend((255, 255, 250), shine * mask * np.float32(gloss), found.top, found.left)


def _orange(canvas: Canvas, x: float, y: float, radius: float) -> None:
    _ball(canvas, x, y, radius, ((116, 44, 4), (232, 122, 14), (255, 182, 62)), rough=0.1, gloss=0.45)


def _lemon(canvas: Canvas, x: float, y: float, radius: float) -> None:
    colours: tuple[Colour, ...] = ((142, 108, 8), (238, 208, 40), (255, 244, 132))
    _ball(canvas, x + radius * 1.06, y + radius * 0.25, radius * 0.24, colours, gloss=0.0)
    _ball(canvas, x, y + radius * 0.2, radius * 0.78, colours, rough=0.08, long=1.36, gloss=0.5)


def _apple(canvas: Canvas, x: float, y: float, radius: float) -> None:
    _ball(canvas, x, y, radius, ((70, 6, 10), (186, 26, 26), (232, 84, 60)), rough=0.05, gloss=0.95, dent=0.9)
    stalk = radius * 0.06
    lean = canvas.between(-0.2, 0.2) * radius
    canvas.stencil(
        [
            [
                (x - stalk, y - radius * 0.7),
                (x + stalk, y - radius * 0.7),
                (x + lean + stalk, y - radius * 1.2),
                (x + lean - stalk, y - radius * 1.2),
            ]
        ],
        (62, 42, 22),
    )


def _grapes(canvas: Canvas, x: float, y: float, radius: float) -> None:
    purple = ((30, 12, 42), (84, 40, 104), (150, 106, 172))
    for row, count in enumerate((3, 4, 3, 2)):
        for i in range(count):
            spot = x + (i - (count - 1) / 2) * radius * 0.56
            _ball(canvas, spot, y + radius * (-0.35 + 0.36 * row), radius * 0.33, purple, gloss=0.8)
