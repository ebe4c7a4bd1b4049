"""Inception-v3 (Szegedy et al., "Rethinking the Inception Architecture", CVPR 2016), whose features FID compares.

Names in the state dict are torchvision's, so that its published weights (`inception_v3_google`) load as they are.

For one 3 x 299 x 299 photo: 192x35x35 after five convolutions and two poolings, 288x35x35 after the Mixed_5, 768x17x17
after the Mixed_6, 2048x8x8 after the Mixed_7; their mean over positions is what FID calls pool3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from colorize.models.blocks import scaled

Size = int | tuple[int, int]


class _Convolution(nn.Module):
    """Convolution, batch normalization, ReLU; padded so that a stride of 1 keeps the size, unless told otherwise."""

    def __init__(self, inputs: int, outputs: int, side: Size = 1, *, stride: int = 1, padded: bool = True) -> None:
        super().__init__()
        sides = (side, side) if isinstance(side, int) else side
        padding = (sides[0] // 2, sides[1] // 2) if padded else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, sides, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(features)))


def _smoothed(features: Tensor) -> Tensor:
    """Mean of 3 x 3; beyond the border there are zeros, which count (in TensorFlow's Inception they do not)."""
    return functional.avg_pool2d(features, 3, stride=1, padding=1)


class _MixedA(nn.Module):
    """Mixed_5b to 5d: 1x1, 5x5 and two 3x3 beside a pooling. `channels` is what it gives."""

    def __init__(self, inputs: int, pooled: int, width: float) -> None:
        super().__init__()
        c48, c64, c96 = (scaled(count, width) for count in (48, 64, 96))
        self.branch1x1 = _Convolution(inputs, c64)
        self.branch5x5_1 = _Convolution(inputs, c48)
        self.branch5x5_2 = _Convolution(c48, c64, 5)
        self.branch3x3dbl_1 = _Convolution(inputs, c64)
        self.branch3x3dbl_2 = _Convolution(c64, c96, 3)
        self.branch3x3dbl_3 = _Convolution(c96, c96, 3)
        self.branch_pool = _Convolution(inputs, scaled(pooled, width))
        self.channels = 2 * c64 + c96 + scaled(pooled, width)

    def forward(self, features: Tensor) -> Tensor:
        branches = [
            self.branch1x1(features),
            self.branch5x5_2(self.branch5x5_1(features)),
            self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(features))),
            self.branch_pool(_smoothed(features)),
        ]
        return torch.cat(branches, dim=1)


class _MixedB(nn.Module):
    """Mixed_6a: half the size."""

    def __init__(self, inputs: int, width: float) -> None:
        super().__init__()
        c64, c96, c384 = (scaled(count, width) for count in (64, 96, 384))
        self.branch3x3 = _Convolution(inputs, c384, 3, stride=2, padded=False)
        self.branch3x3dbl_1 = _Convolution(inputs, c64)
        self.branch3x3dbl_2 = _Convolution(c64, c96, 3)
        self.branch3x3dbl_3 = _Convolution(c96, c96, 3, stride=2, padded=False)
        self.channels = c384 + c96 + inputs

    def forward(self, features: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(features)))
        return torch.cat([self.branch3x3(features), double, functional.max_pool2d(features, 3, stride=2)], dim=1)


class _MixedC(nn.Module):
    """Mixed_6b to 6e: 7x7 as 1x7 and 7x1."""

    def __init__(self, inputs: int, inner: int, width: float) -> None:
        super().__init__()
        c, c192 = scaled(inner, width), scaled(192, width)
        across, down = (1, 7), (7, 1)
        self.branch1x1 = _Convolution(inputs, c192)
        self.branch7x7_1 = _Convolution(inputs, c)
        self.branch7x7_2 = _Convolution(c, c, across)
        self.branch7x7_3 = _Convolution(c, c192, down)
        self.branch7x7dbl_1 = _Convolution(inputs, c)
        self.branch7x7dbl_2 = _Convolution(c, c, down)
        self.branch7x7dbl_3 = _Convolution(c, c, across)
        self.branch7x7dbl_4 = _Convolution(c, c, down)
        self.branch7x7dbl_5 = _Convolution(c, c192, across)
        self.branch_pool = _Convolution(inputs, c192)
        self.channels = 4 * c192

    def forward(self, features: Tensor) -> Tensor:
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(features)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(features)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(features), single, double, self.branch_pool(_smoothed(features))], dim=1)


class _MixedD(nn.Module):
    """Mixed_7a: half the size again."""

    def __init__(self, inputs: int, width: float) -> None:
        super().__init__()
        c192, c320 = scaled(192, width), scaled(320, width)
        self.branch3x3_1 = _Convolution(inputs, c192)
        self.branch3x3_2 = _Convolution(c192, c320, 3, stride=2, padded=False)
        self.branch7x7x3_1 = _Convolution(inputs, c192)
        self.branch7x7x3_2 = _Convolution(c192, c192, (1, 7))
        self.branch7x7x3_3 = _Convolution(c192, c192, (7, 1))
        self.branch7x7x3_4 = _Convolution(c192, c192, 3, stride=2, padded=False)
        self.channels = c320 + c192 + inputs

    def forward(self, features: Tensor) -> Tensor:
        single = self.branch3x3_2(self.branch3x3_1(features))
        seven = self.branch7x7x3_2(self.branch7x7x3_1(features))
        seven = self.branch7x7x3_4(self.branch7x7x3_3(seven))
        return torch.cat([single, seven, functional.max_pool2d(features, 3, stride=2)], dim=1)


