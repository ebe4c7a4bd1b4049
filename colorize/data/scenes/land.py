"""Land: mountain ranges, hills, meadows, dunes and fields with rows."""

from __future__ import annotations

import numpy as np

from colorize.data.scenes import noise
from colorize.data.scenes.canvas import Canvas, Colour, mix, ramp
from colorize.data.scenes.noise import Field, smooth, wave

GRASS: tuple[Colour, ...] = ((34, 66, 22), (78, 124, 38), (128, 168, 58), (176, 196, 92))
AUTUMN_GRASS: tuple[Colour, ...] = ((66, 62, 24), (120, 112, 44), (166, 150, 66), (198, 180, 100))


def mountains(
    canvas: Canvas, horizon: float, height: float, haze: Colour, distance: float, *, snow: bool = True
) -> None:
    """A range of rock with snow on its heights, lit from one side.

    Args:
        canvas: the picture.
        horizon: row of its foot.
        height: of the highest peaks in pixels.
        haze: colour of the air.
        distance: 0 near to 1 lost in haze.
        snow: whether the summits are white.
    """
    line = _peaks(canvas, horizon - height * 0.45, height * 0.55)
    top, mask = canvas.below(line)
    rows = mask.shape[0]
    depth = canvas.y[top:] - line[None, :]
    # Ribs run down from the crest: the line's slope, read further aside the further down, plus folded noise.
    crest = noise.fractal(
        canvas.generator, 1, canvas.width, canvas.unit * 16, 1, roughness=0.62, smallest=canvas.unit * 2.2
    )[0]
    slope = sideways(crest, 1) - crest
    drift = canvas.fractal(rows, 16, stretch=0.8, roughness=0.55)
    folds = np.float32(1) - np.abs(drift) * np.float32(2)
    index = np.clip(canvas.x + depth * np.float32(0.28) + drift * np.float32(canvas.unit * 5), 0, canvas.width - 1)
    ribs = slope[index.astype(np.int32)] * np.float32(canvas.unit * 5)
    step = max(1, round(canvas.unit * 0.5))
    side = (sideways(drift, step) - drift) * np.float32(1.6)
    facing = np.clip(np.float32(0.5) + (ribs + side) * np.float32(canvas.light * 0.75) + folds * np.float32(0.2), 0, 1)
    rock = ramp(((62, 62, 78), (112, 106, 106), (164, 152, 140)), facing)
    low = smooth(0.35, 1.05, depth / np.float32(height) + drift * np.float32(0.16))
    canvas.blend(rock, mask, top)
    canvas.blend(ramp(((32, 52, 38), (78, 100, 58)), facing), mask * low * np.float32(0.9), top)
    if snow:
        above = (np.float32(horizon - height * canvas.between(0.42, 0.6)) - canvas.y[top:]) / np.float32(height)
        cover = smooth(-0.06, 0.1, above + folds * np.float32(0.08) + (facing - np.float32(0.5)) * np.float32(0.12))
        canvas.blend(ramp(((132, 152, 190), (214, 224, 238), (255, 254, 250)), facing), mask * cover, top)
    mist = smooth(0.1, 1.3, depth / np.float32(height)) * np.float32(0.35 + 0.3 * distance)
    canvas.blend(mix(haze, (150, 178, 214), 0.5), mask * np.clip(mist + np.float32(distance * 0.6), 0, 0.92), top)


def hills(
    canvas: Canvas, level: float, amplitude: float, colours: tuple[Colour, ...], haze: Colour, *, share: float
) -> Field:
    """A rolling ridge with soft patches, `share` (0..1) of it lost in haze. Returns its skyline."""
    line = canvas.skyline(level, amplitude, canvas.between(60, 110), 0.35)
    top, mask = canvas.below(line)
    patches = canvas.fractal(mask.shape[0], 22, stretch=3.5, roughness=0.6)
    fall = smooth(0.0, 1.0, (canvas.y[top:] - line[None, :]) / np.float32(max(amplitude * 3, 4)))
    t = np.clip(np.float32(0.72) + patches * np.float32(0.22) - fall * np.float32(0.3), 0, 1)
    canvas.blend(ramp(tuple(mix(colour, haze, share) for colour in colours), t), mask, top)
    return line


