"""Plants: conifers, broadleaf trees, hedges along the horizon and flowers in the grass."""

from __future__ import annotations

import numpy as np

from colorize.data.scenes.canvas import Canvas, Colour, mix, ramp
from colorize.data.scenes.noise import Field, smooth

CONIFER: tuple[Colour, ...] = ((8, 32, 16), (26, 78, 34), (82, 136, 52))
BROADLEAF: tuple[Colour, ...] = ((20, 42, 14), (56, 98, 28), (120, 158, 58))
AUTUMN: tuple[tuple[Colour, ...], ...] = (
    ((110, 44, 10), (210, 104, 22), (250, 170, 58)),
    ((112, 26, 14), (188, 58, 28), (236, 116, 60)),
    ((130, 86, 12), (222, 166, 34), (252, 220, 96)),
)


def conifer(canvas: Canvas, column: float, base: float, height: float, haze: Colour, *, share: float = 0.0) -> None:
    """A fir: a dark pointed cone with tiers of drooping branches, `share` of it lost in haze."""
    half_width = height * canvas.between(0.15, 0.22)
    area = canvas.box(column - half_width * 1.3, base - height, column + half_width * 1.3, base)
    if area is None:
        return
    x0, y0, x1, y1 = area
    down = (canvas.y[y0:y1] - np.float32(base - height)) * np.float32(1 / height)
    aside = (canvas.x[:, x0:x1] - np.float32(column)) * np.float32(1 / half_width)
    texture = canvas.leaves(y1 - y0, x1 - x0)
    # Branches droop: a tier lies lower at its tips.
    tiers = down * np.float32(canvas.between(8, 12)) - np.abs(aside) * np.float32(0.7) + texture * np.float32(0.3)
    saw = tiers - np.floor(tiers)
    reach = (np.float32(0.03) + down * np.float32(0.97)) * (np.float32(0.66) + saw * np.float32(0.3))
    edge = (reach + texture * np.float32(0.16) * down - np.abs(aside)) * np.float32(half_width)
    shade = np.float32(0.36) + texture * np.float32(0.4) + aside * np.float32(canvas.light * 0.26)
    shade += (np.float32(0.45) - saw) * np.float32(0.3)
    colours = tuple(mix(colour, haze, share) for colour in CONIFER)
    canvas.blend(ramp(colours, np.clip(shade, 0, 1)), np.clip(edge + np.float32(0.5), 0, 1), y0, x0)


def broadleaf(
    canvas: Canvas,
    column: float,
    base: float,
    height: float,
    colours: tuple[Colour, ...] = BROADLEAF,
    *,
    haze: Colour = (0, 0, 0),
    share: float = 0.0,
) -> None:
    """A tree with a trunk and a crown of round clumps, lit from above and one side."""
    radius = height * canvas.between(0.36, 0.43)
    centre = base - height + radius
    trunk = height * 0.035
    bark = mix(mix((58, 42, 30), colours[0], 0.5), haze, share)
    ground_shadow(canvas, column, base, radius * 0.9)
    canvas.stencil(
        [
            [
                (column - trunk, centre),
                (column + trunk, centre),
                (column + trunk * 1.5, base),
                (column - trunk * 1.5, base),
            ]
        ],
        bark,
    )
    area = canvas.box(column - radius * 1.5, centre - radius * 1.4, column + radius * 1.5, centre + radius * 1.4)
    if area is None:
        return
    x0, y0, x1, y1 = area
    down = (canvas.y[y0:y1] - np.float32(centre)) * np.float32(1 / radius)
    aside = (canvas.x[:, x0:x1] - np.float32(column)) * np.float32(1 / radius)
    inside = np.full((y1 - y0, x1 - x0), -9.0, np.float32)
    light = np.zeros_like(inside)
    for i in range(7):
        size = canvas.between(0.42, 0.66)
        dx, dy = (0.0, -0.3) if i == 0 else (canvas.between(-0.72, 0.72), canvas.between(-0.5, 0.46))
        x, y = (aside - np.float32(dx)) * np.float32(1 / size), (down - np.float32(dy)) * np.float32(1 / size)
        clump = np.float32(1) - x * x - y * y
        facing = (x * np.float32(canvas.light) - y) * np.float32(0.2) - np.float32(dy * 0.22 - dx * canvas.light * 0.14)
        front = clump > inside
        inside = np.where(front, clump, inside)
        light = np.where(front, facing, light)
    texture = canvas.leaves(y1 - y0, x1 - x0)
    mask = np.clip((inside + texture * np.float32(0.45)) * np.float32(radius * 0.3) + np.float32(0.5), 0, 1)
    shade = np.clip(np.float32(0.42) + light * np.float32(0.9) + texture * np.float32(0.34), 0, 1)
    canvas.blend(ramp(tuple(mix(colour, haze, share) for colour in colours), shade), mask, y0, x0)


