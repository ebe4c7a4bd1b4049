"""The folder of LAB shards: built from raw shards and splits, described by `index.json`, and verified.

`index.json` holds the header that all shards share, `row_group`, `compression`, `photos` (number per split), `digest`
(of what training sees) and `shards`: per shard `path`, `split`, `dataset`, `rows`, `row_groups` (photos in each),
`bytes`, `sha256` of the file, `plan` and `logical` (digests of what was asked for and of what is in it). It is written
last: where there is none, the folder is not finished.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from colorize.data.execution import map_ordered
from colorize.data.manifest import read_manifests
from colorize.data.shard_file import LogicalDigest, Row, Shard, as_tensor, make_row, write_shard
from colorize.data.shard_plan import ShardPlan, digest, plan
from colorize.data.splits import SPLITS
from colorize.images import Rejection, decode
from colorize.progress import track
from colorize.settings.sections import ImageSettings, ShardSettings
from colorize.storage import TEMPORARY_PREFIX, sha256_file, write_json

__all__ = ["INDEX", "BuildResult", "as_tensor", "build", "plan", "read_index", "verify"]

INDEX = "index.json"
_HEADER = ("format", "height", "width", "encoding", "white_point", "resampling")
_OF_SHARD = ("plan", "logical")


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
    entries = {shard.path: _complete(out, shard, old.get(shard.path)) for shard in plans}
    missing = [shard for shard in plans if entries[shard.path] is None]
    removed = _remove_others(out, {shard.path for shard in plans} | ({INDEX} if not missing else set()))
    # The largest first, so that all workers end at about the same time.
    jobs = sorted(_locate(raw, missing), key=lambda job: (-len(job.places), job.shard.path))
    results = map_ordered(partial(_write, raw, out, images), jobs, workers, chunk=1)
    with closing(results):
        for entry in track(results, "shards", total=len(jobs)):
            entries[entry["path"]] = entry
    index = _index([entry for shard in plans if (entry := entries[shard.path])], settings)
    write_json(out / INDEX, index)
    return BuildResult(index, len(jobs), len(plans) - len(jobs), removed)


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a folder of shards.

    Raises:
        ValueError: there is none, or it cannot be read.
    """
    path = Path(folder) / INDEX
    try:
        index: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing: run 'dvc repro shard' first") from error
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); run 'dvc repro --force shard'") from error
    return index


def verify(folder: Path) -> list[str]:
    """Compare every byte below a folder of shards with the index.

    Returns:
        One sentence per problem: damaged, missing and extra files, and an index that contradicts itself or them.
    """
    folder = Path(folder)
    try:
        index = read_index(folder)
        shards = {entry["path"]: entry for entry in index["shards"]}
        settings = ShardSettings(size=index["height"], row_group=index["row_group"], compression=index["compression"])
    except (ValueError, KeyError, TypeError) as error:
        return [str(error) if isinstance(error, ValueError) else f"{folder / INDEX} is damaged ({error!r})"]
    problems = []
    found = []
    for path, entry in track(shards.items(), "verify", total=len(shards)):
        file = folder / path
        if not file.is_file():
            problems.append(f"{file} is missing")
            continue
        try:
            actual, header = _entry(folder, path)
        except (ValueError, OSError) as error:
            problems.append(str(error))
            continue
        found.append(actual)
        differing = [key for key in (*actual, *entry) if actual.get(key) != entry.get(key)]
        differing += [key for key in _HEADER if header.get(key) != index.get(key)]
        if header.get("logical") != actual["logical"]:
            differing.append("logical digest in its footer")
        if differing:
            problems.append(f"{file} differs from the index: {', '.join(dict.fromkeys(differing))}")
    extra = _files(folder) - shards.keys() - {INDEX}
    problems += [f"{folder / path} is not named by the index" for path in sorted(extra)]
    if not problems and _as_written(_index(found, settings)) != (folder / INDEX).read_bytes():
        problems.append(f"{folder / INDEX} contradicts the shards or was edited")
    return problems


