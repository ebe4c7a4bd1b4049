"""VGG-16, plain or with batch normalization (Simonyan and Zisserman, ICLR 2015), as an encoder or whole.

Names in the state dict are torchvision's, so that its published weights load as they are.

Shapes for one 3 x 224 x 224 photo: 64x224x224 -> 64x112x112 -> 128x56x56 -> 256x28x28 -> 512x14x14 -> 512x7x7, each
arrow a pooling that follows 2, 2, 3, 3 and 3 convolutions -> avgpool 512x7x7 -> classifier 4096, 4096, 1000.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from colorize.models.blocks import scaled
from colorize.models.encoders import load_encoder

Kind = Literal["vgg16", "vgg16_bn"]

# Channels and number of convolutions before each pooling.
_LEVELS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


class VGGEncoder(nn.Module):
    """The convolutions of a VGG-16: `features`, in torchvision's numbering.

    Attributes:
        channels: of the six feature maps that `stages` gives.
    """

    def __init__(self, kind: Kind, width: float = 1.0) -> None:
        """Fresh weights, drawn as torchvision does.

        Args:
            kind: `vgg16_bn` has a batch normalization between each convolution and its ReLU.
            width: multiplies every channel count; 1 as published.
        """
        super().__init__()
        self.channels: list[int] = []
        layers: list[nn.Module] = []
        inputs = 3
        for published, count in _LEVELS:
            channels = scaled(published, width)
            for _ in range(count):
                layers.append(nn.Conv2d(inputs, channels, 3, padding=1))
                layers += [nn.BatchNorm2d(channels)] if kind == "vgg16_bn" else []
                layers.append(nn.ReLU(inplace=True))
                inputs = channels
            layers.append(nn.MaxPool2d(2, stride=2))
            self.channels.append(channels)
        self.channels.append(inputs)
        self.features = nn.Sequential(*layers)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def stages(self, image: Tensor) -> list[Tensor]:
        """Six feature maps, with `channels` channels, at 1, 1/2, 1/4, 1/8, 1/16 and 1/32 of the size, rounded down.

        The first five are what each pooling is given, after the ReLU; the last is what the last pooling gives.

        Args:
            image: N x 3 x H x W, both sides at least 32; sRGB less the mean of ImageNet over its deviation.
        """
        maps, features = [], image
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                maps.append(features)
            features = layer(features)
        return [*maps, features]

    def begin_with(self, weights: Mapping[str, Tensor]) -> None:
        """Take the weights of a published VGG-16; those of its classifier are left aside.

        Args:
            weights: tensors by torchvision's names.

        Raises:
            ValueError: they are of another kind or width.
        """
        load_encoder(self, weights, head="classifier.")


class VGG(VGGEncoder):
    """A whole VGG-16, with the classifier of ImageNet's 1000 classes.

    At width 1: 138,357,544 parameters, with batch normalization 138,365,992.
    """

    def __init__(self, kind: Kind, width: float = 1.0) -> None:
        """See `VGGEncoder`."""
        super().__init__(kind, width)
        hidden = scaled(4096, width)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(self.channels[-1] * 7 * 7, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(hidden, 1000),
        )
        for module in self.classifier:
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> Tensor:
        """Logits, N x 1000, for N x 3 x H x W: sRGB less the mean of ImageNet over its deviation."""
        logits: Tensor = self.classifier(torch.flatten(self.avgpool(self.stages(image)[-1]), 1))
        return logits
