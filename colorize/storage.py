"""Files that are either complete or absent: everything the pipeline writes goes through here.

Folders and `s3://bucket/prefix` have one face where shards are published (`open_store`): what is there is never
replaced.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

TEMPORARY_PREFIX = ".tmp-"
S3: Final = "s3://"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder, which takes the place of `path` when the block ends well.

    The temporary keeps the suffix of `path`, because some writers choose their format by it. Parent folders are made.
    If the block raises, the temporary is removed and `path` is left as it was.

    Raises:
        OSError: the folder cannot be written to, or the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(6)}{path.suffix}"
    try:
        yield temporary
        _synchronise(temporary)
        temporary.replace(path)
        _synchronise(path.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """An empty folder beside `path`, which takes the place of `path` when the block ends well.

    The folder's name follows from `path`, so what a killed writer left behind is cleared by the next one. One writer
    at a time: DVC's lock on the path sees to that.

    Raises:
        OSError: the folder cannot be written to, or the disk is full.
    """
    path = Path(path)
    building = path.parent / f"{TEMPORARY_PREFIX}{path.name}"
    replaced = path.parent / f"{TEMPORARY_PREFIX}{path.name}.replaced"
    for leftover in (building, replaced):
        if leftover.exists():
            shutil.rmtree(leftover)
    building.mkdir(parents=True)
    try:
        yield building
        for written in (*building.rglob("*"), building):
            _synchronise(written)
        if path.exists():
            path.rename(replaced)
        building.rename(path)
        _synchronise(path.parent)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    shutil.rmtree(replaced, ignore_errors=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old content or the new one, never a part.

    Raises:
        OSError: the folder cannot be written to, or the disk is full; `path` is left as it was.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: object) -> None:
    """Write `value` as readable JSON: keys in the order given, a newline at the end, NaN and infinity refused."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, f"{text}\n".encode())


def remove_temporaries(folder: Path) -> None:
    """Remove what killed writers left in `folder` (not below it). A folder that does not exist is fine."""
    folder = Path(folder)
    if not folder.is_dir():
        return
    for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover)
        else:
            leftover.unlink(missing_ok=True)


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class StorageError(ValueError):
    """A folder or an object store cannot be used as asked; the message names it and says what to do."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store holds under a name: bytes, and SHA-256 (64 digits; empty where the store does not know it)."""

    size: int
    sha256: str


class Store(Protocol):
    """A place that files are put into once and never replaced. Threads can share it."""

    @property
    def address(self) -> str:
        """The place, as people write it, without a slash at its end."""
        ...

    def describe(self, name: str) -> Stored | None:
        """What is there under a name; None if nothing is.

        Raises:
            StorageError: the store refuses.
            SourceUnavailableError: it cannot be reached, after all retries.
        """
        ...

    def create(self, name: str, file: Path, sha256: str) -> bool:
        """Put a file there, complete or not at all, unless there is something under that name.

        Args:
            name: POSIX path below the address.
            file: what to put there.
            sha256: of its bytes; they are compared with it while they are read.

        Returns:
            Whether this call created it. Of any number of racers exactly one is told so, or none where the answer to
            the winner was lost.

        Raises:
            StorageError: the file has other bytes, or the store refuses.
            SourceUnavailableError: the store cannot be reached, after all retries.
            OSError: the file cannot be read, or the folder not be written to.
        """
        ...


def open_store(target: str) -> Store:
    """The store of `s3://bucket/prefix`, `file:///folder` or the path of a folder, which need not exist yet.

    Raises:
        StorageError: the address is none of these.
        SourceError: the bucket's name cannot be one.
    """
    if target.startswith(S3):
        from colorize.object_store import S3Store

        return S3Store.from_url(target)
    if target.startswith("file://"):
        parts = urlsplit(target)
        if parts.netloc not in ("", "localhost") or not parts.path:
            raise StorageError(f"{target}: a file:// address names a folder of this machine: file:///folder")
        return _FolderStore(Path(unquote(parts.path)))
    if "://" in target or not target:
        raise StorageError(f"'{target}': expected s3://bucket/prefix, file:///folder or the path of a folder")
    return _FolderStore(Path(target))


@dataclass(frozen=True, slots=True)
class _FolderStore:
    """A folder of this machine."""

    folder: Path

    @property
    def address(self) -> str:
        return str(self.folder)

    def describe(self, name: str) -> Stored | None:
        path = self.folder / name
        return Stored(path.stat().st_size, sha256_file(path)) if path.is_file() else None

    def create(self, name: str, file: Path, sha256: str) -> bool:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # Beside the folder of the file: a killed copy must not look like a shard to those who read the whole folder.
        temporary = path.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(6)}"
        try:
            shutil.copyfile(file, temporary)
            _synchronise(temporary)
            check_bytes(file, sha256_file(temporary), sha256)
            os.link(temporary, path)  # unlike a rename it fails where there is a file
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        _synchronise(path.parent)
        return True


def check_bytes(file: Path, actual: str, wanted: str) -> None:
    """Raise a StorageError if the SHA-256 of a file's bytes is not the wanted one."""
    if actual != wanted:
        raise StorageError(
            f"{file}: its SHA-256 is {actual}, not {wanted}: it is damaged or being written. 'colorize verify' says "
            "more, 'dvc repro --force shard' mends it"
        )


def _synchronise(path: Path) -> None:
    """Have the kernel put a file, or the names in a folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
