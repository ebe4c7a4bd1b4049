"""LAB shards put where others train from: complete versions that never change, in a bucket or a folder.

A version is a folder named by the first 16 digits of the data digest: the shards as they lie in `data/lab`, then
`statistics.json`, then `index.json`. Each is created once and never replaced, so a version that has its index is
complete and stays as it is, whoever else publishes; one that has none is finished by running the same command again.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from colorize.data.shard_index import INDEX, read_index
from colorize.data.statistics import load_statistics
from colorize.progress import track
from colorize.storage import sha256_file
from colorize.stores import S3, StorageError, Store, open_store

STATISTICS = "statistics.json"
_DIGITS: Final = 16
_THREADS: Final = 8  # files on their way at a time


@dataclass(frozen=True, slots=True)
class Published:
    """What publishing did.

    Attributes:
        address: the version's, to train from.
        uploaded: files that were put there.
        present: files that were there before.
        uploaded_bytes: of the former.
        bytes: of all files of the version.
        created: whether this call made the version complete: of racing publishers, one.
    """

    address: str
    uploaded: int
    present: int
    uploaded_bytes: int
    bytes: int
    created: bool


@dataclass(frozen=True, slots=True)
class _File:
    """A file of a version: its name there, where it lies here, its bytes and their SHA-256."""

    name: str
    path: Path
    size: int
    sha256: str


def publish(lab: Path, target: str) -> Published:
    """Publish the shards of `lab`, and the `statistics.json` beside that folder.

    Args:
        lab: folder of the LAB shards.
        target: `s3://bucket/prefix`, `file:///folder` or the path of a folder; the version becomes a folder in it.

    Raises:
        ValueError: the shards or the statistics are missing, damaged, or not of the same data; the address is none;
            the version is there with other bytes; the store refuses or cannot be reached.
        OSError: a file cannot be read, or a folder not be written to.
    """
    lab = Path(lab)
    index = read_index(lab)
    statistics = lab.parent / STATISTICS
    if load_statistics(statistics).digest != index["digest"]:
        raise ValueError(f"{statistics} was counted from other shards than {lab} holds; run 'dvc repro statistics'")
    version = index["digest"][:_DIGITS]
    store = open_store(_below(target, version))
    last = _file(INDEX, lab / INDEX)
    _is_there(store, last)  # a version that is complete with other bytes must not even be sent shards
    files = [_File(entry["path"], lab / entry["path"], entry["bytes"], entry["sha256"]) for entry in index["shards"]]
    files.append(_file(STATISTICS, statistics))
    sent = [file for file, is_new in track(_put_all(store, files), f"publish {version}", len(files)) if is_new]
    if created := _put(store, last):
        sent.append(last)
    files.append(last)
    return Published(
        store.address,
        len(sent),
        len(files) - len(sent),
        sum(file.size for file in sent),
        sum(file.size for file in files),
        created,
    )


def _below(target: str, version: str) -> str:
    scheme = S3 if target.startswith(S3) else ""
    return scheme + f"{target.removeprefix(scheme).rstrip('/')}/{version}" if target else target


def _file(name: str, path: Path) -> _File:
    return _File(name, path, path.stat().st_size, sha256_file(path))


def _put_all(store: Store, files: list[_File]) -> Iterator[tuple[_File, bool]]:
    """Put files there, several at a time; yields each with whether it is new."""
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="publish") as executor:
        try:
            yield from zip(files, executor.map(lambda file: _put(store, file), files), strict=True)
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)  # what is on its way ends, nothing more begins
            raise


def _put(store: Store, file: _File) -> bool:
    """Have a file there; returns whether it was put there by this call."""
    if _is_there(store, file):
        return False
    if store.create(file.name, file.path, file.sha256):
        return True
    if not _is_there(store, file):
        raise StorageError(f"{store.address}/{file.name} came and went while it was published; publish again")
    return False


def _is_there(store: Store, file: _File) -> bool:
    """Whether the file is there.

    Raises:
        StorageError: another one is.
    """
    found = store.describe(file.name)
    if found is None:
        return False
    if (found.size, found.sha256) != (file.size, file.sha256):
        raise StorageError(
            f"{store.address}/{file.name} holds other bytes ({found.size:,}, SHA-256 {found.sha256 or 'unknown'}) than "
            f"{file.path} ({file.size:,}, SHA-256 {file.sha256}), and what is published is never replaced. The photos "
            "are the same; compression or library differ. Train from what is there, or publish to another prefix"
        )
    return True
