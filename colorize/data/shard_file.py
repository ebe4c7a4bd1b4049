"""One LAB shard: how rows become a Parquet file and come back.

Columns: `id` string; `l` and `ab` fixed_size_binary of H·W and 2·H·W bytes, channel first, in the code of
`colorize.color`; `width` and `height` of the upright photo, int32. No column can be null, no statistics and no
dictionary are kept, and each column of a row group is one page: uncompressed, its pixels lie in the file as in memory.
The footer holds, under the key `colorize`, a JSON object: format, height, width, encoding, white_point, resampling,
row_group, compression, plan (the digest of what was asked for) and logical (the digest of what is in it).
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from colorize.data.shard_plan import ShardPlan
from colorize.storage import atomic_path

_FOOTER_KEY = b"colorize"


@dataclass(frozen=True, slots=True)
class Row:
    """One photo of a shard: pixels as bytes, channel first; width and height as it was photographed."""

    id: str
    l: bytes  # noqa: E741 - the field's own name
    ab: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Rows that are read together: `l` uint8 N×H×W, `ab` uint8 N×2×H×W, not to be written to."""

    ids: list[str]
    l: NDArray[np.uint8]  # noqa: E741
    ab: NDArray[np.uint8]


def write_shard(path: Path, shard: ShardPlan, rows: Iterable[Row]) -> None:
    """Write a shard, complete or not at all; one row group is held in memory at a time.

    Args:
        path: where to.
        shard: the plan; `rows` must follow it.
        rows: one row per photo of the plan, in its order.

    Raises:
        OSError: the folder cannot be written to, or the disk is full.
    """
    size, group = shard.settings.size, shard.settings.row_group
    schema = pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("l", pa.binary(size * size), nullable=False),
            pa.field("ab", pa.binary(2 * size * size), nullable=False),
            pa.field("width", pa.int32(), nullable=False),
            pa.field("height", pa.int32(), nullable=False),
        ]
    )
    logical = LogicalDigest()
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(
            temporary,
            schema,
            compression=shard.settings.compression,
            use_dictionary=False,
            write_statistics=False,
            store_schema=False,
            data_page_size=2**31 - 1,
            write_batch_size=group,
            max_rows_per_page=group,
        ) as writer,
    ):
        waiting: list[Row] = []
        for row in rows:
            logical.add(row.id, row.l, row.ab)
            waiting.append(row)
            if len(waiting) == group:
                writer.write_table(_table(waiting, schema), row_group_size=group)
                waiting = []
        if waiting:
            writer.write_table(_table(waiting, schema), row_group_size=group)
        assert logical.rows == len(shard.photos)
        header = shard.header() | {"logical": logical.hexdigest()}
        writer.add_key_value_metadata({_FOOTER_KEY: json.dumps(header).encode()})


class LogicalDigest:
    """SHA-256 over ids and pixels, row by row: the same for any library version, compression and row grouping."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.rows = 0

    def add(self, identity: str, l: Any, ab: Any) -> None:  # noqa: E741
        """Take the next row; the pixels may be any buffer."""
        self._hash.update(identity.encode())
        self._hash.update(l)
        self._hash.update(ab)
        self.rows += 1

    def hexdigest(self) -> str:
        """64 hexadecimal digits."""
        return self._hash.hexdigest()


class Shard:
    """A shard opened for reading by row group.

    The file is mapped into memory. Uncompressed pixels are handed out as views of it: nothing is copied or held, the
    kernel keeps what fits. Views stay valid after the shard is forgotten.

    Attributes:
        header: the footer's JSON object.
        rows: photos.
        row_groups: photos in each row group.

    Raises:
        ValueError: the file is no LAB shard of ours, or damaged.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""
        try:
            self._file = pq.ParquetFile(pa.BufferReader(pa.py_buffer(self._bytes)))
            self._metadata = self._file.metadata
            self.header: dict[str, Any] = json.loads(self._metadata.metadata[_FOOTER_KEY])
            self._shape = (int(self.header["height"]), int(self.header["width"]))
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            raise ValueError(_damaged(path, error)) from error
        self.rows: int = self._metadata.num_rows
        self.row_groups = [self._metadata.row_group(i).num_rows for i in range(self._metadata.num_row_groups)]

    def ids(self, group: int) -> list[str]:
        """Ids of a row group's photos."""
        return list(self._read(group, ["id"])["id"].to_pylist())

    def read(self, group: int) -> RowGroup:
        """All of a row group."""
        rows = self.row_groups[group]
        return RowGroup(
            self.ids(group),
            self._pixels(group, "l", 1).reshape(rows, *self._shape),
            self._pixels(group, "ab", 2).reshape(rows, 2, *self._shape),
        )

    def table(self) -> pa.Table:
        """The whole shard as an Arrow table."""
        return self._file.read()

    def _pixels(self, group: int, name: str, channels: int) -> NDArray[np.uint8]:
        length = self.row_groups[group] * channels * self._shape[0] * self._shape[1]
        column = self._metadata.row_group(group).column(_COLUMNS.index(name))
        if column.compression == "UNCOMPRESSED":
            # One page without levels: its header, then the values, which end where the column does.
            end = column.data_page_offset + column.total_compressed_size
            header = column.total_compressed_size - length
            if column.path_in_schema != name or not 0 < header <= _LARGEST_PAGE_HEADER:
                raise ValueError(_damaged(self._path, "its pixels are not where they were written"))
            return np.frombuffer(self._bytes, np.uint8, length, end - length)
        chunks = self._read(group, [name])[name].chunks
        return _bytes_of(chunks[0]) if len(chunks) == 1 else np.concatenate([_bytes_of(chunk) for chunk in chunks])

    def _read(self, group: int, columns: Sequence[str]) -> pa.Table:
        try:
            return self._file.read_row_group(group, columns=columns, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(_damaged(self._path, error)) from error


_COLUMNS = ("id", "l", "ab", "width", "height")
_LARGEST_PAGE_HEADER = 64  # bytes; a Parquet page header without statistics has some 20


def as_tensor(column: pa.FixedSizeBinaryArray, shape: Sequence[int]) -> pa.FixedShapeTensorArray:
    """A column of pixels as Arrow's tensor type, without a copy.

    Args:
        column: `l` or `ab` of a shard, one chunk.
        shape: of one photo, such as (2, 128, 128).
    """
    values = pa.Array.from_buffers(pa.uint8(), len(column) * column.type.byte_width, [None, _slice(column)])
    storage = pa.FixedSizeListArray.from_arrays(values, column.type.byte_width)
    return pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.uint8(), list(shape)), storage)


def _damaged(path: Path, reason: object) -> str:
    return f"{path}: no LAB shard, or damaged ({str(reason).strip()}); 'dvc repro --force shard' mends it"


def _bytes_of(column: pa.FixedSizeBinaryArray) -> NDArray[np.uint8]:
    return np.frombuffer(_slice(column), np.uint8)


def _slice(column: pa.FixedSizeBinaryArray) -> pa.Buffer:
    width = column.type.byte_width
    return column.buffers()[1].slice(column.offset * width, len(column) * width)


def _table(rows: list[Row], schema: pa.Schema) -> pa.Table:
    return pa.table({name: [getattr(row, name) for row in rows] for name in schema.names}, schema=schema)
