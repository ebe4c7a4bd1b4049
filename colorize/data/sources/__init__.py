"""Where photos come from: one class a scheme, each of which lists its photos and hands out their bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


class SourceError(ValueError):
    """A source cannot be used as a whole; the message names it and says what to do."""


class PhotoUnavailableError(Exception):
    """One listed photo cannot be read any more; the others can.

    Args:
        reason: short kebab-case, for counting: "vanished", "changed", "unreadable".
        detail: a sentence for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a source.

    Attributes:
        path: POSIX path inside the dataset.
        size: bytes, where the source knows it without reading the file.
        version: changes when the content does.
        ignored: why the source itself refuses to hand this file out, such as "link-outside"; None for all others.
    """

    path: str
    size: int | None
    version: str
    ignored: str | None = None


class Source(Protocol):
    """A collection of files. Objects can be pickled: worker processes read from their own copy."""

    def list(self) -> Iterator[Entry]:
        """Every file, in any order.

        Raises:
            SourceError: the source is missing or cannot be read at all.
        """
        ...

    def read(self, entry: Entry) -> bytes:
        """The bytes of one listed file.

        Raises:
            PhotoUnavailableError: it is gone, is not what was listed, or cannot be read.
        """
        ...


def open_source(url: str) -> Source:
    """The source that a `datasets.<name>.source` setting names; nothing is read yet.

    Raises:
        SourceError: the scheme is unknown or the rest of the address is wrong.
    """
    scheme = url.partition("://")[0]
    if scheme == "sample":
        from colorize.data.sources.sample import SampleSource

        return SampleSource.from_url(url)
    if scheme == "file":
        from colorize.data.sources.file import FileSource

        return FileSource.from_url(url)
    raise SourceError(f"{url}: unknown scheme; expected sample://NAME or file:///absolute/folder")
