"""sRGB, CIELAB, Oklab and YUV inside networks: differentiable, on any device; the first two as in `colorize.color`.

Oklab is that of Björn Ottosson, "A perceptual color space for image processing" (2020): L 0..1, a and b as far as 0.32
from grey for sRGB's colours. YUV is taken of gamma-coded sRGB: Y with the weights of ITU-R BT.601, 0..1, and U and V as
in PAL (ITU-R BT.470), -0.436..0.436 and -0.615..0.615.

Values outside of sRGB's 0..1 are taken too, by the same formulas continued, as a network's output may lie there. All
gradients are finite. Only sums and products of single numbers are used, which mixed precision does not round.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from colorize.models.base import AB_SCALE

_Matrix = Sequence[Sequence[float]]


def _inverse(matrix: _Matrix) -> _Matrix:
    inverse: _Matrix = torch.linalg.inv(torch.tensor(matrix, dtype=torch.float64)).tolist()
    return inverse


def _product(left: _Matrix, right: _Matrix) -> _Matrix:
    columns = list(zip(*right, strict=True))
    return [[sum(a * b for a, b in zip(row, column, strict=True)) for column in columns] for row in left]


# Linear sRGB to XYZ over the white point (D65 of the 2 degree observer), and back.
_WHITE = (0.95047, 1.0, 1.08883)
_TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_TO_RELATIVE_XYZ = [[part / white for part in row] for row, white in zip(_TO_XYZ, _WHITE, strict=True)]
_FROM_RELATIVE_XYZ = _inverse(_TO_RELATIVE_XYZ)

# Oklab: linear sRGB to the light that the eye's three kinds of cones see, and the cube roots of that to L, a, b.
_RGB_TO_CONES = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
_ROOTS_TO_OKLAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)
_XYZ_TO_CONES = _product(_RGB_TO_CONES, _FROM_RELATIVE_XYZ)
_CONES_TO_XYZ = _inverse(_XYZ_TO_CONES)
_OKLAB_TO_ROOTS = _inverse(_ROOTS_TO_OKLAB)

# Y weighs R, G, B; U and V are B - Y and R - Y, scaled so that blue has U = 0.436 and red V = 0.615.
_LUMA = (0.299, 0.587, 0.114)
_U, _V = 0.436 / (1 - _LUMA[2]), 0.615 / (1 - _LUMA[0])
_RGB_TO_YUV = (
    _LUMA,
    (-_U * _LUMA[0], -_U * _LUMA[1], _U * (1 - _LUMA[2])),
    (_V * (1 - _LUMA[0]), -_V * _LUMA[1], -_V * _LUMA[2]),
)
_YUV_TO_RGB = _inverse(_RGB_TO_YUV)

# What 110 units of ab are in the chroma of the other two: the ratios of the root mean squares over all of sRGB.
_OKLAB_SCALE = 0.28
_YUV_SCALE = 0.49

_DELTA = 6 / 29  # CIELAB's f(t) is linear below its cube

# Within the cube of this, Oklab's roots are lines through 0, lest their slope be infinite there. No colour of 8 bits is
# that dark but black itself: the least that a cone sees of another is 1.6e-5.
_DARK = 0.02


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """CIELAB of sRGB: floating point N x 3 x H x W in 0..1 to the same shape, L 0..100, a, b."""
    return _lab_of(_weighted(_TO_RELATIVE_XYZ, _linear(rgb)))


def lab_to_rgb(lab: Tensor) -> Tensor:
    """sRGB of CIELAB, not clipped: floating point N x 3 x H x W to the same shape, 0..1 for colours that sRGB has."""
    return _encoded(torch.cat(_weighted(_FROM_RELATIVE_XYZ, _relative_xyz(lab)), dim=1))


def lab_to_oklab(lab: Tensor) -> Tensor:
    """Oklab of CIELAB: floating point N x 3 x H x W to the same shape."""
    cones = torch.cat(_weighted(_XYZ_TO_CONES, _relative_xyz(lab)), dim=1)
    return torch.cat(_weighted(_ROOTS_TO_OKLAB, _root(cones)), dim=1)


def oklab_to_lab(oklab: Tensor) -> Tensor:
    """CIELAB of Oklab: floating point N x 3 x H x W to the same shape."""
    cones = _cube(torch.cat(_weighted(_OKLAB_TO_ROOTS, oklab), dim=1))
    return _lab_of(_weighted(_CONES_TO_XYZ, cones))


def lab_to_yuv(lab: Tensor) -> Tensor:
    """YUV of CIELAB: floating point N x 3 x H x W to the same shape."""
    return torch.cat(_weighted(_RGB_TO_YUV, lab_to_rgb(lab)), dim=1)


def yuv_to_lab(yuv: Tensor) -> Tensor:
    """CIELAB of YUV: floating point N x 3 x H x W to the same shape."""
    return rgb_to_lab(torch.cat(_weighted(_YUV_TO_RGB, yuv), dim=1))


def ab_of_output(output: Tensor, l: Tensor, space: Literal["ab", "oklab", "yuv"]) -> Tensor:  # noqa: E741
    """The ab that two channels of a network mean beside a photo's own lightness.

    The channels are the chroma of `space`, which is completed by the lightness that the space gives the grey of
    lightness `l` (Oklab: the cube root of its luminance; YUV: its sRGB value) and converted to CIELAB. The lightness
    of the result, which differs from `l` where there is colour, is dropped.

    Args:
        output: N x 2 x H x W; one unit is 110 in ab, 0.28 in Oklab, 0.49 in YUV: on average about the same distance.
        l: N x 1 x H x W, 0..100.
        space: of the chroma.

    Returns:
        N x 2 x H x W, CIELAB units.
    """
    if space == "ab":
        return AB_SCALE * output
    if space == "oklab":
        lightness = _root(_f_inverted((l + 16) / 116))
        return oklab_to_lab(torch.cat([lightness, _OKLAB_SCALE * output], dim=1))[:, 1:]
    return yuv_to_lab(torch.cat([grey_to_srgb(l), _YUV_SCALE * output], dim=1))[:, 1:]


def grey_to_srgb(l: Tensor) -> Tensor:  # noqa: E741
    """The value in 0..1 that all three sRGB channels of a grey of lightness 0..100 have; any shape."""
    return _encoded(_f_inverted((l + 16) / 116))


def _relative_xyz(lab: Tensor) -> Tensor:
    """XYZ over the white point of CIELAB."""
    lightness, a, b = lab[:, :1], lab[:, 1:2], lab[:, 2:]
    y = (lightness + 16) / 116
    return torch.cat([_f_inverted(y + a / 500), _f_inverted(y), _f_inverted(y - b / 200)], dim=1)


def _lab_of(relative_xyz: list[Tensor]) -> Tensor:
    x, y, z = (_f(channel) for channel in relative_xyz)
    return torch.cat([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def _weighted(matrix: _Matrix, image: Tensor) -> list[Tensor]:
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


def _root(t: Tensor) -> Tensor:
    """The cube root, of negative values too."""
    return torch.where(t.abs() > _DARK**3, t.sign() * t.abs().clamp(min=_DARK**3).pow(1 / 3), t / _DARK**2)


def _cube(root: Tensor) -> Tensor:
    return torch.where(root.abs() > _DARK, root**3, _DARK**2 * root)
