"""What is kept of a photo survives what copies go through, differs for other pictures, and has fixed bits."""

from __future__ import annotations

import hashlib
import io
import math

import numpy as np
import pytest
from PIL import Image, ImageOps

from colorize.data import hashing
from colorize.data.description import CODES, FIELDS, TURNS
from colorize.data.hashing import WINDOWS, Description, describe, packed, trimmed_box, turned
from colorize.data.scenes import KINDS, draw


def distance(one: np.uint64, other: np.uint64) -> int:
    return int(np.bitwise_count(one ^ other))


@pytest.fixture(scope="module")
def scenes() -> list[np.ndarray]:
    return [draw(kind, "hashing", 240, 180) for kind in list(KINDS)[:8]]


def test_the_basis_is_the_cosine() -> None:
    assert list(hashing._COSINE) == [round(math.cos(j * math.pi / 64) * 2**14) for j in range(33)]
    expected = [[round(math.cos((2 * x + 1) * k * math.pi / 64) * 2**14) for x in range(32)] for k in range(11)]
    assert hashing._BASIS.tolist() == expected


def test_bits_are_the_same_on_every_machine() -> None:
    pixels = np.frombuffer(hashlib.shake_256(b"pixels").digest(96 * 64 * 3), np.uint8).reshape(64, 96, 3)
    digest = hashlib.sha256(b"".join(packed(describe(pixels)).values())).hexdigest()
    assert digest[:16] == "c2b54d927703522d"


def test_sums_are_exact_in_floating_point() -> None:
    """Else the order of adding, which is the library's own, would show in the last bit."""
    largest = np.abs(hashing._BASES).sum(axis=1).max() ** 2 * 255
    assert largest < 2**53
    assert (np.floor(hashing._BASES) == hashing._BASES).all()


def test_copies_stay_near(scenes: list[np.ndarray]) -> None:
    for rgb in scenes:
        buffer = io.BytesIO()
        image = Image.fromarray(rgb)
        image.resize((150, 120)).save(buffer, "JPEG", quality=40)
        code = describe(rgb).codes[0]
        for copy in (np.asarray(Image.open(buffer)), (rgb * 0.7 + 60).astype(np.uint8)):
            assert distance(code, describe(copy).codes[0]) <= 6


def test_other_pictures_are_far(scenes: list[np.ndarray]) -> None:
    codes = [describe(rgb).codes[0] for rgb in scenes]
    assert min(distance(a, b) for i, a in enumerate(codes) for b in codes[:i]) > 8


def test_the_manifest_has_room_for_all_codes() -> None:
    assert 2 + len(WINDOWS) == CODES


def test_codes_of_windows_are_those_of_the_parts_cut_out(scenes: list[np.ndarray]) -> None:
    for rgb in scenes:
        codes = describe(rgb).codes
        for (x, y, share), code in zip(WINDOWS, codes[2:], strict=True):
            part = rgb[round(y * 180) : round((y + share) * 180), round(x * 240) : round((x + share) * 240)]
            assert distance(code, describe(np.ascontiguousarray(part)).codes[0]) <= 8


def test_turned_codes_are_those_of_the_turned_picture(scenes: list[np.ndarray]) -> None:
    for rgb in scenes:
        found = describe(rgb)
        for turn in range(1, TURNS):
            other = describe(np.ascontiguousarray(turned(rgb, turn)))
            assert distance(found.turned_codes[turn - 1], other.codes[0]) <= 4, turn


def test_turns_are_the_symmetries_of_a_square() -> None:
    square = np.arange(9, dtype=np.uint8).reshape(3, 3)
    assert len({turned(square, turn).tobytes() for turn in range(TURNS)}) == 8
    assert (turned(square, 0) == square).all()
    assert (turned(square, 1) == square[:, ::-1]).all()
    assert (turned(square, 2) == square[::-1]).all()
    for turn in range(TURNS):
        back = {5: 6, 6: 5}.get(turn, turn)
        assert (turned(turned(square, turn), back) == square).all()


def test_a_wide_plain_strip_on_one_side_alone_is_no_border(scenes: list[np.ndarray]) -> None:
    burnt_out = scenes[0].copy()
    burnt_out[:, :60] = 255
    assert trimmed_box(burnt_out) == (0, 0, 240, 180)
    burnt_out[:, 190:] = 255  # with one as wide on the other side, it is
    assert trimmed_box(burnt_out)[0] >= 60


@pytest.mark.parametrize("color", ["white", "black", (120, 30, 60)])
@pytest.mark.parametrize("width", [3, 12, 40])
def test_borders_are_found(scenes: list[np.ndarray], color: str, width: int) -> None:
    for rgb in scenes:
        image = ImageOps.expand(Image.fromarray(rgb), width, color)
        inner = (width, width, width + 240, width + 180)
        found = trimmed_box(np.asarray(image))
        assert max(abs(a - b) for a, b in zip(found, inner, strict=True)) <= 4


def test_a_border_in_a_border_is_found(scenes: list[np.ndarray]) -> None:
    image = ImageOps.expand(ImageOps.expand(Image.fromarray(scenes[0]), 9, "black"), 20, "white")
    assert trimmed_box(np.asarray(image)) == (29, 29, 269, 209)


def test_a_fading_sky_is_no_border() -> None:
    rows = np.clip(200 - np.arange(180) // 3, 0, 255).astype(np.uint8)
    sky = np.repeat(np.repeat(rows[:, None, None], 240, axis=1), 3, axis=2)
    assert trimmed_box(sky) == (0, 0, 240, 180)


def test_what_is_kept_is_that_of_the_picture_inside(scenes: list[np.ndarray]) -> None:
    rgb = scenes[1]
    one, other = describe(rgb), describe(np.asarray(ImageOps.expand(Image.fromarray(rgb), 20, "white")))
    assert (one.thumbnail == other.thumbnail).all()
    assert (one.colors == other.colors).all()
    assert (one.codes[1:] == other.codes[1:]).all()
    assert other.box.tolist() == [65535 * 20 // 280, 65535 * 20 // 220, 65535 * 260 // 280, 65535 * 200 // 220]


def test_a_picture_of_one_colour_has_code_0() -> None:
    found = describe(np.full((50, 70, 3), 77, np.uint8))
    assert not found.codes.any()
    assert not found.colors.any()
    assert found.box.tolist() == [0, 0, 65535, 65535]


@pytest.mark.parametrize("shape", [(32, 500, 3), (500, 32, 3), (1, 1, 3), (2, 3, 3), (49, 47, 3)])
def test_shapes_and_bytes(shape: tuple[int, int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    found = describe(pixels)
    assert isinstance(found, Description)
    assert [array.shape for array in found] == [(17,), (7,), (48, 48), (8, 8, 2), (4,)]
    assert {name: len(value) for name, value in packed(found).items()} == FIELDS
