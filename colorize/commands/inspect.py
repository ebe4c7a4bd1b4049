"""`colorize inspect`: what ingest would do with each file of a folder or an archive, and why; nothing is written."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TextIO

import typer

from colorize.commands.project import find_root

if TYPE_CHECKING:
    from colorize.data.removals import Removals
    from colorize.data.sources import Entry, Source
    from colorize.settings.sections import ArchiveSettings, ImageSettings

Row = dict[str, Any]
FIELDS: Final = ("path", "status", "reason", "detail", "id", "format", "width", "height")
_PHOTOS_AT_ONCE: Final = 32
_FILES_SHOWN: Final = 20
_HIDDEN: Final = "names that begin with a dot, and what macOS adds to archives, are no photos"


def inspect(
    path: Annotated[Path, typer.Argument(help="A folder, a zip, tar or tar.gz archive, or one photo.")],
    as_json: Annotated[bool, typer.Option("--json", help="Every file, as JSON on standard output.")] = False,
) -> None:
    """Judge every file as ingest would; exit code 0 when all could be looked at, whatever was found."""
    from colorize.progress import track

    # The files are on this machine; the nodes of a cluster would look for them on theirs.
    os.environ.pop("RAY_ADDRESS", None)
    rules = _Rules.of_the_project()
    # A compressed tar has to be expanded to be read; $TMPDIR says where.
    with tempfile.TemporaryDirectory(prefix="colorize-") as downloads:
        total, rows = _judged(path, rules, Path(downloads))
        with closing(rows):
            tracked = track(rows, f"inspect {safe(path)}", total)
            if as_json:
                write_json(path, tracked, sys.stdout)
            else:
                _Report(path, rules.name).print(tracked)


@dataclass(frozen=True)
class _Rules:
    """What decides about files, and where it was written down."""

    images: ImageSettings
    archives: ArchiveSettings
    removals: Removals
    name: str

    @classmethod
    def of_the_project(cls) -> _Rules:
        """Those of the project this is run in; without one, the defaults."""
        from colorize.data.removals import FILE_NAME, NONE, read_removals
        from colorize.settings import load_settings
        from colorize.settings.sections import ArchiveSettings, ImageSettings

        try:
            root = find_root()
        except ValueError:
            return cls(ImageSettings(), ArchiveSettings(), NONE, "the default limits (outside of a project)")
        settings = load_settings(root / "params.yaml")
        removals = read_removals(root / FILE_NAME) if (root / FILE_NAME).exists() else NONE
        return cls(settings.images, settings.archives, removals, f"the limits of {root / 'params.yaml'}")


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


def _judged(path: Path, rules: _Rules, downloads: Path) -> tuple[int, Generator[Row, None, None]]:
    """The number of files, and their rows in natural path order.

    Raises:
        ValueError: there is nothing at the path, or nothing that could be looked into.
    """
    from colorize.data.manifest import natural_key
    from colorize.data.sources.members import BrokenArchiveError

    try:
        source = _open(path, rules.archives, downloads)
        entries = [_screened(entry) for entry in source.list()]
    except BrokenArchiveError as error:
        row = {**dict.fromkeys(FIELDS), "path": safe(path.name), "status": "rejected"}
        return 1, (one for one in ({**row, "reason": error.reason, "detail": str(error)},))
    entries.sort(key=lambda entry: (natural_key(entry.path), entry.locator, entry.version))
    return len(entries), _examined(entries, source, rules)


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


def _examined(entries: list[Entry], source: Source, rules: _Rules) -> Generator[Row, None, None]:
    from colorize.data.execution import map_ordered, worker_count

    batches = [entries[start : start + _PHOTOS_AT_ONCE] for start in range(0, len(entries), _PHOTOS_AT_ONCE)]
    examine = partial(_examine, source, rules.images, rules.removals)
    workers = max(1, min(worker_count(), len(batches)))
    with closing(map_ordered(examine, batches, workers, chunk=1)) as results:
        for rows in results:
            yield from rows


def _examine(source: Source, images: ImageSettings, removals: Removals, entries: list[Entry]) -> list[Row]:
    from colorize.data.examination import examine_all
    from colorize.data.sources.listing import Photo

    looked_at = examine_all(source, images, map(Photo, entries), removals=removals)
    return [{name: row.get(name) for name in FIELDS} for row, _ in looked_at]


def write_json(path: Path, rows: Iterable[Row], out: TextIO) -> None:
    """Write `{"path", "rows", "counts"}` a row at a time: however many there are, none is kept.

    Raises:
        Exception: what `rows` raised. The JSON is complete all the same, with the message as `"error"`.
    """
    outcomes: Counter[tuple[str, str | None]] = Counter()
    name = os.fsencode(path).decode("utf-8", "backslashreplace")
    out.write(f'{{"path": {json.dumps(name)}, "rows": [')
    failure: dict[str, str] = {}
    try:
        for row in rows:
            out.write(",\n" if outcomes else "\n")
            out.write(json.dumps(row, allow_nan=False))
            outcomes[row["status"], row["reason"]] += 1
    except Exception as error:
        failure = {"error": str(error)}
        raise
    finally:
        rest = json.dumps({"counts": counts(outcomes), **failure})
        out.write(f"\n], {rest[1:]}\n")


def counts(outcomes: Counter[tuple[str, str | None]]) -> dict[str, Any]:
    """`manifest.counts`, in which all files are `files`: nobody has made a listing."""
    from colorize.data import manifest

    found = manifest.counts(outcomes)
    return {"files": found.pop("listed"), **found}


@dataclass
class _Report:
    """The answer for people: counts that add up, then the files that were not simply accepted, by reason."""

    path: Path
    rules: str
    outcomes: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    files: defaultdict[tuple[str, str | None], list[str]] = field(default_factory=lambda: defaultdict(list))

    def print(self, rows: Iterable[Row]) -> None:
        for row in rows:
            outcome = row["status"], row["reason"]
            self.outcomes[outcome] += 1
            if row["status"] != "accepted" and len(self.files[outcome]) < _FILES_SHOWN:
                detail = f": {safe(row['detail'])}" if row["detail"] else ""
                self.files[outcome].append(safe(row["path"]) + detail)
        print(f"{safe(self.path)}, judged by {self.rules}")
        self._print_counts()
        for status in ("rejected", "flagged"):
            for (found, reason), number in self.outcomes.most_common():
                if found == status:
                    self._print_files(found, reason, number)
        self._print_hints()

    def _print_counts(self) -> None:
        from rich.console import Console
        from rich.table import Table

        number = counts(self.outcomes)
        table = Table("", "files", "by reason", show_edge=False)
        table.columns[1].justify = "right"
        for status in ("accepted", "flagged", "rejected"):
            reasons = number.get(f"{status}_by_reason", {})
            table.add_row(status, f"{number[status]:,}", ", ".join(f"{reasons[one]:,} {one}" for one in reasons))
        table.add_section()
        table.add_row("all", f"{number['files']:,}", "")
        Console(width=None if sys.stdout.isatty() else 160).print(table)

    def _print_files(self, status: str, reason: str | None, number: int) -> None:
        print(f"\n{status}: {reason} ({number:,})")
        shown = self.files[status, reason]
        for line in shown:
            print(f"  {line}")
        if number > len(shown):
            print(f"  … and {number - len(shown):,} more: --json lists all")

    def _print_hints(self) -> None:
        from colorize.data.sources.archive import is_archive

        statuses = {status for status, _ in self.outcomes}
        print()
        if "rejected" in statuses:
            print("Rejected files are left out; ingest keeps a record of each with its reason.")
        if "flagged" in statuses:
            print("Flagged photos are kept but not trained on, unless split.include_flagged names the reason.")
        if "accepted" in statuses:
            source = self.path if self.path.is_dir() or is_archive(self.path) else self.path.parent
            address = f'"{source.resolve().as_uri()}"'
            print(f"To use the accepted ones, put source: {address} under 'datasets' in params.yaml, then 'make data'.")
        else:
            print("Nothing here could be trained on.")


def safe(value: object) -> str:
    """Text that can do no harm in a terminal: control characters and the like as \\xNN."""
    from colorize.data.sources.members import printable

    return printable(str(value))
