"""A fixed network with random weights, for comparing sets of photos where no published weights are at hand.

Its weights are integers that follow from one seed, over powers of two: the same bits on every machine, in every
version of every library. It has learnt nothing, so distances in its features are no FID: they tell colours, contrasts
and textures of two sets apart, not what the photos are of.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from colorize.models.blocks import resize

NAME = "random_features"
SIDE = 128
_SEED = 313
# Channels in and out, side of the kernel, and the power of two that brings the weights to about sqrt(2 / inputs).
_STAGES = ((3, 32, 5, 18), (32, 32, 3, 19), (32, 64, 3, 19))


class RandomFeatures(nn.Module):
    """128 numbers a photo: the mean of every channel behind each of three convolutions with stride 2.

    Attributes:
        num_features: 128.
        sha256: of the weights, as little-endian float32 in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.num_features = sum(channels for _, channels, _, _ in _STAGES)
        self.convolutions = nn.ModuleList()
        digest, first = hashlib.sha256(), 0
        for inputs, channels, side, power in _STAGES:
            shape = (channels, inputs, side, side)
            count = int(np.prod(shape))
            weight = (drawn_integers(_SEED, first, count) / 2.0**power).astype("<f4").reshape(shape)
            first += count
            digest.update(weight.tobytes())
            # Made without weights of its own: nothing is drawn from the global random numbers.
            convolution = nn.Conv2d(inputs, channels, side, stride=2, padding=side // 2, bias=False, device="meta")
            convolution.weight = nn.Parameter(torch.from_numpy(weight.astype(np.float32)), requires_grad=False)
            self.convolutions.append(convolution)
        self.sha256 = digest.hexdigest()

    def forward(self, rgb: Tensor) -> Tensor:
        """Features, N x 128, of photos brought to 128 x 128.

        The network sees opponents, so that colour counts beside lightness: (R + 2G + B) / 2 - 1, R - G and
        (R + G) / 2 - B.

        Args:
            rgb: N x 3 x H x W, sRGB in 0..1.
        """
        red, green, blue = resize(rgb, (SIDE, SIDE)).unbind(1)
        features = torch.stack([(red + 2 * green + blue) / 2 - 1, red - green, (red + green) / 2 - blue], dim=1)
        means = []
        for convolution in self.convolutions:
            features = functional.relu(convolution(features))
            means.append(features.mean(dim=(2, 3)))
        return torch.cat(means, dim=1)


def drawn_integers(seed: int, first: int, count: int) -> NDArray[np.int64]:
    """Integers in -131070..131070, about normal with deviation 37837: four 16-bit draws added, less their mean.

    The draws are those of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014),
    whose n-th value needs no other: whole-number arithmetic modulo 2^64, nothing that rounds.

    Args:
        seed: of the sequence.
        first: how many of its values are passed over.
        count: how many are taken.
    """
    value = np.arange(first + 1, first + count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    value ^= value >> np.uint64(31)
    parts = np.stack([(value >> np.uint64(shift)) & np.uint64(0xFFFF) for shift in (0, 16, 32, 48)]).astype(np.int64)
    return np.asarray(parts.sum(axis=0) - 2 * 0xFFFF, np.int64)
