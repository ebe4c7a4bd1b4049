"""Colour spaces inside networks: CIELAB as in the data, published values, there and back, finite gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from colorize import color
from colorize.models.lab import (
    ab_of_output,
    grey_to_srgb,
    lab_to_oklab,
    lab_to_rgb,
    lab_to_yuv,
    oklab_to_lab,
    rgb_to_lab,
    yuv_to_lab,
)

SPACES = {"oklab": (lab_to_oklab, oklab_to_lab), "yuv": (lab_to_yuv, yuv_to_lab)}


@pytest.fixture
def pixels() -> np.ndarray:
    """Colours from all of sRGB, its corners and its darkest values among them: uint8, 64 x 64 x 3."""
    drawn = np.random.default_rng(0).integers(0, 256, (64 * 64, 3), dtype=np.uint8)
    drawn[:256] = np.arange(256, dtype=np.uint8)[:, None]
    drawn[256:512] = np.random.default_rng(1).integers(0, 12, (256, 3))
    drawn[512:520] = [[255 * (corner >> bit & 1) for bit in range(3)] for corner in range(8)]
    return drawn.reshape(64, 64, 3)


def tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


def test_lab_is_that_of_the_data(pixels: np.ndarray) -> None:
    expected = torch.from_numpy(color.rgb_to_lab(pixels)).permute(2, 0, 1)[None]
    assert (rgb_to_lab(tensor(pixels)) - expected).abs().max() < 1e-3


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.float64, 1e-6)])
def test_rgb_comes_back(pixels: np.ndarray, dtype: torch.dtype, tolerance: float) -> None:
    rgb = tensor(pixels).to(dtype)
    lab = rgb_to_lab(rgb)
    assert lab.dtype == dtype
    assert (lab_to_rgb(lab) - rgb).abs().max() < tolerance


def test_values_beyond_srgb_come_back_too() -> None:
    rgb = torch.linspace(-0.5, 1.5, 3 * 20, dtype=torch.float64).reshape(1, 3, 4, 5)
    assert (lab_to_rgb(rgb_to_lab(rgb)) - rgb).abs().max() < 1e-5


def test_a_grey_has_the_lightness_it_was_made_for() -> None:
    lightness = torch.linspace(0, 100, 1001).reshape(1, 1, 7, 143)
    grey = grey_to_srgb(lightness).expand(-1, 3, -1, -1)
    assert (grey.min(), grey.max()) == (0, pytest.approx(1, abs=1e-6))
    lab = rgb_to_lab(grey)
    assert (lab[:, :1] - lightness).abs().max() < 1e-3
    assert lab[:, 1:].abs().max() < 0.05


def image(*channels: float) -> Tensor:
    return torch.tensor(channels, dtype=torch.float64).reshape(1, 3, 1, 1)


def cielab_of_xyz(x: float, y: float, z: float) -> Tensor:
    """By the formulas of CIE 15, one number at a time, so that lab.py is not asked."""

    def f(t: float) -> float:
        return t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116

    x, y, z = f(x / 0.95047), f(y), f(z / 1.08883)
    return image(116 * y - 16, 500 * (x - y), 200 * (y - z))


@pytest.mark.parametrize(
    ("xyz", "expected"),
    [
        ((0.950, 1.000, 1.089), (1.000, 0.000, 0.000)),
        ((1.000, 0.000, 0.000), (0.450, 1.236, -0.019)),
        ((0.000, 1.000, 0.000), (0.922, -0.671, 0.263)),
        ((0.000, 0.000, 1.000), (0.153, -1.415, -0.449)),
    ],
)
def test_oklab_is_that_of_the_published_table(xyz: tuple[float, ...], expected: tuple[float, ...]) -> None:
    """The table has three decimals, and XYZ from a matrix of sRGB that rounds elsewhere: hence 2e-3.

    Its last three colours lie outside of sRGB and have cone responses below 0.
    """
    assert lab_to_oklab(cielab_of_xyz(*xyz)).flatten().tolist() == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        ((1.0, 1.0, 1.0), (1.0, 0.0, 0.0)),
        ((1.0, 0.0, 0.0), (0.299, -0.299 * 0.436 / 0.886, 0.615)),
        ((0.0, 1.0, 0.0), (0.587, -0.587 * 0.436 / 0.886, -0.587 * 0.615 / 0.701)),
        ((0.0, 0.0, 1.0), (0.114, 0.436, -0.114 * 0.615 / 0.701)),
    ],
)
def test_yuv_is_that_of_the_television_standard(rgb: tuple[float, ...], expected: tuple[float, ...]) -> None:
    assert lab_to_yuv(rgb_to_lab(image(*rgb))).flatten().tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 5e-3), (torch.float64, 1e-6)])
def test_cielab_comes_back(pixels: np.ndarray, space: str, dtype: torch.dtype, tolerance: float) -> None:
    there, back = SPACES[space]
    lab = rgb_to_lab(tensor(pixels).to(dtype))
    assert there(lab).dtype == dtype
    assert (back(there(lab)) - lab).abs().max() < tolerance


@pytest.mark.parametrize("space", SPACES)
def test_colours_beyond_srgb_come_back_too(space: str) -> None:
    there, back = SPACES[space]
    lab = rgb_to_lab(torch.linspace(-0.5, 1.5, 3 * 20, dtype=torch.float64).reshape(1, 3, 4, 5))
    assert (back(there(lab)) - lab).abs().max() < 1e-4


@pytest.mark.parametrize("space", ["ab", "oklab", "yuv"])
def test_output_without_chroma_is_grey_at_any_lightness(space: str) -> None:
    lightness = torch.linspace(0, 100, 1001).reshape(1, 1, 7, 143)
    assert ab_of_output(torch.zeros(1, 2, 7, 143), lightness, space).abs().max() < 0.05  # type: ignore[arg-type]


def test_output_in_oklab_is_completed_by_the_lightness_of_a_grey() -> None:
    """L 50 has the luminance f**3 with f = (50 + 16) / 116, so f is Oklab's L; back by the published inverse."""
    lightness, a, b = 66 / 116, 0.28 * 0.25, 0.28 * -0.1
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    light = (
        4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short,
    )
    expected = rgb_to_lab(image(*(1.055 * value ** (1 / 2.4) - 0.055 for value in light)))[:, 1:]
    output = torch.tensor([0.25, -0.1], dtype=torch.float64).reshape(1, 2, 1, 1)
    found = ab_of_output(output, torch.full((1, 1, 1, 1), 50.0, dtype=torch.float64), "oklab")
    torch.testing.assert_close(found, expected, rtol=0, atol=0.01)
    assert found.abs().max() > 15


