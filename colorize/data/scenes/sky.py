"""Skies: clear, cloudy, overcast, sunset and night. Each returns the colour of the haze at the horizon."""

from __future__ import annotations

import numpy as np

from colorize.data.scenes.canvas import Canvas, Colour, mix, ramp
from colorize.data.scenes.noise import Field, smooth


def day(canvas: Canvas, horizon: float, clouds: float | None = None) -> Colour:
    """A blue sky, deep above and pale at the horizon, with white clouds.

    Args:
        canvas: the picture.
        horizon: row where the sky ends.
        clouds: 0 none to 1 many; None chooses.
    """
    deep = canvas.vary((38, 98, 188), 10)
    middle = canvas.vary((92, 156, 222), 8)
    pale = canvas.vary((190, 217, 238), 6)
    _gradient(canvas, horizon, (deep, mix(deep, middle, 0.7), middle, mix(middle, pale, 0.6), pale))
    if clouds is None:
        clouds = canvas.random.choice((0.0, 0.25, 0.4, 0.55, 0.7))
    if clouds > 0:
        cumulus(canvas, horizon, clouds, (255, 255, 253), (150, 165, 188))
    return pale


def overcast(canvas: Canvas, horizon: float) -> Colour:
    """A closed ceiling of grey-blue cloud."""
    dark, pale = canvas.vary((118, 132, 152), 8), canvas.vary((205, 212, 218), 5)
    _gradient(canvas, horizon, (dark, mix(dark, pale, 0.55), pale))
    cumulus(canvas, horizon, 1.0, (214, 219, 224), (112, 124, 143), stretch=3.0)
    return pale


def sunset(canvas: Canvas, horizon: float, disc: bool = True) -> tuple[Colour, float, float]:
    """Dark violet above, burning low down, with the sun near the horizon.

    Returns:
        The colour at the horizon, and column and row of the sun.
    """
    warm = canvas.between(0.0, 1.0)
    top = mix((40, 48, 104), (58, 44, 96), warm)
    colours = (top, (112, 74, 128), (206, 96, 104), (246, 146, 74), (255, 206, 118))
    _gradient(canvas, horizon, colours)
    sun_x, sun_y = canvas.between(0.22, 0.78) * canvas.width, horizon - canvas.between(0.06, 0.2) * horizon
    canvas.glow(sun_x, sun_y, canvas.unit * 16, (150, 96, 30), 1.0)
    rows = int(horizon) + 1
    field = _flatten(canvas.fractal(rows, 22, stretch=canvas.between(3.5, 6.5), roughness=0.55))
    lit = smooth(-0.35, 0.35, field - _shift(field, -max(2, int(canvas.unit * 3))))
    height = canvas.y[:rows] / np.float32(horizon)
    high, low = ramp(((92, 60, 104), (228, 108, 112)), lit), ramp(((150, 70, 86), (255, 186, 108)), lit)
    cover = smooth(canvas.between(0.0, 0.2), 0.55, field) * np.float32(0.85)
    canvas.blend(high + (low - high) * height, cover)
    if disc:
        radius = canvas.unit * canvas.between(3.2, 5.0)
        canvas.stencil([[(sun_x - radius, sun_y - radius), (sun_x + radius, sun_y + radius)]], (255, 244, 196))
    canvas.glow(sun_x, sun_y, canvas.unit * 5, (90, 66, 26), 1.0)
    return colours[-1], sun_x, sun_y


def night(canvas: Canvas, horizon: float, moon: bool = True) -> Colour:
    """Dark blue with stars and a moon."""
    top, low = canvas.vary((9, 14, 42), 3), canvas.vary((38, 54, 104), 5)
    _gradient(canvas, horizon, (top, mix(top, low, 0.45), low))
    stars = []
    for _ in range(canvas.random.randrange(60, 130)):
        x, y = canvas.between(0, canvas.width), canvas.between(0, horizon * 0.9)
        size = canvas.unit * canvas.between(0.12, 0.34)
        stars.append([(x - size, y - size), (x + size, y + size)])
    canvas.stencil(stars, (222, 226, 244))
    if moon:
        x, y = canvas.between(0.15, 0.85) * canvas.width, canvas.between(0.14, 0.4) * horizon
        radius = canvas.unit * canvas.between(4, 6.5)
        canvas.glow(x, y, radius * 1.6, (70, 84, 128), 1.0)
        disc = canvas.shape_mask([[(x - radius, y - radius), (x + radius, y + radius)]])
        if disc is not None:
            row, column, mask = disc
            marks = canvas.leaves(*mask.shape)
            canvas.blend(ramp(((206, 206, 196), (250, 247, 230)), smooth(-0.5, 0.3, marks)), mask, row, column)
    if canvas.random.random() < 0.5:
        cumulus(canvas, horizon, 0.3, (74, 88, 130), (22, 28, 62), stretch=3.5)
    return low


def cumulus(
    canvas: Canvas, horizon: float, amount: float, bright: Colour, shadow: Colour, *, stretch: float = 2.2
) -> None:
    """Clouds lit from above, flatter and denser towards the horizon; `amount` 0..1 is how much of the sky they hide."""
    rows = int(horizon) + 1
    field = _flatten(canvas.fractal(rows, canvas.between(20, 36), stretch, roughness=0.52))
    threshold = 0.42 - amount * 0.75
    cover = smooth(threshold, threshold + 0.42, field)
    above = _shift(field, max(2, int(canvas.unit * 5)))
    lit = smooth(-0.62, 0.42, field - above) * np.float32(0.8) + smooth(0.9, 0.1, field) * np.float32(0.2)
    fade = np.float32(0.97) - smooth(0.55, 1.05, canvas.y[:rows] / np.float32(horizon)) * np.float32(0.5)
    canvas.blend(ramp((shadow, mix(shadow, bright, 0.62), bright), lit), cover * fade)


def _gradient(canvas: Canvas, horizon: float, colours: tuple[Colour, ...]) -> None:
    """Fill the whole picture: colours from top to horizon, the last one below."""
    height = np.clip(canvas.y / np.float32(max(horizon, 1.0)), 0, 1)
    tilt = (canvas.x - np.float32(canvas.width / 2)) * np.float32(canvas.light * 0.06 / canvas.width)
    canvas.blend(ramp(colours, np.clip(height + tilt, 0, 1)))


def _flatten(field: Field) -> Field:
    """The field with its rows passed slowly at the top and fast at the bottom: clouds from below lie flat far away."""
    rows = field.shape[0]
    if rows < 2:
        return field
    step = np.arange(rows, dtype=np.float32) * np.float32(1 / rows)
    position = step * (step * np.float32(0.55) + np.float32(0.6)) * np.float32((rows - 2) / 1.15)
    whole = position.astype(np.int64)
    part = (position - whole.astype(np.float32))[:, None]
    flat: Field = field[whole] * (np.float32(1) - part) + field[whole + 1] * part
    return flat


def _shift(field: Field, rows: int) -> Field:
    """The field moved down by `rows` (up when negative); the border row is repeated."""
    index = np.clip(np.arange(field.shape[0]) - rows, 0, field.shape[0] - 1)
    return field[index]
