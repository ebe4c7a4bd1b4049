"""sRGB and CIELAB inside networks: differentiable, on any device; the definitions are those of `colorize.color`.

Values outside of sRGB's 0..1 are taken too, by the same formulas continued, as a network's output may lie there. All
gradients are finite. Only sums and products of single numbers are used, which mixed precision does not round.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Linear sRGB to XYZ over the white point (D65 of the 2 degree observer), and back.
_WHITE = (0.95047, 1.0, 1.08883)
_TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_TO_RELATIVE_XYZ = [[part / white for part in row] for row, white in zip(_TO_XYZ, _WHITE, strict=True)]
_FROM_RELATIVE_XYZ = torch.linalg.inv(torch.tensor(_TO_RELATIVE_XYZ, dtype=torch.float64)).tolist()

_DELTA = 6 / 29  # CIELAB's f(t) is linear below its cube


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """CIELAB of sRGB: floating point N x 3 x H x W in 0..1 to the same shape, L 0..100, a, b."""
    x, y, z = (_f(channel) for channel in _weighted(_TO_RELATIVE_XYZ, _linear(rgb)))
    return torch.cat([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """sRGB of CIELAB, not clipped: floating point N x 3 x H x W to the same shape, 0..1 for colours that sRGB has."""
    lightness, a, b = lab[:, :1], lab[:, 1:2], lab[:, 2:]
    y = (lightness + 16) / 116
    xyz = torch.cat([_f_inverted(y + a / 500), _f_inverted(y), _f_inverted(y - b / 200)], dim=1)
    return _encoded(torch.cat(_weighted(_FROM_RELATIVE_XYZ, xyz), dim=1))


def grey_to_srgb(l: Tensor) -> Tensor:  # noqa: E741
    """The value in 0..1 that all three sRGB channels of a grey of lightness 0..100 have; any shape."""
    return _encoded(_f_inverted((l + 16) / 116))


def _weighted(matrix: list[list[float]], image: Tensor) -> list[Tensor]:
    first, second, third = image[:, :1], image[:, 1:2], image[:, 2:]
    return [row[0] * first + row[1] * second + row[2] * third for row in matrix]


# In each of these, the branch that is not taken is kept from where its slope would be infinite or not a number: it is
# multiplied by 0 in the gradient, which would not help then.


def _linear(value: Tensor) -> Tensor:
    """IEC 61966-2-1: linear light of an sRGB value."""
    return torch.where(value > 0.04045, ((value.clamp(min=0.04045) + 0.055) / 1.055).pow(2.4), value / 12.92)


def _encoded(light: Tensor) -> Tensor:
    """IEC 61966-2-1: the sRGB value of linear light."""
    return torch.where(light > 0.0031308, 1.055 * light.clamp(min=0.0031308).pow(1 / 2.4) - 0.055, light * 12.92)


def _f(t: Tensor) -> Tensor:
    return torch.where(t > _DELTA**3, t.clamp(min=_DELTA**3).pow(1 / 3), t / (3 * _DELTA**2) + 4 / 29)


def _f_inverted(f: Tensor) -> Tensor:
    return torch.where(f > _DELTA, f**3, 3 * _DELTA**2 * (f - 4 / 29))
