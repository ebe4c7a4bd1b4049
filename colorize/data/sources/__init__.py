"""Where photos come from: one class a scheme, each of which lists its files and hands out their bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from colorize.settings.sections import ArchiveSettings

DOWNLOADS = Path("data/downloads")
"""Where sources that have to be fetched as a whole keep what they fetched, below the project's folder."""


class SourceError(ValueError):
    """A source cannot be used as a whole; the message names it and says what to do."""


class SourceUnavailableError(SourceError):
    """A source cannot be reached now, after all retries. What was done so far is kept; running again goes on."""


class PhotoUnavailableError(Exception):
    """One listed photo cannot be read; the others can.

    Args:
        reason: short kebab-case, for counting: "vanished", "changed", "unreadable" (may be different on another day),
            or what is wrong with an archive's member, such as "broken-member".
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
        path: POSIX path inside the dataset, valid UTF-8; bytes of a name that are none are written as \\xNN.
        size: bytes, where the source knows it without reading the file.
        version: changes when the content does, and stays when only other files of the source change.
        refused: why the source itself will not hand this file out, such as "link-outside" or "encrypted"; None for
            all others. Short kebab-case, for counting.
        detail: of a refusal, a sentence for people.
        locator: where the source finds the bytes again without a search; means nothing to anybody else.
    """

    path: str
    size: int | None
    version: str
    refused: str | None = None
    detail: str | None = None
    locator: str = ""


class Source(Protocol):
    """A collection of files. Objects can be pickled: worker processes read from their own copy."""

    def list(self) -> Iterator[Entry]:
        """Every file, in any order; those that the source refuses carry the reason. Fetches what has to be fetched.

        Raises:
            SourceError: the source is missing, cannot be read at all, or cannot be reached.
        """
        ...

    def read(self, entry: Entry) -> bytes:
        """The bytes of one listed file that was not refused. Safe to call from several threads.

        Raises:
            PhotoUnavailableError: it is gone, is not what was listed, or cannot be read.
            SourceError: the source as a whole is gone or cannot be reached any more; says nothing about the photo.
        """
        ...


def open_source(url: str, archives: ArchiveSettings, downloads: Path = DOWNLOADS) -> Source:
    """The source that a `datasets.<name>.source` setting names; nothing is read yet.

    Args:
        url: an address with one of the schemes below.
        archives: the `archives` section: what an archive may ask for.
        downloads: folder for what has to be fetched as a whole.

    Raises:
        SourceError: the scheme is unknown or the rest of the address is wrong.
    """
    scheme = url.partition("://")[0]
    if scheme == "sample":
        from colorize.data.sources.sample import SampleSource

        return SampleSource.from_url(url)
    if scheme == "file":
        from colorize.data.sources.file import local_source

        return local_source(url, archives, downloads)
    if scheme == "https":
        from colorize.data.sources.https import HttpsSource

        return HttpsSource(url, archives, downloads)
    if scheme == "kaggle":
        from colorize.data.sources.kaggle import KaggleSource

        return KaggleSource.from_url(url, downloads)
    if scheme == "s3":
        from colorize.data.sources.s3 import S3Source

        return S3Source.from_url(url)
    raise SourceError(f"{url}: unknown scheme; expected sample://, file://, https://, kaggle:// or s3://")
