"""The U-Net 256 of pix2pix in its colorization mode, and the two discriminators it is trained against.

After Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks" (CVPR 2017), and the authors'
repository junyanz/pytorch-CycleGAN-and-pix2pix (`models/networks.py`, `unet_256`, `basic` and `pixel`). For one
256 x 256 photo, going down: 1x256x256 -> 64x128x128 -> 128x64x64 -> 256x32x32 -> 512x16x16 -> 512x8x8 -> 512x4x4 ->
512x2x2 -> 512x1x1; going up, each level beside the same size from the way down: 512x2x2 + 512 -> 512x4x4 + 512 ->
512x8x8 + 512 -> 512x16x16 + 512 -> 256x32x32 + 256 -> 128x64x64 + 128 -> 64x128x128 + 64 -> 2x256x256.

Fresh weights are drawn as the authors' training code does it: convolutions from a normal distribution of deviation
0.02, the factors of batch normalizations likewise around 1, additions 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from colorize.models.base import AB_SCALE, Adapted, Hints, Prediction, Predictor, normalised
from colorize.models.blocks import with_border
from colorize.models.registry import register
from colorize.settings.architectures import Pix2PixSettings

_DEVIATION = 0.02


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, _DEVIATION)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, _DEVIATION)
        nn.init.zeros_(layer.bias)


class _Level(nn.Module):
    """A level of the U-Net and all levels below it: half the size on the way down, doubled on the way up.

    Its result is what came in beside what came back, on top of each other.
    """

    def __init__(self, outer: int, inner: int, below: _Level | None, dropout: float = 0.0) -> None:
        super().__init__()
        # The innermost level has one position left for 256 pixels, which batch normalization would make zero.
        middle = [] if below is None else [nn.BatchNorm2d(inner), below]
        self.model = nn.Sequential(
            nn.LeakyReLU(0.2),
            nn.Conv2d(outer, inner, 4, stride=2, padding=1, bias=False),
            *middle,
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(inner if below is None else 2 * inner, outer, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(outer),
        )
        if dropout:
            self.model.append(nn.Dropout(dropout))

    def forward(self, features: Tensor) -> Tensor:
        # The authors' leaky ReLU overwrites its input, so it is the rectified features that skip the levels below.
        rectify, *rest = self.model
        skip: Tensor = rectify(features)
        features = skip
        for layer in rest:
            features = layer(features)
        return torch.cat([skip, features], dim=1)


class _Outermost(nn.Module):
    """The U-Net's outermost level: no normalization, no skip, and the hyperbolic tangent at the end."""

    def __init__(self, inputs: int, outputs: int, channels: int, below: _Level) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(inputs, channels, 4, stride=2, padding=1, bias=False),
            below,
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(2 * channels, outputs, 4, stride=2, padding=1),
            nn.Tanh(),
        )

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.model(image)
        return result


class Pix2PixUNet(Predictor):
    """The published generator, 54,409,858 parameters.

    Args:
        channels: of the outermost level; they double for three levels and then stay.
        depth: number of halvings, 5 at least.
        dropout: share of the features that is dropped in training, on the way up, in all levels that have 8 times
            `channels` on both sides but the innermost (three at depth 8).
    """

    def __init__(self, *, channels: int = 64, depth: int = 8, dropout: float = 0.5) -> None:
        super().__init__()
        self.multiple = 2**depth
        level = _Level(8 * channels, 8 * channels, None)
        for _ in range(depth - 5):
            level = _Level(8 * channels, 8 * channels, level, dropout)
        for factor in (4, 2, 1):
            level = _Level(factor * channels, 2 * factor * channels, level)
        self.model = _Outermost(1, 2, channels, level)
        self.apply(_initialise)

    def forward(self, l: Tensor) -> Tensor:  # noqa: E741
        """As published: N x 1 x H x W, lightness / 50 - 1, to N x 2 x H x W, ab / 110, in -1..1.

        Raises:
            ValueError: H or W is no multiple of 2**depth.
        """
        height, width = l.shape[-2:]
        if height % self.multiple or width % self.multiple:
            raise ValueError(f"height and width must be multiples of {self.multiple}, got {height} x {width}")
        result: Tensor = self.model(l)
        return result

    def colors(self, l: Tensor, seeds: Sequence[int] | None = None, hints: Hints | None = None) -> Prediction:  # noqa: E741, ARG002
        """See `Predictor.colors`. The border is repeated up to a multiple of 2**depth, and cut off again."""
        height, width = l.shape[-2:]
        ab = AB_SCALE * self(normalised(with_border(l, self.multiple)))
        return Prediction(ab=ab[:, :, :height, :width])


@register("pix2pix_unet256", Pix2PixSettings)
class TrainablePix2PixUNet(Adapted):
    """`Pix2PixUNet` for training."""

    paper = "Isola et al., CVPR 2017"

    def __init__(self, settings: Pix2PixSettings) -> None:
        super().__init__(Pix2PixUNet(channels=settings.channels, depth=settings.depth, dropout=settings.dropout))


class PatchGAN(nn.Module):
    """Judges patches of 70 x 70 pixels for real or generated; 2,765,633 parameters.

    Args:
        inputs: channels of the picture: 3 for lightness and ab.
        channels: of the first convolution; they double with each, up to 8 times.
        layers: number of halvings; 3 as published.
    """

    def __init__(self, *, inputs: int = 3, channels: int = 64, layers: int = 3) -> None:
        super().__init__()
        stages: list[nn.Module] = [nn.Conv2d(inputs, channels, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        wide = channels
        for index in range(1, layers + 1):
            narrow, wide = wide, channels * min(2**index, 8)
            stride = 2 if index < layers else 1
            stages += [
                nn.Conv2d(narrow, wide, 4, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(wide),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        self.model = nn.Sequential(*stages, nn.Conv2d(wide, 1, 4, padding=1))
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor:
        """Scores without a sigmoid, positive for real: N x 1 x (H / 8 - 2) x (W / 8 - 2) with three layers.

        Args:
            image: N x 3 x H x W, lightness / 50 - 1 and ab / 110; sides of 24 at least with three layers.
        """
        scores: Tensor = self.model(image)
        return scores


class PixelGAN(nn.Module):
    """Judges each pixel by itself for real or generated; 8,832 parameters.

    Args:
        inputs: channels of the picture: 3 for lightness and ab.
        channels: of the first convolution; the second has twice as many.
    """

    def __init__(self, *, inputs: int = 3, channels: int = 64) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(inputs, channels, 1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(channels, 2 * channels, 1, bias=False),
            nn.BatchNorm2d(2 * channels),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(2 * channels, 1, 1, bias=False),
        )
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor:
        """Scores without a sigmoid, positive for real: N x 1 x H x W.

        Args:
            image: N x 3 x H x W, lightness / 50 - 1 and ab / 110.
        """
        scores: Tensor = self.net(image)
        return scores
