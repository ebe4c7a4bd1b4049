"""Archives of many members, and bombs: measured in a process of its own, what listing and reading them takes."""

from __future__ import annotations

import struct
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path

import pytest

CHILD = """
import sys
from pathlib import Path
from colorize.data.sources.archive import ArchiveSource
from colorize.settings.sections import ArchiveSettings
from colorize.data.sources import PhotoUnavailableError, SourceError
def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
import numpy
numpy.argsort(numpy.zeros(9), kind="stable")
before, number, reasons = peak(), 0, set()
source = ArchiveSource(Path(sys.argv[1]), ArchiveSettings(), Path(sys.argv[2]))
try:
    for entry in source.list():
        number += 1
        reasons.add(str(entry.refused))
        if number < 50 and not entry.refused:
            source.read(entry)
except (PhotoUnavailableError, SourceError) as error:
    reasons.add(error.reason)
print(number, (peak() - before) // 1024, *sorted(reasons))
"""


def child(tmp_path: Path, path: Path) -> tuple[int, int, set[str]]:
    """Members, MiB of memory taken for them, and reasons, seen by a process of its own."""
    command = [sys.executable, "-c", CHILD, str(path), str(tmp_path / "downloads")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    number, peak, *reasons = done.stdout.split()
    return int(number), int(peak), set(reasons)


def many(path: Path, number: int, packing: str) -> Path:
    body, table = bytearray(), bytearray()
    tail = (b"photo", zlib.crc32(b"photo"))
    info = tarfile.TarInfo()
    for index in range(number):
        name = b"folder/%07d.jpg" % index
        if packing == "tar":
            info.name, info.size = name.decode(), 5
            body += info.tobuf(tarfile.USTAR_FORMAT) + b"photo".ljust(512, b"\0")
            continue
        numbers = (20, 0, 0, 0, 33, tail[1], 5, 5, len(name))
        table += struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, *numbers, 0, 0, 0, 0, 0, len(body)) + name
        body += struct.pack("<4s5H3L2H", b"PK\3\4", *numbers, 0) + name + b"photo"
    if packing == "tar":
        path.write_bytes(body + bytes(1024))
        return path
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, number, number, len(table), len(body))
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(body) + len(table), 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    path.write_bytes(body + table + record + locator + end)
    return path


@pytest.mark.parametrize("packing", ["zip", "tar"])
def test_a_hundred_thousand_members_take_no_more_memory_than_their_digests(tmp_path: Path, packing: str) -> None:
    number, peak, reasons = child(tmp_path, many(tmp_path / "a", 100_000, packing))
    assert (number, reasons) == (100_000, {"None"})
    assert peak < 24  # MiB; an object for every member, as zipfile and tarfile hold it, takes 60 and more


def test_bombs_take_no_memory(tmp_path: Path) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"".join(packer.compress(bytes(2**24)) for _ in range(32)) + packer.flush()  # 512 MiB
    name = b"a.jpg"
    for size, reason in ((2**29, "bomb-ratio"), (len(packed), "broken-member")):
        numbers = (20, 0, 8, 0, 33, 0, len(packed), size, len(name))
        local = struct.pack("<4s5H3L2H", b"PK\3\4", *numbers, 0) + name + packed
        table = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, *numbers, 0, 0, 0, 0, 0, 0) + name
        end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(table), len(local), 0)
        (tmp_path / "a.zip").write_bytes(local + table + end)
        number, peak, reasons = child(tmp_path, tmp_path / "a.zip")
        assert (number, reasons - {"None"}) == (1, {reason})
        assert peak < 8
    gz = zlib.compressobj(9, zlib.DEFLATED, 31)
    (tmp_path / "a.gz").write_bytes(b"".join(gz.compress(bytes(2**24)) for _ in range(64)) + gz.flush())
    number, peak, reasons = child(tmp_path, tmp_path / "a.gz")
    assert (number, reasons) == (0, {"bomb-ratio"})
    assert peak < 8
