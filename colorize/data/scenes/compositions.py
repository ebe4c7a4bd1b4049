"""Whole landscapes: what stands where. Each function draws one kind of photograph on an empty canvas."""

from __future__ import annotations

from colorize.data.scenes import land, plants, sky, water
from colorize.data.scenes.canvas import Canvas, Colour, mix


def coast(canvas: Canvas) -> None:
    """Blue sky, teal sea with glints, often a beach or a boat."""
    horizon = canvas.height * canvas.between(0.36, 0.56)
    haze = sky.day(canvas, horizon)
    if canvas.random.random() < 0.5:
        headland = mix((78, 98, 88), haze, 0.5)
        land.hills(
            canvas,
            horizon + canvas.unit * 2,
            canvas.unit * 8,
            (mix(headland, (40, 60, 40), 0.4), headland),
            haze,
            share=0.25,
        )
    water.sea(canvas, horizon, canvas.vary((30, 92, 150), 8), canvas.vary((22, 122, 136), 10), haze)
    if canvas.random.random() < 0.45:
        size = canvas.unit * canvas.between(9, 18)
        row = horizon + canvas.unit * canvas.between(3, 7)
        water.sailboat(canvas, canvas.between(0.15, 0.85) * canvas.width, row, size)
    if canvas.random.random() < 0.65:
        water.beach(canvas, horizon + (canvas.height - horizon) * canvas.between(0.45, 0.68))


def sunset_sea(canvas: Canvas) -> None:
    """The sun sets over water that carries its light."""
    horizon = canvas.height * canvas.between(0.52, 0.66)
    haze, column, _ = sky.sunset(canvas, horizon)
    if canvas.random.random() < 0.6:
        dark = mix((44, 28, 54), haze, 0.15)
        land.hills(canvas, horizon + canvas.unit, canvas.unit * 9, (dark, mix(dark, haze, 0.25)), haze, share=0.1)
    water.sea(canvas, horizon, (206, 118, 84), (62, 44, 84), haze, glints=0.0)
    water.sun_path(canvas, horizon, column, (255, 214, 140))
    if canvas.random.random() < 0.4:
        land.hills(canvas, canvas.height * 0.94, canvas.unit * 7, ((20, 14, 26), (34, 22, 34)), haze, share=0.0)
        silhouette_trees(canvas, canvas.height * 0.97, 3, 40)


def sunset_hills(canvas: Canvas) -> None:
    """Layered hills turn dark under a burning sky."""
    horizon = canvas.height * canvas.between(0.6, 0.7)
    haze, _, _ = sky.sunset(canvas, horizon)
    for i in range(4):
        level = horizon + (canvas.height - horizon) * (0.02 + 0.24 * i)
        share = 0.52 - 0.15 * i
        land.hills(canvas, level, canvas.unit * (7 + 2 * i), ((38, 24, 44), (84, 48, 62)), haze, share=max(share, 0.0))
    silhouette_trees(canvas, canvas.height * 0.97, canvas.random.randrange(2, 6), 34)


def silhouette_trees(canvas: Canvas, base: float, count: int, size: float) -> None:
    """Trees against the light."""
    dark = ((14, 10, 20), (26, 18, 30), (52, 32, 40))
    for _ in range(count):
        height = canvas.unit * size * canvas.between(0.7, 1.2)
        plants.broadleaf(canvas, canvas.between(0.02, 0.98) * canvas.width, base, height, dark)


def alps(canvas: Canvas) -> None:
    """Snow-capped mountains over woods and a meadow."""
    horizon = canvas.height * canvas.between(0.6, 0.7)
    haze = sky.day(canvas, horizon)
    _ranges(canvas, horizon, haze)
    land.hills(canvas, horizon - canvas.unit * 2, canvas.unit * 5, ((34, 66, 36), (70, 108, 52)), haze, share=0.22)
    _wood(canvas, horizon + canvas.unit * 3, 14, haze, 0.12)
    land.meadow(canvas, horizon + canvas.unit * 3, haze)
    if canvas.random.random() < 0.6:
        _blossoms(canvas, horizon + canvas.unit * 6)
    for _ in range(canvas.random.randrange(0, 6)):
        near = canvas.between(0.15, 0.75)
        base = horizon + (canvas.height - horizon) * near
        plants.conifer(canvas, canvas.random.random() * canvas.width, base, canvas.unit * (10 + 36 * near), haze)


