"""Figures that look at photos through networks: FID, KID, LPIPS, a classifier's agreement, a distance without weights.

Networks with published weights are used where a project has them (`colorize weights fetch` or `import`); what cannot be
had is named together with what it lacks. Each figure carries the name of its network and the SHA-256 of its weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from colorize.metrics import random_features
from colorize.metrics.distances import SetDistance
from colorize.metrics.inception import InceptionV3
from colorize.metrics.lpips import Lpips, heads_file, read_heads
from colorize.models.blocks import IMAGENET_DEVIATION, IMAGENET_MEAN, resize
from colorize.models.vgg import VGG
from colorize.storage import sha256_file

Rgb = NDArray[np.uint8]
Look = Callable[[Tensor, Tensor], list[tuple[Tensor, ...]]]

#: Which published network each figure needs.
NEEDS: Final = {
    "fid": "inception_v3",
    "kid": "inception_v3",
    "frechet_distance_vgg16": "vgg16",
    "kernel_distance_vgg16": "vgg16",
    "class_agreement": "vgg16",
    "lpips_vgg16": "vgg16",
    "lpips_alexnet": "alexnet",
}
_INCEPTION_SIDE = 299
_VGG_SIDE = 224


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a set of photos.

    Attributes:
        value: `docs/metrics.md` has its definition and range.
        photos: how many pairs of photos it is of.
        extractor: the network that it looks through.
        sha256: of the network's weights.
        heads_sha256: LPIPS only: of the file with the weights of the channels.
    """

    value: float
    photos: int
    extractor: str
    sha256: str
    heads_sha256: str | None = None


class Mean:
    """Mean of one number a photo, in float64."""

    def __init__(self) -> None:
        self.photos = 0
        self._sum = 0.0

    def update(self, values: Tensor) -> None:
        """Take in N numbers of N photos."""
        self.photos += len(values)
        self._sum += float(values.double().sum())

    def value(self) -> float:
        """The mean; at least one photo was seen."""
        return self._sum / self.photos


Tally = SetDistance | Mean
#: What a network saw in a batch of pairs: for each of its tallies what that takes in, N rows each.
Seen = list[tuple[NDArray[np.generic], ...]]


@dataclass(frozen=True, slots=True)
class _Judge:
    """A network at work: what it sees in a batch of pairs, what is kept of that, and the figures in that."""

    extractor: str
    sha256: str
    look: Look
    tallies: tuple[Tally, ...]
    values: dict[str, Callable[[], float]]
    heads_sha256: str | None = None


def through_networks(
    pairs: Iterable[tuple[Rgb, Rgb]], weights: Path, device: torch.device | str = "cpu"
) -> tuple[dict[str, Figure], dict[str, str]]:
    """All figures through networks that can be had.

    Args:
        pairs: batches of predicted and of true photos, each N×H×W×3, uint8, sRGB; sizes may differ between batches.
        weights: the project's folder of imported weights.
        device: where the networks run.

    Returns:
        The figures by name, and for each figure that cannot be had, by name, what it lacks.

    Raises:
        ValueError: fewer than two pairs, or a batch whose two halves do not fit.
    """
    networks = Networks(weights, device)
    for predicted, truth in pairs:
        networks.update(predicted, truth)
    return networks.figures(), networks.missing


class Networks:
    """The networks that a project has weights for, looking at one batch of pairs after another.

    Attributes:
        missing: for each figure that cannot be had, by name, what it lacks.
    """

    def __init__(self, weights: Path, device: torch.device | str = "cpu") -> None:
        """Load the networks.

        Args:
            weights: the project's folder of imported weights.
            device: where the networks run.
        """
        self.missing: dict[str, str] = {}
        self._device = torch.device(device)
        self._judges = [_random_features(self._device)]
        for name, make in _MAKERS.items():
            try:
                network, digest = _published(weights, name)
                self._judges += make(network.to(self._device), digest)
            except ValueError as error:
                self.missing |= {figure: str(error) for figure, needed in NEEDS.items() if needed == name}

    def update(self, predicted: Rgb, truth: Rgb) -> None:
        """Look at some more photos and take in what is seen.

        Args:
            predicted: N×H×W×3, uint8, sRGB.
            truth: the same shape.

        Raises:
            ValueError: the two do not fit.
        """
        self.add(self.look(predicted, truth))

    def look(self, predicted: Rgb, truth: Rgb) -> Seen:
        """What the networks see in some photos: arrays for `add`, here or in another process that has the same weights.

        Args:
            predicted: N×H×W×3, uint8, sRGB.
            truth: the same shape.

        Raises:
            ValueError: the two do not fit.
        """
        if predicted.shape != truth.shape or predicted.ndim != 4 or predicted.shape[-1] != 3:
            raise ValueError(f"expected two batches N×H×W×3 of one shape, got {predicted.shape} and {truth.shape}")
        # TF32 of newer GPUs keeps three digits of what networks see.
        exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
        with torch.inference_mode(), exact:
            one, other = (
                torch.from_numpy(np.ascontiguousarray(rgb)).to(self._device).movedim(-1, 1).float() / 255
                for rgb in (predicted, truth)
            )
            seen = [values for judge in self._judges for values in judge.look(one, other)]
        return [tuple(tensor.cpu().numpy() for tensor in values) for values in seen]

    def add(self, seen: Seen) -> None:
        """Take in what `look` saw. In the order of the photos it gives the same figures whoever looked."""
        tallies = [tally for judge in self._judges for tally in judge.tallies]
        for tally, values in zip(tallies, seen, strict=True):
            tally.update(*map(torch.tensor, values))  # copies: what comes from a cluster cannot be written to

    def figures(self) -> dict[str, Figure]:
        """What the photos seen so far amount to.

        Raises:
            ValueError: fewer than two pairs were seen.
        """
        return {
            name: Figure(value(), judge.tallies[0].photos, judge.extractor, judge.sha256, judge.heads_sha256)
            for judge in self._judges
            for name, value in judge.values.items()
        }


