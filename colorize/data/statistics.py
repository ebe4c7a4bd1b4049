"""Colour statistics of the training split, counted in integers, and the class weights that follow from them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colorize.color import rgb_to_lab
from colorize.data.shard_file import Shard
from colorize.data.shard_index import read_index
from colorize.data.splits import TRAIN
from colorize.progress import track

_FORMAT = 1
_BIN = 10  # CIELAB units: step of the grid of colour classes
_NEIGHBOURS = 10
_SIGMA = 5.0  # CIELAB units, of the Gaussian that shares a colour out among its nearest classes


class StatisticsError(ValueError):
    """`statistics.json` is missing, damaged, or there was nothing to count."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """What is known of the colours of the training split.

    Attributes:
        photos: number of photos.
        pixels: number of pixels.
        mean: L 0..100, a, b, float64.
        standard_deviation: of L, a, b, float64.
        histogram: int64, 256×256: pixels by code of a (first) and of b.
        digest: of the shards the figures were counted from.
    """

    photos: int
    pixels: int
    mean: NDArray[np.float64]
    standard_deviation: NDArray[np.float64]
    histogram: NDArray[np.int64]
    digest: str

    @property
    def mean_ab(self) -> NDArray[np.float64]:
        """Mean a and b, CIELAB units."""
        return self.mean[1:]


def gather(lab: Path) -> dict[str, Any]:
    """Count the training split's colours; one row group is held in memory at a time.

    Args:
        lab: folder of the LAB shards.

    Returns:
        The content of `statistics.json`: format, digest of the data, photos, pixels, mean and standard_deviation of
        l, a and b in CIELAB units, and ab_histogram: for each code of a that occurs a text of integers, first a code
        of b, then the numbers of pixels of that code and the following ones. The histogram is exact; the other
        figures are rounded from exact fractions.

    Raises:
        StatisticsError: there is no photo to train on.
        ValueError: the shards are missing or damaged.
    """
    index = read_index(lab)
    shards = [entry for entry in index["shards"] if entry["split"] == TRAIN]
    lightness = np.zeros(256, np.int64)
    histogram = np.zeros(256 * 256, np.int64)
    for entry in track(shards, "statistics", total=len(shards)):
        shard = Shard(Path(lab) / entry["path"])
        for number in range(len(shard.row_groups)):
            group = shard.read(number)
            lightness += np.bincount(group.l.ravel(), minlength=256)
            for ab in group.ab:  # photo by photo: the index below takes eight bytes a pixel
                codes = (ab[0].astype(np.intp) << 8) | ab[1]
                histogram += np.bincount(codes.ravel(), minlength=256 * 256)
    pixels = int(lightness.sum())
    if not pixels:
        raise StatisticsError(f"{lab}: the training split has no photos; add photos or change the 'split' section")
    ab_histogram = histogram.reshape(256, 256)
    moments = {
        "l": _moments(lightness, Fraction(100, 255), 0),
        "a": _moments(ab_histogram.sum(axis=1), Fraction(1), -128),
        "b": _moments(ab_histogram.sum(axis=0), Fraction(1), -128),
    }
    return {
        "format": _FORMAT,
        "digest": index["digest"],
        "photos": sum(entry["rows"] for entry in shards),
        "pixels": pixels,
        "mean": {name: mean for name, (mean, _) in moments.items()},
        "standard_deviation": {name: deviation for name, (_, deviation) in moments.items()},
        "ab_histogram": _to_text(ab_histogram),
    }


def load_statistics(path: Path) -> Statistics:
    """Read `statistics.json`.

    Raises:
        StatisticsError: it is missing, or not what `gather` makes.
    """
    try:
        values = json.loads(Path(path).read_bytes())
        histogram = _from_text(values["ab_histogram"])
        if values["format"] != _FORMAT or histogram.sum() != values["pixels"]:
            raise ValueError("its counts do not add up")
        return Statistics(
            photos=int(values["photos"]),
            pixels=int(values["pixels"]),
            mean=np.array([values["mean"][name] for name in "lab"], np.float64),
            standard_deviation=np.array([values["standard_deviation"][name] for name in "lab"], np.float64),
            histogram=histogram,
            digest=str(values["digest"]),
        )
    except FileNotFoundError as error:
        raise StatisticsError(f"{path} is missing: run 'dvc repro statistics' first") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise StatisticsError(f"{path} is damaged ({error}); run 'dvc repro --force statistics'") from error


def rebalancing_weights(histogram: NDArray[np.int64], mixing: float = 0.5) -> NDArray[np.float64]:
    """How much a pixel counts, by its true colour, so that rare colours matter: 256×256, by code of a and of b.

    Zhang, Isola, Efros, "Colorful Image Colorization" (ECCV 2016), section 2.2. Each colour is shared out among its
    10 nearest classes by a Gaussian of 5 units, which gives the classes' smoothed prior p. A class weighs
    1 / ((1 - mixing) p + mixing / classes), scaled such that the weight expected under p is 1. A colour has the weight
    of its nearest class.

    Args:
        histogram: int64, 256×256, pixels by code of a and of b, of the training split.
        mixing: λ, how much of the uniform distribution is mixed in.

    Raises:
        ValueError: the histogram is empty or has another shape.
    """
    if histogram.shape != (256, 256) or not histogram.any():
        raise ValueError(f"expected a 256x256 histogram with pixels in it, found shape {histogram.shape}")
    classes = color_classes()
    codes = np.argwhere(histogram)
    nearest, squares = _nearest_classes(codes, classes, _NEIGHBOURS)
    shares = np.exp(-squares / (2 * _SIGMA**2))
    shares *= (histogram[tuple(codes.T)] / shares.sum(axis=1))[:, None]
    prior = np.bincount(nearest.ravel(), shares.ravel(), minlength=len(classes)) / histogram.sum()
    every_code = np.argwhere(np.ones((256, 256), np.bool_))
    closest, _ = _nearest_classes(every_code, classes, 1)
    return weights_of_prior(prior, mixing)[closest].reshape(256, 256)


def weights_of_prior(prior: NDArray[np.float64], mixing: float) -> NDArray[np.float64]:
    """Class weights 1 / ((1 - mixing) prior + mixing / classes), scaled such that sum(prior · weights) is 1."""
    weights = 1 / ((1 - mixing) * prior + mixing / len(prior))
    return weights / np.sum(prior * weights)


@lru_cache(maxsize=1)
def color_classes() -> NDArray[np.int64]:
    """Colour classes: the corners of the cells of a 10-unit grid in ab that sRGB reaches, int64, 309×2, sorted.

    The most extreme colours lie on the faces of the RGB cube, and every cell that any colour reaches, one of a face
    reaches: in the middle of the cube nothing is found that the faces lack.
    """
    level = np.arange(256, dtype=np.uint8)
    first, second = (side.ravel() for side in np.meshgrid(level, level, indexing="ij"))
    reached = np.zeros((32, 32), np.bool_)  # cells from -160 on: wider than a and b of sRGB
    for channel in range(3):
        for end in (0, 255):
            face = np.insert(np.stack([first, second], axis=-1), channel, end, axis=-1)
            a, b = (np.floor(rgb_to_lab(face)[:, 1:] / _BIN).astype(np.intp) + 16).T
            reached[a, b] = True
    corners = reached.copy()
    corners[1:] |= reached[:-1]
    corners[:, 1:] |= corners[:, :-1]
    return (np.argwhere(corners) - 16) * _BIN


def _nearest_classes(
    codes: NDArray[np.int64], classes: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The nearest classes of colours, given by code (N×2), and their squared distances, both N×count.

    Of two classes as near as each other the earlier one is taken.
    """
    by_code = (np.arange(-128, 128)[:, None, None] - classes).astype(np.int32) ** 2
    # The class's number in the low digits: no two keys are equal, so the choice is the same everywhere.
    from_a = by_code[..., 0] * np.int32(len(classes)) + np.arange(len(classes), dtype=np.int32)
    from_b = by_code[..., 1] * np.int32(len(classes))
    found = []
    for block in np.array_split(codes, -(-len(codes) // 4096)):
        keys = from_a[block[:, 0]] + from_b[block[:, 1]]
        found.append(np.partition(keys, count - 1, axis=1)[:, :count] if count > 1 else keys.min(axis=1, keepdims=True))
    squares, nearest = np.divmod(np.concatenate(found), len(classes))
    return nearest, squares


def _moments(counts: NDArray[np.int64], unit: Fraction, shift: int) -> tuple[float, float]:
    """Mean and standard deviation of codes, scaled to CIELAB units, from their exact sums."""
    values = [int(count) for count in counts]
    total = sum(values)
    first = Fraction(sum(code * count for code, count in enumerate(values)), total)
    second = Fraction(sum(code * code * count for code, count in enumerate(values)), total)
    return float((first + shift) * unit), math.sqrt(float((second - first * first) * unit * unit))


def _to_text(histogram: NDArray[np.int64]) -> dict[str, str]:
    text = {}
    for a, row in enumerate(histogram):
        occurring = np.flatnonzero(row)
        if len(occurring):
            first, last = int(occurring[0]), int(occurring[-1])
            text[str(a)] = " ".join(str(number) for number in [first, *row[first : last + 1]])
    return text


def _from_text(text: dict[str, str]) -> NDArray[np.int64]:
    histogram = np.zeros((256, 256), np.int64)
    for a, line in text.items():
        first, *counts = (int(number) for number in line.split())
        histogram[int(a), first : first + len(counts)] = counts
    return histogram