def mountain_lake(canvas: Canvas) -> None:
    """Mountains and firs, mirrored in still water."""
    shore = canvas.height * canvas.between(0.52, 0.6)
    haze = sky.day(canvas, shore, canvas.random.choice((0.0, 0.25, 0.4)))
    _ranges(canvas, shore, haze)
    _wood(canvas, shore, 16, haze, 0.08)
    water.lake(canvas, shore, canvas.vary((18, 74, 92), 8))
    if canvas.random.random() < 0.5:
        land_line = canvas.height * 1.02
        for _ in range(canvas.random.randrange(2, 5)):
            side = canvas.random.choice((canvas.between(-0.02, 0.22), canvas.between(0.78, 1.02)))
            plants.conifer(canvas, side * canvas.width, land_line, canvas.unit * canvas.between(45, 85), haze)


def forest(canvas: Canvas) -> None:
    """Firs, row before row, with mist between them."""
    horizon = canvas.height * canvas.between(0.22, 0.36)
    haze = sky.day(canvas, horizon, 0.25) if canvas.random.random() < 0.6 else sky.overcast(canvas, horizon)
    mist = mix(haze, (128, 188, 176), 0.75)
    for i in range(5):
        base = horizon + (canvas.height - horizon) * (0.14 + 0.2 * i)
        share = 0.56 - 0.14 * i
        backdrop = tuple(mix(colour, mist, share) for colour in plants.CONIFER[:2])
        land.hills(canvas, base - canvas.unit * (7 + 3 * i), canvas.unit * 3, backdrop, mist, share=0.0)
        size = canvas.unit * (15 + 9 * i)
        for _ in range(int(canvas.width / size * 5)):
            x = canvas.between(-0.05, 1.05) * canvas.width
            plants.conifer(
                canvas,
                x,
                base + canvas.between(-1, 2) * canvas.unit,
                size * canvas.between(0.75, 1.25),
                mist,
                share=share,
            )
    floor = canvas.height * 0.9
    plants.understory(canvas, floor, ((18, 32, 14), (58, 84, 28), (130, 150, 60)))


def autumn(canvas: Canvas) -> None:
    """Broadleaf trees in orange, red and gold behind pale grass or a lake."""
    horizon = canvas.height * canvas.between(0.5, 0.6)
    haze = sky.day(canvas, horizon)
    plants.hedge(canvas, horizon + canvas.unit * 3, canvas.unit * 13, plants.AUTUMN[0], haze, share=0.18)
    _crowns(canvas, horizon + canvas.unit * 2, 22, 24, haze, kinds=(*plants.AUTUMN, plants.AUTUMN[0]))
    if canvas.random.random() < 0.4:
        water.lake(canvas, horizon + canvas.unit * 2, (40, 62, 84), 0.9)
    else:
        land.meadow(canvas, horizon + canvas.unit * 2, haze, land.AUTUMN_GRASS)
        _crowns(canvas, canvas.height * 0.84, 2, 58, haze, kinds=plants.AUTUMN)


def meadow(canvas: Canvas) -> None:
    """Rolling green under a big sky, with flowers and a few trees."""
    horizon = canvas.height * canvas.between(0.42, 0.6)
    haze = sky.day(canvas, horizon)
    land.hills(canvas, horizon - canvas.unit * 1, canvas.unit * 6, ((58, 92, 62), (104, 138, 82)), haze, share=0.35)
    plants.hedge(canvas, horizon + canvas.unit * 2, canvas.unit * 5, plants.BROADLEAF, haze, share=0.22)
    land.meadow(canvas, horizon + canvas.unit, haze)
    _crowns(canvas, horizon + canvas.unit * 5, canvas.random.randrange(1, 5), 24, haze, kinds=(plants.BROADLEAF,))
    if canvas.random.random() < 0.35:
        land.path(canvas, horizon + canvas.unit, (206, 178, 132))
    if canvas.random.random() < 0.85:
        _blossoms(canvas, horizon)


def desert(canvas: Canvas) -> None:
    """Sand dunes under a deep sky."""
    horizon = canvas.height * canvas.between(0.36, 0.5)
    haze = sky.day(canvas, horizon, canvas.random.choice((0.0, 0.0, 0.25)))
    land.dunes(canvas, horizon, mix(haze, (236, 214, 180), 0.5))


