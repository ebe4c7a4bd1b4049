"""The study's Simple UNet: no skip connections, no padding, three output channels.

Shapes stage by stage for one 150 x 150 photo, as the study gives them: 1x150x150 -> Encoder 1 64x146x146 ->
Encoder 2 128x69x69 -> Middle 64x48x48 -> Decoder 1 32x88x88 -> Decoder 2 32x168x168 -> Final 3x150x150.
The study gives shapes, not layers. They are filled in with the fewest distinct layers that give every shape exactly:
one valid 5x5 convolution, one 2x2 max-pooling and one x2 upsampler; the middle is the only stage where other layers
would fit as well. The missing padding, the upsampler and the final resize cause the artefacts the study reports.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from colorize.models.base import AB_SCALE, LIGHTNESS_CENTER, Colorization, Hints, Prediction, normalised
from colorize.models.blocks import at_least, resize, scaled, upsampler
from colorize.models.registry import register
from colorize.settings.architectures import SimpleUNetSettings

# The shortest side for which every valid convolution still has something to work on.
MINIMUM_SIDE = 68


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 5), nn.ReLU(inplace=True))


@register("simple_unet", SimpleUNetSettings)
class SimpleUNet(Colorization):
    """L in, all of CIELAB out: the network makes its own lightness beside ab.

    The three output channels are L, a, b; the lightness 50 + 110 x channel 0, ab 110 x channels 1 and 2, so that one
    unit of output is the same distance in CIELAB in all three. `Prediction.l` is this own lightness (and blurred: that
    is the study's loss of resolution). 1,363,299 parameters at width 1 as published.
    """

    def __init__(self, settings: SimpleUNetSettings) -> None:
        super().__init__()
        first, second, last = (scaled(channels, settings.width) for channels in (64, 128, 32))
        kind = settings.upsampler
        self.encoder1 = _convolution(1, first)
        self.encoder2 = nn.Sequential(nn.MaxPool2d(2), _convolution(first, second))
        self.middle = nn.Sequential(
            _convolution(second, second),
            nn.MaxPool2d(2),
            _convolution(second, second),
            _convolution(second, first),
            upsampler(kind, first),
        )
        self.decoder1 = nn.Sequential(_convolution(first, last), upsampler(kind, last))
        self.decoder2 = nn.Sequential(_convolution(last, last), upsampler(kind, last))
        self.final = nn.Conv2d(last, 3, 1)

    def colors(self, l: Tensor, seeds: Sequence[int] | None = None, hints: Hints | None = None) -> Prediction:  # noqa: E741, ARG002
        """See `Predictor.colors`. A side shorter than 68 pixels is enlarged to that first."""
        size = (l.shape[-2], l.shape[-1])
        features = self.encoder1(at_least(normalised(l), MINIMUM_SIDE))
        features = self.decoder2(self.decoder1(self.middle(self.encoder2(features))))
        lab = AB_SCALE * resize(self.final(features), size)
        return Prediction(ab=lab[:, 1:], l=LIGHTNESS_CENTER + lab[:, :1])
