"""Parts of DeOldify's networks: convolutions in its order, self-attention, and the blocks of its two U-Nets.

DDColor's pixel decoder is made of the same blocks. After jantic/DeOldify, deoldify/layers.py and deoldify/unet.py, and
the parts of fastai 1 that they use. Names in the state dict are theirs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from colorize.models.spectral import SpectralConvolution, WeightNormConvolution

# Where a batch normalization is not part of a convolution, fastai begins with this bias.
_FIRST_BIAS = 1e-3


def convolution(
    inputs: int,
    outputs: int,
    kernel: int = 3,
    *,
    activated: bool = True,
    normalised: bool = True,
    attention: bool = False,
) -> nn.Sequential:
    """A convolution of the generators: spectral, ReLU, batch normalization, self-attention, in this order.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: side, odd; the size stays.
        activated: with ReLU.
        normalised: with batch normalization, which takes the place of the convolution's bias.
        attention: with self-attention.
    """
    layers: list[nn.Module] = [SpectralConvolution(inputs, outputs, kernel, bias=not normalised)]
    layers += [nn.ReLU(inplace=True)] if activated else []
    layers += [nn.BatchNorm2d(outputs)] if normalised else []
    layers += [SelfAttention(outputs)] if attention else []
    return nn.Sequential(*layers)


def batch_normalization(channels: int) -> nn.BatchNorm2d:
    """One that is not part of a convolution."""
    layer = nn.BatchNorm2d(channels)
    nn.init.constant_(layer.bias, _FIRST_BIAS)
    return layer


class SelfAttention(nn.Module):
    """Adds to each position what it gathers from all others (Zhang et al., "Self-Attention GANs", ICML 2019).

    `gamma` is 0 in fresh networks, so that attention fades in; query and key learn nothing before it has moved.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = max(1, channels // 8)
        self.query = SpectralConvolution(channels, narrow, 1, bias=False, dimensions=1)
        self.key = SpectralConvolution(channels, narrow, 1, bias=False, dimensions=1)
        self.value = SpectralConvolution(channels, channels, 1, bias=False, dimensions=1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, image: Tensor) -> Tensor:
        """N x channels x H x W, any size; memory grows with (H W)²."""
        places = image.flatten(2)
        scores = torch.bmm(self.query(places).transpose(1, 2), self.key(places))
        # Over the positions of the queries, not of the keys as elsewhere, and not divided by a root of the channels.
        gathered = torch.bmm(self.value(places), torch.softmax(scores, dim=1))
        return (self.gamma * gathered + places).reshape(image.shape)


def _shuffled(image: Tensor, scale: int = 2) -> Tensor:
    """Channels become scale x scale pixels, then the mean of 2x2 pixels against the checkerboard.

    That blur is of Sugawara, Shiota and Kiya, "Super-Resolution using Convolutional Neural Networks without Any
    Checkerboard Artifacts" (ICIP 2018). The border is repeated at the left and above, so that the mean keeps the size.
    The published code has a switch for the blur that does nothing: it is always on.
    """
    image = functional.pixel_shuffle(image, scale)
    return functional.avg_pool2d(functional.pad(image, (1, 0, 1, 0), mode="replicate"), 2, stride=1)


class Enlargement(nn.Module):
    """Enlarges height and width: 1x1 convolution, batch normalization, ReLU, pixel shuffle, blur.

    Without the normalization the convolution has a bias.
    """

    def __init__(self, inputs: int, outputs: int, scale: int = 2, *, normalised: bool = True) -> None:
        super().__init__()
        self.scale, repeats = scale, scale**2
        layers: list[nn.Module] = [
            SpectralConvolution(inputs, repeats * outputs, 1, bias=not normalised, repeats=repeats)
        ]
        self.conv = nn.Sequential(*layers, *([nn.BatchNorm2d(repeats * outputs)] if normalised else []))

    def forward(self, image: Tensor) -> Tensor:
        """N x inputs x H x W to N x outputs x (scale H) x (scale W)."""
        return _shuffled(functional.relu(self.conv(image)), self.scale)


class LastEnlargement(nn.Module):
    """Doubles height and width and keeps the channels: with weight normalization and a bias, without batch's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(WeightNormConvolution(channels, 4 * channels, repeats=4))

    def forward(self, image: Tensor) -> Tensor:
        """N x channels x H x W to N x channels x 2H x 2W."""
        return _shuffled(functional.relu(self.conv(image)))


class Block(nn.Module):
    """Enlarges what comes from below and joins a feature map of the encoder; what follows is the subclass's.

    Attributes:
        outputs: channels of the result.
    """

    outputs: int

    def __init__(self, inputs: int, enlarged: int, skipped: int) -> None:
        super().__init__()
        self.shuf = Enlargement(inputs, enlarged)
        self.bn = batch_normalization(skipped)

    def joined(self, image: Tensor, skip: Tensor) -> Tensor:
        """N x inputs x H x W and N x skipped x h x w to N x (enlarged + skipped) x h x w; h is 2 H or 2 H - 1."""
        enlarged = self.shuf(image)
        if enlarged.shape[-2:] != skip.shape[-2:]:
            enlarged = functional.interpolate(enlarged, skip.shape[-2:], mode="nearest")
        return functional.relu(torch.cat([enlarged, self.bn(skip)], dim=1))


class DeepBlock(Block):
    """Two convolutions; as many channels as are joined times `factor`, half as many in the last block."""

    def __init__(self, inputs: int, skipped: int, factor: float, *, attention: bool, last: bool) -> None:
        enlarged = max(1, inputs // 2)
        super().__init__(inputs, enlarged, skipped)
        joined = enlarged + skipped
        self.outputs = max(1, int((joined // 2 if last else joined) * factor))
        self.conv1 = convolution(joined, self.outputs)
        self.conv2 = convolution(self.outputs, self.outputs, attention=attention)

    def forward(self, image: Tensor, skip: Tensor) -> Tensor:
        """N x inputs x H x W and N x skipped x h x w to N x outputs x h x w."""
        result: Tensor = self.conv2(self.conv1(self.joined(image, skip)))
        return result


class WideBlock(Block):
    """One convolution; `outputs` channels, whatever comes in."""

    def __init__(self, inputs: int, skipped: int, outputs: int, *, attention: bool = False) -> None:
        super().__init__(inputs, outputs, skipped)
        self.outputs = outputs
        self.conv = convolution(outputs + skipped, outputs, attention=attention)

    def forward(self, image: Tensor, skip: Tensor) -> Tensor:
        """N x inputs x H x W and N x skipped x h x w to N x outputs x h x w."""
        result: Tensor = self.conv(self.joined(image, skip))
        return result


class Residual(nn.Module):
    """Two convolutions with ReLU, added to what goes into the first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*[convolution(channels, channels, normalised=False) for _ in range(2)])

    def forward(self, image: Tensor) -> Tensor:
        """N x channels x H x W."""
        result: Tensor = self.layers(image) + image
        return result