def test_output_in_yuv_is_completed_by_the_value_of_a_grey() -> None:
    lightness = rgb_to_lab(image(0.5, 0.5, 0.5))[:, :1]
    u, v = 0.49 * 0.2, 0.49 * 0.1
    red, blue = 0.5 + v * 0.701 / 0.615, 0.5 + u * 0.886 / 0.436
    green = (0.5 - 0.299 * red - 0.114 * blue) / 0.587
    found = ab_of_output(torch.tensor([0.2, 0.1], dtype=torch.float64).reshape(1, 2, 1, 1), lightness, "yuv")
    torch.testing.assert_close(found, rgb_to_lab(image(red, green, blue))[:, 1:])
    assert found.abs().max() > 15


@pytest.mark.parametrize(("space", "unit"), [("oklab", 0.28), ("yuv", 0.49)])
def test_a_unit_of_output_is_as_far_as_in_ab_on_average(space: str, unit: float) -> None:
    """Root mean squares over all of sRGB, in a grid of 17 x 17 x 17 colours."""
    values = torch.linspace(0, 1, 17, dtype=torch.float64)
    lab = rgb_to_lab(torch.cartesian_prod(values, values, values).T.reshape(1, 3, 17, 289))
    chroma = SPACES[space][0](lab)[:, 1:]
    assert (chroma.square().mean() / lab[:, 1:].square().mean()).sqrt() * 110 == pytest.approx(unit, rel=0.03)


CONVERSIONS = [rgb_to_lab, lab_to_rgb, lab_to_oklab, oklab_to_lab, lab_to_yuv, yuv_to_lab]


@pytest.mark.parametrize("function", [*CONVERSIONS, grey_to_srgb])
def test_gradients_are_finite_where_the_formulas_have_a_bend(function: object) -> None:
    values = torch.tensor([-1.0, 0.0, 1e-9, 0.0031308, 0.04045, 0.5, 1.0, 8.0, 100.0]).repeat(3, 1)
    image = values.reshape(1, 3, 1, 9).requires_grad_()
    function(image).sum().backward()
    assert image.grad.isfinite().all()
    assert image.grad.all()


@pytest.mark.parametrize("function", CONVERSIONS)
def test_gradients_are_those_of_small_differences_near_black_and_beyond_srgb(function: Callable[..., Tensor]) -> None:
    rgb = torch.tensor(
        [
            [0.001, 0.001, 0.001],
            [0.0003, -0.0002, 0.0001],
            [1e-5, 2e-5, 1e-5],
            [0.02, 0.01, 0.3],
            [-0.3, 0.4, 1.2],
            [1.3, -0.2, 0.6],
            [0.5, 0.5, 0.5],
            [1.0, 1.0, 0.0],
        ],
        dtype=torch.float64,
    ).T.reshape(1, 3, 2, 4)
    lab = rgb_to_lab(rgb)
    given = {rgb_to_lab: rgb, oklab_to_lab: lab_to_oklab(lab), yuv_to_lab: lab_to_yuv(lab)}.get(function, lab)
    # Near black the slopes change within far less than the usual step.
    assert torch.autograd.gradcheck(function, given.detach().requires_grad_(), eps=1e-8, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("space", ["ab", "oklab", "yuv"])
def test_output_has_gradients_at_any_lightness_and_far_out(space: str) -> None:
    lightness = torch.tensor([0.0, 1.0, 8.0, 50.0, 100.0]).reshape(1, 1, 5, 1).expand(1, 1, 5, 9)
    output = torch.linspace(-3, 3, 9).reshape(1, 1, 1, 9).expand(1, 2, 5, 9).clone().requires_grad_()
    ab_of_output(output, lightness, space).square().sum().backward()  # type: ignore[arg-type]
    assert output.grad is not None
    assert output.grad.isfinite().all()
