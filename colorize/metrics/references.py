"""Colour photos of the training split from which histogram matching takes its colours."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from colorize.data.shard_file import Shard
from colorize.data.shard_index import read_index
from colorize.data.splits import TRAIN

_MAXIMUM = 256  # photos: a choice as wide as anybody's folder of references

_Place = tuple[str, Path, int, int]  # id, shard, row group, row


@dataclass(frozen=True, slots=True)
class References:
    """Up to 256 training photos, in the order of their ids.

    Attributes:
        ids: M ids.
        l: uint8, M×1×H×W, code of the lightness.
        ab: uint8, M×2×H×W, code of a and b.
    """

    ids: list[str]
    l: NDArray[np.uint8]  # noqa: E741 - the field's own name
    ab: NDArray[np.uint8]

    def nearest(self, codes: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Of each photo the reference whose histogram of lightness is nearest; of equally near ones the first.

        The distance is the earth mover's, the difference of the cumulative histograms: how far the lightness of a
        photo's pixels would have to move to become the other's.

        Args:
            codes: uint8, N×1×H×W, code of the lightness.

        Returns:
            N numbers of references.
        """
        references = _cumulative(self.l)
        return np.array([np.abs(photo - references).sum(axis=1).argmin() for photo in _cumulative(codes)])


def read_references(lab: Path) -> References:
    """The training photos with the smallest ids, at most 256: as ids are hashes, that is a random choice.

    It is the same however the shards are cut, and a photo that is added to the split changes one at most.

    Args:
        lab: folder of the LAB shards.

    Raises:
        ValueError: there is no photo to train on, or the shards are missing or damaged.
    """
    paths = [Path(lab) / entry["path"] for entry in read_index(lab)["shards"] if entry["split"] == TRAIN]
    chosen = heapq.nsmallest(_MAXIMUM, (place for path in paths for place in _places(path)))
    if not chosen:
        raise ValueError(f"{lab}: the training split has no photos; add photos or change the 'split' section")
    pixels = {}
    # Group by group, in whatever order: reading one may decompress all of it.
    for (path, group), places in groupby(sorted(chosen, key=_group), key=_group):
        read = Shard(path).read(group)
        for identity, _, _, row in places:
            pixels[identity] = (read.l[row].copy(), read.ab[row].copy())
    ids = [identity for identity, *_ in chosen]
    return References(
        ids,
        np.stack([pixels[identity][0] for identity in ids])[:, None],
        np.stack([pixels[identity][1] for identity in ids]),
    )


def _places(path: Path) -> Iterator[_Place]:
    """Where the photos of a shard lie."""
    shard = Shard(path)
    for group in range(len(shard.row_groups)):
        for row, identity in enumerate(shard.ids(group)):
            yield identity, path, group, row


def _group(place: _Place) -> tuple[Path, int]:
    return place[1], place[2]


def _cumulative(codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Share of each photo's pixels up to each code: N×256."""
    return np.stack([np.bincount(photo.ravel(), minlength=256).cumsum() / photo.size for photo in codes])
