"""The drawn photographs: the same bytes everywhere, natural colours where they belong, any size."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from colorize.data import scenes
from colorize.data.scenes import noise
from colorize.data.scenes.closeups import direction

# sha256 of the pixels of `draw(kind, "golden", 120, 90)`. When drawing changes on purpose: print the new ones with
# `python tests/data/test_scenes.py`, and raise `GENERATOR` in colorize/data/sources/sample.py.
GOLDEN = {
    "coast": "645af63daf6bf7d8",
    "sunset-sea": "1e3509498407b471",
    "sunset-hills": "6f1d41bd1208bf82",
    "alps": "11ebbf22d685b30a",
    "mountain-lake": "d811d92cf62ba440",
    "forest": "2b9e7f55b4bd0c85",
    "autumn": "663bc3b78a670bd3",
    "meadow": "b52b3f0f7b31689c",
    "desert": "93d7262f75b88173",
    "farmland": "e0ebf3ac4fd0b56e",
    "grey-day": "544817a85358ff55",
    "moonlight": "a5bf3d56b7b23b0e",
    "village": "42e4e2ba7ea7325a",
    "street": "021ee1c5e209eb61",
    "night-town": "73682be659649b82",
    "blossom": "9cea61abc34a8de3",
    "still-life": "7218131b962add8d",
}


def digest(kind: str) -> str:
    return hashlib.sha256(scenes.draw(kind, "golden", 120, 90).tobytes()).hexdigest()[:16]


def all_digests() -> dict[str, str]:
    return {kind: digest(kind) for kind in scenes.KINDS}


def test_every_kind_is_drawn_to_the_byte_as_ever() -> None:
    assert all_digests() == GOLDEN


def test_pixels_and_files_do_not_depend_on_the_instructions_of_the_cpu() -> None:
    from numpy._core._multiarray_umath import __cpu_dispatch__

    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(__cpu_dispatch__), "JSIMD_FORCENONE": "1"}
    found = subprocess.run(
        [sys.executable, "-W", "ignore", __file__],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert found.stdout == report()


def report() -> str:
    """What the process without vector instructions prints: the pixels' digests and those of two encoded files."""
    from colorize.data.scenes.files import encode
    from colorize.data.scenes.plan import planned

    files = [encode(planned("mirflickr25k", 1, number)) for number in (0, 20)]
    lines = [f'    "{kind}": "{value}",' for kind, value in all_digests().items()]
    return "\n".join(lines + [hashlib.sha256(data).hexdigest() for data in files]) + "\n"


@pytest.mark.parametrize("size", [(20, 20), (16, 64), (64, 16), (37, 53)])
def test_every_kind_can_be_drawn_at_odd_sizes(size: tuple[int, int]) -> None:
    width, height = size
    for kind in scenes.KINDS:
        photo = scenes.draw(kind, "odd", width, height)
        assert photo.shape == (height, width, 3), kind
        assert photo.dtype == np.uint8
        assert photo.std() > 3, f"{kind} is flat"


def test_another_seed_is_another_photo_and_the_same_seed_the_same() -> None:
    first, again, other = (scenes.draw("alps", seed, 60, 40) for seed in ("a", "a", "b"))
    assert np.array_equal(first, again)
    assert np.abs(first.astype(int) - other).mean() > 5


def mean_colour(kind: str, rows: slice, columns: slice = slice(None)) -> tuple[float, float, float]:
    photos = [scenes.draw(kind, f"colour-{i}", 96, 96)[rows, columns] for i in range(6)]
    red, green, blue = np.stack(photos).reshape(-1, 3).mean(axis=0)
    return red, green, blue


TOP, BOTTOM = slice(0, 20), slice(76, 96)


@pytest.mark.parametrize("kind", ["coast", "alps", "meadow", "desert", "farmland", "village", "mountain-lake"])
def test_the_sky_by_day_is_blue(kind: str) -> None:
    red, green, blue = mean_colour(kind, TOP)
    assert blue > green > red
    assert blue - red > 40


@pytest.mark.parametrize("kind", ["alps", "meadow", "village"])
def test_grass_is_green(kind: str) -> None:
    red, green, blue = mean_colour(kind, BOTTOM)
    assert green > red + 15
    assert green > blue + 40


def test_sand_is_warm() -> None:
    red, green, blue = mean_colour("desert", BOTTOM)
    assert red > green + 20 > blue + 50


def test_sunsets_burn_low_and_are_violet_above() -> None:
    low, high = mean_colour("sunset-hills", slice(46, 56)), mean_colour("sunset-hills", slice(0, 8))
    assert low[0] > low[1] > low[2] + 20
    assert high[2] > high[1] + 20
    assert sum(low) > sum(high) + 150, "the brightness alone tells where the sun is"


def test_nights_are_dark_and_blue_with_warm_lights() -> None:
    red, _, blue = mean_colour("night-town", TOP)
    assert blue > red + 15
    assert blue < 100
    town = scenes.draw("night-town", "lights", 96, 96).astype(int)
    assert ((town[..., 0] > 200) & (town[..., 2] < 150)).sum() > 20


def test_every_kind_has_vivid_colours() -> None:
    for kind in scenes.KINDS:
        photo = scenes.draw(kind, "vivid", 96, 64).astype(int)
        saturation = np.percentile(photo.max(axis=2) - photo.min(axis=2), 95)
        assert saturation > (25 if kind == "grey-day" else 45), kind


def test_directions_are_unit_vectors_at_the_angle_asked_for() -> None:
    for turn in np.linspace(0, 1.5, 61):
        c, s = direction(float(turn))
        assert c * c + s * s == pytest.approx(1)
        assert (c, s) == pytest.approx((np.cos(turn * 2 * np.pi), np.sin(turn * 2 * np.pi)), abs=0.003)


def test_noise_fills_its_range_without_leaving_it_far() -> None:
    field = noise.fractal(noise.stream("range"), 96, 128, 24)
    assert field.shape == (96, 128)
    assert abs(float(field.mean())) < 0.35
    assert 0.3 < float(field.std()) < 0.9


def test_a_tile_continues_at_its_borders() -> None:
    tile = noise.tile(noise.stream("tile"), 32, smallest=4)
    inside = np.abs(np.diff(tile, axis=1)).max()
    assert np.abs(tile[:, 0] - tile[:, -1]).max() <= inside
    assert np.abs(tile[0] - tile[-1]).max() <= np.abs(np.diff(tile, axis=0)).max()


if __name__ == "__main__":
    sys.stdout.write(report())
