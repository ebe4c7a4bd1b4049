"""Where shards and runs are kept, folders and `s3://bucket/prefix` with one face: what is there is never replaced."""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

from colorize.storage import TEMPORARY_PREFIX, atomic_path, sha256_file, synchronise

S3: Final = "s3://"


class StorageError(ValueError):
    """A folder or an object store cannot be used as asked; the message names it and says what to do."""


class DamagedError(StorageError):
    """What a store holds under a name is missing or has other bytes than it should."""


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

    def names(self, below: str) -> list[str]:
        """All names that begin with `below`, sorted.

        Raises:
            StorageError: the store refuses.
            SourceUnavailableError: it cannot be reached, after all retries.
        """
        ...

    def read(self, name: str) -> bytes | None:
        """The bytes of something small; None if nothing is there.

        Raises:
            DamagedError: they are not those that were put there, as far as the store can tell.
            StorageError: the store refuses.
            SourceUnavailableError: it cannot be reached, after all retries.
        """
        ...

    def fetch(self, name: str, file: Path, sha256: str) -> None:
        """Copy something into a file, complete or not at all; folders are made.

        Raises:
            DamagedError: it is not there, or has another SHA-256, however often it is read.
            StorageError: the store refuses.
            SourceUnavailableError: it cannot be reached, after all retries.
            OSError: the file cannot be written.
        """
        ...

    def remove(self, name: str) -> None:
        """Have nothing under a name. Names that were published to others are never removed.

        Raises:
            StorageError: the store refuses.
            SourceUnavailableError: it cannot be reached, after all retries.
        """
        ...


def open_store(target: str) -> Store:
    """The store of `s3://bucket/prefix`, `file:///folder` or the path of a folder, which need not exist yet.

    Raises:
        StorageError: the address is none of these.
        SourceError: the bucket's name cannot be one.
    """
    if target.startswith(S3):
        from colorize.stores.s3 import S3Store

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
            synchronise(temporary)
            check_bytes(file, sha256_file(temporary), sha256)
            os.link(temporary, path)  # unlike a rename it fails where there is a file
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        synchronise(path.parent)
        return True

    def names(self, below: str) -> list[str]:
        start = self.folder / below.rpartition("/")[0]
        found = (path for path in start.rglob("*") if not path.name.startswith(TEMPORARY_PREFIX) and path.is_file())
        return sorted(name for path in found if (name := path.relative_to(self.folder).as_posix()).startswith(below))

    def read(self, name: str) -> bytes | None:
        try:
            return (self.folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def fetch(self, name: str, file: Path, sha256: str) -> None:
        path = self.folder / name
        if not path.is_file():
            raise DamagedError(f"{path} is missing")
        with atomic_path(file) as temporary:
            shutil.copyfile(path, temporary)
            if (actual := sha256_file(temporary)) != sha256:
                raise DamagedError(f"{path}: its SHA-256 is {actual}, not {sha256}")

    def remove(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)


def check_bytes(file: Path, actual: str, wanted: str) -> None:
    """Raise a StorageError if the SHA-256 of a file's bytes is not the wanted one."""
    if actual != wanted:
        raise StorageError(
            f"{file}: its SHA-256 is {actual}, not {wanted}: it is damaged or being written. 'colorize verify' says "
            "more, 'dvc repro --force shard' mends it"
        )
