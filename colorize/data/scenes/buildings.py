"""Houses with red tiled roofs, cream walls and windows; streets and towns by day and by night."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from colorize.data.scenes import land, noise, plants, sky, water
from colorize.data.scenes.canvas import Canvas, Colour, mix, ramp

Points = list[tuple[float, float]]

ROOF: tuple[Colour, ...] = ((96, 30, 20), (168, 62, 38), (206, 96, 62))
WALLS: tuple[Colour, ...] = ((240, 226, 192), (234, 212, 168), (246, 238, 218), (232, 200, 150))
GLASS: Colour = (52, 66, 82)
LAMP: Colour = (255, 204, 96)


def house(canvas: Canvas, left: float, base: float, width: float, height: float, *, haze: Colour, share: float) -> None:
    """A house seen from the front: wall, door, rows of windows with shutters, a tiled roof with a chimney."""
    right, eaves = left + width, base - height * 0.62
    ridge, overhang = base - height, width * 0.05
    wall = canvas.random.choice(WALLS)
    plants.ground_shadow(canvas, left + width / 2, base, width * 0.62)
    chimney = left + width * canvas.between(0.2, 0.7)
    canvas.stencil(
        [_rectangle(chimney, ridge - height * 0.1, chimney + width * 0.08, eaves)], mix((140, 78, 60), haze, share)
    )
    _textured(
        canvas, [_rectangle(left, eaves, right, base)], (mix(wall, (120, 96, 70), 0.4), wall), haze, share, rough=0.12
    )
    inset = width * canvas.between(0.08, 0.2)
    roof: Points = [
        (left - overhang, eaves + height * 0.03),
        (left + inset, ridge),
        (right - inset, ridge),
        (right + overhang, eaves + height * 0.03),
    ]
    _textured(canvas, [roof], ROOF, haze, share, rough=0.3, course=max(height * 0.035, 2.0))
    canvas.stencil([_rectangle(left, eaves, right, eaves + height * 0.035)], mix((92, 70, 52), haze, share))
    windows, shutters, door_at = [], [], canvas.random.randrange(3)
    columns = max(2, round(width / (height * 0.3)))
    for row in range(2):
        for column in range(columns):
            x = left + width * (column + 0.5) / columns
            y = eaves + (base - eaves) * (0.3 + 0.44 * row)
            w, h = width / columns * 0.16, height * 0.075
            if row == 1 and column == door_at % columns:
                door = _rectangle(x - w * 1.1, y - h, x + w * 1.1, base)
                canvas.stencil([door], mix((104, 58, 34), haze, share))
                continue
            windows.append(_rectangle(x - w, y - h, x + w, y + h))
            shutters += [_rectangle(x - w * 1.9, y - h, x - w, y + h), _rectangle(x + w, y - h, x + w * 1.9, y + h)]
    canvas.stencil(shutters, mix((72, 104, 72), haze, share))
    canvas.stencil(windows, mix(GLASS, haze, share))


def village(canvas: Canvas) -> None:
    """Houses among trees on green hills."""
    horizon = canvas.height * canvas.between(0.42, 0.52)
    haze = sky.day(canvas, horizon)
    if canvas.random.random() < 0.35:
        land.mountains(canvas, horizon, horizon * 0.55, haze, 0.45)
    land.hills(canvas, horizon - canvas.unit * 2, canvas.unit * 7, ((52, 88, 54), (102, 138, 78)), haze, share=0.28)
    plants.hedge(canvas, horizon + canvas.unit * 3, canvas.unit * 8, plants.BROADLEAF, haze, share=0.15)
    land.meadow(canvas, horizon + canvas.unit * 2, haze)
    for depth in range(2):
        base = horizon + canvas.unit * (10 + 17 * depth)
        size = canvas.unit * (19 + 13 * depth)
        x = canvas.between(-0.15, 0.25 + 0.3 * depth) * size * 2
        while x < canvas.width:
            high = size * canvas.between(0.85, 1.15)
            if canvas.random.random() < 0.62:
                house(
                    canvas,
                    x,
                    base + canvas.unit * canvas.between(-1, 2),
                    high * canvas.between(1.0, 1.5),
                    high,
                    haze=haze,
                    share=0.1 - 0.05 * depth,
                )
            else:
                plants.broadleaf(canvas, x + high * 0.5, base, high * 1.1, haze=haze, share=0.05)
            x += high * canvas.between(1.25, 2.1)
    if canvas.random.random() < 0.6:
        plants.flowers(canvas, horizon + canvas.height * 0.2, (248, 206, 36), 120, 1.5)


def street(canvas: Canvas) -> None:
    """A row of tall houses on a paved street, at noon."""
    base = canvas.height * canvas.between(0.74, 0.82)
    sky.day(canvas, base * 0.8)
    x = -canvas.unit * canvas.between(0, 20)
    while x < canvas.width:
        width = canvas.unit * canvas.between(26, 38)
        _facade(canvas, x, base, width, base * canvas.between(0.58, 0.8))
        x += width
    top = int(base)
    rows = canvas.height - top
    stones = noise.tile(canvas.generator, max(5 * canvas.unit, 3), stretch=1.6, roughness=0.5)
    plane = canvas.plane(base - canvas.unit * 12, tilt=2.0)
    texture = noise.sample(stones, plane.u[-rows:], plane.v[-rows:])
    canvas.blend(
        ramp(((84, 82, 82), (136, 132, 128), (176, 170, 162)), np.clip(0.5 + texture * np.float32(0.42), 0, 1)),
        1.0,
        top,
    )
    canvas.stencil([_rectangle(0, base, canvas.width, base + canvas.unit * 3)], (170, 164, 152))
    for _ in range(canvas.random.randrange(1, 4)):
        spot = canvas.random.random() * canvas.width
        plants.broadleaf(canvas, spot, base + canvas.unit * 5, canvas.unit * canvas.between(28, 42))


def night_town(canvas: Canvas) -> None:
    """Dark houses with lit windows under the moon, mirrored in a river."""
    base = canvas.height * canvas.between(0.64, 0.8)
    sky.night(canvas, base * 0.9)
    land.hills(canvas, base - canvas.unit * 14, canvas.unit * 9, ((14, 20, 46), (24, 34, 66)), (40, 54, 100), share=0.2)
    lamps: list[tuple[float, float]] = []
    for depth in range(2):
        x = -canvas.unit * canvas.between(0, 20)
        while x < canvas.width:
            width, height = (
                canvas.unit * canvas.between(18, 30),
                canvas.unit * canvas.between(24, 38) * (1.3 - 0.35 * depth),
            )
            _dark_house(canvas, x, base, width, height, depth=depth)
            x += width * canvas.between(0.95, 1.3)
            lamps.append((x, base - canvas.unit * canvas.between(9, 12)))
    canvas.blend((16, 18, 34), np.clip(canvas.y[int(base) :] - np.float32(base), 0, 1), int(base))
    for x, y in lamps[:: canvas.random.randrange(1, 3)]:
        canvas.stencil([_rectangle(x - canvas.unit * 0.3, y, x + canvas.unit * 0.3, base)], (10, 10, 18))
        canvas.glow(x, y, canvas.unit * 3.2, (255, 170, 64), 0.75)
        bulb = canvas.unit * 1.1
        canvas.stencil([[(x - bulb, y - bulb), (x + bulb, y + bulb)]], (255, 234, 176))
    water.lake(canvas, base + canvas.unit * 2, (14, 18, 44), 0.9)


def _facade(canvas: Canvas, left: float, base: float, width: float, height: float) -> None:
    wall = canvas.random.choice(WALLS)
    top, right = base - height, left + width
    _textured(
        canvas, [_rectangle(left, top, right, base)], (mix(wall, (110, 84, 58), 0.45), wall), wall, 0.0, rough=0.14
    )
    gable = height * canvas.between(0.14, 0.22)
    roof = [(left, top), (left + width * 0.18, top - gable), (right - width * 0.18, top - gable), (right, top)]
    _textured(canvas, [roof], ROOF, wall, 0.0, rough=0.3, course=max(canvas.unit * 1.3, 2.0))
    canvas.stencil([_rectangle(left, top, right, top + canvas.unit * 1.2)], mix(wall, (90, 66, 46), 0.55))
    columns, floors = max(2, round(width / (canvas.unit * 11))), max(2, round(height / (canvas.unit * 15)))
    frames, panes, shutters = [], [], []
    for floor in range(floors):
        for column in range(columns):
            x, y = left + width * (column + 0.5) / columns, top + height * (floor + 0.55) / floors
            w, h = canvas.unit * 1.7, canvas.unit * (3.6 if floor < floors - 1 else 4.4)
            frames.append(_rectangle(x - w * 1.25, y - h * 1.1, x + w * 1.25, y + h * 1.1))
            panes += [_rectangle(x - w, y - h, x - w * 0.12, y + h), _rectangle(x + w * 0.12, y - h, x + w, y + h)]
            shutters += [
                _rectangle(x - w * 2.2, y - h, x - w * 1.25, y + h),
                _rectangle(x + w * 1.25, y - h, x + w * 2.2, y + h),
            ]
    if canvas.random.random() < 0.6:
        canvas.stencil(shutters, (70, 104, 74))
    canvas.stencil(frames, (250, 246, 236))
    canvas.stencil(panes, GLASS)
    door = left + width * canvas.between(0.3, 0.7)
    canvas.stencil(
        [_rectangle(door - canvas.unit * 2.6, base - canvas.unit * 11, door + canvas.unit * 2.6, base)], (98, 54, 32)
    )


def _dark_house(canvas: Canvas, left: float, base: float, width: float, height: float, *, depth: int) -> None:
    tone = mix((34, 40, 70), (20, 22, 40), float(depth))
    eaves, right = base - height * 0.7, left + width
    gable: Points = [(left - width * 0.04, eaves), (left + width / 2, base - height), (right + width * 0.04, eaves)]
    canvas.stencil([_rectangle(left, eaves, right, base)], tone)
    canvas.stencil([gable], mix(tone, (52, 26, 34), 0.5))
    columns, floors = max(2, int(width / (canvas.unit * 6.5))), max(2, int(height / (canvas.unit * 10)))
    lit, unlit = [], []
    for floor in range(floors):
        for column in range(columns):
            x, y = left + width * (column + 0.5) / columns, eaves + (base - eaves) * (floor + 0.5) / floors
            pane = _rectangle(
                x - canvas.unit * 1.2, y - canvas.unit * 1.8, x + canvas.unit * 1.2, y + canvas.unit * 1.8
            )
            if canvas.random.random() < 0.55:
                lit.append(pane)
                canvas.glow(x, y, canvas.unit * 1.8, (150, 96, 30), 0.55)
            else:
                unlit.append(pane)
    canvas.stencil(unlit, mix(tone, (60, 74, 120), 0.3))
    canvas.stencil(lit, LAMP)


def _rectangle(left: float, top: float, right: float, bottom: float) -> Points:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _textured(
    canvas: Canvas,
    shapes: Sequence[Points],
    colours: tuple[Colour, ...],
    haze: Colour,
    share: float,
    *,
    rough: float,
    course: float | None = None,
) -> None:
    """Fill polygons with plaster or, with the height of a `course` in pixels, with rows of tiles."""
    found = canvas.shape_mask(shapes)
    if found is None:
        return
    top, left, mask = found
    rows, columns = mask.shape
    texture = canvas.leaves(rows, columns)
    if texture.shape != mask.shape:
        return
    x = canvas.x[:, left : left + columns]
    t = np.float32(0.66) + texture * np.float32(rough) + (x - x[:, :1]) * np.float32(canvas.light * 0.12 / columns)
    if course is not None:
        t = t + noise.wave(canvas.y[top : top + rows] / np.float32(course)) * np.float32(0.24)
        t = t + noise.wave(x / np.float32(course)) * np.float32(0.1)
    canvas.blend(ramp(tuple(mix(colour, haze, share) for colour in colours), np.clip(t, 0, 1)), mask, top, left)