def _index(entries: Sequence[Mapping[str, Any]], settings: ShardSettings) -> dict[str, Any]:
    header = ShardPlan("", "", 0, (), settings).header()
    photos = {name: sum(entry["rows"] for entry in entries if entry["split"] == name) for name in SPLITS}
    return {
        **{key: header[key] for key in _HEADER},
        "row_group": settings.row_group,
        "compression": settings.compression,
        "photos": photos,
        "digest": digest(entries),
        "shards": list(entries),
    }


def _as_written(index: Mapping[str, Any]) -> bytes:
    return (json.dumps(index, indent=1, ensure_ascii=False) + "\n").encode()


def _entry(folder: Path, path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A shard's entry of the index, computed from its bytes, and its footer's header."""
    file = folder / path
    shard = Shard(file)
    logical = LogicalDigest()
    for number in range(len(shard.row_groups)):
        group = shard.read(number)
        for index, identity in enumerate(group.ids):
            logical.add(identity, group.l[index], group.ab[index])
    split, dataset, _ = path.split("/")
    entry = {
        "path": path,
        "split": split.removeprefix("split="),
        "dataset": dataset.removeprefix("dataset="),
        "rows": shard.rows,
        "row_groups": shard.row_groups,
        "bytes": file.stat().st_size,
        "sha256": sha256_file(file),
        "plan": shard.header.get("plan"),
        "logical": logical.hexdigest(),
    }
    return entry, shard.header


def _complete(out: Path, shard: ShardPlan, old: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The entry of a shard that is already as planned, else None."""
    if not (out / shard.path).is_file():
        return None
    try:
        entry, header = _entry(out, shard.path)
    except ValueError:
        return None
    as_planned = header == shard.header() | {"logical": entry["logical"]}
    as_written = old is None or old["sha256"] == entry["sha256"] or old["plan"] != entry["plan"]
    return entry if as_planned and as_written else None


def _old_entries(out: Path) -> dict[str, dict[str, Any]]:
    """Entries of the index that an earlier build left, by path; none if it cannot be used."""
    try:
        return {entry["path"]: entry for entry in read_index(out)["shards"] if {"sha256", "plan"} <= entry.keys()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def _remove_others(out: Path, named: set[str]) -> int:
    """Remove what the plan does not name; returns how many files, killed writers' temporaries and the index aside."""
    others = sorted(_files(out) - named)
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
    return _entry(out, job.shard.path)[0]


def _rows(raw: Path, images: ImageSettings, job: _Job) -> Iterator[Row]:
    size = job.shard.settings.size
    for photo, data in zip(job.shard.photos, _read_raw(raw, job.places), strict=True):
        name = f"{job.shard.dataset}/{photo.path} (id {photo.id})"
        if data is None or hashlib.sha256(data).hexdigest() != photo.id:
            raise PhotoLostError(f"{name}: {raw} holds other bytes than at ingest; run 'dvc repro --force ingest'")
        rgb = decode(data, images)
        if isinstance(rgb, Rejection):
            raise PhotoLostError(
                f"{name}: accepted at ingest, now refused ({rgb.reason}: {rgb.detail}); run ingest again"
            )
        yield make_row(photo.id, rgb, size)


def _read_raw(raw: Path, places: Sequence[tuple[str, int]]) -> Iterator[bytes | None]:
    """Bytes of photos by raw shard and row; photos in a raw row group that follow each other cost one reading."""
    name, start, photos = "", 0, pa.chunked_array([pa.array([], pa.large_binary())])
    for shard, row in places:
        if shard != name:
            file = pq.ParquetFile(raw / shard, memory_map=True)
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
        if shard != name or not start <= row < start + len(photos):
            name, start, group = shard, 0, 0
            while group < len(sizes) and row >= start + sizes[group]:
                start += sizes[group]
                group += 1
            if group == len(sizes):
                yield None
                continue
            photos = file.read_row_group(group, columns=["data"])["data"]
        yield photos[row - start].as_py()