def _published(weights: Path, name: str) -> tuple[nn.Module, str]:
    """A published network with the weights of the project, and their SHA-256."""
    from colorize.training.pretrained import read, recorded_digest
    from colorize.weights import find

    digest = recorded_digest(weights, name)
    tensors = read(weights, {name: digest}, name)
    with torch.device("meta"):
        network = find(name).build()
    try:
        network.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        raise ValueError(f"{weights / name}: not the tensors of '{name}': {error}; import them again") from error
    return network.eval().requires_grad_(False), digest


def _random_features(device: torch.device) -> _Judge:
    network = random_features.RandomFeatures().to(device)
    distance = SetDistance(network.num_features)

    def look(predicted: Tensor, truth: Tensor) -> list[tuple[Tensor, ...]]:
        return [(network(predicted), network(truth))]

    values = {"random_feature_distance": distance.frechet}
    return _Judge(random_features.NAME, network.sha256, look, (distance,), values)


def _inception_v3(network: nn.Module, digest: str) -> list[_Judge]:
    inception = cast(InceptionV3, network)
    distance = SetDistance(inception.channels)

    def features(rgb: Tensor) -> Tensor:
        return inception.features(2 * resize(rgb, (_INCEPTION_SIDE, _INCEPTION_SIDE)) - 1)

    def look(predicted: Tensor, truth: Tensor) -> list[tuple[Tensor, ...]]:
        return [(features(predicted), features(truth))]

    return [_Judge("inception_v3", digest, look, (distance,), {"fid": distance.frechet, "kid": distance.kernel})]


def _vgg16(network: nn.Module, digest: str) -> list[_Judge]:
    vgg = cast(VGG, network)
    distance, agreement = SetDistance(vgg.channels[-1]), Mean()

    def seen(rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Last feature maps, mean over positions, and the top class."""
        maps = vgg.stages(_imagenet(resize(rgb, (_VGG_SIDE, _VGG_SIDE))))[-1]
        return maps.mean(dim=(2, 3)), vgg.classifier(torch.flatten(vgg.avgpool(maps), 1)).argmax(dim=1)

    def look(predicted: Tensor, truth: Tensor) -> list[tuple[Tensor, ...]]:
        (features, top), (true_features, true_top) = seen(predicted), seen(truth)
        return [(features, true_features), (top == true_top,)]

    values = {
        "frechet_distance_vgg16": distance.frechet,
        "kernel_distance_vgg16": distance.kernel,
        "class_agreement": agreement.value,
    }
    return [_Judge("vgg16", digest, look, (distance, agreement), values), _lpips("vgg16", network, digest)]


def _alexnet(network: nn.Module, digest: str) -> list[_Judge]:
    return [_lpips("alexnet", network, digest)]


def _lpips(name: str, network: nn.Module, digest: str) -> _Judge:
    file = heads_file(name)
    lpips = Lpips(network, read_heads(file)).to(next(network.parameters()).device)
    mean = Mean()

    def look(predicted: Tensor, truth: Tensor) -> list[tuple[Tensor, ...]]:
        return [(lpips(2 * predicted - 1, 2 * truth - 1),)]

    return _Judge(name, digest, look, (mean,), {f"lpips_{name}": mean.value}, sha256_file(file))


def _imagenet(rgb: Tensor) -> Tensor:
    mean = rgb.new_tensor(IMAGENET_MEAN).reshape(1, 3, 1, 1)
    return (rgb - mean) / rgb.new_tensor(IMAGENET_DEVIATION).reshape(1, 3, 1, 1)


_MAKERS: Final[dict[str, Callable[[nn.Module, str], list[_Judge]]]] = {
    "inception_v3": _inception_v3,
    "vgg16": _vgg16,
    "alexnet": _alexnet,
}
