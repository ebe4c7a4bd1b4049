"""DDColor: colours as a product of image features and learned colour queries.

After Kang et al., "DDColor: Towards Photo-Realistic Image Colorization via Dual Decoders" (ICCV 2023) and its code,
github.com/piddnad/DDColor, whose weights fit unchanged. Stages for one 512 x 512 photo, with tiny's channels and, where
they differ, large's in brackets: grey RGB 3x512x512 -> ConvNeXt 96x128x128, 192x64x64, 384x32x32, 768x16x16 (192, 384,
768, 1536) -> pixel decoder 512x32x32, 512x64x64, 256x128x128 -> enlarged four times 256x512x512. 100 queries of 256
channels look at the pixel decoder's three outputs in turn, nine layers; each becomes a weight for each of the 256
channels: 100x512x512 -> with the normalised input 103x512x512 -> ab 2x512x512.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from colorize.models.base import Adapted, Hints, Prediction, Predictor
from colorize.models.blocks import IMAGENET_DEVIATION, IMAGENET_MEAN, scaled, with_border
from colorize.models.convnext import LARGE_CHANNELS, LARGE_DEPTHS, TINY_CHANNELS, TINY_DEPTHS, ConvNeXt
from colorize.models.ddcolor_decoder import Decoder
from colorize.models.lab import grey_to_srgb
from colorize.models.registry import register
from colorize.models.spectral import SpectralConvolution
from colorize.settings.architectures import DDColorSettings

# The encoder halves five times: so every halving is even, and features fit those that they join.
MULTIPLE = 32


class DDColor(Predictor):
    """The published network; the defaults are those of the tiny one. Names and shapes of its weights are published.

    55,006,640 parameters; 227,869,328 with `ddcolor_large`.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        depths: Sequence[int] = TINY_DEPTHS,
        encoder_channels: Sequence[int] = TINY_CHANNELS,
        channels: int = 512,
        embedding: int = 256,
        queries: int = 100,
        layers: int = 9,
    ) -> None:
        """Fresh weights.

        Args:
            depths: blocks of each of the encoder's four stages.
            encoder_channels: of each stage.
            channels: of the pixel decoder, even.
            embedding: channels of a colour query, a multiple of 16: eight heads, and positions in pairs on two axes.
            queries: how many colour queries there are.
            layers: of the colour decoder, at least 3: one for each size that it looks at.
        """
        super().__init__()
        self.encoder = nn.ModuleDict({"arch": ConvNeXt(depths, encoder_channels)})
        self.decoder = Decoder(encoder_channels, channels, embedding, queries, layers)
        # Linear: neither ReLU nor tanh stands between this convolution and ab.
        self.refine_net = nn.Sequential(nn.Sequential(SpectralConvolution(queries + 3, 2, 1, bias=True)))
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_DEVIATION).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """The published input and output.

        Args:
            image: N x 3 x H x W, grey sRGB in 0..1; H and W are multiples of 4, and 32 at least. Where they are no
                multiples of 32, features are enlarged to the size of those that they join by repeating pixels.

        Returns:
            N x 2 x H x W, ab in CIELAB units, not clipped.

        Raises:
            RuntimeError: H or W is smaller, or no multiple of 4.
        """
        image = (image - self.mean) / self.std
        colors = self.decoder(self.encoder["arch"](image))
        output: Tensor = self.refine_net(torch.cat([colors, image], dim=1))
        return output

    def colors(self, l: Tensor, seeds: Sequence[int] | None = None, hints: Hints | None = None) -> Prediction:  # noqa: E741, ARG002
        """See `Predictor.colors`. The photo is shown in its own size, its right and lower border repeated as far as
        needed; the published program stretches it to a square of 512 pixels instead.
        """
        height, width = l.shape[-2:]
        ab = self(grey_to_srgb(with_border(l, MULTIPLE)).expand(-1, 3, -1, -1))
        return Prediction(ab=ab[..., :height, :width])


def ddcolor_tiny() -> DDColor:
    """The smaller published network, with fresh weights."""
    return DDColor()


def ddcolor_large() -> DDColor:
    """The larger published network, with fresh weights."""
    return DDColor(depths=LARGE_DEPTHS, encoder_channels=LARGE_CHANNELS)


def _built(depths: Sequence[int], channels: Sequence[int], settings: DDColorSettings) -> DDColor:
    return DDColor(
        depths=depths,
        encoder_channels=[scaled(count, settings.encoder_width) for count in channels],
        channels=settings.channels,
        embedding=settings.embedding,
        queries=settings.queries,
        layers=settings.layers,
    )


class _Trainable(Adapted):
    paper = "Kang et al., ICCV 2023"
    network: DDColor

    def encoder_part(self) -> nn.Module | None:
        """See `Colorization.encoder_part`: the ConvNeXt."""
        return self.network.encoder


@register("ddcolor_tiny", DDColorSettings)
class DDColorTiny(_Trainable):
    """DDColor with ConvNeXt-T."""

    def __init__(self, settings: DDColorSettings) -> None:
        super().__init__(_built(TINY_DEPTHS, TINY_CHANNELS, settings))


@register("ddcolor_large", DDColorSettings)
class DDColorLarge(_Trainable):
    """DDColor with ConvNeXt-L."""

    def __init__(self, settings: DDColorSettings) -> None:
        super().__init__(_built(LARGE_DEPTHS, LARGE_CHANNELS, settings))
