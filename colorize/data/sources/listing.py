"""The listing of one dataset: cheap to make, so that a changed source is noticed without reading its photos."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from colorize.data.manifest import natural_key
from colorize.data.on_disk_sort import sorted_on_disk
from colorize.data.sources import Entry, Source, SourceError
from colorize.data.sources.layouts import is_photo, note_of
from colorize.progress import track
from colorize.settings.sections import DatasetSettings, Layout
from colorize.storage import atomic_path

_FIELDS: Final = [
    pa.field("path", pa.string(), nullable=False),
    pa.field("size", pa.int64()),
    pa.field("version", pa.string(), nullable=False),
    pa.field("refused", pa.string()),  # why the source does not hand the file out
    pa.field("detail", pa.string()),
    pa.field("locator", pa.string(), nullable=False),
]
_NOTE: Final = pa.struct([pa.field("kind", pa.string(), nullable=False), *_FIELDS])
SCHEMA: Final = pa.schema([*_FIELDS, pa.field("notes", pa.list_(pa.field("item", _NOTE, nullable=False)))])
_HEAD: Final = b"colorize"
_ROWS_AT_ONCE: Final = 1024
_TOLD, _PHOTO = "0", "1"  # what is told about a photo comes before it


@dataclass(frozen=True, slots=True)
class Photo:
    """A file that may be a photo of its own.

    Attributes:
        entry: the file.
        notes: files that tell something about it, by kind: "tags", "licence".
    """

    entry: Entry
    notes: tuple[tuple[str, Entry], ...] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """What a source holds. The photos stay in their file and are read as they are needed.

    Attributes:
        path: the file.
        source: address of the source.
        layout: name of the layout that told photos from other files.
        number: files that may be photos of their own.
        ignored: number of other files, by reason, sorted by reason.
    """

    path: Path
    source: str
    layout: str
    number: int
    ignored: dict[str, int]

    def photos(self) -> Iterator[Photo]:
        """The photos in natural path order, a thousand in memory at a time."""
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, use_threads=False):
                for row in batch.to_pylist():
                    notes = row.pop("notes") or []
                    yield Photo(Entry(**row), tuple((note.pop("kind"), Entry(**note)) for note in notes))

    @classmethod
    def read(cls, path: Path) -> Listing:
        """Open a listing that `make_listing` wrote.

        Raises:
            FileNotFoundError: there is none.
        """
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: run 'dvc repro sources@{path.stem}' first")
        return cls(path, **json.loads(pq.read_schema(path).metadata[_HEAD]))


def make_listing(settings: DatasetSettings, source: Source, path: Path, maximum_shrink: float) -> Listing:
    """List a source, tell photos from other files, and write the listing.

    The listing that is there already is replaced, unless the source has shrunk suspiciously since.

    Args:
        settings: the dataset.
        source: of that dataset, open.
        path: where to write; its name without suffix is the dataset's.
        maximum_shrink: share of the photos listed last time from the same address that may be gone.

    Raises:
        SourceError: the source is missing, or holds nothing, or no photos, or has shrunk.
        OSError: the file cannot be written.
    """
    kinds: Counter[str] = Counter()
    entries = track(source.list(), f"list {path.stem}")
    with sorted_on_disk(_rows(entries, settings.layout, kinds)) as rows:  # all are counted when the block begins
        number = kinds.pop("photo", 0)
        ignored = dict(sorted(kinds.items()))
        if not number:
            raise SourceError(_nothing_found(settings, ignored))
        listing = Listing(path, settings.source, settings.layout, number, ignored)
        if path.is_file():
            check_shrink(Listing.read(path), listing, maximum_shrink)
        _write(listing, _with_notes(rows))
    return listing


def check_shrink(before: Listing, now: Listing, maximum: float) -> None:
    """Refuse a listing that has lost too much of what the same source listed last time.

    Raises:
        SourceError: it has; the message has the numbers and the way out.
    """
    if before.source != now.source or now.number >= before.number * (1 - maximum):
        return
    lost = 1 - now.number / before.number
    raise SourceError(
        f"{now.source} lists {now.number} files, {before.number} last time: {lost:.1%} are gone, and "
        f"ingest.maximum_shrink allows {maximum:.1%}. Nothing was changed. If the source is meant to be smaller now, "
        f"remove {before.path} and run again; else bring the files back"
    )


def _rows(entries: Iterable[Entry], layout: Layout, kinds: Counter[str]) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Photos, and notes on photos, with the keys that sort them; all files are counted by kind."""
    for entry in entries:
        kind = "photo" if entry.refused else is_photo(layout, entry.path)
        kinds[kind] += 1
        if kind == "photo":
            # Two refused members of an archive may bear one name: what they are decides between them.
            yield _key(entry.path, _PHOTO, entry.locator, entry.version), asdict(entry)
        elif (note := note_of(layout, entry.path)) is not None:
            yield _key(note[1], _TOLD, note[0]), {"of": note[1], "kind": note[0], **asdict(entry)}


def _key(photo: str, *rest: str) -> bytes:
    """Photos sort in natural path order, then by what follows."""
    return "\0\0".join((natural_key(photo), *rest)).encode()


def _with_notes(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows of photos, each with the notes that come before it."""
    of, notes = "", list[dict[str, Any]]()
    for row in rows:
        if "of" not in row:
            yield {**row, "notes": notes if row["path"] == of else None}
            continue
        if row["of"] != of:
            of, notes = row["of"], []
        notes.append({name: value for name, value in row.items() if name != "of"})


def _write(listing: Listing, rows: Iterable[dict[str, Any]]) -> None:
    head = {name: getattr(listing, name) for name in ("source", "layout", "number", "ignored")}
    schema = SCHEMA.with_metadata({_HEAD: json.dumps(head).encode()})
    waiting = iter(rows)
    with (
        atomic_path(listing.path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd", write_statistics=False) as writer,
    ):
        while some := list(islice(waiting, _ROWS_AT_ONCE)):
            writer.write_table(pa.Table.from_pylist(some, schema=schema))


def _nothing_found(settings: DatasetSettings, ignored: dict[str, int]) -> str:
    if not ignored:
        return f"{settings.source} is empty; put photos into it or correct 'source' in params.yaml"
    found = ", ".join(f"{number} {reason}" for reason, number in ignored.items())
    return (
        f"{settings.source} holds no photos for the layout '{settings.layout}' (found: {found}); "
        "correct 'source' or 'layout' in params.yaml"
    )
