"""LPIPS (Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018).

How different two pictures look to a published classifier: squared differences of its unit-length features, weighed by
channel, mean over positions, added up over five depths. The weights of the channels are version 0.1 of the authors'
`lpips`, which torchmetrics carries; those of the classifier are torchvision's.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol, cast

import torch
from torch import Tensor, nn

from colorize.models.blocks import at_least, scaled

#: What torchmetrics calls the weights that belong to a network.
HEADS: Final = {"alexnet": "alex", "vgg16": "vgg"}
_DEPTHS = 5
_MINIMUM_SIDE = 64
# Of R, G and B as -1..1: about the mean and deviation of ImageNet, as the authors' code has them.
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)


class Staged(Protocol):
    """A network that gives feature maps of several depths: `AlexNet`, `colorize.models.vgg.VGG`."""

    def stages(self, image: Tensor) -> list[Tensor]:
        """The maps, from the first on."""
        ...


class AlexNet(nn.Module):
    """AlexNet as torchvision has it (Krizhevsky, "One weird trick", 2014); its names in the state dict.

    61,100,840 parameters at width 1.
    """

    def __init__(self, width: float = 1.0) -> None:
        """Fresh weights; they mean nothing before published ones take their place.

        Args:
            width: multiplies every channel count; 1 as published.
        """
        super().__init__()
        c64, c192, c256, c384, c4096 = (scaled(count, width) for count in (64, 192, 256, 384, 4096))
        self.features = nn.Sequential(
            nn.Conv2d(3, c64, 11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(c64, c192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(c192, c384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(c384, c256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(c256, c256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = nn.Sequential(
            nn.Dropout(),
            nn.Linear(c256 * 6 * 6, c4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(c4096, c4096),
            nn.ReLU(),
            nn.Linear(c4096, 1000),
        )

    def stages(self, image: Tensor) -> list[Tensor]:
        """The five feature maps behind the ReLUs, with 64, 192, 384, 256 and 256 channels at width 1.

        Args:
            image: N x 3 x H x W, both sides at least 63.
        """
        maps, features = [], image
        for layer in self.features:
            features = layer(features)
            if isinstance(layer, nn.ReLU):
                maps.append(features)
        return maps

    def forward(self, image: Tensor) -> Tensor:
        """Logits, N x 1000, for N x 3 x H x W: sRGB less the mean of ImageNet over its deviation."""
        logits: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(image)), 1))
        return logits


class Lpips(nn.Module):
    """The distance, for pictures of any one size; a side below 64 pixels is enlarged to that."""

    def __init__(self, network: nn.Module, heads: Sequence[Tensor]) -> None:
        """Take a network and the weights of its channels.

        Args:
            network: an `AlexNet` or `VGG` with published weights.
            heads: one weight a channel for each of the first five maps that `network.stages` gives.

        Raises:
            ValueError: there are not five.
        """
        super().__init__()
        if len(heads) != _DEPTHS:
            raise ValueError(f"LPIPS weighs the channels of {_DEPTHS} maps; got weights for {len(heads)}")
        self.network = network
        self.depths = [f"head{depth}" for depth in range(_DEPTHS)]
        for name, head in zip(self.depths, heads, strict=True):
            self.register_buffer(name, head.reshape(-1))
        self.register_buffer("shift", torch.tensor(_SHIFT).reshape(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(_SCALE).reshape(1, 3, 1, 1))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Distance of each pair: N numbers, 0 for equal pictures, rarely above 1.

        Args:
            first: N x 3 x H x W, sRGB as -1..1.
            second: the same shape.
        """
        pairs = zip(self.depths, self._units(first), self._units(second), strict=True)
        parts = [
            torch.einsum("nchw,c->nhw", (one - other) ** 2, self.get_buffer(name)).mean(dim=(1, 2))
            for name, one, other in pairs
        ]
        return torch.stack(parts).sum(dim=0)

    def _units(self, rgb: Tensor) -> list[Tensor]:
        scaled_rgb = (at_least(rgb, _MINIMUM_SIDE) - self.get_buffer("shift")) / self.get_buffer("scale")
        maps = cast(Staged, self.network).stages(scaled_rgb)[:_DEPTHS]
        return [features / (features.square().sum(dim=1, keepdim=True).sqrt() + 1e-10) for features in maps]


def heads_file(network: str) -> Path:
    """The file with the weights of the channels of a network, in the installed torchmetrics.

    Args:
        network: a key of `HEADS`.
    """
    found = importlib.util.find_spec("torchmetrics")
    assert found is not None, "torchmetrics is installed with this package"
    assert found.submodule_search_locations, "torchmetrics is a package"
    folder = Path(found.submodule_search_locations[0])
    return folder / "functional" / "image" / "lpips_models" / f"{HEADS[network]}.pth"


def read_heads(path: Path) -> list[Tensor]:
    """The weights of the channels, one vector a depth.

    Args:
        path: a file of the authors' `lpips` package, version 0.1: tensors `lin0.model.1.weight` (1 x C x 1 x 1) to 4.

    Raises:
        WeightsError: it is no such file.
        OSError: it cannot be read.
    """
    from colorize.weights import WeightsError
    from colorize.weights.reading import read_tensors

    tensors = read_tensors(path)
    names = [f"lin{depth}.model.1.weight" for depth in range(_DEPTHS)]
    if missing := [name for name in names if name not in tensors]:
        raise WeightsError(
            f"{path}: no weights of LPIPS, {', '.join(missing)} are not in it; install torchmetrics anew"
        )
    return [tensors[name].reshape(-1) for name in names]
