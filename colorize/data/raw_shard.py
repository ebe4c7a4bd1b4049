"""One raw shard: the manifest rows of some photos with their original bytes, in a file that is whole or absent."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from colorize.data.examination import RETRIED, examine_all
from colorize.data.manifest import REJECTED, SCHEMA, natural_key
from colorize.data.raw_plan import RawShard
from colorize.data.raw_reader import RawReader
from colorize.data.removals import Removals
from colorize.data.sources import Entry, Source
from colorize.settings.sections import ImageSettings
from colorize.storage import atomic_path

_OF_THE_ROW = [field for field in SCHEMA if field.name not in ("shard", "row")]
RAW_SCHEMA: Final = pa.schema([*_OF_THE_ROW, pa.field("data", pa.large_binary())])  # data: null when rejected
_HEAD: Final = b"colorize"

Outcomes = Counter[tuple[str, str | None]]
"""Number of photos by status and reason."""


@dataclass(frozen=True, slots=True)
class Old:
    """A shard of an earlier run that is not asked for any more, and the range of paths in it."""

    path: Path
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class Job:
    """A raw shard to be made, in any process on any machine.

    Attributes:
        shard: what goes in.
        dataset: name of the dataset.
        source: where the photos are.
        images: which photos are usable.
        row_group: photos per row group.
        removals: photos that were taken out for good.
        folder: where the shard goes.
        witness: a file in that folder. Who does not see it is on a machine that does not share the folder.
        old: shards that may hold some of the photos.
    """

    shard: RawShard
    dataset: str
    source: Source
    images: ImageSettings
    row_group: int
    removals: Removals
    folder: Path
    witness: Path
    old: tuple[Old, ...]


@dataclass(frozen=True, slots=True)
class Made:
    """A finished shard: what became of its photos, and the file itself where it could not be put into its place."""

    name: str
    outcomes: Outcomes
    file: bytes | None = None


def make(job: Job) -> Made:
    """Look at the photos of a shard and write it.

    Raises:
        SourceError: the source as a whole is gone or cannot be reached.
        OSError: the folder cannot be written to, or the disk is full.
    """
    if job.witness.exists():
        return Made(job.shard.name, _write(job.folder / job.shard.name, job))
    with tempfile.TemporaryDirectory(prefix="colorize-") as elsewhere:
        path = Path(elsewhere) / job.shard.name
        outcomes = _write(path, job)
        return Made(job.shard.name, outcomes, path.read_bytes())


def read_complete(path: Path, shard: RawShard, dataset: str, removals: Removals) -> Outcomes | None:
    """What became of the photos of a shard that is already there; None when it has to be made (again).

    It has to when a photo could not be had that may be had now, or when removals were added or taken back.
    """
    if not path.is_file() or _head(path).get("digest") != shard.digest:
        return None
    rows = pq.read_table(path, columns=["path", "id", "status", "reason"]).to_pylist()
    for row in rows:
        removed = row["reason"] == "removed"
        if row["reason"] in RETRIED or removed != removals.cover(dataset, row["path"], row["id"]):
            return None
    return Counter((row["status"], row["reason"]) for row in rows)


def read_old(path: Path) -> Old | None:
    """A shard of an earlier run as a place to find bytes in; None when the file is not a whole one of ours."""
    head = _head(path)
    return Old(path, head["first"], head["last"]) if head.keys() >= {"first", "last"} else None


def overlapping(old: Iterable[Old], shard: RawShard) -> tuple[Old, ...]:
    """The old shards that may hold photos of a new one: photos lie in natural path order in both."""
    first, last = natural_key(shard.photos[0].entry.path), natural_key(shard.photos[-1].entry.path)
    return tuple(one for one in old if natural_key(one.first) <= last and first <= natural_key(one.last))


def _write(path: Path, job: Job) -> Outcomes:
    photos = job.shard.photos
    head = {"digest": job.shard.digest, "first": photos[0].entry.path, "last": photos[-1].entry.path}
    schema = RAW_SCHEMA.with_metadata({_HEAD: json.dumps(head).encode()})
    outcomes: Outcomes = Counter()
    rows: list[dict[str, Any]] = []
    # Photos are compressed already, and statistics of their bytes would be kept in every footer.
    options = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    with (
        RawReader() as reader,
        atomic_path(path) as temporary,
        pq.ParquetWriter(temporary, schema, **options) as writer,
    ):
        kept = _Kept(job.old, reader).bytes_of
        looked_at = examine_all(job.source, job.images, photos, dataset=job.dataset, removals=job.removals, kept=kept)
        for row, data in looked_at:
            rows.append({"dataset": job.dataset, **row, "data": data})
            outcomes[row["status"], row["reason"]] += 1
            if len(rows) == job.row_group:
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                rows.clear()
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    return outcomes


class _Kept:
    """Bytes of photos that have not changed since an earlier run, from its shards."""

    def __init__(self, old: Iterable[Old], reader: RawReader) -> None:
        self._reader = reader
        self._places: dict[tuple[str, str], tuple[Path, int]] = {}
        for one in old:
            rows = pq.read_table(one.path, columns=["path", "version", "status"]).to_pylist()
            for number, row in enumerate(rows):
                if row["status"] != REJECTED:
                    self._places[row["path"], row["version"]] = (one.path, number)

    def bytes_of(self, entry: Entry) -> bytes | None:
        place = self._places.get((entry.path, entry.version))
        return None if place is None else self._reader.read(*place)


def _head(path: Path) -> dict[str, Any]:
    try:
        value = json.loads((pq.read_schema(path).metadata or {}).get(_HEAD, b"{}"))
    except (OSError, ValueError, pa.ArrowException):
        return {}
    return value if isinstance(value, dict) else {}
