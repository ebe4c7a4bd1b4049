"""Files that are either complete or absent: everything the pipeline writes goes through here."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TEMPORARY_PREFIX = ".tmp-"


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
        synchronise(temporary)
        temporary.replace(path)
        synchronise(path.parent)
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
            synchronise(written)
        if path.exists():
            path.rename(replaced)
        building.rename(path)
        synchronise(path.parent)
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


def synchronise(path: Path) -> None:
    """Have the kernel put a file, or the names in a folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
