"""`https://host/archive`: one archive from a web server; the content first seen is the only one accepted ever after."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from colorize.data.sources import Entry, SourceError, SourceUnavailableError
from colorize.data.sources.archive import ArchiveSource, is_archive
from colorize.data.sources.download import state_of, transfer
from colorize.data.sources.web import Offer, probe
from colorize.retry import ATTEMPTS
from colorize.settings.sections import ArchiveSettings
from colorize.storage import sha256_file, write_json

_ATTEMPTS_WITH_COPY = 3


@dataclass(frozen=True, slots=True)
class _Content:
    """What is known of some bytes."""

    bytes: int
    sha256: str

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> _Content:
        if not re.fullmatch(r"[0-9a-f]{64}", value["sha256"]):
            raise ValueError(f"{value['sha256']!r:.80} is no SHA-256")
        return cls(int(value["bytes"]), value["sha256"])

    @property
    def time(self) -> int:
        """The time of change that a copy bears, in seconds since 1970 (up to 2004).

        Listings name the time of their archive. One that follows from the content makes them the same on every
        machine and after every download.
        """
        return int(self.sha256[:8], 16) % 2**30


@dataclass(frozen=True, slots=True)
class _Copy:
    """The archive on this disk, and what the server said about it when it was downloaded."""

    content: _Content
    offer: Offer


@dataclass(frozen=True)
class HttpsSource:
    """An archive that is downloaded as a whole when it is listed, and then read where it lies.

    Attributes:
        url: https address without user and password.
        archives: what the archive may ask for.
        downloads: folder of the copy; nothing else is written to but `lock`.
        lock: file that remembers size and SHA-256 of each address since it was first seen; belongs to Git.
    """

    url: str
    archives: ArchiveSettings
    downloads: Path
    lock: Path = Path("sources.lock")

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            valid = parts.scheme == "https" and parts.hostname and (parts.port is None or parts.port > 0)
        except ValueError:
            valid = False
        if not valid:
            raise SourceError(f"{self.url}: not an https address; write https://host/archive.zip")
        if "@" in parts.netloc:
            # Not repeated in the message, nor written to sources.lock: both are seen by others.
            raise SourceError(f"https://…@{parts.hostname}: no user and password in an address; put them into ~/.netrc")

    @property
    def path(self) -> Path:
        """The copy. Its name begins with a hash of the address; the rest is for people."""
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", unquote(urlsplit(self.url).path).rpartition("/")[2])
        return self.downloads / f"{hashlib.sha256(self.url.encode()).hexdigest()[:12]}-{name[-80:] or 'archive'}"

    def list(self) -> Iterator[Entry]:
        """Every member of the archive, after making sure that the copy is the one that was first seen.

        An unchanged archive is not downloaded again; a changed copy on this disk is. Without a network the copy is
        used as long as its hash is right.

        Raises:
            SourceUnavailableError: the server cannot be reached and there is no copy. What arrived is kept.
            SourceError: the server refuses, or the archive is not the one that was first seen.
            OSError: the disk is full or cannot be written to. What arrived is kept.
        """
        self._fetch()
        return self._archive().list()

    def read(self, entry: Entry) -> bytes:
        """The bytes of one member; the network is not used.

        Raises:
            PhotoUnavailableError: the member cannot be read.
            SourceError: the copy is gone.
        """
        return self._archive().read(entry)

    def _archive(self) -> ArchiveSource:
        return ArchiveSource(self.path, self.archives, self.downloads)

    def _fetch(self) -> None:
        locked = read_lock(self.lock).get(self.url)
        copy = self._verified_copy(locked)
        try:
            offer = probe(self.url, ATTEMPTS if copy is None else _ATTEMPTS_WITH_COPY)
        except SourceUnavailableError as error:
            if copy is None:
                raise self._without_internet(error) from error
            print(f"{self.url} cannot be reached; its copy {self.path} is used, the hash is right", file=sys.stderr)
            return
        except SourceError as error:
            if copy is None:
                raise
            raise SourceError(
                f"{error}. To go on with the copy, set the source to file://{self.path.absolute()}"
            ) from error
        if locked is not None and offer.size not in (None, locked.bytes):
            raise self._replaced(f"{offer.size:,} bytes", f"{locked.bytes:,}")
        if copy is None or offer.differs(copy.offer):
            try:
                self._download(locked)
            except SourceUnavailableError as error:
                raise self._without_internet(error) from error
        elif locked is None:
            _add_to_lock(self.lock, self.url, copy.content)

    def _download(self, locked: _Content | None) -> None:
        part = self.path.with_name(f"{self.path.name}.part")
        offer = transfer(self.url, part, self.archives.maximum_bytes)
        content = _Content(part.stat().st_size, sha256_file(part))
        if locked is not None and content != locked:
            # What arrived stays: if it is right after all, it need not come again.
            raise self._replaced(f"SHA-256 {content.sha256}", locked.sha256)
        if not is_archive(part):
            part.unlink()
            raise SourceError(
                f"{self.url}: {content.bytes:,} bytes arrived that are no zip, tar or tar.gz; open the address in a "
                "browser: it may be a page about the file, or ask for a login"
            )
        # Killed between any two of these lines, the next run finishes what is missing.
        if locked is None:
            _add_to_lock(self.lock, self.url, content)
        self._write_record(_Copy(content, offer))
        os.utime(part, (content.time, content.time))
        part.replace(self.path)
        state_of(part).unlink()

    def _verified_copy(self, locked: _Content | None) -> _Copy | None:
        """The copy, if it is whole and the one that is locked. It is hashed again only if it was touched."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        copy = self._read_record()
        if copy is None or (copy.content.bytes, copy.content.time * 10**9) != (status.st_size, status.st_mtime_ns):
            found = _Content(status.st_size, sha256_file(self.path))
            if copy is None and locked == found:  # put there by hand
                copy = _Copy(found, Offer(found.bytes))
                self._write_record(copy)
            elif copy is None or copy.content != found:
                print(f"{self.path} was altered since it was downloaded; it is downloaded again", file=sys.stderr)
                return None
            os.utime(self.path, (found.time, found.time))
        return copy if locked in (None, copy.content) else None

    @property
    def _record(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def _read_record(self) -> _Copy | None:
        try:
            record = json.loads(self._record.read_bytes())
            content = _Content.from_json(record)
            return _Copy(content, Offer(content.bytes, record["etag"], record["last_modified"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write_record(self, copy: _Copy) -> None:
        said = {"etag": copy.offer.etag, "last_modified": copy.offer.last_modified}
        write_json(self._record, {"url": self.url, **asdict(copy.content), **said})

    def _without_internet(self, error: SourceUnavailableError) -> SourceUnavailableError:
        return SourceUnavailableError(
            f"{error}. This source needs the internet; `make profile NAME=sample` sets up data that needs none"
        )

    def _replaced(self, offered: str, known: str) -> SourceError:
        return SourceError(
            f"{self.url}: the server now has {offered}, but {self.lock} says {known}: not the file that was first "
            f"seen. If its publisher replaced it on purpose, delete its entry from {self.lock} and run again"
        )


def read_lock(path: Path) -> dict[str, _Content]:
    """Size and SHA-256 by address; empty if the file does not exist.

    Raises:
        SourceError: the file is not what this module writes.
    """
    try:
        entries = json.loads(path.read_bytes())
        contents = {url: _Content.from_json(entry) for url, entry in entries.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{path} cannot be understood ({error!r}); restore it with git checkout {path}") from error
    return contents


def _add_to_lock(path: Path, url: str, content: _Content) -> None:
    contents = {**read_lock(path), url: content}
    write_json(path, {known: asdict(contents[known]) for known in sorted(contents)})
