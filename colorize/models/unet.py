"""The cure of the study's artefacts: a U-Net with padding, skip connections and resize-convolution, that predicts ab.

After Ronneberger, Fischer and Brox, "U-Net" (MICCAI 2015), with three changes, one for each artefact: padded
convolutions (reflecting the border) against the corner artefacts, bilinear resize followed by a convolution against
the checkerboard (Odena, Dumoulin and Olah, Distill 2016), and ab alone as output, so that the original L is kept.

Stage by stage with the default settings, for one 256 x 256 photo: 1x256x256 -> stem 32x256x256 -> encoders 64x128x128,
128x64x64, 256x32x32, 512x16x16 -> decoders, each from the level below, reduced to its own channels and enlarged, and
the skip connection: 256x32x32 (from 256 + 256), 128x64x64, 64x128x128, 32x256x256 -> final 2x256x256.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from colorize.models.base import Colorization, Hints, Prediction, normalised
from colorize.models.blocks import imagenet_grey, with_border
from colorize.models.lab import ab_of_output
from colorize.models.registry import register
from colorize.models.resnet import ResNetEncoder
from colorize.models.vgg import VGGEncoder
from colorize.settings.architectures import UNetSettings


def _normalization(kind: str, channels: int) -> list[nn.Module]:
    if kind == "none":
        return []
    if kind == "batch":
        return [nn.BatchNorm2d(channels)]
    return [nn.GroupNorm(math.gcd(8, channels), channels)]


class _Convolutions(nn.Sequential):
    """3x3 convolutions, the first perhaps with stride 2, each followed by normalization and SiLU."""

    def __init__(self, inputs: int, outputs: int, settings: UNetSettings, stride: int = 1, count: int = 2) -> None:
        layers: list[nn.Module] = []
        for channels, step in ((inputs, stride), *[(outputs, 1)] * (count - 1)):
            layers.append(
                nn.Conv2d(
                    channels,
                    outputs,
                    3,
                    stride=step,
                    padding=1,
                    padding_mode=settings.padding,
                    bias=settings.normalization == "none",
                )
            )
            layers += [*_normalization(settings.normalization, outputs), nn.SiLU()]
        super().__init__(*layers)


def _published(settings: UNetSettings) -> tuple[VGGEncoder | ResNetEncoder, frozenset[str]]:
    """The chosen encoder down to its `depth`-th halving, and the names of the weights that were below."""
    encoder: VGGEncoder | ResNetEncoder
    if settings.encoder == "vgg16":
        encoder = VGGEncoder("vgg16", settings.encoder_width)
        whole = encoder.state_dict().keys()
        # A level ends before the next pooling; the fifth is the last pooling itself.
        ends = [place for place, layer in enumerate(encoder.features) if isinstance(layer, nn.MaxPool2d)]
        ends.append(len(encoder.features))
        encoder.features = nn.Sequential(*list(encoder.features)[: ends[settings.depth]])
    else:
        assert settings.encoder != "plain"
        encoder = ResNetEncoder(settings.encoder, settings.encoder_width)
        whole = encoder.state_dict().keys()
        # The first halving lies before layer1, the second at its start.
        for layer in range(settings.depth, 5):
            setattr(encoder, f"layer{layer}", nn.Identity())
    return encoder, frozenset(whole - encoder.state_dict().keys())


@register("unet", UNetSettings)
class UNet(Colorization):
    """L in, ab out, at the size of the input. The decoder has `channels` at full size, and twice as many a level below.

    `depth` is the number of levels below full size, each half as large as the one above. With `encoder: plain` the
    encoder has the decoder's channels. Any other encoder is a published one with channels of its own, cut off after its
    first `depth` halvings, of five; its maps reach the decoder by the skip connections. At full size VGG-16 has a map,
    too; a ResNet begins with a halving, so there the plain encoder's first convolution stands beside it.

    `output` is the space whose two channels of chroma the network makes: CIELAB's ab, or Oklab's or YUV's, which the
    photo's own lightness completes before they become ab (`ab_of_output`). The layers and their first weights are the
    same for all.
    """

    paper = "after Ronneberger et al., MICCAI 2015"

    def __init__(self, settings: UNetSettings) -> None:
        super().__init__()
        self.output = settings.output
        widths = [settings.channels * 2**level for level in range(settings.depth + 1)]
        encoded = widths
        self.multiple = 2**settings.depth
        self.stem, self.encoder, self.cut_off = None, None, frozenset[str]()
        if settings.encoder != "vgg16":
            # At full size, where convolutions cost most and see least, there is one a side; two at all other levels.
            self.stem = _Convolutions(1, widths[0], settings, count=1)
        if settings.encoder == "plain":
            self.encoders = nn.ModuleList(
                _Convolutions(above, below, settings, stride=2) for above, below in itertools.pairwise(widths)
            )
        else:
            self.encoder, self.cut_off = _published(settings)
            encoded = [*([] if self.stem is None else widths[:1]), *self.encoder.channels][: settings.depth + 1]
        # The 1x1 convolution comes before the resize: the two commute, and it is four times cheaper there.
        self.reducers = nn.ModuleList(
            nn.Conv2d(below, above, 1) for above, below in itertools.pairwise([*widths[:-1], encoded[-1]])
        )
        self.decoders = nn.ModuleList(
            _Convolutions(above + skip, above, settings, count=1 if above == widths[0] else 2)
            for above, skip in zip(widths[:-1], encoded[:-1], strict=True)
        )
        self.final = nn.Conv2d(widths[0], 2, 1)

    def encoder_part(self) -> nn.Module | None:
        """See `Colorization.encoder_part`: a published encoder, not the plain one."""
        return self.encoder

    def begin_with(self, weights: Mapping[str, Tensor]) -> None:
        """See `Colorization.begin_with`: a ResNet or VGG-16 by torchvision's names, of the kind of `encoder`."""
        if self.encoder is None:
            super().begin_with(weights)
        else:
            self.encoder.begin_with({name: tensor for name, tensor in weights.items() if name not in self.cut_off})

    def colors(self, l: Tensor, seeds: Sequence[int] | None = None, hints: Hints | None = None) -> Prediction:  # noqa: E741, ARG002
        """See `Predictor.colors`. The border is repeated up to a multiple of 2**depth, and cut off again."""
        height, width = l.shape[-2:]
        # Two positions at least at the bottom: a single one cannot be reflected.
        *skips, features = self._encoded(with_border(l, self.multiple, 2 * self.multiple))
        for skip, reducer, decoder in zip(
            reversed(skips), reversed(self.reducers), reversed(self.decoders), strict=True
        ):
            enlarged = functional.interpolate(reducer(features), scale_factor=2, mode="bilinear", align_corners=False)
            features = decoder(torch.cat([enlarged, skip], dim=1))
        output = self.final(features)[:, :, :height, :width]
        return Prediction(ab=ab_of_output(output, l, self.output))

    def _encoded(self, l: Tensor) -> list[Tensor]:  # noqa: E741
        """The maps of all levels, full size first."""
        maps = [] if self.stem is None else [self.stem(normalised(l))]
        if self.encoder is not None:
            return [*maps, *self.encoder.stages(imagenet_grey(l))][: len(self.decoders) + 1]
        for encoder in self.encoders:
            maps.append(encoder(maps[-1]))
        return maps
