"""Resizing in integers, against Pillow's filter."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from colorize.images import resizing
from colorize.images.resizing import resize


def picture(side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def by_pillow(rgb: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(Image.fromarray(rgb).resize((size, size), Image.Resampling.BICUBIC)).transpose(2, 0, 1)


def down(planes: np.ndarray, size: int) -> np.ndarray:
    """C x H x W resized to C x size x W, as the module says it, by its table of weights."""
    first, weights = resizing._weights(planes.shape[1], size)
    taps = weights.shape[1]
    rows = np.clip(first[:, None] + np.arange(taps), 0, planes.shape[1] - 1)
    products = (255 * 128 + 1 - 256 * planes.astype(np.int64))[:, rows] * weights[:, :, None]
    total = ((products >> 16).sum(axis=2) + taps // 2) >> 7 if taps <= 6 else (products.sum(axis=2) + 2**15) >> 23
    return np.clip(total + 128, 0, 255)


@settings(deadline=None)
@given(st.integers(1, 150), st.integers(1, 100))
def test_it_is_two_passes_of_the_weights_each_rounded(side: int, size: int) -> None:
    rgb = picture(side)
    across = down(down(rgb.transpose(2, 0, 1), size).transpose(0, 2, 1), size)
    np.testing.assert_array_equal(resize(rgb[None], size), across.transpose(0, 2, 1))


@settings(deadline=None)
@given(st.integers(1, 150), st.integers(1, 100))
def test_it_is_pillows_bicubic_filter(side: int, size: int) -> None:
    # Equal columns, so that one pass changes nothing. Products are rounded, and weights: a value that lies half-way
    # between two levels may become the other one.
    rgb = np.repeat(picture(side)[:, :1], side, axis=1)
    found, wanted = resize(rgb[None], size).astype(int), by_pillow(rgb, size)
    exact = (exact_weights(side, size) @ rgb[:, 0].astype(float)).T[:, :, None]
    half_way = np.broadcast_to(abs(exact % 1 - 0.5) <= resizing._weights(side, size)[1].shape[1] / 128, found.shape)
    np.testing.assert_array_equal(found[~half_way], wanted[~half_way])
    assert np.abs(found - wanted).max() <= 1


def exact_weights(side: int, size: int) -> np.ndarray:
    centres = (np.arange(size) + 0.5) * side / size
    x = abs(np.arange(side) + 0.5 - centres[:, None]) / max(1, side / size)
    weights = np.where(x < 1, 1.5 * x**3 - 2.5 * x**2 + 1, np.where(x < 2, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2, 0))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


@pytest.mark.parametrize(
    ("side", "size", "share"),
    [(375, 256, 0.011), (150, 256, 0.009), (384, 256, 0.013), (768, 256, 3e-3), (1000, 96, 8e-3), (4000, 96, 8e-3)],
)
def test_sizes_of_photos(side: int, size: int, share: float) -> None:
    # Pillow goes across first. Two passes: the second sees the first one's differences.
    rgb = picture(side)
    found, wanted = resize(rgb.transpose(1, 0, 2)[None], size).transpose(0, 2, 1).astype(int), by_pillow(rgb, size)
    assert np.abs(found - wanted).max() <= 2
    assert (np.abs(found - wanted) == 2).mean() < 1e-4
    assert (found != wanted).mean() < share
    assert abs((found - wanted).mean()) < 1e-2


def test_pictures_and_channels_are_resized_alone() -> None:
    rgb = picture(37)
    planes = np.ascontiguousarray(rgb.transpose(2, 0, 1))
    together = resize(rgb[None], 24)
    assert together.shape == (3, 24, 24)
    np.testing.assert_array_equal(resize(planes[..., None], 24), together)
    np.testing.assert_array_equal(resize(np.stack([rgb, rgb[::-1]]), 24)[:3], together)
    np.testing.assert_array_equal(
        resize(picture(80)[5:42, 9:46][None], 24), resize(picture(80)[5:42, 9:46].copy()[None], 24)
    )


def test_turning_a_picture_turns_the_result() -> None:
    # Where nothing is rounded between the passes: of one row the other pass makes the same.
    rows = np.repeat(picture(50)[:1], 50, axis=0)
    across = resize(rows[None], 33)
    down = resize(rows.transpose(1, 0, 2)[None], 33)
    np.testing.assert_array_equal(across, down.transpose(0, 2, 1))


@pytest.mark.parametrize("value", [0, 1, 127, 254, 255])
@pytest.mark.parametrize(("side", "size"), [(375, 256), (150, 256), (17, 96), (7, 3), (2, 9), (3000, 48)])
def test_one_colour_stays_as_it_is(value: int, side: int, size: int) -> None:
    assert (resize(np.full((1, side, side, 3), value, np.uint8), size) == value).all()


@settings(deadline=None)
@given(st.integers(1, 700), st.integers(1, 300))
def test_weights_are_the_rounded_fractions(side: int, size: int) -> None:
    first, weights = resizing._weights(side, size)
    assert (weights.sum(axis=1) == -(2**15)).all()
    assert (np.diff(first) >= 0).all()
    row = (side * 7 + size) % size
    scale = max(Fraction(1), Fraction(side, size))
    centre = (row + Fraction(1, 2)) * side / size
    exact = {source: cubic(abs(source + Fraction(1, 2) - centre) / scale) for source in range(side)}
    total = sum(exact.values())
    found = dict.fromkeys(range(side), 0)
    for tap, weight in enumerate(weights[row]):
        found[min(max(int(first[row]) + tap, 0), side - 1)] -= int(weight)
    off = [abs(found[source] - exact[source] / total * 2**15) for source in range(side)]
    assert sum(error > Fraction(1, 2) for error in off) <= 1  # one takes what rounding left over
    assert max(off) <= len(weights[row])


def cubic(x: Fraction) -> Fraction:
    """Keys (1981), equation 4, with a = -1/2."""
    if x < 1:
        return Fraction(3, 2) * x**3 - Fraction(5, 2) * x**2 + 1
    return -Fraction(1, 2) * x**3 + Fraction(5, 2) * x**2 - 4 * x + 2 if x < 2 else Fraction(0)


def test_the_bits_are_the_same_everywhere() -> None:
    digest = hashlib.sha256(b"".join(resize(picture(side)[None], 96).tobytes() for side in (40, 131, 300))).hexdigest()
    assert digest == "0b9f6923aaa3189fce5c5e62b34b661e3589c669f57ddc951989990a7c7c01e5"


PROGRAM = """
import hashlib, numpy as np
from colorize.images.resizing import resize
rgb = np.random.default_rng(0).integers(0, 256, (131, 131, 3), dtype=np.uint8)
print(hashlib.sha256(resize(rgb[None], 96).tobytes()).hexdigest())
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", ["its own folder", "nowhere"])
def test_the_package_may_lie_where_nobody_can_write(repository: Path, tmp_path: Path, where: str) -> None:
    # For a processor without vector instructions, too: the bits are the same.
    package = tmp_path / "package" / "colorize"
    shutil.copytree(repository / "colorize", package, ignore=shutil.ignore_patterns("__pycache__"))
    blocked = tmp_path / "blocked"
    blocked.write_text("a file, so that no folder can be made of it")
    for folder in (package, package / "images"):  # root may write anywhere: a file where the folder would be
        (folder / "__pycache__").write_text("")
    cache = tmp_path / "cache"
    environment = {
        **os.environ,
        "HOME": str(blocked),
        "XDG_CACHE_HOME": str(blocked),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
    } | ({"NUMBA_CACHE_DIR": str(cache)} if where == "its own folder" else {})
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=package.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == hashlib.sha256(resize(picture(131)[None], 96).tobytes()).hexdigest()
    assert any(cache.rglob("*.nbc")) == (where == "its own folder")
