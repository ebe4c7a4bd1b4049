"""ResNet-18, 34, 50 and 101 (He et al., "Deep Residual Learning", CVPR 2016), as encoders or whole.

Names in the state dict are torchvision's, so that its published weights load as they are; the 50 and 101 have the
stride in the 3x3 convolution of a bottleneck, where torchvision puts it, not in the 1x1 before as the paper does.

Shapes for one 3 x 224 x 224 photo (ResNet-18 and 34; 50 and 101 have four times the channels from layer1 on):
conv1, bn1, relu 64x112x112 -> maxpool 64x56x56 -> layer1 64x56x56 -> layer2 128x28x28 -> layer3 256x14x14 ->
layer4 512x7x7 -> avgpool 512 -> fc 1000.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from colorize.models.blocks import scaled
from colorize.models.encoders import load_encoder

Kind = Literal["resnet18", "resnet34", "resnet50", "resnet101"]


class _Basic(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = _shortcut(inputs, channels, stride)

    def forward(self, image: Tensor) -> Tensor:
        """N x inputs x H x W to N x channels x H/stride x W/stride."""
        shortcut = image if self.downsample is None else self.downsample(image)
        features = self.relu(self.bn1(self.conv1(image)))
        result: Tensor = self.relu(self.bn2(self.conv2(features)) + shortcut)
        return result


class _Bottleneck(nn.Module):
    """A 3x3 convolution between two of 1x1, beside a shortcut."""

    expansion = 4

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        outputs = self.expansion * channels
        self.conv1 = nn.Conv2d(inputs, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, image: Tensor) -> Tensor:
        """N x inputs x H x W to N x 4 channels x H/stride x W/stride."""
        shortcut = image if self.downsample is None else self.downsample(image)
        features = self.relu(self.bn1(self.conv1(image)))
        features = self.relu(self.bn2(self.conv2(features)))
        result: Tensor = self.relu(self.bn3(self.conv3(features)) + shortcut)
        return result


class _Plan(NamedTuple):
    block: type[_Basic] | type[_Bottleneck]
    blocks: tuple[int, int, int, int]  # of layer1 to layer4


_PLANS: dict[str, _Plan] = {
    "resnet18": _Plan(_Basic, (2, 2, 2, 2)),
    "resnet34": _Plan(_Basic, (3, 4, 6, 3)),
    "resnet50": _Plan(_Bottleneck, (3, 4, 6, 3)),
    "resnet101": _Plan(_Bottleneck, (3, 4, 23, 3)),
}


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """What brings a block's input to the shape of its output; None if it has that already."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))


class ResNetEncoder(nn.Module):
    """A ResNet without its classifier.

    Attributes:
        channels: of the five feature maps that `stages` gives.
    """

    def __init__(self, kind: Kind, width: float = 1.0) -> None:
        """Fresh weights, drawn as torchvision does.

        Args:
            kind: which of the published depths.
            width: multiplies every channel count; 1 as published.
        """
        super().__init__()
        block, counts = _PLANS[kind]
        widths = [scaled(64 * 2**level, width) for level in range(4)]
        self.channels = [widths[0], *[block.expansion * channels for channels in widths]]
        self.conv1 = nn.Conv2d(3, widths[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        layers = [
            nn.Sequential(
                block(inputs, channels, stride=1 if level == 0 else 2),
                *[block(block.expansion * channels, channels, stride=1) for _ in range(count - 1)],
            )
            for level, (inputs, channels, count) in enumerate(zip(self.channels, widths, counts, strict=False))
        ]
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def stages(self, image: Tensor) -> list[Tensor]:
        """Five feature maps, with `channels` channels, at 1/2, 1/4, 1/8, 1/16 and 1/32 of the size, rounded up.

        The first is what follows the first ReLU, before the pooling; the others are the outputs of layer1 to layer4.

        Args:
            image: N x 3 x H x W, any size; sRGB less the mean of ImageNet over its deviation.
        """
        first = self.relu(self.bn1(self.conv1(image)))
        maps = [first]
        features = self.maxpool(first)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            features = layer(features)
            maps.append(features)
        return maps

    def begin_with(self, weights: Mapping[str, Tensor]) -> None:
        """Take the weights of a published ResNet; those of its classifier are left aside.

        Args:
            weights: tensors by torchvision's names.

        Raises:
            ValueError: they are of another depth or width.
        """
        load_encoder(self, weights, head="fc.")


class ResNet(ResNetEncoder):
    """A whole ResNet, with the classifier of ImageNet's 1000 classes.

    At width 1: ResNet-34 has 21,797,672 parameters, ResNet-101 44,549,160.
    """

    def __init__(self, kind: Kind, width: float = 1.0) -> None:
        """See `ResNetEncoder`."""
        super().__init__(kind, width)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(self.channels[-1], 1000)

    def forward(self, image: Tensor) -> Tensor:
        """Logits, N x 1000, for N x 3 x H x W: sRGB less the mean of ImageNet over its deviation."""
        logits: Tensor = self.fc(torch.flatten(self.avgpool(self.stages(image)[-1]), 1))
        return logits