class _MixedE(nn.Module):
    """Mixed_7b and 7c: 3x3 as 1x3 beside 3x1."""

    def __init__(self, inputs: int, width: float) -> None:
        super().__init__()
        c192, c320, c384, c448 = (scaled(count, width) for count in (192, 320, 384, 448))
        across, down = (1, 3), (3, 1)
        self.branch1x1 = _Convolution(inputs, c320)
        self.branch3x3_1 = _Convolution(inputs, c384)
        self.branch3x3_2a = _Convolution(c384, c384, across)
        self.branch3x3_2b = _Convolution(c384, c384, down)
        self.branch3x3dbl_1 = _Convolution(inputs, c448)
        self.branch3x3dbl_2 = _Convolution(c448, c384, 3)
        self.branch3x3dbl_3a = _Convolution(c384, c384, across)
        self.branch3x3dbl_3b = _Convolution(c384, c384, down)
        self.branch_pool = _Convolution(inputs, c192)
        self.channels = c320 + 4 * c384 + c192

    def forward(self, features: Tensor) -> Tensor:
        single = self.branch3x3_1(features)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(features))
        branches = [
            self.branch1x1(features),
            self.branch3x3_2a(single),
            self.branch3x3_2b(single),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            self.branch_pool(_smoothed(features)),
        ]
        return torch.cat(branches, dim=1)


class _Auxiliary(nn.Module):
    """The second classifier, which only training looks at; here because the published weights have it."""

    def __init__(self, inputs: int, width: float) -> None:
        super().__init__()
        c128, c768 = scaled(128, width), scaled(768, width)
        self.conv0 = _Convolution(inputs, c128)
        self.conv1 = _Convolution(c128, c768, 5, padded=False)
        self.fc = nn.Linear(c768, 1000)


class InceptionV3(nn.Module):
    """The network that torchvision calls `inception_v3`; 27,161,264 parameters at width 1.

    Attributes:
        channels: of `features`; 2048 at width 1.
    """

    def __init__(self, width: float = 1.0) -> None:
        """Fresh weights; they mean nothing before published ones take their place.

        Args:
            width: multiplies every channel count; 1 as published.
        """
        super().__init__()
        c32, c64, c80, c192 = (scaled(count, width) for count in (32, 64, 80, 192))
        self.Conv2d_1a_3x3 = _Convolution(3, c32, 3, stride=2, padded=False)
        self.Conv2d_2a_3x3 = _Convolution(c32, c32, 3, padded=False)
        self.Conv2d_2b_3x3 = _Convolution(c32, c64, 3)
        self.Conv2d_3b_1x1 = _Convolution(c64, c80)
        self.Conv2d_4a_3x3 = _Convolution(c80, c192, 3, padded=False)
        self.Mixed_5b = _MixedA(c192, 32, width)
        self.Mixed_5c = _MixedA(self.Mixed_5b.channels, 64, width)
        self.Mixed_5d = _MixedA(self.Mixed_5c.channels, 64, width)
        self.Mixed_6a = _MixedB(self.Mixed_5d.channels, width)
        self.Mixed_6b = _MixedC(self.Mixed_6a.channels, 128, width)
        self.Mixed_6c = _MixedC(self.Mixed_6b.channels, 160, width)
        self.Mixed_6d = _MixedC(self.Mixed_6c.channels, 160, width)
        self.Mixed_6e = _MixedC(self.Mixed_6d.channels, 192, width)
        self.AuxLogits = _Auxiliary(self.Mixed_6e.channels, width)
        self.Mixed_7a = _MixedD(self.Mixed_6e.channels, width)
        self.Mixed_7b = _MixedE(self.Mixed_7a.channels, width)
        self.Mixed_7c = _MixedE(self.Mixed_7b.channels, width)
        self.channels = self.Mixed_7c.channels
        self.fc = nn.Linear(self.channels, 1000)

    def features(self, image: Tensor) -> Tensor:
        """N x `channels`: the last feature maps, mean over positions.

        Args:
            image: N x 3 x H x W, both sides at least 75, sRGB as -1..1. torchvision's own `transform_input` brings
                photos less the mean of ImageNet over its deviation to the same numbers.
        """
        maps = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(image)))
        maps = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(functional.max_pool2d(maps, 3, stride=2)))
        maps = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(functional.max_pool2d(maps, 3, stride=2))))
        maps = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(maps)))))
        means: Tensor = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(maps))).mean(dim=(2, 3))
        return means

    def forward(self, image: Tensor) -> Tensor:
        """Logits of ImageNet's classes, N x 1000; see `features`."""
        logits: Tensor = self.fc(self.features(image))
        return logits
