"""The listing of one dataset: cheap to make, so that a changed source is noticed without reading its photos."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from colorize.data.manifest import natural_key
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
_ROWS_AT_ONCE: Final = 4096


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
        """The photos in natural path order, a few thousand in memory at a time."""
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE):
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
    ignored: Counter[str] = Counter()
    notes: dict[str, list[dict[str, Any]]] = defaultdict(list)
    entries = track(source.list(), f"list {path.stem}")
    table = _sorted_table(_candidates(entries, settings.layout, ignored, notes))
    by_reason = dict(sorted(ignored.items()))
    if not table.num_rows:
        raise SourceError(_nothing_found(settings, by_reason))
    listing = Listing(path, settings.source, settings.layout, table.num_rows, by_reason)
    if path.is_file():
        check_shrink(Listing.read(path), listing, maximum_shrink)
    described = pa.array((notes.get(name.as_py()) for name in table["path"]), SCHEMA.field("notes").type)
    table = table.append_column(SCHEMA.field("notes"), described)
    head = {"source": listing.source, "layout": listing.layout, "number": listing.number, "ignored": by_reason}
    table = table.replace_schema_metadata({_HEAD: json.dumps(head).encode()})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", row_group_size=_ROWS_AT_ONCE)
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


def _candidates(
    entries: Iterable[Entry], layout: Layout, ignored: Counter[str], notes: dict[str, list[dict[str, Any]]]
) -> Iterator[Entry]:
    """Files that may be photos of their own; the others are counted, and kept as notes where they are some."""
    for entry in entries:
        kind = "photo" if entry.refused else is_photo(layout, entry.path)
        if kind != "photo":
            ignored[kind] += 1
            if (note := note_of(layout, entry.path)) is not None:
                notes[note[1]].append({"kind": note[0], **asdict(entry)})
        else:
            yield entry


def _sorted_table(entries: Iterable[Entry]) -> pa.Table:
    """The entries in natural path order; kept as columns, a fraction of what Python objects take."""
    schema = pa.schema([*_FIELDS, pa.field("key", pa.string())])
    tables, rows = [schema.empty_table()], []
    for entry in entries:
        rows.append({**asdict(entry), "key": natural_key(entry.path)})
        if len(rows) == _ROWS_AT_ONCE:
            tables.append(pa.Table.from_pylist(rows, schema=schema))
            rows.clear()
    table = pa.concat_tables([*tables, pa.Table.from_pylist(rows, schema=schema)])
    # Two refused members of an archive may bear one name: what they are decides between them.
    order = [(name, "ascending") for name in ("key", "locator", "version")]
    return table.take(pc.sort_indices(table, sort_keys=order)).drop_columns("key")


def _nothing_found(settings: DatasetSettings, ignored: dict[str, int]) -> str:
    if not ignored:
        return f"{settings.source} is empty; put photos into it or correct 'source' in params.yaml"
    found = ", ".join(f"{number} {reason}" for reason, number in ignored.items())
    return (
        f"{settings.source} holds no photos for the layout '{settings.layout}' (found: {found}); "
        "correct 'source' or 'layout' in params.yaml"
    )
