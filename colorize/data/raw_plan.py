"""Which listed photos lie in which raw shard: a pure function of the listing and the settings."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import PIL
import pyarrow as pa
import simplejpeg

from colorize.data.sources.listing import Photo
from colorize.settings.sections import ImageSettings, IngestSettings
from colorize.storage import sha256_file

_PACKAGE: Final = Path(__file__).parents[1]
# Whatever decides what a photo's row says. A test asks that nothing is missing that these modules import.
CODE: Final = (
    "color.py",
    "data/description.py",
    "data/examination.py",
    "data/flags.py",
    "data/hashing.py",
    "data/judgement.py",
    "data/manifest.py",
    "data/raw_plan.py",
    "data/raw_shard.py",
    "images/__init__.py",
    "images/icc.py",
    "images/jpeg.py",
    "images/pixels.py",
    "images/sniffing.py",
    "images/wholeness.py",
)


@dataclass(frozen=True, slots=True)
class RawShard:
    """Photos of one raw shard, in order.

    Attributes:
        photos: what goes in.
        digest: of all that decides the shard's bytes, but for what was removed and what the source refuses to give: 64
            hexadecimal digits.
    """

    photos: tuple[Photo, ...]
    digest: str

    @property
    def name(self) -> str:
        """Name of its file. It says what is in it, so that a shard that is there need not be made again."""
        return f"part-{self.digest[:16]}.parquet"


def plan(
    photos: Iterable[Photo], dataset: str, source: str, images: ImageSettings, settings: IngestSettings
) -> Iterator[RawShard]:
    """Lay out the raw shards of one dataset, as the photos come.

    Args:
        photos: in natural path order.
        dataset: its name.
        source: its address.
        images: the `images` section.
        settings: the `ingest` section.
    """
    decides = {
        "dataset": dataset,
        "source": source,
        "images": images.model_dump(mode="json"),
        "row_group": settings.row_group,
        "code": _digest_of_code(),
        "libraries": [PIL.__version__, simplejpeg.__version__, np.__version__, pa.__version__],
    }
    start = hashlib.sha256(json.dumps(decides).encode())
    for part in cut(photos, settings):
        digest = start.copy()
        for photo in part:
            files = [photo.entry, *(entry for _, entry in photo.notes)]
            # Not the locator: an archive may be packed anew around the same photos.
            said = [(file.path, file.size, file.version, file.refused, file.detail) for file in files]
            digest.update(json.dumps(said).encode())
        yield RawShard(part, digest.hexdigest())


def cut(photos: Iterable[Photo], settings: IngestSettings) -> Iterator[tuple[Photo, ...]]:
    """Cut a sequence where its content says so, such that a change leaves the shards around it as they were.

    A shard has at most `shard_photos` photos and ends with the one that makes it `shard_bytes` large. From half of
    either on, it ends after a photo the checksum of whose path divides by a quarter of `shard_photos`: after photos
    were inserted, the cuts soon fall between the same photos as before.
    """
    divisor = max(1, settings.shard_photos // 4)
    part: list[Photo] = []
    size = 0
    for photo in photos:
        part.append(photo)
        size += photo.entry.size or 0
        full = max(len(part) / settings.shard_photos, size / settings.shard_bytes)
        if full >= 1 or (full >= 0.5 and zlib.crc32(photo.entry.path.encode()) % divisor == 0):
            yield tuple(part)
            part, size = [], 0
    if part:
        yield tuple(part)


@lru_cache(maxsize=1)
def _digest_of_code() -> str:
    return hashlib.sha256("".join(sha256_file(_PACKAGE / name) for name in CODE).encode()).hexdigest()
