"""LAB shards built from raw shards and splits: photos decoded once, in parallel, into files that never half exist."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from colorize.data.execution import map_ordered
from colorize.data.manifest import read_manifests
from colorize.data.raw_reader import RawReader
from colorize.data.shard_file import Row, as_tensor, write_shard
from colorize.data.shard_index import INDEX, files_below, read_entry, read_index, verify, write_index
from colorize.data.shard_plan import ShardPlan, plan
from colorize.images import Rejection
from colorize.progress import track
from colorize.settings.sections import ImageSettings, ShardSettings
from colorize.storage import TEMPORARY_PREFIX

__all__ = ["BuildResult", "PhotoLostError", "as_tensor", "build", "plan", "read_index", "verify"]


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
    """A shard to write, and where its photos lie: raw shard and row of each, in the plan's order."""

    shard: ShardPlan
    places: tuple[tuple[str, int], ...]


def build(
    raw: Path,
    splits: pa.Table,
    out: Path,
    settings: ShardSettings,
    images: ImageSettings,
    *,
    workers: int | None = None,
) -> BuildResult:
    """Make `out` hold exactly the shards that splits and settings ask for.

    Shards that are complete already stay; files that the plan does not name are removed. Bytes do not depend on the
    number of workers, nor on what an earlier, killed build left.

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
    plans = plan(splits, settings)
    old = _old_entries(out)
    entries: dict[str, dict[str, Any]] = {}
    for shard in plans:
        if (complete := _complete(out, shard, old.get(shard.path))) is not None:
            entries[shard.path] = complete
    missing = [shard for shard in plans if shard.path not in entries]
    removed = _remove_others(out, {shard.path for shard in plans} | ({INDEX} if not missing else set()))
    # The largest first, so that all workers end at about the same time.
    jobs = sorted(_locate(raw, missing), key=lambda job: (-len(job.places), job.shard.path))
    results = map_ordered(partial(_write, raw, out, images), jobs, workers, chunk=1)
    with closing(results):
        for entry in track(results, "shards", total=len(jobs)):
            entries[entry["path"]] = entry
    index = write_index(out, [entries[shard.path] for shard in plans], settings)
    return BuildResult(index, len(jobs), len(plans) - len(jobs), removed)


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
    others = sorted(files_below(out) - named)
    for path in others:
        (out / path).unlink()
    for folder in sorted((path for path in out.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    return sum(path != INDEX and not Path(path).name.startswith(TEMPORARY_PREFIX) for path in others)


def _locate(raw: Path, shards: Sequence[ShardPlan]) -> Iterator[_Job]:
    if not shards:
        return
    manifest = read_manifests(raw, sorted({shard.dataset for shard in shards}))
    rows = manifest.select(["dataset", "path", "id", "shard", "row"]).to_pylist()
    places = {(row["dataset"], row["path"], row["id"]): (row["shard"], row["row"]) for row in rows}
    for shard in shards:
        try:
            found = tuple(places[shard.dataset, photo.path, photo.id] for photo in shard.photos)
        except KeyError as error:
            dataset, path, identity = error.args[0]
            raise PhotoLostError(
                f"{dataset}/{path} (id {identity}) is in the splits but not in {raw / dataset}: "
                "run 'dvc repro' so that both come from the same photos"
            ) from error
        yield _Job(shard, found)


def _write(raw: Path, out: Path, images: ImageSettings, job: _Job) -> dict[str, Any]:
    """Write one shard (in a worker process) and return its entry."""
    write_shard(out / job.shard.path, job.shard, _rows(raw / job.shard.dataset, images, job))
    return read_entry(out, job.shard.path)[0]


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
            made = make_row(photo.id, data, job.shard.settings.size, images)
            if isinstance(made, Rejection):
                raise PhotoLostError(
                    f"{name}: accepted at ingest, now refused ({made.reason}: {made.detail}); run ingest again"
                )
            yield made