def ground_shadow(canvas: Canvas, column: float, row: float, radius: float) -> None:
    """A soft shadow on the ground, away from the light."""
    centre, flat = column - canvas.light * radius * 0.4, radius * 0.16
    area = canvas.box(centre - radius * 1.3, row - flat * 1.3, centre + radius * 1.3, row + flat * 1.3)
    if area is None:
        return
    x0, y0, x1, y1 = area
    aside, down = (
        (canvas.x[:, x0:x1] - np.float32(centre)) / np.float32(radius),
        (canvas.y[y0:y1] - np.float32(row)) / np.float32(flat),
    )
    canvas.blend((14, 20, 16), smooth_bump(aside * aside + down * down) * np.float32(0.62), y0, x0)


def smooth_bump(distance: Field) -> Field:
    """1 at a distance of 0, falling softly to 0 at 1.6."""
    return np.float32(1) - smooth(0.0, 1.6, distance)


def hedge(
    canvas: Canvas, level: float, height: float, colours: tuple[Colour, ...], haze: Colour, *, share: float
) -> None:
    """The edge of a distant wood: a dark band with a leafy top whose foot is at the row `level`."""
    line = canvas.skyline(level - height * 0.6, height * 0.45, 22, 0.75)
    top = min(max(int(line.min()) - 1, 0), canvas.height - 2)
    bottom = max(min(canvas.height, int(level) + 1), top + 2)
    y = canvas.y[top:bottom]
    mask = np.clip(y - line[None, :] + np.float32(0.5), 0, 1)
    texture = canvas.fractal(bottom - top, 4, roughness=0.8)
    lift = (np.float32(level) - y) * np.float32(1 / max(height, 1))
    shade = np.clip(np.float32(0.2) + lift * np.float32(0.4) + texture * np.float32(0.34), 0, 1)
    canvas.blend(ramp(tuple(mix(colour, haze, share) for colour in colours), shade), mask, top)


def flowers(
    canvas: Canvas, horizon: float, colour: Colour, count: int, size: float, *, heart: Colour | None = None
) -> None:
    """Blossoms scattered over a meadow, larger towards the viewer; `size` in units at the bottom edge."""
    depth = canvas.height - horizon
    bands: list[list[list[tuple[float, float]]]] = [[], [], []]
    hearts = []
    clumps = [(canvas.random.random(), canvas.random.random()) for _ in range(7)]
    for _ in range(count):
        clump_x, clump_y = canvas.random.choice(clumps)
        spread = canvas.random.random() * canvas.random.random()
        near = min(1.0, max(0.06, clump_y + canvas.between(-0.5, 0.5) * (0.3 + spread)))
        x = (clump_x + canvas.between(-0.5, 0.5) * (0.3 + spread)) * canvas.width
        y = horizon + depth * near
        radius = max(0.55, canvas.unit * size * near * canvas.between(0.7, 1.15))
        flat = radius * canvas.between(0.62, 0.9)
        bands[canvas.random.randrange(3)].append([(x - radius, y - flat), (x + radius, y + flat)])
        if heart is not None and radius > 2:
            hearts.append([(x - radius * 0.34, y - flat * 0.34), (x + radius * 0.34, y + flat * 0.34)])
    shadow = [
        [(a + canvas.unit * 0.4, b + canvas.unit * 0.7), (c + canvas.unit * 0.4, d + canvas.unit * 0.7)]
        for (a, b), (c, d) in bands[0]
    ]
    found = canvas.shape_mask(shadow)
    if found is not None:
        canvas.blend((26, 46, 18), found[2] * np.float32(0.6), found[0], found[1])
    for band, tone in zip(bands, (0.82, 1.0, 1.14), strict=True):
        red, green, blue = (min(255.0, channel * tone) for channel in colour)
        canvas.stencil(band, (red, green, blue))
    if heart is not None:
        canvas.stencil(hearts, heart)


def understory(canvas: Canvas, level: float, colours: tuple[Colour, ...]) -> None:
    """Forest floor around the row `level` and below: moss and litter, with patches of sun."""
    top, mask = canvas.below(canvas.skyline(level, canvas.unit * 4, 40, 0.5))
    fine = canvas.fractal(mask.shape[0], 6, stretch=1.6, roughness=0.85)
    patches = canvas.fractal(mask.shape[0], 30, stretch=3.0, roughness=0.5)
    sun = smooth(0.05, 0.6, patches)
    shade = np.clip(np.float32(0.3) + fine * np.float32(0.26) + sun * np.float32(0.36), 0, 1)
    canvas.blend(ramp(colours, shade), mask, top)
