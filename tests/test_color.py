"""Colour: the code against an independent float64 calculation and published values, and the way back."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import rgb2lab

from colorize import color
from colorize.color_kernel import code_planes

# scikit-image 0.26, rgb2lab with illuminant D65 and the 2° observer.
PUBLISHED = [
    ((0, 0, 0), (0.0, 0.0, 0.0)),
    ((99, 99, 99), (41.9647, -0.0012, 0.0023)),
    ((206, 206, 206), (82.7646, -0.0021, 0.004)),
    ((0, 25, 0), (6.2799, -12.829, 9.1701)),
    ((146, 231, 55), (83.7243, -51.6893, 71.6932)),
    ((124, 46, 252), (43.1608, 73.0843, -87.9043)),
    ((69, 119, 236), (52.4113, 21.9626, -64.0256)),
    ((10, 120, 123), (45.5329, -25.9651, -9.5825)),
    ((219, 4, 191), (50.584, 83.4645, -40.4109)),
    ((252, 220, 126), (88.6342, -0.5403, 49.9188)),
    ((111, 170, 23), (63.4999, -39.9937, 61.3318)),
    ((110, 126, 63), (50.2108, -16.466, 32.1303)),
    ((150, 101, 163), (50.021, 30.7557, -25.6643)),
    ((33, 23, 226), (30.4599, 67.8571, -94.4602)),
    ((239, 63, 3), (53.9401, 64.9111, 64.9194)),
    ((88, 206, 231), (77.2704, -25.7391, -22.2381)),
]


def exact(rgb: np.ndarray) -> np.ndarray:
    """Code by float64 and rounding, N×3: written down anew from the standards."""
    value = rgb.astype(np.float64) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    matrix = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
    xyz = linear @ matrix.T / [0.95047, 1.0, 1.08883]
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack(
        [np.floor((116 * y - 16) * 2.55 + 0.5), np.floor(500 * (x - y) + 128.5), np.floor(200 * (y - z) + 128.5)], -1
    )


def coded(rgb: np.ndarray) -> np.ndarray:
    l, ab = color.rgb_to_lab_code(rgb)  # noqa: E741
    return np.concatenate([l[..., None], ab], axis=-1)


def sample(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 3), dtype=np.uint8)


def test_published_values() -> None:
    rgb = np.array([pixel for pixel, _ in PUBLISHED], np.uint8)
    lab = np.array([values for _, values in PUBLISHED])
    np.testing.assert_array_equal(coded(rgb), np.rint(lab * [2.55, 1, 1] + [0, 128, 128]))
    np.testing.assert_allclose(color.rgb_to_lab(rgb), lab, atol=3e-4)


def test_code_is_the_rounded_value_for_nearly_all_colours() -> None:
    rgb = sample(400_000)
    differing = coded(rgb) != exact(rgb)
    assert differing.any(axis=1).mean() <= 1e-4
    assert np.abs(coded(rgb).astype(int) - exact(rgb)).max() <= 1


def test_code_has_the_same_bits_everywhere() -> None:
    rgb = np.stack(np.meshgrid(*[np.arange(0, 256, 5, dtype=np.uint8)] * 3, indexing="ij"), -1)
    digest = hashlib.sha256(coded(rgb).tobytes()).hexdigest()
    # If this is meant to change, raise colorize.data.shard_plan.FORMAT with it: shards hold these bytes.
    assert digest == "104c8689673e577f4feb2010be9265f8e0c61ad41bab26ff25f029ba250075c3"


@pytest.mark.parametrize("shape", [(3,), (1, 3), (7, 5, 3), (2, 90, 91, 3), (0, 3), (256, 3), (257, 3)])
def test_the_kernel_gives_the_same_bits(shape: tuple[int, ...]) -> None:
    rgb = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    codes = code_planes(np.moveaxis(rgb, -1, 0))
    assert codes.flags.c_contiguous
    np.testing.assert_array_equal(np.moveaxis(codes, 0, -1), coded(rgb))


def test_the_kernel_gives_the_same_bits_for_a_grid_of_all_colours() -> None:
    rgb = np.stack(np.meshgrid(*[np.arange(0, 256, 3, dtype=np.uint8)] * 3, indexing="ij"), -1)
    np.testing.assert_array_equal(np.moveaxis(code_planes(np.moveaxis(rgb, -1, 0)), 0, -1), coded(rgb))


@pytest.mark.slow
def test_code_of_all_colours() -> None:
    off = 0
    side = np.arange(256, dtype=np.uint8)
    plane = np.stack(np.meshgrid(side, side, indexing="ij"), -1)
    for red in range(256):
        rgb = np.concatenate([np.full((256, 256, 1), red, np.uint8), plane], axis=-1)
        code = coded(rgb)
        np.testing.assert_array_equal(np.moveaxis(code_planes(np.moveaxis(rgb, -1, 0)), 0, -1), code)
        off += int((code != exact(rgb)).any(axis=-1).sum())
    assert off <= 2**24 // 10_000


def test_greys_have_no_colour() -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    l, ab = color.rgb_to_lab_code(grey)  # noqa: E741
    assert (ab == 128).all()
    assert l[0] == 0
    assert l[255] == 255
    assert (np.diff(l.astype(int)) >= 0).all()


@pytest.mark.parametrize("shape", [(3,), (1, 3), (7, 5, 3), (2, 90, 91, 3), (0, 3)])
def test_shapes_and_blocks(shape: tuple[int, ...]) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    l, ab = color.rgb_to_lab_code(rgb)  # noqa: E741
    assert l.shape == shape[:-1]
    assert ab.shape == (*shape[:-1], 2)
    assert np.moveaxis(ab, -1, 0).flags.c_contiguous
    alone = [coded(pixel) for pixel in rgb.reshape(-1, 3)[:: max(1, rgb.size // 90)]]
    np.testing.assert_array_equal(coded(rgb).reshape(-1, 3)[:: max(1, rgb.size // 90)], np.reshape(alone, (-1, 3)))


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_there_and_back(pixel: tuple[int, int, int]) -> None:
    rgb = np.array([pixel], np.uint8)
    np.testing.assert_array_equal(color.lab_to_rgb(color.rgb_to_lab(rgb)), rgb)


def test_all_of_a_sample_there_and_back() -> None:
    rgb = sample(100_000)
    lab = color.rgb_to_lab(rgb)
    assert lab.dtype == np.float32
    np.testing.assert_allclose(lab, rgb2lab(rgb), atol=3e-4)
    np.testing.assert_array_equal(color.lab_to_rgb(lab), rgb)


def test_the_code_keeps_colours_within_rounding() -> None:
    rgb = sample(20_000)
    l, ab = color.lab_from_code(*color.rgb_to_lab_code(rgb))  # noqa: E741
    assert l.dtype == ab.dtype == np.float32
    decoded = np.concatenate([l[:, None], ab], axis=1)
    assert (np.abs(decoded - color.rgb_to_lab(rgb)).max(axis=0) <= [50 / 255 + 1e-3, 0.501, 0.501]).all()


def test_colours_outside_srgb_are_clipped() -> None:
    lab = np.array([[50, 200, 0], [50, 0, -300], [150, 0, 0], [-20, 0, 0]], np.float32)
    rgb = color.lab_to_rgb(lab)
    assert rgb[0, 0] == 255
    assert rgb[0, 1] == 0
    assert rgb[1, 2] == 255
    assert rgb[2].tolist() == [255, 255, 255]
    assert rgb[3].tolist() == [0, 0, 0]


@pytest.mark.parametrize("wrong", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)])
def test_other_arrays_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"uint8 of shape \(\.\.\., 3\)"):
        color.rgb_to_lab_code(wrong)
    with pytest.raises(ValueError, match=str(wrong.dtype)):
        color.rgb_to_lab(wrong)
