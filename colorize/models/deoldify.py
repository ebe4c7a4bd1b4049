"""DeOldify (jantic/DeOldify): two dynamic U-Nets on pretrained ResNets, and the critic of their adversarial training.

Shapes stage by stage for one 3 x 560 x 560 photo (render factor 35), artistic [stable]: input 3x560x560 -> ReLU after
bn1 64x280x280 -> layer1 64x140x140 [256] -> layer2 128x70x70 [512] -> layer3 256x35x35 [1024] -> layer4 512x18x18
[2048] -> two middle convolutions 1024, 512 [4096, 2048] x18x18 -> four blocks that enlarge and join a stage of the
encoder: 768x35x35 [512], 768x70x70 [512, both with self-attention], 672x140x140 [512], 300x280x280 [256] ->
enlargement 300x560x560 [256] -> with the input 303x560x560 [259] -> residual block -> 3x560x560.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from colorize.models.base import Adapted, Hints, Prediction, Predictor
from colorize.models.blocks import IMAGENET_DEVIATION, IMAGENET_MEAN, with_border
from colorize.models.deoldify_blocks import (
    DeepBlock,
    LastEnlargement,
    Residual,
    SelfAttention,
    WideBlock,
    batch_normalization,
    convolution,
)
from colorize.models.encoders import load_encoder
from colorize.models.lab import grey_to_srgb, rgb_to_lab
from colorize.models.registry import register
from colorize.models.resnet import Kind, ResNetEncoder
from colorize.models.spectral import SpectralConvolution
from colorize.settings.architectures import DeOldifyArtisticSettings, DeOldifyStableSettings

LIMIT = 3.0  # the output lies in -3..3 of ImageNet's space, which holds all of sRGB's 0..1
# Batch normalization in training needs more than one value a channel, even at a 32nd of the size of a single photo.
MINIMUM_SIDE = 34
BLOCKS = 4

# Numbers of the encoder's parts in `layers.0`; what lies between, ReLU and pooling, has no weights.
_ENCODER = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
_SKIPS = (2, 4, 5, 6)  # the first ReLU, layer1, layer2, layer3

MakeBlock = Callable[[int, int, int], DeepBlock | WideBlock]


class Generator(Predictor):
    """What the artistic and the stable network share: all but the blocks."""

    def __init__(self, encoder: ResNetEncoder, block: MakeBlock) -> None:
        """Fresh weights.

        Args:
            encoder: taken apart; its parts become `layers.0`.
            block: makes a block from the channels it is given, those of the skip, and its place, 0 to 3.
        """
        super().__init__()
        *skips, channels = encoder.channels
        # The numbers are the published ones; those that are left out have no weights.
        self.layers = nn.ModuleDict({"0": nn.Sequential(*encoder.children()), "1": batch_normalization(channels)})
        self.layers["3"] = nn.Sequential(convolution(channels, 2 * channels), convolution(2 * channels, channels))
        for place, skipped in enumerate(reversed(skips)):
            made = block(channels, skipped, place)
            self.layers[str(4 + place)] = made
            channels = made.outputs
        self.layers["8"] = LastEnlargement(channels)
        self.layers["10"] = Residual(channels + 3)
        self.layers["11"] = convolution(channels + 3, 3, kernel=1, activated=False, normalised=False)

    def forward(self, image: Tensor) -> Tensor:
        """The published input and output.

        Args:
            image: N x 3 x H x W, H and W even: sRGB less the mean of ImageNet over its deviation; three equal channels
                of grey before that.

        Returns:
            N x 3 x H x W, in the same space, -3..3.

        Raises:
            RuntimeError: H or W is odd.
        """
        skips, features = [], image
        for place, layer in enumerate(self.layers["0"].children()):
            features = layer(features)
            if place in _SKIPS:
                skips.append(features)
        features = self.layers["3"](functional.relu(self.layers["1"](features)))
        for place in range(BLOCKS):
            features = self.layers[str(4 + place)](features, skips.pop())
        features = torch.cat([self.layers["8"](features), image], dim=1)
        features = self.layers["11"](self.layers["10"](features))
        return 2 * LIMIT * torch.sigmoid(features) - LIMIT

    def colors(self, l: Tensor, seeds: Sequence[int] | None = None, hints: Hints | None = None) -> Prediction:  # noqa: E741, ARG002
        """See `Predictor.colors`. The photo is shown in its own size, its right and lower border repeated to even sides
        of at least 34; the published program stretches it to a square of 16 times the render factor instead. The
        network makes sRGB; of this, a and b are the answer, as the published program keeps the photo's own luma.
        """
        height, width = l.shape[-2:]
        grey = grey_to_srgb(with_border(l, 2, MINIMUM_SIDE))
        moments = list(zip(IMAGENET_MEAN, IMAGENET_DEVIATION, strict=True))
        image = torch.cat([(grey - mean) / deviation for mean, deviation in moments], dim=1)
        output = self(image)[..., :height, :width].to(l.dtype)
        channels = zip(output.split(1, dim=1), moments, strict=True)
        rgb = torch.cat([channel * deviation + mean for channel, (mean, deviation) in channels], dim=1)
        # Clamped as published, but gradients pass as though it were not: what is out of range can come back.
        rgb = rgb + (rgb.clamp(0, 1) - rgb).detach()
        return Prediction(ab=rgb_to_lab(rgb)[:, 1:])


class ArtisticGenerator(Generator):
    """`DynamicUnetDeep` of deoldify/unet.py on ResNet-34: 63,646,881 parameters as published."""

    def __init__(self, *, encoder: Kind = "resnet34", encoder_width: float = 1.0, factor: float = 1.5) -> None:
        """Fresh weights.

        Args:
            encoder: depth of the ResNet.
            encoder_width: multiplies its channels.
            factor: a block has this many times the channels it joins; the last one half of that.
        """

        def block(inputs: int, skipped: int, place: int) -> DeepBlock:
            return DeepBlock(inputs, skipped, factor, attention=place == 1, last=place == BLOCKS - 1)

        super().__init__(ResNetEncoder(encoder, encoder_width), block)


class StableGenerator(Generator):
    """`DynamicUnetWide` of deoldify/unet.py on ResNet-101, also for video: 218,222,197 parameters as published."""

    def __init__(self, *, encoder: Kind = "resnet101", encoder_width: float = 1.0, factor: float = 2.0) -> None:
        """Fresh weights.

        Args:
            encoder: depth of the ResNet.
            encoder_width: multiplies its channels.
            factor: a block has 256 times as many channels; the last one half of that.
        """
        # The published code counts 512 a factor, of which a block keeps half.
        outputs = max(2, int(512 * factor) // 2)

        def block(inputs: int, skipped: int, place: int) -> WideBlock:
            return WideBlock(inputs, skipped, outputs // 2 if place == BLOCKS - 1 else outputs, attention=place == 1)

        super().__init__(ResNetEncoder(encoder, encoder_width), block)


class Critic(nn.Sequential):
    """Tells photos from colorizations: `custom_gan_critic` of deoldify/critics.py, 94,555,649 parameters as published.

    From N x 3 x H x W (sRGB less the mean of ImageNet over its deviation, both sides at least 64) to one logit for each
    overlapping patch, N x P: P is (H / 16 - 3)(W / 16 - 3) for multiples of 16.
    """

    def __init__(self, *, channels: int = 256, blocks: int = 3, dropout: float = 0.15) -> None:
        """Fresh weights.

        Args:
            channels: of the first convolution; each block doubles them.
            blocks: halvings after the first.
            dropout: share of channels that training leaves out, half as many before the first block.
        """
        layers: list[nn.Module] = [_leaky(3, channels, 4, stride=2), nn.Dropout2d(dropout / 2)]
        for place in range(blocks):
            layers += [_leaky(channels, channels, 3), nn.Dropout2d(dropout)]
            layers.append(_leaky(channels, 2 * channels, 4, stride=2, attention=place == 0))
            channels *= 2
        layers.append(_leaky(channels, channels, 3))
        layers.append(nn.Sequential(SpectralConvolution(channels, 1, 4, bias=False, padding=0)))
        super().__init__(*layers, nn.Flatten())


def _leaky(inputs: int, outputs: int, kernel: int, *, stride: int = 1, attention: bool = False) -> nn.Sequential:
    """A convolution of the critic."""
    layers: list[nn.Module] = [
        SpectralConvolution(inputs, outputs, kernel, bias=True, stride=stride),
        nn.LeakyReLU(0.2, inplace=True),
    ]
    return nn.Sequential(*layers, *([SelfAttention(outputs)] if attention else []))


class _DeOldify(Adapted):
    paper = "Antic, DeOldify (github.com/jantic/DeOldify, 2018)"
    network: Generator

    def encoder_part(self) -> nn.Module | None:
        """See `Colorization.encoder_part`: the ResNet."""
        return self.network.layers["0"]

    def begin_with(self, weights: Mapping[str, Tensor]) -> None:
        """Take the weights of a published ResNet by torchvision's names; see `Colorization.begin_with`."""
        numbered = {}
        for name, tensor in weights.items():
            part, _, rest = name.partition(".")
            numbered[f"{_ENCODER.get(part, part)}.{rest}"] = tensor
        load_encoder(self.network.layers["0"], numbered, head="fc.")


@register("deoldify_artistic", DeOldifyArtisticSettings)
class DeOldifyArtistic(_DeOldify):
    """The artistic generator for training; width 1 and factor 1.5 are published."""

    def __init__(self, settings: DeOldifyArtisticSettings) -> None:
        network = ArtisticGenerator(
            encoder=settings.encoder, encoder_width=settings.encoder_width, factor=settings.factor
        )
        super().__init__(network)


@register("deoldify_stable", DeOldifyStableSettings)
class DeOldifyStable(_DeOldify):
    """The stable generator for training; width 1 and factor 2 are published."""

    def __init__(self, settings: DeOldifyStableSettings) -> None:
        network = StableGenerator(
            encoder=settings.encoder, encoder_width=settings.encoder_width, factor=settings.factor
        )
        super().__init__(network)
