"""Which photos lie in which LAB shard, in which order: a pure function of the splits and the settings."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import PIL
import pyarrow as pa

from colorize.color import ENCODING, WHITE_POINT
from colorize.data.manifest import natural_key
from colorize.data.splits import SPLITS
from colorize.settings.sections import ShardSettings

# Raise it when the same photo gives other pixels than before, or the columns change: old shards are written again then.
FORMAT = 1
RESAMPLING = f"centre square, Pillow {PIL.__version__} bicubic"
_LARGEST_PAGE = 2**31  # bytes


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
        compression, and the libraries that resize and write.
        """
        header: dict[str, str | int] = {
            "format": FORMAT,
            "height": self.settings.size,
            "width": self.settings.size,
            "encoding": ENCODING,
            "white_point": WHITE_POINT,
            "resampling": RESAMPLING,
            "row_group": self.settings.row_group,
            "compression": self.settings.compression,
        }
        decides = {
            **header,
            "split": self.split,
            "dataset": self.dataset,
            "writer": f"pyarrow {pa.__version__}",
            "ids": [photo.id for photo in self.photos],
        }
        return header | {"plan": hashlib.sha256(json.dumps(decides).encode()).hexdigest()}


def plan(splits: pa.Table, settings: ShardSettings) -> list[ShardPlan]:
    """Lay out all shards: split by split, dataset by dataset in order of name, photos in natural path order.

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
    ids = Counter(splits["id"].to_pylist())
    if len(ids) < splits.num_rows:
        twice = next(identity for identity, count in ids.items() if count > 1)
        raise ValueError(f"id {twice} is in the splits {ids[twice]} times; run 'dvc repro dedupe split' again")
    photos: dict[tuple[str, str], list[Photo]] = {}
    for row in splits.select(["dataset", "path", "id", "split"]).to_pylist():
        if row["split"] not in SPLITS:
            raise ValueError(
                f"{row['dataset']}/{row['path']}: split is {row['split']!r}, not one of {', '.join(SPLITS)}"
            )
        photos.setdefault((row["split"], row["dataset"]), []).append(Photo(row["id"], row["path"]))
    plans = []
    for split, dataset in sorted(photos, key=lambda key: (SPLITS.index(key[0]), key[1])):
        ordered = sorted(photos[split, dataset], key=lambda photo: natural_key(photo.path))
        for number, part in enumerate(cut(ordered, settings.rows)):
            plans.append(ShardPlan(split, dataset, number, part, settings))
    return plans


def cut(photos: Sequence[Photo], rows: int) -> Iterator[tuple[Photo, ...]]:
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
