"""The study's Simple UNet: no skip connections, no padding, three output channels; and each cure, by one parameter.

Shapes stage by stage for one 150 x 150 photo, as the study gives them: 1x150x150 -> Encoder 1 64x146x146 ->
Encoder 2 128x69x69 -> Middle 64x48x48 -> Decoder 1 32x88x88 -> Decoder 2 32x168x168 -> Final 3x150x150.
The study gives shapes, not layers. They are filled in with the fewest distinct layers that give every shape exactly:
one valid 5x5 convolution, one 2x2 max-pooling and one x2 upsampler; the middle is the only stage where other layers
would fit as well. The missing padding, the upsampler and the final resize cause the artefacts the study reports.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from colorize.models.base import AB_SCALE, LIGHTNESS_CENTER, Colorization, Hints, Prediction, normalised
from colorize.models.blocks import at_least, resize, scaled, upsampler
from colorize.models.lab import ab_of_output, rgb_to_lab
from colorize.models.registry import register
from colorize.settings.architectures import SimpleUNetSettings

# The shortest side for which every valid convolution still has something to work on; and the shortest whose quarter
# can be reflected by 2 positions.
MINIMUM_SIDE = 68
MINIMUM_SIDE_PADDED = 12


@register("simple_unet", SimpleUNetSettings)
class SimpleUNet(Colorization):
    """L in, all of CIELAB out: the network makes its own lightness beside ab. 1,363,299 parameters as published.

    What the settings change, each by itself and nothing else:

    - `upsampler`: one layer for another; 1,332,579 parameters with `transposed-k2`.
    - `padding`: all 5x5 convolutions keep the size, so that every stage sees the border; 150 x 150 then becomes 150,
      75, 74, 148, 296, and 150 again.
    - `skips`: Encoder 2 is added to what Decoder 1 gets, and Encoder 1 to what Decoder 2 gets, each resized to fit and
      brought to its number of channels by a 1x1 convolution. Added and not concatenated: every other layer keeps its
      shape, and from the same seed its first weights, so that a comparison sees the connection and no larger decoder
      (10,240 parameters more, where concatenation would bring 153,600).
    - `output`: `lab`, three channels L, a, b; the lightness is 50 + 110 x channel 0, ab 110 x channels 1 and 2, so
      that one unit of output is the same distance in CIELAB in all three. `rgb`, sRGB as logistic functions of three
      channels, converted to CIELAB. In both `Prediction.l` is this own lightness (and blurred: that is the study's
      loss of resolution). `ab`, two channels, and no lightness of its own. `oklab` and `yuv`, likewise two channels:
      the chroma of that space, which the photo's own lightness completes (`ab_of_output`).
    """

    paper = '"Enhancing Image Colorization Architectures", the study'

    def __init__(self, settings: SimpleUNetSettings) -> None:
        super().__init__()
        first, second, last = (scaled(channels, settings.width) for channels in (64, 128, 32))
        self.output = settings.output
        self.minimum_side = MINIMUM_SIDE if settings.padding == "none" else MINIMUM_SIDE_PADDED

        def convolution(inputs: int, outputs: int) -> nn.Sequential:
            layer = (
                nn.Conv2d(inputs, outputs, 5)
                if settings.padding == "none"
                else nn.Conv2d(inputs, outputs, 5, padding=2, padding_mode=settings.padding)
            )
            return nn.Sequential(layer, nn.ReLU(inplace=True))

        self.encoder1 = convolution(1, first)
        self.encoder2 = nn.Sequential(nn.MaxPool2d(2), convolution(first, second))
        self.middle = nn.Sequential(
            convolution(second, second),
            nn.MaxPool2d(2),
            convolution(second, second),
            convolution(second, first),
            upsampler(settings.upsampler, first),
        )
        self.decoder1 = nn.Sequential(convolution(first, last), upsampler(settings.upsampler, last))
        self.decoder2 = nn.Sequential(convolution(last, last), upsampler(settings.upsampler, last))
        self.final = nn.Conv2d(last, 3 if settings.output in ("rgb", "lab") else 2, 1)
        # Last, so that no other layer draws other first weights. Without bias: the sum's other part has one already.
        self.skip1 = nn.Conv2d(first, last, 1, bias=False) if settings.skips else None
        self.skip2 = nn.Conv2d(second, first, 1, bias=False) if settings.skips else None

    def colors(self, l: Tensor, seeds: Sequence[int] | None = None, hints: Hints | None = None) -> Prediction:  # noqa: E741, ARG002
        """See `Predictor.colors`. A side shorter than 68 pixels (12 with padding) is enlarged to that first."""
        encoded1 = self.encoder1(at_least(normalised(l), self.minimum_side))
        encoded2 = self.encoder2(encoded1)
        decoded = self.decoder1(_joined(self.middle(encoded2), self.skip2, encoded2))
        decoded = self.decoder2(_joined(decoded, self.skip1, encoded1))
        output = resize(self.final(decoded), (l.shape[-2], l.shape[-1]))
        if self.output == "rgb":
            lab = rgb_to_lab(torch.sigmoid(output))
            return Prediction(ab=lab[:, 1:], l=lab[:, :1])
        if self.output == "lab":
            lab = AB_SCALE * output
            return Prediction(ab=lab[:, 1:], l=LIGHTNESS_CENTER + lab[:, :1])
        return Prediction(ab=ab_of_output(output, l, self.output))


def _joined(decoded: Tensor, connection: nn.Module | None, encoded: Tensor) -> Tensor:
    """With what the encoder made at about this size. The whole map is resized, border to border, as the output is."""
    if connection is None:
        return decoded
    joined: Tensor = decoded + connection(resize(encoded, (decoded.shape[-2], decoded.shape[-1])))
    return joined
