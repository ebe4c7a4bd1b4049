"""Bytes of photos out of raw shards, a row group at a time."""

from __future__ import annotations

import threading
from bisect import bisect_right
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


class RawReader:
    """Bytes of photos by raw shard and row. The row group read last is at hand: neighbours cost one reading.

    May be used from several threads, and as a context that closes the file.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._file: pq.ParquetFile | None = None
        self._ends: list[int] = []
        self._group = -1
        self._photos: Any = None

    def __enter__(self) -> RawReader:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def read(self, path: Path, row: int) -> bytes | None:
        """The bytes of one photo; None where the row is that of a rejected one.

        Raises:
            IndexError: the shard has fewer rows.
            OSError, pyarrow.ArrowException: the shard is missing or no whole Parquet file.
        """
        with self._lock:
            if path != self._path:
                self.__exit__()
                self._path, self._group = None, -1
                self._file = pq.ParquetFile(path, memory_map=True)
                metadata = self._file.metadata
                self._ends = list(accumulate(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)))
                self._path = path
            group = bisect_right(self._ends, row)
            if group == len(self._ends):
                raise IndexError(f"{path} has no row {row}")
            if group != self._group:
                assert self._file is not None
                self._photos, self._group = self._file.read_row_group(group, columns=["data"])["data"], group
            value: bytes | None = self._photos[row - (self._ends[group - 1] if group else 0)].as_py()
            return value
