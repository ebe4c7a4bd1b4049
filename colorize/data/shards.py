"""LAB shards built from raw shards and splits: photos decoded once, in parallel, into files that never half exist."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from colorize.data.execution import map_ordered
from colorize.data.manifest import FILE_NAME, natural_key
from colorize.data.raw_reader import RawReader
from colorize.data.shard_file import Row, as_tensor, write_shard
from colorize.data.shard_index import INDEX, files_below, read_entry, read_index, verify, write_index
from colorize.data.shard_plan import HasBatches, Photo, ShardPlan, plan
from colorize.images import Rejection
from colorize.progress import track
from colorize.settings.sections import ImageSettings, ShardSettings
from colorize.storage import TEMPORARY_PREFIX

__all__ = ["BuildResult", "PhotoLostError", "as_tensor", "build", "plan", "read_index", "verify"]

_ROWS_AT_ONCE = 1024


class PhotoLostError(ValueError):
    """A photo that ingest vouched for cannot be found, or is no longer what it was."""


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What a build did: the index, and how many shards were written, kept as they were, and removed as stale files."""

    index: dict[str, Any]
    written: int
    kept: int
    removed: int


@dataclass(frozen=True, slots=True)
class _Job:
    """A shard: where its photos lie, raw shard and row of each in the plan's order, and what an index says of it."""

    shard: ShardPlan
    places: tuple[tuple[str, int], ...]
    old: Mapping[str, Any] | None


def build(
    raw: Path,
    splits: HasBatches,
    out: Path,
    settings: ShardSettings,
    images: ImageSettings,
    *,
    workers: int | None = None,
) -> BuildResult:
    """Make `out` hold exactly the shards that splits and settings ask for.

    Shards that are complete already are read and stay; files that the plan does not name are removed. Bytes do not
    depend on the number of workers, nor on what an earlier, killed build left.

    Args:
        raw: folder of raw shards and manifests, one folder per dataset.
        splits: columns `dataset`, `path`, `id`, `split`.
        out: folder of the LAB shards.
        settings: the `shards` section.
        images: the `images` section: how photos are decoded.
        workers: processes; None takes all CPUs.

    Raises:
        PhotoLostError: a photo of the splits is missing from the raw shards, or cannot be decoded any more.
        ValueError: the splits are inconsistent.
        OSError: the folder cannot be written to, or the disk is full.
    """
    number = sum(1 for _ in plan(splits, settings))  # for people; and wrong splits are told before any work
    old = _old_entries(out)
    jobs = (_Job(shard, places, old.get(shard.path)) for shard, places in _located(raw, plan(splits, settings)))
    entries: list[dict[str, Any]] = []
    written = 0
    results = map_ordered(partial(_make, raw, out, images), jobs, workers, chunk=1)
    with closing(results):
        for entry, is_new in track(results, "shards", total=number):
            entries.append(entry)
            written += is_new
    removed = _remove_others(out, {entry["path"] for entry in entries})
    index = write_index(out, entries, settings)
    return BuildResult(index, written, number - written, removed)


def _make(raw: Path, out: Path, images: ImageSettings, job: _Job) -> tuple[dict[str, Any], bool]:
    """The entry of a shard, and whether it had to be written (in a worker process)."""
    if (complete := _complete(out, job.shard, job.old)) is not None:
        return complete, False
    # Where there is an index, the folder is finished.
    (out / INDEX).unlink(missing_ok=True)
    write_shard(out / job.shard.path, job.shard, _rows(raw / job.shard.dataset, images, job))
    return read_entry(out, job.shard.path)[0], True


def _complete(out: Path, shard: ShardPlan, old: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The entry of a shard that is already as planned, else None."""
    if not (out / shard.path).is_file():
        return None
    try:
        entry, footer = read_entry(out, shard.path)
    except ValueError:
        return None
    as_planned = footer == shard.header() | {"logical": entry["logical"]}
    as_written = old is None or old["sha256"] == entry["sha256"] or old["plan"] != entry["plan"]
    return entry if as_planned and as_written else None


def _old_entries(out: Path) -> dict[str, dict[str, Any]]:
    """Entries of the index that an earlier build left, by path; none if it cannot be used."""
    try:
        return {entry["path"]: entry for entry in read_index(out)["shards"] if {"sha256", "plan"} <= entry.keys()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _remove_others(out: Path, named: set[str]) -> int:
    """Remove what the plan does not name; returns how many files, killed writers' temporaries and the index aside."""
    others = sorted(files_below(out) - named - {INDEX})
    if others:
        (out / INDEX).unlink(missing_ok=True)
    for path in others:
        (out / path).unlink()
    for folder in sorted((path for path in out.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    return sum(not Path(path).name.startswith(TEMPORARY_PREFIX) for path in others)


def _located(raw: Path, shards: Iterator[ShardPlan]) -> Iterator[tuple[ShardPlan, tuple[tuple[str, int], ...]]]:
    """Shards with the places of their photos: the plan and the manifests have them in the same order."""
    for _, some in groupby(shards, key=lambda shard: (shard.split, shard.dataset)):
        manifest: Iterator[dict[str, Any]] | None = None
        for shard in some:
            manifest = manifest or _manifest(raw, shard.dataset)
            yield shard, tuple(_place(raw, shard.dataset, photo, manifest) for photo in shard.photos)


def _manifest(raw: Path, dataset: str) -> Iterator[dict[str, Any]]:
    """Path, id, raw shard and row of each usable photo of a dataset, in natural path order."""
    path = raw / dataset / FILE_NAME
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: run 'dvc repro ingest@{dataset}' first")
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=["path", "id", "shard", "row"], use_threads=False):
            yield from (row for row in batch.to_pylist() if row["shard"] is not None)


def _place(raw: Path, dataset: str, photo: Photo, manifest: Iterator[dict[str, Any]]) -> tuple[str, int]:
    """Where a photo lies: goes on in the manifest as far as the photo would stand."""
    key = natural_key(photo.path)
    for row in manifest:
        if natural_key(row["path"]) < key:
            continue
        if (row["path"], row["id"]) == (photo.path, photo.id):
            return row["shard"], row["row"]
        break
    raise PhotoLostError(
        f"{dataset}/{photo.path} (id {photo.id}) is in the splits but not in {raw / dataset}: "
        "run 'dvc repro' so that both come from the same photos"
    )


def _rows(raw: Path, images: ImageSettings, job: _Job) -> Iterator[Row]:
    from colorize.data.shard_pixels import make_row  # brings numba, which only making shards needs

    with RawReader() as reader:
        for photo, (shard, row) in zip(job.shard.photos, job.places, strict=True):
            name = f"{job.shard.dataset}/{photo.path} (id {photo.id})"
            try:
                data = reader.read(raw / shard, row)
            except IndexError as error:
                raise PhotoLostError(f"{name}: {error}, but the manifest says it has; ingest again") from error
            if data is None or hashlib.sha256(data).hexdigest() != photo.id:
                raise PhotoLostError(f"{name}: {raw} holds other bytes than at ingest; run 'dvc repro --force ingest'")
            made = make_row(photo.id, data, job.shard.settings, images)
            if isinstance(made, Rejection):
                raise PhotoLostError(
                    f"{name}: accepted at ingest, now refused ({made.reason}: {made.detail}); run ingest again"
                )
            yield made
