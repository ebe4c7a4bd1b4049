"""The study's UNet-VAE hybrid: a strided encoder, a variational bottleneck, interpolated skip connections.

Shapes stage by stage for one 150 x 150 photo, as the study gives them: 1x150x150 -> Encoder 1 64x74x74 -> Encoder 2
64x36x36 -> Encoder 3 64x17x17 -> VAE 64x17x17 -> Decoder 1 (from 128x17x17) 64x38x38 -> Decoder 2 64x80x80 ->
Decoder 3 64x164x164 -> Final 3x150x150. Encoder convolutions have kernel 4 and stride 2, decoder transposed
convolutions kernel 6 and stride 2 (the study prints stride 1, with which these sizes cannot be had), none has padding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from colorize.models.base import AB_SCALE, LIGHTNESS_CENTER, Colorization, Hints, Latent, Prediction, normalised
from colorize.models.blocks import at_least, drawn, resize, scaled
from colorize.models.registry import register
from colorize.settings.architectures import UNetVAESettings

# Three halvings with kernel 4 leave one position of the latent code.
MINIMUM_SIDE = 22


def _encoder(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 4, stride=2), nn.ReLU(inplace=True))


def _decoder(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(inputs, outputs, 6, stride=2), nn.ReLU(inplace=True))


@register("unet_vae", UNetVAESettings)
class UNetVAE(Colorization):
    """L in, all of CIELAB out, through a latent code that is drawn from a normal distribution in training.

    Output channels and their scale are those of `SimpleUNet`: `Prediction.l` is the network's own lightness.
    878,275 parameters at width 1.
    """

    variational = True
    paper = '"Enhancing Image Colorization Architectures", the study'

    def __init__(self, settings: UNetVAESettings) -> None:
        super().__init__()
        channels = scaled(64, settings.width)
        self.encoder1 = _encoder(1, channels)
        self.encoder2 = _encoder(channels, channels)
        self.encoder3 = _encoder(channels, channels)
        self.mean = nn.Conv2d(channels, channels, 1)
        self.log_variance = nn.Conv2d(channels, channels, 1)
        self.decoder1 = _decoder(2 * channels, channels)
        self.decoder2 = _decoder(2 * channels, channels)
        self.decoder3 = _decoder(channels, channels)
        self.final = nn.Conv2d(channels, 3, 1)

    def colors(self, l: Tensor, seeds: Sequence[int] | None = None, hints: Hints | None = None) -> Prediction:  # noqa: E741, ARG002
        """See `Predictor.colors`. A side shorter than 22 pixels is enlarged to that first."""
        size = (l.shape[-2], l.shape[-1])
        encoded2 = self.encoder2(self.encoder1(at_least(normalised(l), MINIMUM_SIDE)))
        encoded3 = self.encoder3(encoded2)
        latent = Latent(self.mean(encoded3), self.log_variance(encoded3))
        decoded = self.decoder1(torch.cat([drawn(latent, seeds), encoded3], dim=1))
        skip = resize(encoded2, (decoded.shape[-2], decoded.shape[-1]))
        decoded = self.decoder3(self.decoder2(torch.cat([decoded, skip], dim=1)))
        lab = AB_SCALE * resize(self.final(decoded), size)
        return Prediction(ab=lab[:, 1:], l=LIGHTNESS_CENTER + lab[:, :1], latent=latent)
