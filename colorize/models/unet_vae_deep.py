"""The study's second UNet-VAE: four layers of kernel 3 a side in place of three, with interpolated skip connections.

The study names the layers ("4 layer K=3 S=2 Encoder, VAE, 4 layer K=3 S=2 Decoder", "interpolation in skip
connections") and no shapes; without padding these follow. Stage by stage for one 150 x 150 photo: 1x150x150 ->
Encoder 1 64x74x74 -> Encoder 2 64x36x36 -> Encoder 3 64x17x17 -> Encoder 4 64x8x8 -> VAE 64x8x8 -> Decoder 1 (from
128x8x8) 64x17x17 -> Decoder 2 (from 128x17x17) 64x35x35 -> Decoder 3 (from 128x35x35, Encoder 2 interpolated from 36)
64x71x71 -> Decoder 4 (from 128x71x71, Encoder 1 interpolated from 74) 64x143x143 -> Final 3x150x150, interpolated.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from colorize.models.base import AB_SCALE, LIGHTNESS_CENTER, Colorization, Hints, Latent, Prediction, normalised
from colorize.models.blocks import at_least, drawn, resize, scaled
from colorize.models.registry import register
from colorize.settings.architectures import UNetVAEDeepSettings

# Four halvings with kernel 3 leave one position of the latent code.
MINIMUM_SIDE = 31


@register("unet_vae_deep", UNetVAEDeepSettings)
class UNetVAEDeep(Colorization):
    """L in, all of CIELAB out, through a latent code that is drawn from a normal distribution in training.

    As in `UNetVAE`, all stages have 64 channels, the VAE is two 1x1 convolutions, and `Prediction.l` is the network's
    own lightness. 415,107 parameters at width 1.
    """

    variational = True
    paper = '"Enhancing Image Colorization Architectures", the study'

    def __init__(self, settings: UNetVAEDeepSettings) -> None:
        super().__init__()
        channels = scaled(64, settings.width)
        self.encoders = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inputs, channels, 3, stride=2), nn.ReLU(inplace=True))
            for inputs in (1, channels, channels, channels)
        )
        self.mean = nn.Conv2d(channels, channels, 1)
        self.log_variance = nn.Conv2d(channels, channels, 1)
        self.decoders = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(2 * channels, channels, 3, stride=2), nn.ReLU(inplace=True))
            for _ in range(4)
        )
        self.final = nn.Conv2d(channels, 3, 1)

    def colors(self, l: Tensor, seeds: Sequence[int] | None = None, hints: Hints | None = None) -> Prediction:  # noqa: E741, ARG002
        """See `Predictor.colors`. A side shorter than 31 pixels is enlarged to that first."""
        features = at_least(normalised(l), MINIMUM_SIDE)
        encoded = []
        for encoder in self.encoders:
            features = encoder(features)
            encoded.append(features)
        latent = Latent(self.mean(features), self.log_variance(features))
        features = drawn(latent, seeds)
        for decoder, skip in zip(self.decoders, reversed(encoded), strict=True):
            features = decoder(torch.cat([features, resize(skip, (features.shape[-2], features.shape[-1]))], dim=1))
        lab = AB_SCALE * resize(self.final(features), (l.shape[-2], l.shape[-1]))
        return Prediction(ab=lab[:, 1:], l=LIGHTNESS_CENTER + lab[:, :1], latent=latent)
