"""The manifest: one row per listed photo, with what it is, what became of it, and where its bytes lie."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow.dataset import Dataset, ParquetFileFormat, ParquetFragmentScanOptions
from pyarrow.dataset import dataset as parquet_files

from colorize.data.description import FIELDS, SIDE

ACCEPTED = "accepted"
FLAGGED = "flagged"
REJECTED = "rejected"
STATUSES = (ACCEPTED, FLAGGED, REJECTED)

THUMBNAIL_SIDE = SIDE
FILE_NAME = "manifest.parquet"

SCHEMA = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("id", pa.string()),  # SHA-256 of the file's bytes; null when they could not be read
        pa.field("bytes", pa.int64()),
        pa.field("version", pa.string(), nullable=False),  # the source's word for this very content, such as an ETag
        pa.field("width", pa.int32()),  # pixels, upright
        pa.field("height", pa.int32()),
        pa.field("format", pa.string()),
        pa.field("orientation", pa.int8()),  # EXIF, 1..8; what was undone to make the photo upright
        pa.field("mode", pa.string()),  # Pillow's name of the pixel format in the file
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string()),  # of a flagged or rejected photo; short, for counting
        pa.field("detail", pa.string()),  # a sentence for people; an accepted photo may have one too
        # What finds copies; `colorize.data.hashing` says what each is. Null unless the photo could be decoded.
        *(pa.field(name, pa.binary(length)) for name, length in FIELDS.items()),
        pa.field("tags", pa.list_(pa.string())),  # what the dataset says about the photo; null where it says nothing
        pa.field("licence", pa.string()),
        pa.field("shard", pa.string()),  # raw shard that holds the row and the bytes, and the row's number in it
        pa.field("row", pa.int32()),
    ]
)


def natural_key(path: str) -> str:
    """Sort key that puts im9.jpg before im10.jpg; equal only for equal paths. Its order is that of its UTF-8 bytes."""
    # A number sorts before any other character, a shorter number before a longer one; the path itself decides a tie.
    return f"{re.sub(r'[0-9]+', _sortable, path)}\0\0{path}"


def _sortable(number: re.Match[str]) -> str:
    digits = number[0].lstrip("0")
    return f"\0{chr(1 + len(digits))}{digits}"


def open_manifests(raw: Path, datasets: Sequence[str] | None = None) -> Dataset:
    """The manifests below a folder, to be read by batches: datasets in order, photos in natural path order.

    Args:
        raw: folder with one folder per dataset, each holding `manifest.parquet`.
        datasets: which ones, in this order; None takes all, sorted by name.

    Raises:
        FileNotFoundError: a dataset has not been ingested.
    """
    if datasets is None:
        datasets = sorted(path.parent.name for path in Path(raw).glob(f"*/{FILE_NAME}"))
    paths = [Path(raw) / dataset / FILE_NAME for dataset in datasets]
    for dataset, path in zip(datasets, paths, strict=True):
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: run 'dvc repro ingest@{dataset}' first")
    # Arrow would keep all that it has read ahead until the last row.
    parquet = ParquetFileFormat(default_fragment_scan_options=ParquetFragmentScanOptions(pre_buffer=False))
    return parquet_files([str(path) for path in paths], schema=SCHEMA, format=parquet)


def read_manifests(raw: Path, datasets: Sequence[str] | None = None) -> pa.Table:
    """All rows of `open_manifests` at once: 3 KB each."""
    return open_manifests(raw, datasets).to_table(use_threads=False)


def read_batches(photos: Dataset, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Rows of manifests in their order, a few at a time: only those few are in memory."""
    scan = {"batch_size": 1024, "batch_readahead": 1, "fragment_readahead": 1, "use_threads": False}
    yield from photos.to_batches(columns=list(columns), **scan)


def counts(outcomes: Counter[tuple[str, str | None]]) -> dict[str, Any]:
    """How many photos were listed, and what became of them; the numbers add up.

    Args:
        outcomes: number of photos by status and reason.

    Returns:
        `listed`, `accepted`, `flagged`, `rejected`, `flagged_by_reason` and `rejected_by_reason` (sorted by name).
    """
    result: dict[str, Any] = {"listed": outcomes.total()}
    for status in STATUSES:
        result[status] = sum(number for (found, _), number in outcomes.items() if found == status)
    for status in (FLAGGED, REJECTED):
        by_reason = {str(reason): number for (found, reason), number in outcomes.items() if found == status}
        result[f"{status}_by_reason"] = dict(sorted(by_reason.items()))
    return result