def farmland(canvas: Canvas) -> None:
    """A ploughed field, wheat, young green or lavender, its rows meeting at the horizon."""
    horizon = canvas.height * canvas.between(0.36, 0.5)
    haze = sky.day(canvas, horizon)
    land.hills(canvas, horizon, canvas.unit * 6, ((66, 98, 66), (118, 146, 88)), haze, share=0.4)
    plants.hedge(canvas, horizon + canvas.unit * 2, canvas.unit * 6, plants.BROADLEAF, haze, share=0.18)
    crop = canvas.random.choice(("wheat", "wheat", "soil", "green", "lavender"))
    land.rows(canvas, horizon + canvas.unit, haze, crop)
    if canvas.random.random() < 0.5:
        _crowns(canvas, horizon + canvas.unit * 4, canvas.random.randrange(1, 3), 30, haze, kinds=(plants.BROADLEAF,))


def grey_day(canvas: Canvas) -> None:
    """An overcast sky over sober hills or a dull sea."""
    horizon = canvas.height * canvas.between(0.45, 0.58)
    haze = sky.overcast(canvas, horizon)
    if canvas.random.random() < 0.4:
        water.sea(canvas, horizon, (98, 118, 132), (58, 86, 96), haze, glints=0.5)
        return
    sober: tuple[Colour, ...] = tuple(mix(colour, (84, 92, 78), 0.35) for colour in land.GRASS)
    land.hills(canvas, horizon - canvas.unit * 5, canvas.unit * 8, ((70, 88, 84), (108, 122, 108)), haze, share=0.4)
    _wood(canvas, horizon + canvas.unit * 2, 13, haze, 0.3)
    land.meadow(canvas, horizon + canvas.unit * 2, haze, sober)


def moonlight(canvas: Canvas) -> None:
    """Mountains and firs under the moon."""
    horizon = canvas.height * canvas.between(0.62, 0.72)
    haze = sky.night(canvas, horizon)
    land.hills(canvas, horizon - canvas.unit * 6, canvas.unit * 14, ((16, 24, 52), (28, 40, 76)), haze, share=0.3)
    land.hills(canvas, horizon + canvas.unit * 2, canvas.unit * 8, ((8, 14, 32), (18, 28, 54)), haze, share=0.1)
    if canvas.random.random() < 0.5:
        water.lake(canvas, horizon + canvas.unit * 5, (14, 22, 54), 0.85)
    for _ in range(canvas.random.randrange(5, 12)):
        column, size = canvas.random.random() * canvas.width, canvas.unit * canvas.between(14, 34)
        plants.conifer(canvas, column, canvas.height * canvas.between(0.98, 1.06), size, (6, 9, 22), share=0.85)


def _ranges(canvas: Canvas, foot: float, haze: Colour) -> None:
    height = foot * canvas.between(0.5, 0.72)
    if canvas.random.random() < 0.75:
        land.mountains(canvas, foot, height * canvas.between(0.95, 1.2), haze, 0.55)
    land.mountains(canvas, foot, height * canvas.between(0.6, 0.95), haze, 0.12)


def _wood(canvas: Canvas, foot: float, size: float, haze: Colour, share: float) -> None:
    plants.hedge(canvas, foot, canvas.unit * size * 0.6, plants.CONIFER, haze, share=share)
    for _ in range(int(canvas.width / canvas.unit / size * 4)):
        height = canvas.unit * size * canvas.between(0.55, 1.15)
        plants.conifer(
            canvas, canvas.between(-0.02, 1.02) * canvas.width, foot + canvas.unit, height, haze, share=share
        )


def _crowns(
    canvas: Canvas, foot: float, count: int, size: float, haze: Colour, *, kinds: tuple[tuple[Colour, ...], ...]
) -> None:
    spots = sorted(canvas.between(0.0, 1.0) for _ in range(count))
    for spot in spots:
        height = canvas.unit * size * canvas.between(0.75, 1.2)
        colours = kinds[canvas.random.randrange(len(kinds))]
        plants.broadleaf(
            canvas,
            spot * canvas.width,
            foot + canvas.between(-1, 1) * canvas.unit,
            height,
            colours,
            haze=haze,
            share=0.08,
        )


def _blossoms(canvas: Canvas, horizon: float) -> None:
    kind = canvas.random.randrange(3)
    if kind == 0:
        plants.flowers(canvas, horizon, (206, 34, 28), 190, 2.7, heart=(40, 14, 18))
    elif kind == 1:
        plants.flowers(canvas, horizon, (248, 206, 36), 280, 1.7)
    else:
        plants.flowers(canvas, horizon, (242, 242, 238), 240, 1.9, heart=(240, 196, 40))
