"""Sorting more rows than memory holds: SQLite's sorter keeps a few MiB of them at a time and the rest on the disk."""

from __future__ import annotations

import errno
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any, Final

_CACHE_KIB: Final = 4096  # SQLite sorts as much in memory at a time


@contextmanager
def sorted_on_disk(rows: Iterable[tuple[bytes, Any]]) -> Iterator[Iterator[Any]]:
    """Sort rows by key; of one key, those that came first stay first. All are drawn before the first comes back.

    What does not fit into memory lies in the folder for temporary files (TMPDIR, else /var/tmp), under no name, so
    nothing is left of it when this process is killed. It takes about twice what the rows take as JSON.

    Args:
        rows: keys, and values that can be written as JSON.

    Raises:
        OSError: the folder for temporary files is full or fails.
    """
    try:
        with closing(sqlite3.connect("")) as database:  # "": a file without a name
            database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            database.execute("CREATE TABLE rows (key BLOB NOT NULL, value TEXT NOT NULL)")
            database.executemany("INSERT INTO rows VALUES (?, ?)", ((key, json.dumps(value)) for key, value in rows))
            found = database.execute("SELECT value FROM rows ORDER BY key, rowid")
            yield (json.loads(value) for (value,) in found)
    except sqlite3.OperationalError as error:
        raise OSError(errno.ENOSPC, f"no room to sort ({error}); set TMPDIR to a folder with more") from error
