"""Colours in the spaces of the objectives: known colours, one scale for all, gradients."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor

from colorize.models.lab import rgb_to_lab
from colorize.objectives.spaces import coordinates
from colorize.settings.objectives import Space

SPACES = get_args(Space)


def point(space: Space, rgb: tuple[float, float, float]) -> list[float]:
    """Coordinates of one sRGB colour in units in which black and white are 1 apart."""
    lab = rgb_to_lab(torch.tensor(rgb, dtype=torch.float64).reshape(1, 3, 1, 1))
    found = coordinates(lab[:, :1], lab[:, 1:], space)
    assert found.shape == (1, 3, 1, 1)
    return (found.flatten() * 1.1).tolist()


def test_cielab_is_in_units_of_110() -> None:
    found = coordinates(torch.full((2, 1, 3, 4), 55.0), torch.full((2, 2, 3, 4), -22.0), "lab")
    torch.testing.assert_close(found, torch.tensor([0.5, -0.2, -0.2]).reshape(1, 3, 1, 1).expand(2, 3, 3, 4))


@pytest.mark.parametrize("space", SPACES)
def test_black_and_white_are_as_far_apart_in_every_space(space: Space) -> None:
    neutral = [1.0, 1.0, 1.0] if space == "rgb" else [1.0, 0.0, 0.0]
    assert point(space, (0, 0, 0)) == pytest.approx([0, 0, 0], abs=1e-9)
    assert point(space, (1, 1, 1)) == pytest.approx(neutral, abs=2e-4)


@pytest.mark.parametrize(
    ("space", "rgb", "expected"),
    [
        ("rgb", (0.25, 0.5, 1.0), (0.25, 0.5, 1.0)),
        # Y = 0.299 x 0.2 + 0.587 x 0.4 + 0.114 x 0.6 = 0.363; U = (0.6 - Y) 0.436 / 0.886, V = (0.2 - Y) 0.615 / 0.701
        ("yuv", (0.2, 0.4, 0.6), (0.363, 0.116628, -0.143003)),
        ("yuv", (1.0, 0.0, 0.0), (0.299, -0.147138, 0.615)),
        # Published values of Oklab for sRGB's primaries.
        ("oklab", (1.0, 0.0, 0.0), (0.627955, 0.224863, 0.125846)),
        ("oklab", (0.0, 0.0, 1.0), (0.452014, -0.032457, -0.311528)),
        # CIELAB of blue, over 100.
        ("lab", (0.0, 0.0, 1.0), (0.3230, 0.7919, -1.0786)),
    ],
)
def test_known_colours_have_their_known_coordinates(
    space: Space, rgb: tuple[float, float, float], expected: tuple[float, float, float]
) -> None:
    assert point(space, rgb) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("space", SPACES)
def test_gradients_are_right_and_finite(space: Space) -> None:
    l = torch.tensor([40.0, 3.0, 90.0, 60.0], dtype=torch.float64).reshape(1, 1, 2, 2).requires_grad_()  # noqa: E741
    ab = (torch.linspace(-90, 90, 8, dtype=torch.float64).reshape(1, 2, 2, 2)).requires_grad_()
    assert torch.autograd.gradcheck(lambda l, ab: coordinates(l, ab, space), (l, ab))  # noqa: E741
    black = torch.zeros(1, 3, 1, 1, requires_grad=True)
    coordinates(black[:, :1], black[:, 1:], space).sum().backward()
    assert black.grad is not None
    assert black.grad.isfinite().all()


@pytest.mark.parametrize("space", SPACES)
def test_colours_of_half_the_digits_are_computed_with_all_of_them(space: Space) -> None:
    l, ab = torch.full((1, 1, 1, 1), 50.0), torch.full((1, 2, 1, 1), -20.0)  # noqa: E741

    def of(*given: Tensor) -> Tensor:
        return coordinates(given[0], given[1], space)

    assert torch.equal(of(l.bfloat16(), ab.bfloat16()), of(l, ab))
    assert of(l.bfloat16(), ab.bfloat16()).dtype == torch.float32
