"""Colorizers without learning: what a model has to beat before any of its figures mean something.

`grey` and `mean_color` look at nothing. `another_photo` has the right colours in the wrong places: those of some photo
of the training split, as they lie there. `histogram_matching` takes its colours from a training photo whose lightness
is alike. `color_by_optimization` stands apart: it is told the true colours of some pixels (`HINT_SHARE`) and spreads
them. So it says how far hints go, not what an automatic method reaches, and no model is measured by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from colorize.color import lab_from_code
from colorize.data.statistics import load_statistics
from colorize.metrics.colorizers import Colors, Known, Predict, network
from colorize.metrics.references import References, read_references

#: Names of the baselines, as the evaluation's folders and the report use them.
GREY = "grey"
MEAN_COLOR = "mean_color"
ANOTHER_PHOTO = "another_photo"
HISTOGRAM_MATCHING = "histogram_matching"
COLOR_BY_OPTIMIZATION = "color_by_optimization"
#: Automatic, as models are.
NAMES = (GREY, MEAN_COLOR, ANOTHER_PHOTO, HISTOGRAM_MATCHING)
#: Told true colours: shown beside the others, never ranked with them.
GUIDED = (COLOR_BY_OPTIMIZATION,)
#: Share of a photo's pixels whose true colours the guided ones are told.
HINT_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Baseline:
    """One of `NAMES` or `GUIDED` as a colorizer.

    Attributes:
        name: which one.
        lab: folder of the LAB shards; two baselines take their colours from those of the training split.
        statistics: `statistics.json` of the training split.
    """

    name: str
    lab: Path
    statistics: Path

    def load(self) -> Predict:
        """Read what it needs of the training split.

        Raises:
            ValueError: the training split has no photos, or the shards are damaged.
        """
        match self.name:
            case "grey":
                return constant((0.0, 0.0))
            case "mean_color":
                return constant([float(value) for value in load_statistics(self.statistics).mean_ab])
            case "another_photo":
                return another_photo(read_references(self.lab))
            case "histogram_matching":
                return histogram_matching(read_references(self.lab))
            case "color_by_optimization":
                return color_by_optimization()
        raise ValueError(f"no baseline {self.name!r}: expected one of {', '.join((*NAMES, *GUIDED))}")


def constant_ab(lightness: NDArray[np.float32], ab: Sequence[float]) -> NDArray[np.float32]:
    """The same colour everywhere: (0, 0) leaves the photo grey, the training split's mean is the best constant guess.

    Args:
        lightness: N×1×H×W, only its shape is used.
        ab: a and b in CIELAB units.

    Returns:
        N×2×H×W.
    """
    photos, _, height, width = lightness.shape
    colour = np.asarray(ab, dtype=np.float32).reshape(1, 2, 1, 1)
    return np.broadcast_to(colour, (photos, 2, height, width))


def constant(ab: Sequence[float]) -> Predict:
    """`constant_ab` as a colorizer."""

    def predict(lightness: NDArray[np.float32], known: Known | None = None, /) -> Colors:  # noqa: ARG001
        return Colors(constant_ab(lightness, ab))

    return predict


def another_photo(references: References) -> Predict:
    """Each photo gets the ab of a reference, pixel by pixel; which one follows from a hash of its lightness.

    The "random" row of Zhang et al. 2016, table 1: as colourful as photos are, and unrelated to what is seen.

    Args:
        references: the colour photos there are to choose from, of the size of the photos.
    """

    def predict(lightness: NDArray[np.float32], known: Known | None = None, /) -> Colors:  # noqa: ARG001
        chosen = [
            int.from_bytes(hashlib.sha256(np.ascontiguousarray(photo).tobytes()).digest()) % len(references.ids)
            for photo in lightness
        ]
        _, ab = lab_from_code(references.l[chosen], references.ab[chosen])
        return Colors(ab)

    return predict


def histogram_matching(references: References) -> Predict:
    """Welsh et al. 2002: each photo gets the colours of the reference whose histogram of lightness is nearest.

    Args:
        references: the colour photos there are to choose from.
    """
    import torch

    from colorize.models.histogram_matching import HistogramMatching, Reference
    from colorize.settings.architectures import HistogramMatchingSettings

    settings = HistogramMatchingSettings()

    def predict(lightness: NDArray[np.float32], known: Known | None = None, /) -> Colors:  # noqa: ARG001
        codes = np.rint(lightness * np.float32(2.55)).astype(np.uint8)
        photos = []
        for l, number in zip(lightness, references.nearest(codes).tolist(), strict=True):  # noqa: E741
            reference = Reference(*map(torch.from_numpy, lab_from_code(references.l[number], references.ab[number])))
            photos.append(network(HistogramMatching(settings, reference))(l[None]).ab)
        return Colors(np.concatenate(photos))

    return predict


def color_by_optimization() -> Predict:
    """Levin et al. 2004: spreads the true colours that it is told."""
    from colorize.models.color_by_optimization import ColorByOptimization
    from colorize.settings.architectures import ColorByOptimizationSettings

    return network(ColorByOptimization(ColorByOptimizationSettings()))
