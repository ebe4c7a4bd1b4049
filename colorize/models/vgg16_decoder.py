"""The study's first network: the features of a VGG-16 that classifies photos, decoded to ab by six convolutions.

Stage by stage for one 224 x 224 photo: L three times 3x224x224 -> VGG-16's convolutions 512x7x7 -> 256x7x7 ->
128x7x7 -> up 14 -> 64x14x14 -> up 28 -> 32x28x28 -> up 56 -> 16x56x56 -> up 112 -> 2x112x112 -> up 2x224x224.
Convolutions are 3x3 with zeros around, followed by ReLU, the last by tanh; "up" repeats each pixel 2x2 times, so ab has
half the photo's resolution at most. The study writes the decoder in Keras and trains it with the mean squared error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from colorize.models.base import AB_SCALE, Colorization, Hints, Prediction
from colorize.models.blocks import imagenet_grey, scaled, with_border
from colorize.models.registry import register
from colorize.models.vgg import VGGEncoder
from colorize.settings.architectures import VGG16DecoderSettings

# The five poolings of the encoder and the five enlargements of the decoder.
MULTIPLE = 32


def _convolution(inputs: int, outputs: int, activation: nn.Module) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
    assert convolution.bias is not None
    nn.init.xavier_uniform_(convolution.weight)  # Keras' first weights, in which the study trained
    nn.init.zeros_(convolution.bias)
    return [convolution, activation]


@register("vgg16_decoder", VGG16DecoderSettings)
class VGG16Decoder(Colorization):
    """L in, ab out. The encoder is frozen as in the study, unless `train_encoder`; then all weights are trained.

    At width 1 the decoder has 1,572,114 parameters and the encoder 14,714,688. The encoder makes sense with published
    weights only (`begin_with`); without them its features are random ones.
    """

    paper = '"Enhancing Image Colorization Architectures", the study'

    def __init__(self, settings: VGG16DecoderSettings) -> None:
        super().__init__()
        self.encoder = VGGEncoder("vgg16", settings.encoder_width)
        self.encoder.requires_grad_(settings.train_encoder)
        self.frozen = not settings.train_encoder
        inputs = self.encoder.channels[-1]
        first, *others = (scaled(channels, settings.width) for channels in (256, 128, 64, 32, 16))
        layers = _convolution(inputs, first, nn.ReLU(inplace=True))
        inputs = first
        for outputs in others:
            layers += [*_convolution(inputs, outputs, nn.ReLU(inplace=True)), nn.Upsample(scale_factor=2)]
            inputs = outputs
        layers += [*_convolution(inputs, 2, nn.Tanh()), nn.Upsample(scale_factor=2)]
        self.decoder = nn.Sequential(*layers)

    def train(self, mode: bool = True) -> VGG16Decoder:
        """Training mode, in which a frozen encoder does not take part."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def encoder_part(self) -> nn.Module | None:
        """See `Colorization.encoder_part`; a frozen encoder never learns."""
        return None if self.frozen else self.encoder

    def begin_with(self, weights: Mapping[str, Tensor]) -> None:
        """See `Colorization.begin_with`: a VGG-16 by torchvision's names."""
        self.encoder.begin_with(weights)

    def colors(self, l: Tensor, seeds: Sequence[int] | None = None, hints: Hints | None = None) -> Prediction:  # noqa: E741, ARG002
        """See `Predictor.colors`. The border is repeated up to a multiple of 32, and cut off again."""
        height, width = l.shape[-2:]
        ab = AB_SCALE * self.decoder(self.encoder.stages(imagenet_grey(with_border(l, MULTIPLE)))[-1])
        return Prediction(ab=ab[:, :, :height, :width])
