"""Rows come back sorted by key, in the order given among equals, however many there are; a full disk is an OSError."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from colorize.data.on_disk_sort import sorted_on_disk

FULL_DISK = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from colorize.data.on_disk_sort import sorted_on_disk
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    with sorted_on_disk((str(i).encode(), "x" * 1000) for i in range(100_000)) as rows:
        sum(1 for _ in rows)
except OSError as error:
    print(error)
"""


@pytest.mark.parametrize("number", [0, 1, 30_000])
def test_sorted_by_bytes_and_stable(number: int) -> None:
    generator = random.Random(1)
    keys = [generator.randbytes(generator.randrange(4)) for _ in range(number)]
    rows = [(key, {"number": i, "text": "ä\0" * 50}) for i, key in enumerate(keys)]
    with sorted_on_disk(iter(rows)) as found:
        assert [row["number"] for row in found] == sorted(range(number), key=lambda i: keys[i])


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    with sorted_on_disk((i.to_bytes(4, "little"), "x" * 1000) for i in range(20_000)) as found:
        next(found)
        assert list(tmp_path.iterdir()) == []


def test_what_the_rows_raise_comes_through() -> None:
    with pytest.raises(ZeroDivisionError), sorted_on_disk((b"", 1 / 0) for _ in range(1)):
        pass


def test_a_full_disk_says_where_to_make_room() -> None:
    done = subprocess.run([sys.executable, "-c", FULL_DISK], capture_output=True, text=True, check=True)
    assert "set TMPDIR to a folder with more" in done.stdout
