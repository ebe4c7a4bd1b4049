"""Zip, tar and tar.gz archives as sources: members are read in place; nothing is ever unpacked under their names."""

from __future__ import annotations

import fcntl
import hashlib
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal

from colorize.data.sources import Entry, PhotoUnavailableError, SourceError
from colorize.data.sources.members import BrokenArchiveError, identity, open_archive
from colorize.data.sources.tar_archive import BLOCK, list_tar, read_tar, starts_like_tar
from colorize.data.sources.zip_archive import list_zip, read_zip
from colorize.settings.sections import ArchiveSettings
from colorize.storage import atomic_folder

_ZIP_SIGNATURES: Final = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"PK\x07\x08")
_GZIP_SIGNATURE: Final = b"\x1f\x8b\x08"
_PACKED_AT_ONCE: Final = 16 * 1024  # bytes: small, because zlib copies what is left at the end of each stream
_UNPACKED_AT_ONCE: Final = 256 * 1024  # bytes
_SMALL: Final = 16 * 2**20  # bytes that a .tar.gz may always unpack to: it may begin with a picture of one colour


@dataclass(frozen=True)
class ArchiveSource:
    """The members of one archive. A .tar.gz is expanded once into one plain .tar: gzip has no way into its middle.

    Attributes:
        path: the archive.
        limits: what it may ask for.
        expanded: folder for the plain .tar.
    """

    path: Path
    limits: ArchiveSettings
    expanded: Path

    def list(self) -> Iterator[Entry]:
        """Every member but folders, in the archive's order; refused ones carry the reason.

        Raises:
            BrokenArchiveError: the archive is unusable as a whole.
            SourceError: it is missing, no archive, or cannot be read or expanded.
        """
        kind = _kind(self.path)
        if kind == "zip":
            yield from list_zip(self.path, self.limits)
        elif kind is not None:
            with open_archive(self.path) as file:
                state = identity(os.fstat(file.fileno()))
            yield from list_tar(self.path if kind == "tar" else self._tar(), state, self.limits, kind)
        else:
            raise SourceError(not_an_archive(self.path))

    def read(self, entry: Entry) -> bytes:
        """The bytes of one member: as many as were listed, never more.

        Raises:
            PhotoUnavailableError: "changed" (the archive is another one than was listed) or "broken-member".
            SourceError: the archive is gone, or cannot be read or expanded.
        """
        kind = entry.locator.partition(" ")[0]
        if kind == "zip":
            return read_zip(self.path, entry)
        with open_archive(self.path) as file:
            if not entry.version.endswith(f"-{identity(os.fstat(file.fileno()))}"):
                raise PhotoUnavailableError("changed", f"{self.path} is not the archive that was listed; list again")
            if kind == "tar":
                return read_tar(file, entry)
        with open_archive(self._tar()) as file:
            return read_tar(file, entry)

    def _tar(self) -> Path:
        """The plain .tar of this .tar.gz, made when there is none of this state of the archive."""
        with open_archive(self.path) as file:
            state = identity(os.fstat(file.fileno()))
            digest = hashlib.sha256(os.fsencode(self.path.absolute())).hexdigest()[:16]
            tar = self.expanded / f"{digest}.expanded" / f"{state}.tar"
            if tar.is_file():
                return tar
            try:
                self.expanded.mkdir(parents=True, exist_ok=True)
                with (self.expanded / f"{digest}.lock").open("wb") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed; others wait and find the work done
                    if not tar.is_file():
                        # The folder is replaced as a whole: what older states of the archive left there goes.
                        with atomic_folder(tar.parent) as folder, (folder / tar.name).open("wb") as plain:
                            for data in _inflated(self.path, file, self.limits):
                                plain.write(data)
            except OSError as error:
                raise SourceError(
                    f"{self.path} cannot be expanded into {self.expanded} ({error.strerror}); a .tar.gz needs the "
                    "space of its content once: make room there, or pack it as .zip or .tar"
                ) from error
        return tar


def is_archive(path: Path) -> bool:
    """Whether a file is a zip, tar or tar.gz, judged by its first bytes. A broken one is one, too.

    Raises:
        SourceError: the file is missing or cannot be read.
    """
    return _kind(path) is not None


def not_an_archive(path: Path) -> str:
    """The message for a file that is none."""
    return f"{path} is a file, but no zip, tar or tar.gz archive; a source is a folder with photos in it, or an archive"


def _kind(path: Path) -> Literal["zip", "tar", "tar.gz"] | None:
    with open_archive(path) as file:
        head = file.read(BLOCK)
        if head.startswith(_ZIP_SIGNATURES):
            return "zip"
        if head.startswith(_GZIP_SIGNATURE):
            packed = head + file.read(_PACKED_AT_ONCE)
            try:
                start = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(packed, BLOCK)
            except zlib.error:
                return None
            return "tar.gz" if starts_like_tar(start) else None
    return "tar" if starts_like_tar(head) else None


def _inflated(path: Path, file: BinaryIO, limits: ArchiveSettings) -> Iterator[bytes]:
    """The content of a .gz in pieces. One that is cut off gives what there is: the tar in it will be seen to be cut.

    Raises:
        BrokenArchiveError: it is damaged, or unpacks to more than the limits allow.
    """
    taken = made = 0
    engine = zlib.decompressobj(zlib.MAX_WBITS | 16)
    packed = file.read(_PACKED_AT_ONCE)
    while True:
        taken += len(packed)
        data, packed = _step(path, engine, packed)
        taken -= len(packed)
        made += len(data)
        _check(path, made, taken, limits)
        yield data
        if not packed and (engine.eof or not data):
            packed = file.read(_PACKED_AT_ONCE)
            if not packed:
                return
        if engine.eof:
            if not packed.startswith(_GZIP_SIGNATURE[: len(packed)]):
                return  # zeros or other bytes behind the archive; gzip passes over them, too
            engine = zlib.decompressobj(zlib.MAX_WBITS | 16)


def _step(path: Path, engine: zlib._Decompress, packed: bytes) -> tuple[bytes, bytes]:
    """What some packed bytes unpack to, bounded, and those that were not needed yet."""
    try:
        data = engine.decompress(packed, _UNPACKED_AT_ONCE)
    except zlib.error as error:
        raise BrokenArchiveError("broken-archive", f"{path} is damaged ({error}); get it again") from error
    return data, engine.unused_data if engine.eof else engine.unconsumed_tail


def _check(path: Path, made: int, taken: int, limits: ArchiveSettings) -> None:
    if made > _SMALL and made > limits.maximum_ratio * taken:
        raise BrokenArchiveError(
            "bomb-ratio",
            f"{path}: its first {taken:,} bytes unpack to more than {made:,}, and archives.maximum_ratio allows "
            f"{limits.maximum_ratio:g} times as many; if you trust it, raise that, or unpack it by hand",
        )
    if made > limits.maximum_bytes:
        raise BrokenArchiveError(
            "bomb-total",
            f"{path} unpacks to more than the {limits.maximum_bytes:,} bytes of archives.maximum_bytes; if you trust "
            "it, raise that, or unpack it by hand",
        )
