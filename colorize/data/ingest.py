"""From a listing to raw shards and a manifest: every photo looked at once, every listed photo accounted for."""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from colorize.color import rgb_to_lab_code
from colorize.data.execution import map_ordered
from colorize.data.hashing import mirrored_code, perceptual_code, thumbnail
from colorize.data.manifest import ACCEPTED, FILE_NAME, FLAGGED, RAW_SCHEMA, REJECTED, SCHEMA, counts
from colorize.data.sources import Entry, PhotoUnavailableError, Source, open_source
from colorize.data.sources.listing import Listing
from colorize.images import Rejection, decode, read_header
from colorize.progress import track
from colorize.settings.sections import ImageSettings, IngestSettings
from colorize.storage import atomic_folder

_GREY_CHECK_SIDE = 64  # pixels: averages the colour noise of the sensor and of JPEG away
_MANIFEST_ROWS_AT_ONCE = 1024


def ingest(
    dataset: str,
    listing: Listing,
    folder: Path,
    images: ImageSettings,
    settings: IngestSettings,
    *,
    workers: int | None = None,
) -> dict[str, Any]:
    """Read every listed photo, keep the usable ones, and note what became of each.

    Photos are read, judged and coded in worker processes and written in the order of the listing, so the bytes
    written do not depend on the number of workers. A row group of photos is held in memory at a time.

    Args:
        dataset: name, for the manifest.
        listing: what to read.
        folder: replaced as a whole when all is done: `manifest.parquet` and `part-NNNNN.parquet`.
        images: which photos are usable.
        settings: how raw shards are cut.
        workers: processes; None takes all CPUs.

    Returns:
        `manifest.counts`, and `ignored`: files of the source that are no photos, by reason.

    Raises:
        OSError: the folder cannot be written to or the disk is full; nothing is left behind.
        WorkerDiedError: a worker process was killed.
    """
    examine_one = partial(examine, open_source(listing.source), images)
    with atomic_folder(folder) as building:
        results = map_ordered(examine_one, listing.photos, workers)
        # Closing: on an error the workers end now, and not when the last reference to them is gone.
        with closing(results), _Writer(building, settings) as writer:
            for row, data in track(results, f"ingest {dataset}", total=len(listing.photos)):
                writer.add({"dataset": dataset, **row}, data)
        manifest = pq.read_table(building / FILE_NAME, columns=["status", "reason"])
    return {**counts(manifest), "ignored": listing.ignored}


def examine(source: Source, images: ImageSettings, entry: Entry) -> tuple[dict[str, Any], bytes | None]:
    """Look at one photo.

    Returns:
        Its manifest row without dataset, shard and row, and its bytes, or None for the bytes when it is rejected.
    """
    row: dict[str, Any] = {"path": entry.path, "bytes": entry.size}
    try:
        data = source.read(entry)
    except PhotoUnavailableError as error:
        return {**row, "status": REJECTED, "reason": error.reason, "detail": error.detail}, None
    row |= {"id": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    header = read_header(data, images)
    if isinstance(header, Rejection):
        return {**row, "status": REJECTED, "reason": header.reason, "detail": header.detail}, None
    row |= {"format": header.format, "orientation": header.orientation, "mode": header.mode}
    row |= {"width": header.width, "height": header.height}
    rgb = decode(data, images)
    if isinstance(rgb, Rejection):
        return {**row, "status": REJECTED, "reason": rgb.reason, "detail": rgb.detail}, None
    small = thumbnail(rgb)
    row |= {"height": rgb.shape[0], "width": rgb.shape[1], "thumbnail": small.tobytes()}
    row |= {"code": perceptual_code(small), "mirrored_code": mirrored_code(small)}
    if is_grey(rgb, images.grey_chroma):
        detail = f"99 % of the picture has a chroma below {images.grey_chroma:g} CIELAB units"
        return {**row, "status": FLAGGED, "reason": "grey", "detail": detail}, data
    detail_of_profile = "its colour profile is broken; taken for sRGB" if header.profile == "broken" else None
    return {**row, "status": ACCEPTED, "detail": detail_of_profile}, data


def is_grey(rgb: np.ndarray, chroma: float) -> bool:
    """Whether less than 1 % of a photo has a CIELAB chroma of at least `chroma`.

    Looked at in a picture averaged down to 64 to 128 pixels and in whole units of a and b: exact arithmetic.

    Args:
        rgb: uint8, height x width x 3.
        chroma: CIELAB units.
    """
    factor = max(1, max(rgb.shape[:2]) // _GREY_CHECK_SIDE)
    small = np.asarray(Image.fromarray(rgb).reduce(factor))
    _, code = rgb_to_lab_code(small)
    ab = code.astype(np.int64) - 128
    coloured = np.count_nonzero((ab * ab).sum(axis=-1) >= chroma * chroma)
    return bool(100 * coloured < small.shape[0] * small.shape[1])


@dataclass
class _Writer:
    """Cuts photos into row groups and shards, and writes the manifest beside them."""

    folder: Path
    settings: IngestSettings
    shards: int = 0
    shard: pq.ParquetWriter | None = None
    rows_in_shard: int = 0
    bytes_in_shard: int = 0
    photos: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)

    def __enter__(self) -> _Writer:
        self.manifest = _parquet(self.folder / FILE_NAME, SCHEMA)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with closing(self.manifest):
            if kind is None:
                self._close_shard()
                self._write_rows()
            elif self.shard is not None:
                self.shard.close()

    def add(self, row: dict[str, Any], data: bytes | None) -> None:
        """Take a manifest row, and the photo's bytes unless it was rejected."""
        if data is not None:
            row |= {"shard": f"part-{self.shards:05d}.parquet", "row": self.rows_in_shard}
            self.photos.append({"id": row["id"], "path": row["path"], "data": data})
            self.rows_in_shard += 1
            self.bytes_in_shard += len(data)
            if len(self.photos) == self.settings.row_group:
                self._write_photos()
            if self.bytes_in_shard >= self.settings.shard_bytes:
                self._close_shard()
        self.rows.append(row)
        if len(self.rows) == _MANIFEST_ROWS_AT_ONCE:
            self._write_rows()

    def _write_photos(self) -> None:
        if self.shard is None:
            self.shard = _parquet(self.folder / f"part-{self.shards:05d}.parquet", RAW_SCHEMA)
        self.shard.write_table(pa.Table.from_pylist(self.photos, schema=RAW_SCHEMA))
        self.photos.clear()

    def _close_shard(self) -> None:
        if self.photos:
            self._write_photos()
        if self.shard is not None:
            self.shard.close()
            self.shard = None
            self.shards += 1
            self.rows_in_shard = self.bytes_in_shard = 0

    def _write_rows(self) -> None:
        if self.rows:
            self.manifest.write_table(pa.Table.from_pylist(self.rows, schema=SCHEMA))
            self.rows.clear()


def _parquet(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    # Photos are compressed already, and statistics of their bytes would be kept in every footer.
    return pq.ParquetWriter(path, schema, compression="none", use_dictionary=False, write_statistics=False)
