"""sRGB and CIELAB inside networks: the same as the data's, there and back, with finite gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from colorize import color
from colorize.models.lab import grey_to_srgb, lab_to_rgb, rgb_to_lab


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


@pytest.mark.parametrize("function", [rgb_to_lab, lab_to_rgb, grey_to_srgb])
def test_gradients_are_finite_where_the_formulas_have_a_bend(function: object) -> None:
    values = torch.tensor([-1.0, 0.0, 1e-9, 0.0031308, 0.04045, 0.5, 1.0, 8.0, 100.0]).repeat(3, 1)
    image = values.reshape(1, 3, 1, 9).requires_grad_()
    function(image).sum().backward()
    assert image.grad.isfinite().all()
    assert image.grad.all()
