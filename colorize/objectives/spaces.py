"""Colours as points of the space in which an objective takes distances."""

from __future__ import annotations

import torch
from torch import Tensor

from colorize.models.base import AB_SCALE
from colorize.models.lab import lab_to_oklab, lab_to_rgb, lab_to_yuv
from colorize.settings.objectives import Space

_LIGHTNESS_RANGE = 100.0  # of CIELAB, black to white; it is 1 in the other spaces


def coordinates(l: Tensor, ab: Tensor, space: Space) -> Tensor:  # noqa: E741
    """Points of a colour space, scaled so that white's lightness is 100/110 in each, and black's 0; for CIELAB: / 110.

    Distances in lightness are then about as large in all. Chroma keeps the weight that the space gives it: over all of
    sRGB's colours it is in Oklab 0.26 and in YUV 0.45 times as large as in CIELAB. Gradients are finite.

    Args:
        l: N x 1 x H x W, 0..100.
        ab: N x 2 x H x W, CIELAB units.
        space: of the points.

    Returns:
        N x 3 x H x W, float32 or float64: the space's lightness and its two channels of chroma; of `rgb` R, G and B,
        each 0..100/110 for colours that sRGB has, and not clipped.
    """
    lab = torch.cat([l, ab], dim=1)
    lab = lab.to(torch.promote_types(lab.dtype, torch.float32))  # half the digits would not do near black
    if space == "lab":
        return lab / AB_SCALE
    convert = {"oklab": lab_to_oklab, "yuv": lab_to_yuv, "rgb": lab_to_rgb}[space]
    return convert(lab) * (_LIGHTNESS_RANGE / AB_SCALE)
