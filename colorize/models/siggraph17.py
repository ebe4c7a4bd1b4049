"""Zhang et al., "Real-Time User-Guided Image Colorization with Learned Deep Priors" (SIGGRAPH 2017).

From the paper and the authors' repositories richzhang/colorization (`colorizers/siggraph17.py`) and
richzhang/colorization-pytorch. For one 256 x 256 photo: 4x256x256 (lightness, ab of the hints, their mask) -> model1
64x256x256 -> every second row and column -> model2 128x128x128 -> again -> model3 256x64x64 -> again -> model4 to
model7 512x32x32 (5 and 6 with dilation 2) -> model8 256x64x64 (adds what model3 gave) -> model9 128x128x128 (adds
model2) -> model10 128x256x256 (adds model1) -> model_out 2x256x256.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from colorize.models.base import AB_SCALE, LIGHTNESS_CENTER, Adapted, Hints, Prediction, Predictor
from colorize.models.blocks import scaled, with_border
from colorize.models.eccv16 import LIGHTNESS_SCALE, MINIMUM_SIDE, MULTIPLE, stage
from colorize.models.registry import register
from colorize.settings.architectures import SIGGRAPH17Settings

# A grid of 23 x 23 colours, 10 apart, -110..110 in a and in b.
CLASSES = 529


def _enlarge(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1))


def _shortcut(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1))


def _halved(features: Tensor) -> Tensor:
    return features[:, :, ::2, ::2]


class SIGGRAPH17(Predictor):
    """The published network, 34,187,027 parameters at width 1.

    135,953 of them are `model_class`, a classification that the authors trained along and that colorization never
    asks; it is here so that their file loads unchanged. Fresh weights are torch's default. (The authors' training code
    draws them from a normal distribution of deviation 0.02, which suits the published width; a slim network's signal
    would vanish on its way to the batch normalizations.)
    """

    takes_hints = True

    def __init__(self, *, width: float = 1.0) -> None:
        super().__init__()
        narrow, half, full, wide = (scaled(channels, width) for channels in (64, 128, 256, 512))
        # The order of the attributes is that of the published file.
        self.model1 = stage(4, narrow, 2)
        self.model2 = stage(narrow, half, 2)
        self.model3 = stage(half, full, 3)
        self.model4 = stage(full, wide, 3)
        self.model5 = stage(wide, wide, 3, dilation=2)
        self.model6 = stage(wide, wide, 3, dilation=2)
        self.model7 = stage(wide, wide, 3)
        # What is added to the enlarged features is not rectified yet: each stage below starts with a ReLU.
        self.model8up = _enlarge(wide, full)
        self.model8 = nn.Sequential(nn.ReLU(inplace=True), *stage(full, full, 2))
        self.model9up = _enlarge(full, half)
        self.model9 = nn.Sequential(nn.ReLU(inplace=True), *stage(half, half, 1))
        self.model10up = _enlarge(half, half)
        self.model10 = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(half, half, 3, padding=1), nn.LeakyReLU(0.2))
        self.model3short8 = _shortcut(full, full)
        self.model2short9 = _shortcut(half, half)
        self.model1short10 = _shortcut(narrow, half)
        self.model_class = nn.Sequential(nn.Conv2d(full, CLASSES, 1))
        self.model_out = nn.Sequential(nn.Conv2d(half, 2, 1), nn.Tanh())

    def forward(self, l: Tensor, ab: Tensor | None = None, mask: Tensor | None = None) -> Tensor:  # noqa: E741
        """As published.

        Args:
            l: N x 1 x H x W, 0..100; H and W are multiples of 8.
            ab: N x 2 x H x W, the hints' colours in CIELAB units, 0 where nothing is known; None: no hints.
            mask: N x 1 x H x W, 1 where `ab` is known, else 0; None: nowhere. (The authors' newer training code
                subtracts 0.5 from it; the published weights do not expect that.)

        Returns:
            N x 2 x H x W, ab in CIELAB units, -110..110.

        Raises:
            ValueError: H or W is no multiple of 8.
        """
        height, width = l.shape[-2:]
        if height % MULTIPLE or width % MULTIPLE:
            raise ValueError(f"height and width must be multiples of {MULTIPLE}, got {height} x {width}")
        ab = torch.cat([torch.zeros_like(l)] * 2, dim=1) if ab is None else ab
        mask = torch.zeros_like(l) if mask is None else mask
        inputs = torch.cat([(l - LIGHTNESS_CENTER) / LIGHTNESS_SCALE, ab / AB_SCALE, mask], dim=1)
        level1 = self.model1(inputs)
        level2 = self.model2(_halved(level1))
        level3 = self.model3(_halved(level2))
        features = self.model7(self.model6(self.model5(self.model4(_halved(level3)))))
        features = self.model8(self.model8up(features) + self.model3short8(level3))
        features = self.model9(self.model9up(features) + self.model2short9(level2))
        features = self.model10(self.model10up(features) + self.model1short10(level1))
        scaled_ab: Tensor = self.model_out(features)
        return AB_SCALE * scaled_ab

    def colors(self, l: Tensor, seeds: Sequence[int] | None = None, hints: Hints | None = None) -> Prediction:  # noqa: E741, ARG002
        """See `Predictor.colors`. The border is repeated up to a multiple of 8, 16 at least, and cut off again.

        Hints at the border are not repeated: each stays the one pixel that it is.
        """
        height, width = l.shape[-2:]
        bordered = with_border(l, MULTIPLE, MINIMUM_SIDE)
        ab = mask = None
        if hints is not None:
            border = (0, bordered.shape[-1] - width, 0, bordered.shape[-2] - height)
            ab, mask = functional.pad(hints.ab, border), functional.pad(hints.mask, border)
        return Prediction(ab=self(bordered, ab, mask)[:, :, :height, :width])


@register("siggraph17", SIGGRAPH17Settings)
class TrainableSIGGRAPH17(Adapted):
    """`SIGGRAPH17` for training, without its classification."""

    paper = "Zhang et al., SIGGRAPH 2017"
    takes_hints = True

    def __init__(self, settings: SIGGRAPH17Settings) -> None:
        network = SIGGRAPH17(width=settings.width)
        # Nothing asks it, and training on several workers wants a gradient for all it moves.
        network.model_class.requires_grad_(False)
        super().__init__(network)
