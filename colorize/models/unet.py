"""The cure of the study's artefacts: a U-Net with padding, skip connections and resize-convolution, that predicts ab.

After Ronneberger, Fischer and Brox, "U-Net" (MICCAI 2015), with three changes, one for each artefact: padded
convolutions (reflecting the border) against the corner artefacts, bilinear resize followed by a convolution against
the checkerboard (Odena, Dumoulin and Olah, Distill 2016), and ab alone as output, so that the original L is kept.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from colorize.models.base import AB_SCALE, Colorization, Hints, Prediction, normalised
from colorize.models.registry import register
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
            layers += [*_normalization(settings.normalization, outputs), nn.SiLU(inplace=True)]
        super().__init__(*layers)


@register("unet", UNetSettings)
class UNet(Colorization):
    """L in, ab out, at the size of the input; `channels` at full size, twice as many after each of `depth` halvings."""

    def __init__(self, settings: UNetSettings) -> None:
        super().__init__()
        widths = [settings.channels * 2**level for level in range(settings.depth + 1)]
        self.multiple = 2**settings.depth
        # At full size, where convolutions cost most and see least, there is one a side; two at all other levels.
        self.stem = _Convolutions(1, widths[0], settings, count=1)
        self.encoders = nn.ModuleList(
            _Convolutions(above, below, settings, stride=2) for above, below in itertools.pairwise(widths)
        )
        # The 1x1 convolution comes before the resize: the two commute, and it is four times cheaper there.
        self.reducers = nn.ModuleList(nn.Conv2d(below, above, 1) for above, below in itertools.pairwise(widths))
        self.decoders = nn.ModuleList(
            _Convolutions(2 * above, above, settings, count=1 if above == widths[0] else 2) for above in widths[:-1]
        )
        self.final = nn.Conv2d(widths[0], 2, 1)

    def colors(self, l: Tensor, seeds: Sequence[int] | None = None, hints: Hints | None = None) -> Prediction:  # noqa: E741, ARG002
        """See `Predictor.colors`. The border is repeated up to a multiple of 2**depth, and cut off again."""
        height, width = l.shape[-2:]
        features = self.stem(self._padded(normalised(l)))
        skips = []
        for encoder in self.encoders:
            skips.append(features)
            features = encoder(features)
        for skip, reducer, decoder in zip(
            reversed(skips), reversed(self.reducers), reversed(self.decoders), strict=True
        ):
            enlarged = functional.interpolate(reducer(features), scale_factor=2, mode="bilinear", align_corners=False)
            features = decoder(torch.cat([enlarged, skip], dim=1))
        return Prediction(ab=AB_SCALE * self.final(features)[:, :, :height, :width])

    def _padded(self, l: Tensor) -> Tensor:  # noqa: E741
        # Two positions at least at the bottom: a single one cannot be reflected.
        right, bottom = (max(-side % self.multiple, 2 * self.multiple - side) for side in (l.shape[-1], l.shape[-2]))
        return functional.pad(l, (0, right, 0, bottom), mode="replicate") if right or bottom else l
