"""Looking at files of anybody's: a folder, an archive or one photo, judged as ingest would. Nothing is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from colorize.data.removals import Removals
    from colorize.data.sources import Entry, Source
    from colorize.settings.sections import ArchiveSettings, DedupeSettings, ImageSettings

Row = dict[str, Any]
_PHOTOS_AT_ONCE: Final = 32
_HIDDEN: Final = "names that begin with a dot, and what macOS adds to archives, are no photos"


@dataclass(frozen=True)
class Rules:
    """What decides about files, and where it was written down."""

    images: ImageSettings
    archives: ArchiveSettings
    dedupe: DedupeSettings
    removals: Removals
    name: str

    @classmethod
    def of_the_project(cls, find_root: Callable[[], Path]) -> Rules:
        """Those of the project this is run in; without one, the defaults.

        Args:
            find_root: names the project's folder, or raises ValueError where there is none.

        Raises:
            ValueError: the project's params.yaml is wrong.
        """
        from colorize.data.removals import FILE_NAME, NONE, read_removals
        from colorize.settings import load_settings
        from colorize.settings.sections import ArchiveSettings, DedupeSettings, ImageSettings

        try:
            root = find_root()
        except ValueError:
            name = "the default limits (outside of a project)"
            return cls(ImageSettings(), ArchiveSettings(), DedupeSettings(), NONE, name)
        settings = load_settings(root / "params.yaml")
        removals = read_removals(root / FILE_NAME) if (root / FILE_NAME).exists() else NONE
        name = f"the limits of {root / 'params.yaml'}"
        return cls(settings.images, settings.archives, settings.dedupe, removals, name)


@dataclass(frozen=True)
class Files:
    """What was found at a path.

    Attributes:
        path: what was looked at.
        source: hands out the bytes of `entries`.
        entries: every file, in natural path order; those that are no photos by their places come refused.
        broken: where the path is an archive that cannot be opened, a rejected row that says why; else None.
    """

    path: Path
    source: Source
    entries: list[Entry]
    broken: Row | None = None

    def __len__(self) -> int:
        return 1 if self.broken is not None else len(self.entries)


@dataclass(frozen=True, slots=True)
class _OneFile:
    """A source of a single file."""

    path: Path

    def list(self) -> Iterator[Entry]:
        from colorize.data.sources import Entry

        yield Entry(safe(self.path.name), self.path.stat().st_size, "")

    def read(self, entry: Entry) -> bytes:  # noqa: ARG002 - there is only one
        from colorize.data.sources import PhotoUnavailableError

        try:
            return self.path.read_bytes()
        except OSError as error:
            raise PhotoUnavailableError("unreadable", f"{error.strerror}; check the file's permissions") from error


def find_files(path: Path, archives: ArchiveSettings, downloads: Path) -> Files:
    """List a folder, an archive or one photo.

    Args:
        path: where to look.
        archives: what an archive may ask for.
        downloads: folder for the plain .tar that a .tar.gz has to be expanded into.

    Raises:
        ValueError: there is nothing at the path, or nothing that could be looked into.
    """
    from colorize.data.manifest import natural_key
    from colorize.data.sources.members import BrokenArchiveError

    # The files are on this machine; the nodes of a cluster would look for them on theirs.
    os.environ.pop("RAY_ADDRESS", None)
    try:
        source = _open(path, archives, downloads)
        entries = [_screened(entry) for entry in source.list()]
    except BrokenArchiveError as error:
        row = {"path": safe(path.name), "status": "rejected", "reason": error.reason, "detail": str(error)}
        return Files(path, _OneFile(path), [], row)
    entries.sort(key=lambda entry: (natural_key(entry.path), entry.locator, entry.version))
    return Files(path, source, entries)


def _open(path: Path, archives: ArchiveSettings, downloads: Path) -> Source:
    from colorize.data.sources.archive import is_archive
    from colorize.data.sources.file import open_local

    if not path.exists():
        raise ValueError(f"{safe(path)}: no such file or folder")
    if not path.is_dir() and not path.is_file():
        raise ValueError(f"{safe(path)}: neither a folder nor a regular file")
    if path.is_dir() or is_archive(path):
        return open_local(path, archives, downloads)
    return _OneFile(path)


def _screened(entry: Entry) -> Entry:
    """Files that a listing leaves out by their places, refused with that as the reason."""
    from colorize.data.sources.layouts import is_photo

    if entry.refused is not None:
        return entry
    if (kind := is_photo("flat", entry.path)) != "photo":
        return replace(entry, refused=kind, detail=_HIDDEN)
    return entry


def judge_files(files: Files, rules: Rules, fields: Sequence[str]) -> Generator[Row, None, None]:
    """The rows of all files in their order, on all cores.

    Args:
        files: what to look at.
        rules: what decides.
        fields: columns of the manifest that the rows shall have; None where a file has none.
    """
    from colorize.data.execution import map_ordered, worker_count

    if files.broken is not None:
        yield {name: files.broken.get(name) for name in fields}
        return
    batches = in_batches(files.entries, _PHOTOS_AT_ONCE)
    examine = partial(_examine, files.source, rules.images, rules.removals, tuple(fields))
    workers = max(1, min(worker_count(), len(batches)))
    with closing(map_ordered(examine, batches, workers, chunk=1)) as results:
        for rows in results:
            yield from rows


def _examine(
    source: Source, images: ImageSettings, removals: Removals, fields: tuple[str, ...], entries: list[Entry]
) -> list[Row]:
    from colorize.data.examination import examine_all
    from colorize.data.sources.listing import Photo

    looked_at = examine_all(source, images, map(Photo, entries), removals=removals)
    return [{name: row.get(name) for name in fields} for row, _ in looked_at]


def in_batches(entries: list[Entry], size: int) -> list[list[Entry]]:
    """Entries in pieces of `size`, the last one of what is left."""
    return [entries[start : start + size] for start in range(0, len(entries), size)]


def size_text(number: float) -> str:
    """Bytes for people, such as "3.2 MiB"."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:,.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:,.1f} TiB"


def text_of(path: Path) -> str:
    """A path as JSON can hold it: bytes that are no UTF-8 as \\xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def safe(value: object) -> str:
    """Text that can do no harm in a terminal: control characters and the like as \\xNN."""
    from colorize.data.sources.members import printable

    return printable(str(value))
