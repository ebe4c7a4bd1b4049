"""Zhang, Isola and Efros, "Colorful Image Colorization" (ECCV 2016): colours as a classification into 313 bins.

From the paper and the authors' repository richzhang/colorization (`colorizers/eccv16.py`). For one 256 x 256 photo:
1x256x256 -> model1 64x128x128 -> model2 128x64x64 -> model3 256x32x32 -> model4 to model7 512x32x32 (5 and 6 with
dilation 2) -> model8 313x64x64 -> model_out 2x64x64 -> bilinear 2x256x256.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from colorize.bins import ab_bins
from colorize.models.annealed_mean import TEMPERATURE
from colorize.models.base import AB_SCALE, LIGHTNESS_CENTER, Adapted, Hints, Prediction, Predictor
from colorize.models.blocks import scaled, with_border
from colorize.models.registry import register
from colorize.settings.architectures import ECCV16Settings

# Unlike the other networks' 50: these get lightness as -0.5..0.5.
LIGHTNESS_SCALE = 100.0
BINS = 313
# The sides are halved three times, and batch normalization in training wants more than one position below.
MULTIPLE = 8
MINIMUM_SIDE = 2 * MULTIPLE


def stage(inputs: int, outputs: int, convolutions: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """3x3 convolutions, each with a ReLU, and one batch normalization after the last ReLU.

    Args:
        inputs: channels in.
        outputs: channels of every convolution.
        convolutions: how many, 1 at least.
        stride: of the last convolution.
        dilation: of all convolutions.
    """
    layers: list[nn.Module] = []
    for index in range(convolutions):
        layers += [
            nn.Conv2d(
                outputs if index else inputs,
                outputs,
                3,
                stride=stride if index + 1 == convolutions else 1,
                padding=dilation,
                dilation=dilation,
            ),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers, nn.BatchNorm2d(outputs))


class ECCV16(Predictor):
    """The published network, 32,236,011 parameters at width 1.

    Fresh weights are torch's default. (The authors trained in Caffe and took weights from clustered features; their
    PyTorch file is for inference.) `model_out` starts as the centres of the bins divided by 110, which is what the
    published file holds there.
    """

    def __init__(self, *, width: float = 1.0, temperature: float = TEMPERATURE) -> None:
        super().__init__()
        self.temperature = temperature
        narrow, half, full, wide = (scaled(channels, width) for channels in (64, 128, 256, 512))
        self.model1 = stage(1, narrow, 2, stride=2)
        self.model2 = stage(narrow, half, 2, stride=2)
        self.model3 = stage(half, full, 3, stride=2)
        self.model4 = stage(full, wide, 3)
        self.model5 = stage(wide, wide, 3, dilation=2)
        self.model6 = stage(wide, wide, 3, dilation=2)
        self.model7 = stage(wide, wide, 3)
        self.model8 = nn.Sequential(
            nn.ConvTranspose2d(wide, full, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(full, full, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(full, full, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(full, BINS, 1),
        )
        self.model_out = nn.Conv2d(BINS, 2, 1, bias=False)
        with torch.no_grad():
            self.model_out.weight.copy_(torch.from_numpy(ab_bins()).T[:, :, None, None] / AB_SCALE)

    def forward(self, l: Tensor) -> Tensor:  # noqa: E741
        """As published: lightness N x 1 x H x W in 0..100 to ab in CIELAB units.

        The result is N x 2 x 8 ceil(H / 8) x 8 ceil(W / 8).
        """
        return self._decoded(self._scores(l))

    def colors(self, l: Tensor, seeds: Sequence[int] | None = None, hints: Hints | None = None) -> Prediction:  # noqa: E741, ARG002
        """See `Predictor.colors`. The border is repeated up to a multiple of 8, 16 at least, and cut off again.

        `logits` are N x 313 x ceil(H / 4) x ceil(W / 4): row i and column j speak of pixel (4 i, 4 j), so the targets
        are the photo's every fourth pixel, as in the authors' training. They are the scores from which `forward`
        decodes, times `temperature` (1 / 2.606 as published): a classification learns the softmax of `logits`, and `ab`
        is their annealed mean, enlarged. The authors trained without that factor too and put it into the network
        afterwards (that the published PyTorch weights contain it is inferred: the code has no such factor).
        """
        height, width = l.shape[-2:]
        scores = self._scores(with_border(l, MULTIPLE, MINIMUM_SIDE))
        logits = scores[:, :, : -(-height // 4), : -(-width // 4)] * self.temperature
        return Prediction(ab=self._decoded(scores)[:, :, :height, :width], logits=logits)

    def _scores(self, l: Tensor) -> Tensor:  # noqa: E741
        features = self.model3(self.model2(self.model1((l - LIGHTNESS_CENTER) / LIGHTNESS_SCALE)))
        features = self.model7(self.model6(self.model5(self.model4(features))))
        scores: Tensor = self.model8(features)
        return scores

    def _decoded(self, scores: Tensor) -> Tensor:
        # The mean of the bins' colours; it is enlarged after that, not the probabilities.
        mean = self.model_out(torch.softmax(scores, dim=1))
        return AB_SCALE * functional.interpolate(mean, scale_factor=4, mode="bilinear", align_corners=False)


@register("eccv16", ECCV16Settings)
class TrainableECCV16(Adapted):
    """`ECCV16` for training. The bins' colours in `model_out` are a table and stay as they are."""

    paper = "Zhang et al., ECCV 2016"
    classifies = True

    def __init__(self, settings: ECCV16Settings) -> None:
        network = ECCV16(width=settings.width, temperature=settings.temperature)
        # A classification never asks for them, and training on several workers wants a gradient for all it moves.
        network.model_out.requires_grad_(False)
        super().__init__(network)
