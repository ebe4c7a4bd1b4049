"""A LAB shard in an object store, read by row group over pyarrow.fs."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from colorize.data.shard_file import RowGroup
from colorize.stores.s3 import open_object, reading


class RemoteShard:
    """A published shard, opened for reading by row group: the same values as `Shard`; threads can share it.

    A row group is fetched in one request where it is small, its columns lying side by side; nothing is kept.

    Args:
        address: `s3://bucket/prefix/…/part-00000.parquet`.

    Raises:
        ValueError: it is no LAB shard of ours, it is not there, or the store refuses or cannot be reached.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._object = open_object(address)
        try:
            self._metadata = reading(address, lambda: pq.ParquetFile(self._object)).metadata
            header: dict[str, Any] = json.loads(self._metadata.metadata[b"colorize"])
            self._shape = (int(header["height"]), int(header["width"]))
        except (pa.ArrowException, KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{address}: no LAB shard, or damaged ({str(error).strip()}); publish again") from error

    def read(self, group: int) -> RowGroup:
        """All of a row group."""

        def read() -> pa.Table:
            # A reader of its own for each call: one that fetches ahead must not be shared by threads.
            file = pq.ParquetFile(self._object, metadata=self._metadata, pre_buffer=True)
            return file.read_row_group(group, columns=["id", "l", "ab"], use_threads=False)

        try:
            table = reading(self._address, read)
        except pa.ArrowException as error:
            raise ValueError(f"{self._address}: damaged ({str(error).strip()}); publish again") from error
        rows = table.num_rows
        return RowGroup(
            table["id"].to_pylist(),
            _pixels(table["l"]).reshape(rows, *self._shape),
            _pixels(table["ab"]).reshape(rows, 2, *self._shape),
        )


def _pixels(column: pa.ChunkedArray) -> NDArray[np.uint8]:
    """The bytes of a fixed-size binary column."""
    array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    width = array.type.byte_width
    return np.frombuffer(array.buffers()[1], np.uint8, len(array) * width, array.offset * width)
