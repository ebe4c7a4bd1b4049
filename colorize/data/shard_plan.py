"""Which photos lie in which LAB shard, in which order: a pure function of the splits and the settings."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Protocol

import numpy as np
import PIL
import pyarrow as pa
import simplejpeg

from colorize.color import ENCODING, WHITE_POINT
from colorize.data.manifest import natural_key
from colorize.data.on_disk_sort import sorted_on_disk
from colorize.data.splits import SPLITS
from colorize.settings.sections import ShardSettings

# Raise it when the same photo gives other pixels than before, or the columns change: old shards are written again then.
FORMAT: Final = 3
RESAMPLING: Final = {
    "center-crop": "centre square, bicubic (Keys, a = -1/2) in integers; JPEGs from 1/2, 1/4, 1/8 of their size",
    "resize": "whole photo, Pillow's bicubic filter; JPEGs from 1/2, 1/4, 1/8 of their size",
}
_LARGEST_PAGE: Final = 2**31  # bytes
_ROWS_AT_ONCE: Final = 1024


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo to be put in a shard: its id, and its path inside its dataset."""

    id: str
    path: str


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """One shard: where it goes and which photos it holds, in order."""

    split: str
    dataset: str
    number: int
    photos: tuple[Photo, ...]
    settings: ShardSettings

    @property
    def path(self) -> str:
        """POSIX path below the folder of shards."""
        return f"split={self.split}/dataset={self.dataset}/part-{self.number:05d}.parquet"

    def header(self) -> dict[str, str | int]:
        """What the shard's footer says about its content, with the digest of this plan.

        The digest covers all that decides the bytes: photos and order, size, code of the pixels, row groups,
        compression, and the libraries that decode and write.
        """
        header: dict[str, str | int] = {
            "format": FORMAT,
            "height": self.settings.size,
            "width": self.settings.size,
            "encoding": ENCODING,
            "white_point": WHITE_POINT,
            "resampling": RESAMPLING[self.settings.protocol],
            "row_group": self.settings.row_group,
            "compression": self.settings.compression,
        }
        decides = {
            **header,
            "split": self.split,
            "dataset": self.dataset,
            "libraries": [pa.__version__, PIL.__version__, simplejpeg.__version__],
            "ids": [photo.id for photo in self.photos],
        }
        return header | {"plan": hashlib.sha256(json.dumps(decides).encode()).hexdigest()}


class HasBatches(Protocol):
    """A table in pieces: a `pyarrow.Table`, or a `pyarrow.dataset.Dataset` that is not held in memory."""

    def to_batches(self) -> Iterable[pa.RecordBatch]:
        """The pieces."""
        ...


def plan(splits: HasBatches, settings: ShardSettings) -> Iterator[ShardPlan]:
    """Lay out all shards: split by split, dataset by dataset in order of name, photos in natural path order.

    Only the photos of one shard are in memory at a time.

    Args:
        splits: columns `dataset`, `path`, `id` and `split`, in any order of rows.
        settings: the `shards` section.

    Raises:
        ValueError: a photo's id is there twice, a split is none of train, validation and test, or a row group is larger
            than Parquet can hold in a page.
    """
    if 2 * settings.size**2 * settings.row_group >= _LARGEST_PAGE:
        raise ValueError(
            f"shards: {settings.row_group} photos of {settings.size} pixels are too large for a row group; "
            f"set row_group to at most {(_LARGEST_PAGE - 1) // (2 * settings.size**2)}"
        )
    seen = array("Q")
    with sorted_on_disk(_rows(splits, seen)) as rows:
        _check_once(seen)
        del seen
        for (split, dataset), some in groupby(rows, key=lambda row: (row[0], row[1])):
            photos = (Photo(identity, path) for _, _, identity, path in some)
            for number, part in enumerate(cut(photos, settings.rows)):
                yield ShardPlan(split, dataset, number, part, settings)


def _rows(splits: HasBatches, seen: array[int]) -> Iterator[tuple[bytes, list[str]]]:
    """Split, dataset, id and path of each photo, with the key that sorts it; the ids' first 64 bits go to `seen`."""
    for batch in splits.to_batches():
        some = (batch.slice(start, _ROWS_AT_ONCE) for start in range(0, batch.num_rows, _ROWS_AT_ONCE))
        rows = (row for part in some for row in part.select(["split", "dataset", "id", "path"]).to_pylist())
        for split, dataset, identity, path in (row.values() for row in rows):
            if split not in SPLITS:
                raise ValueError(f"{dataset}/{path}: split is {split!r}, not one of {', '.join(SPLITS)}")
            seen.append(int(identity[:16], 16))
            key = f"{SPLITS.index(split)}\0\0{dataset}\0\0{natural_key(path)}"
            yield key.encode(), [split, dataset, identity, path]


def _check_once(seen: array[int]) -> None:
    """Refuse an id that is there twice. The first 64 bits tell: among a billion, two agree by chance once in 37."""
    ids, counts = np.unique(np.frombuffer(seen, np.uint64), return_counts=True)
    if len(ids) < len(seen):
        most = int(np.argmax(counts))
        raise ValueError(
            f"id {ids[most]:016x}… is in the splits {counts[most]} times; run 'dvc repro dedupe split' again"
        )


def cut(photos: Iterable[Photo], rows: int) -> Iterator[tuple[Photo, ...]]:
    """Cut a sequence where its content says so, such that a change leaves the shards before it as they were.

    A shard has at most `rows` photos. From half of that on, it ends after a photo whose id divides by a quarter of
    `rows`: after photos were inserted, the cuts soon fall between the same photos as before.
    """
    least, divisor = -(-rows // 2), max(1, rows // 4)
    part: list[Photo] = []
    for photo in photos:
        part.append(photo)
        ends_here = len(part) >= least and int(photo.id[:16], 16) % divisor == 0
        if ends_here or len(part) == rows:
            yield tuple(part)
            part = []
    if part:
        yield tuple(part)


def row_groups(rows: int, row_group: int) -> list[int]:
    """Photos in each row group of a shard: all full but the last."""
    full, rest = divmod(rows, row_group)
    return [row_group] * full + [rest] * (rest > 0)