def meadow(canvas: Canvas, horizon: float, haze: Colour, colours: tuple[Colour, ...] = GRASS) -> None:
    """Grass from the horizon to the viewer, blades visible near by."""
    plane = canvas.plane(horizon, tilt=3.0)
    patches = noise.tile(canvas.generator, max(60 * canvas.unit, 16), stretch=1.6, roughness=0.62)
    far = noise.sample(patches, plane.u * np.float32(0.5), plane.v * np.float32(0.5))
    rows = canvas.height - plane.top
    blades = canvas.fractal(rows, 7, stretch=0.28, roughness=0.85)
    tufts = canvas.fractal(rows, 14, stretch=1.5, roughness=0.6)
    near = smooth(0.05, 0.8, plane.near)
    t = np.float32(0.56) + far * np.float32(0.2) + (blades * np.float32(0.2) + tufts * np.float32(0.16)) * near
    t -= smooth(0.6, 1.1, plane.near) * np.float32(0.14)
    grass = ramp(colours, np.clip(t, 0, 1))
    air = smooth(0.35, 0.0, plane.near) * np.float32(0.28)
    canvas.blend(grass + (np.asarray(haze, np.float32)[:, None, None] - grass) * air, 1.0, plane.top)


def sideways(field: Field, pixels: int) -> Field:
    """The field moved to the right; the border is repeated."""
    return field[..., np.maximum(np.arange(field.shape[-1]) - pixels, 0)]


def smooth_down(low: float, high: float, values: Field) -> Field:
    """1 below `low`, 0 above `high`."""
    return np.float32(1) - smooth(low, high, values)


def dunes(canvas: Canvas, horizon: float, haze: Colour) -> None:
    """Sand dunes, one crest behind another, rippled by the wind; one side of each lies in shadow."""
    lit, dark = canvas.vary((238, 188, 118), 8), canvas.vary((146, 88, 52), 8)
    count = canvas.random.randrange(4, 6)
    for i in range(count):
        near = i / (count - 1)
        level = horizon + (canvas.height - horizon) * (0.02 + 0.62 * near * near)
        line = canvas.skyline(level, (canvas.height - horizon) * (0.07 + 0.2 * near), 50 + 60 * near, 0.26)
        top, mask = canvas.below(line)
        rows = mask.shape[0]
        depth = canvas.y[top:] - line[None, :]
        warp = canvas.fractal(rows, 30, stretch=2.0, roughness=0.4, smallest=4)
        # The crest's shadow side: where the line falls away from the light, fading downhill.
        slope = (line - sideways(line, max(2, int(canvas.unit * 4)))) * np.float32(-canvas.light / (canvas.unit * 2))
        reach = smooth_down(
            0.2, 1.0, depth * np.float32(1 / (canvas.height * (0.1 + 0.24 * near))) + warp * np.float32(0.25)
        )
        shadow = smooth(-0.1, 0.7, slope)[None, :] * reach
        fineness = canvas.unit * (1.0 + 2.2 * near)
        ripple = wave(
            (depth + warp * np.float32(canvas.unit * 9) + (canvas.x * np.float32(0.18))) / np.float32(fineness)
        )
        t = (
            np.float32(0.78)
            - shadow * np.float32(0.62)
            + warp * np.float32(0.1)
            + ripple * np.float32(0.05 + 0.03 * near)
        )
        colours = tuple(
            mix(colour, haze, 0.32 * (1 - near)) for colour in (dark, mix(dark, lit, 0.55), lit, (252, 222, 166))
        )
        canvas.blend(ramp(colours, np.clip(t, 0, 1)), mask, top)


