"""`index.json`, which describes a folder of LAB shards, and the check of every byte against it.

The index holds what the footers of all shards say alike, `photos` (number per split), `digest` (of what training sees)
and `shards`: per shard `path`, `split`, `dataset`, `rows`, `row_groups` (photos in each),
`bytes`, `sha256` of the file, `plan` and `logical` (digests of what was asked for and of what is in it). It is written
last: where there is none, the folder is not finished.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from colorize.data.shard_file import LogicalDigest, Shard
from colorize.data.shard_plan import ShardPlan
from colorize.data.splits import SPLITS
from colorize.progress import track
from colorize.settings.sections import ShardSettings
from colorize.storage import sha256_file, write_json

INDEX = "index.json"
_HEADER = ("format", "height", "width", "encoding", "white_point", "resampling", "row_group", "compression")


def remote_address(folder: Path | str) -> str | None:
    """The `s3://` address that a folder of shards has, without a slash at its end; None for one of this machine.

    As a Path such an address has lost one of its slashes, which is put back.
    """
    scheme, separator, rest = str(folder).partition(":/")
    return f"s3://{rest.strip('/')}" if separator and scheme == "s3" else None


def read_index(folder: Path | str) -> dict[str, Any]:
    """The index of a folder of shards, of this machine or published (`s3://bucket/prefix/<digest>`).

    Raises:
        ValueError: there is none, or it cannot be read.
    """
    if (address := remote_address(folder)) is not None:
        return _read_published(f"{address}/{INDEX}")
    path = Path(folder) / INDEX
    try:
        index: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing: run 'dvc repro shard' first") from error
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); run 'dvc repro --force shard'") from error
    return index


def _read_published(address: str) -> dict[str, Any]:
    from colorize.stores.s3 import open_object, reading

    try:
        file = open_object(address)
        index: dict[str, Any] = json.loads(reading(address, lambda: file.read_at(file.size(), 0)))
    except json.JSONDecodeError as error:
        raise ValueError(f"{address} is damaged ({error}); remove that version and publish it again") from error
    return index


def write_index(folder: Path, entries: Sequence[Mapping[str, Any]], settings: ShardSettings) -> dict[str, Any]:
    """Write the index of shards that are there, and return it.

    Args:
        folder: of the shards.
        entries: what `read_entry` says of each, in order.
        settings: what they were written with.
    """
    header = ShardPlan("", "", 0, (), settings).header()
    index = _index(entries, header)
    write_json(folder / INDEX, index)
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
        header = {key: index[key] for key in _HEADER}
    except (ValueError, KeyError, TypeError) as error:
        return [str(error) if isinstance(error, ValueError) else f"{folder / INDEX} is damaged ({error!r})"]
    problems = []
    found = []
    for path, entry in track(shards.items(), "verify", total=len(shards)):
        try:
            found.append(_compare(folder, header, entry))
        except (ValueError, OSError) as error:
            problems.append(f"{folder / path}: {error}" if isinstance(error, ValueError) else f"{error}")
    extra = files_below(folder) - shards.keys() - {INDEX}
    problems += [f"{folder / path} is not named by the index" for path in sorted(extra)]
    if not problems and _as_written(_index(found, header)) != (folder / INDEX).read_bytes():
        problems.append(f"{folder / INDEX} contradicts the shards or was edited")
    return problems


def _compare(folder: Path, header: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """A shard's entry computed from its bytes, where it is what the index says; else a ValueError says what differs."""
    file = folder / entry["path"]
    if not file.is_file():
        raise ValueError("is missing")
    if sha256_file(file) != entry.get("sha256"):
        raise ValueError("its bytes are not those that the index names (sha256)")
    actual, footer = read_entry(folder, entry["path"])
    differing = [key for key in dict.fromkeys((*actual, *entry)) if actual.get(key) != entry.get(key)]
    differing += [key for key, value in header.items() if footer.get(key) != value]
    if differing or footer.get("logical") != actual["logical"]:
        raise ValueError(f"differs from the index: {', '.join(differing) or 'logical digest in its footer'}")
    return actual


def digest(header: Mapping[str, Any], shards: Iterable[Mapping[str, Any]]) -> str:
    """The data digest: what training sees (splits, datasets, ids, pixels, row groups), not how it is stored.

    Args:
        header: what all shards' footers say of their content.
        shards: the entries of `index.json`, in order.
    """
    seen = [[shard[key] for key in ("split", "dataset", "row_groups", "logical")] for shard in shards]
    code = [header[key] for key in ("format", "height", "width", "encoding", "white_point")]
    return hashlib.sha256(json.dumps([code, seen]).encode()).hexdigest()


def files_below(folder: Path) -> set[str]:
    """POSIX paths of all files below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def _index(entries: Sequence[Mapping[str, Any]], header: Mapping[str, Any]) -> dict[str, Any]:
    photos = {name: sum(entry["rows"] for entry in entries if entry["split"] == name) for name in SPLITS}
    return {
        **{key: header[key] for key in _HEADER},
        "photos": photos,
        "digest": digest(header, entries),
        "shards": list(entries),
    }


def _as_written(index: Mapping[str, Any]) -> bytes:
    return (json.dumps(index, indent=1, ensure_ascii=False) + "\n").encode()


def read_entry(folder: Path, path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A shard's entry of the index, computed from every byte of it, and what its footer says.

    Args:
        folder: of the shards.
        path: of the shard, below the folder.

    Raises:
        ValueError: it is no LAB shard, or damaged.
    """
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
