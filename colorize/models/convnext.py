"""ConvNeXt without its classifier: the encoder of DDColor, with the names of the published weights."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

# Of every normalization in the encoder; those of the colour decoder have torch's own 1e-5.
EPSILON = 1e-6
TINY_DEPTHS = (3, 3, 9, 3)
TINY_CHANNELS = (96, 192, 384, 768)
LARGE_DEPTHS = (3, 3, 27, 3)
LARGE_CHANNELS = (192, 384, 768, 1536)


class ChannelNorm(nn.LayerNorm):
    """Layer normalization over the channels of each pixel of N x C x H x W."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPSILON)

    def forward(self, image: Tensor) -> Tensor:
        """The same shape, normalised."""
        return super().forward(image.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """Depthwise 7x7 convolution and two linear layers over channels, scaled by `gamma` and added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((channels,), 1e-6))
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=EPSILON)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.act = nn.GELU()
        self.pwconv2 = nn.Linear(4 * channels, channels)

    def forward(self, image: Tensor) -> Tensor:
        """N x C x H x W, in and out."""
        pixels = self.norm(self.dwconv(image).permute(0, 2, 3, 1))
        pixels = self.gamma * self.pwconv2(self.act(self.pwconv1(pixels)))
        output: Tensor = image + pixels.permute(0, 3, 1, 2)
        return output


class ConvNeXt(nn.Module):
    """RGB in, four features out, at 1/4, 1/8, 1/16 and 1/32 of the input's size.

    After Liu et al., "A ConvNet for the 2020s" (CVPR 2022), as DDColor changed it: no classifier, and one more
    normalization of each stage's output. That normalised output is the feature; the next stage goes on from the
    output as it was.
    """

    def __init__(self, depths: Sequence[int] = TINY_DEPTHS, channels: Sequence[int] = TINY_CHANNELS) -> None:
        """Fresh weights.

        Args:
            depths: blocks of each of the four stages.
            channels: of each stage.
        """
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(3, channels[0], 4, stride=4), ChannelNorm(channels[0]))
        halvings = [nn.Sequential(ChannelNorm(a), nn.Conv2d(a, b, 2, stride=2)) for a, b in pairwise(channels)]
        self.downsample_layers = nn.ModuleList([stem, *halvings])
        self.stages = nn.ModuleList(
            nn.Sequential(*(ConvNeXtBlock(count) for _ in range(depth)))
            for depth, count in zip(depths, channels, strict=True)
        )
        self.norm0, self.norm1, self.norm2, self.norm3 = (ChannelNorm(count) for count in channels)
        # Of the classifier that is gone: published files hold it, nothing reads it. What gets no gradient must not
        # ask for one, or workers that average their gradients would wait for it.
        self.norm = nn.LayerNorm(channels[-1], eps=EPSILON).requires_grad_(False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Four features, from the largest to the smallest.

        Args:
            image: N x 3 x H x W, RGB normalised as for ImageNet; H and W at least 32.
        """
        features = []
        norms = (self.norm0, self.norm1, self.norm2, self.norm3)
        for halve, stage, norm in zip(self.downsample_layers, self.stages, norms, strict=True):
            image = stage(halve(image))
            features.append(norm(image))
        return features