def rows(canvas: Canvas, horizon: float, haze: Colour, crop: str) -> None:
    """A field whose rows meet at the horizon. `crop`: "wheat", "soil", "green" or "lavender"."""
    plane = canvas.plane(horizon, tilt=2.5, vanishing=canvas.between(0.2, 0.8))
    period, contrast, colours = {
        "wheat": (0.05, 0.2, ((122, 78, 26), (192, 140, 52), (228, 184, 88), (248, 222, 142))),
        "soil": (0.085, 0.46, ((44, 26, 18), (88, 56, 38), (128, 88, 60), (164, 122, 88))),
        "green": (0.07, 0.4, ((84, 62, 40), (62, 92, 36), (92, 142, 46), (150, 188, 76))),
        "lavender": (0.17, 0.62, ((104, 90, 62), (62, 40, 96), (112, 78, 164), (170, 134, 208))),
    }[crop]
    size = canvas.height - plane.top
    rough = canvas.fractal(size, 5, stretch=0.5 if crop == "wheat" else 1.2, roughness=0.85)
    patches = canvas.fractal(size, 40, stretch=3.0, roughness=0.5, smallest=3)
    near = smooth(0.02, 0.5, plane.near)
    stripe = wave(plane.across * np.float32(1 / period) + patches * np.float32(0.12) * plane.near)
    # Rows less than two pixels apart, sideways or downwards, would make rings.
    apart = plane.near * np.float32((canvas.height - horizon) * period) / (np.float32(1) + np.abs(plane.across))
    visible = np.clip(apart * np.float32(0.6) - np.float32(1), 0, 1)
    t = np.float32(0.6) + stripe * visible * np.float32(contrast * 0.6) + patches * np.float32(0.1)
    t += rough * near * np.float32(0.24)
    if crop == "lavender":
        bushes = canvas.fractal(size, 4, stretch=1.4, roughness=0.6)
        t += bushes * near * np.float32(0.14)
    planes = ramp(colours, np.clip(t, 0, 1))
    air = smooth_down(0.0, 0.3, plane.near) * np.float32(0.25)
    canvas.blend(planes + (np.asarray(haze, np.float32)[:, None, None] - planes) * air, 1.0, plane.top)


def path(canvas: Canvas, horizon: float, colour: Colour) -> None:
    """A sandy path that winds from the bottom edge towards the horizon."""
    plane = canvas.plane(horizon, vanishing=canvas.between(0.35, 0.65))
    bend = wave(plane.near * np.float32(canvas.between(0.5, 0.9)) + np.float32(canvas.between(0, 1)))
    aside = np.abs(plane.across + bend * np.float32(0.22) * (np.float32(1) - plane.near))
    rough = canvas.fractal(canvas.height - plane.top, 6, stretch=2.0, roughness=0.8)
    edge = np.float32(0.17) + rough * np.float32(0.022)
    mask = np.clip((edge - aside) * np.float32(canvas.height * 0.25) * plane.near + np.float32(0.5), 0, 1)
    tone = np.clip(np.float32(0.55) + rough * np.float32(0.3), 0, 1)
    canvas.blend(ramp((mix(colour, (60, 44, 30), 0.5), colour), tone), mask * smooth(0.0, 0.08, plane.near), plane.top)


def _peaks(canvas: Canvas, level: float, amplitude: float) -> Field:
    """A jagged skyline: folded noise makes summits sharp and valleys round."""
    broad = noise.fractal(canvas.generator, 1, canvas.width, canvas.unit * canvas.between(55, 80), 1.0, roughness=0.5)[
        0
    ]
    fine = noise.fractal(canvas.generator, 1, canvas.width, canvas.unit * 16, 1.0, roughness=0.55)[0]
    ridge = np.float32(1) - np.abs(broad) * np.float32(1.35)
    rows: Field = np.float32(level) - (ridge * np.float32(0.88) + fine * np.float32(0.14)) * np.float32(amplitude)
    return rows
