"""Pieces that several networks share: upsamplers, resizing, normalization."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from colorize.settings.architectures import Upsampler


def scaled(channels: int, width: float) -> int:
    """A published channel count times a width factor, at least 1."""
    return max(1, round(channels * width))


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize of N x C x H x W to `size` (pixel centres aligned); the tensor itself if it fits already."""
    if tuple(image.shape[-2:]) == size:
        return image
    return functional.interpolate(image, size=size, mode="bilinear", align_corners=False)


def at_least(image: Tensor, minimum: int) -> Tensor:
    """Enlarge each side of N x C x H x W that is shorter than `minimum`; a network without padding needs that."""
    height, width = image.shape[-2:]
    return resize(image, (max(height, minimum), max(width, minimum)))


def upsampler(kind: Upsampler, channels: int) -> nn.Module:
    """A layer that doubles height and width and keeps the channels.

    Args:
        kind: `transposed-k3`, a transposed convolution of kernel 3 and stride 2, whose uneven overlap draws a
            checkerboard (Odena, Dumoulin and Olah, "Deconvolution and Checkerboard Artifacts", Distill 2016);
            `transposed-k2`, without overlap; `resize`, the article's cure: nearest resize, then a convolution.
        channels: in and out.
    """
    if kind == "transposed-k3":
        return nn.ConvTranspose2d(channels, channels, 3, stride=2, padding=1, output_padding=1)
    if kind == "transposed-k2":
        return nn.ConvTranspose2d(channels, channels, 2, stride=2)
    convolution = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), convolution)


def latent_noise(like: Tensor, seeds: list[int]) -> Tensor:
    """Standard normal noise in the shape of `like`, N x C x h x w, one seed a photo.

    A photo's noise depends on its own seed alone, so it is the same however a batch is shared out over workers. It is
    drawn on the CPU, so that it is the same on every device.
    """
    noise = [torch.randn(like.shape[1:], generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(noise).to(device=like.device, dtype=like.dtype)
