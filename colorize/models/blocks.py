"""Pieces that several networks share: upsamplers, resizing, normalization."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from colorize.models.base import Latent
from colorize.settings.architectures import Upsampler

# Of R, G and B in 0..1, as torchvision has them: the space that all encoders trained on ImageNet see photos in.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


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


def with_border(image: Tensor, multiple: int, minimum: int = 1) -> Tensor:
    """N x C x H x W with its last row and column repeated, for networks that halve and want whole halves.

    Args:
        image: any H and W.
        multiple: of it both sides of the result are multiples.
        minimum: neither is shorter; a multiple of `multiple`, or 1.
    """
    height, width = image.shape[-2:]
    right, bottom = (max(-(-side // multiple) * multiple, minimum) - side for side in (width, height))
    return functional.pad(image, (0, right, 0, bottom), mode="replicate") if right or bottom else image


def imagenet_grey(l: Tensor) -> Tensor:  # noqa: E741
    """Lightness three times, normalised as the encoders that were trained on ImageNet want it.

    L/100 stands for grey sRGB, from which it differs by 0.04 at most.

    Args:
        l: N x 1 x H x W, 0..100.

    Returns:
        N x 3 x H x W: L/100 less `IMAGENET_MEAN`, over `IMAGENET_DEVIATION`.
    """
    mean = l.new_tensor(IMAGENET_MEAN).reshape(1, 3, 1, 1)
    deviation = l.new_tensor(IMAGENET_DEVIATION).reshape(1, 3, 1, 1)
    return (l / 100.0 - mean) / deviation


def upsampler(kind: Upsampler, channels: int) -> nn.Module:
    """A layer that doubles height and width and keeps the channels.

    Args:
        kind: `transposed-k3`, a transposed convolution of kernel 3 and stride 2, whose uneven overlap draws a
            checkerboard (Odena, Dumoulin and Olah, "Deconvolution and Checkerboard Artifacts", Distill 2016);
            `transposed-k2`, without overlap; `resize`, the article's cure: nearest resize, then a convolution;
            `pixelshuffle`, see `PixelShuffle`.
        channels: in and out.
    """
    if kind == "transposed-k3":
        return nn.ConvTranspose2d(channels, channels, 3, stride=2, padding=1, output_padding=1)
    if kind == "transposed-k2":
        return nn.ConvTranspose2d(channels, channels, 2, stride=2)
    if kind == "pixelshuffle":
        return PixelShuffle(channels)
    convolution = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), convolution)


class PixelShuffle(nn.Sequential):
    """Doubles height and width: a 1x1 convolution to four times the channels, rearranged to 2x2 pixels, then a blur.

    Without the rest, convolution and rearrangement would be the same map as `transposed-k2`, checkerboard and all: each
    of the four pixels has weights of its own. The cure of Aitken et al., "Checkerboard artifact free sub-pixel
    convolution" (2017), begins with the same weights for all four (ICNR), so that a fresh layer enlarges by repeating
    pixels; the mean of 2x2 pixels evens out what training makes different afterwards (Sugawara, Shiota and Kiya 2018).
    """

    def __init__(self, channels: int) -> None:
        convolution = nn.Conv2d(channels, 4 * channels, 1)
        with torch.no_grad():
            for parameter in convolution.parameters():  # the bias too: it would draw a pattern as well
                # `nn.PixelShuffle` makes the four pixels of channel c from channels 4c to 4c + 3.
                parameter.copy_(parameter[::4].repeat_interleave(4, dim=0))
        # The border is repeated at the left and above, so that the mean keeps the size.
        blur = (nn.ReplicationPad2d((1, 0, 1, 0)), nn.AvgPool2d(2, stride=1))
        super().__init__(convolution, nn.PixelShuffle(2), *blur)


def drawn(latent: Latent, seeds: Sequence[int] | None) -> Tensor:
    """The latent code of N photos: drawn from its distribution with one seed a photo, or its mean where there is none.

    A photo's noise depends on its own seed alone, so it is the same however a batch is shared out over workers. It is
    drawn on the CPU, so that it is the same on every device.
    """
    if seeds is None:
        return latent.mean
    shape, like = latent.mean.shape[1:], latent.mean
    noise = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
    return like + torch.exp(0.5 * latent.log_variance) * noise.to(device=like.device, dtype=like.dtype)
