"""Honest archives with random damage: rows or one of three errors come out, never a crash, a hang or too many bytes."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import zipfile
from pathlib import Path

import pytest

from colorize.data.sources import PhotoUnavailableError, SourceError
from colorize.data.sources.archive import ArchiveSource
from colorize.data.sources.members import BrokenArchiveError
from colorize.settings.sections import ArchiveSettings


def seeds() -> dict[str, bytes]:
    """Honest archives with something of everything, to be damaged."""
    plain, packed, text = io.BytesIO(), io.BytesIO(), b"a line of text\n" * 200
    with zipfile.ZipFile(plain, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(5):
            with archive.open(zipfile.ZipInfo(f"ö/{number}.jpg"), "w", force_zip64=number == 3) as member:
                member.write(text[: 700 * number])
        archive.comment = b"hello"
    for kind, target in ((tarfile.PAX_FORMAT, packed), (tarfile.GNU_FORMAT, gnu := io.BytesIO())):
        with tarfile.open(fileobj=target, mode="w", format=kind) as tar:
            for number in range(5):
                info = tarfile.TarInfo("ö/" * 80 * (number % 2) + f"{number}.jpg")
                info.size = 700 * number
                tar.addfile(info, io.BytesIO(text))
    return {"zip": plain.getvalue(), "pax": packed.getvalue(), "gnu": gnu.getvalue()}


@pytest.mark.slow
@pytest.mark.parametrize("packing", ["zip", "pax", "gnu", "gz"])
def test_mutated_archives_never_crash_or_hang(tmp_path: Path, packing: str) -> None:
    """5,000 damaged archives of each kind: rows, or one of the three errors, and never more bytes than were claimed."""
    chance = random.Random(packing)
    good = seeds()["pax" if packing == "gz" else packing]
    path = tmp_path / "archive"
    outcomes: dict[str, int] = {}
    for _ in range(5000):
        data = bytearray(good)
        for _ in range(chance.choice((1, 1, 2, 8, 64))):
            place = chance.randrange(len(data))
            match chance.randrange(6):
                case 0 | 1:
                    data[place] = chance.randrange(256)
                case 2:
                    data[place : place + chance.choice((1, 2, 4, 8))] = b"\xff" * chance.choice((1, 2, 4, 8))
                case 3:
                    del data[place : place + chance.randrange(1, 700)]
                case 4:
                    data[place:place] = data[chance.randrange(len(data)) :][: chance.randrange(1, 700)]
                case 5:  # only a header's field, with a right checksum behind it
                    start = place // 512 * 512
                    block = data[start : start + 512]
                    if packing != "zip" and len(block) == 512 and any(block):
                        block[chance.choice((*range(124, 136), 156, *range(257, 265)))] = chance.randrange(256)
                        block[148:156] = b" " * 8
                        block[148:156] = b"%06o\0 " % sum(block)
                        data[start : start + 512] = block
            data = data or bytearray(b"x")
        packed = bytes(data)
        if packing == "gz":
            packed = gzip.compress(packed, 1)
            if chance.random() < 0.5:
                place = chance.randrange(len(packed))
                packed = packed[:place] + bytes([chance.randrange(256)]) + packed[place + 1 :]
        path.write_bytes(packed)
        source = ArchiveSource(path, ArchiveSettings(maximum_bytes=2**24), tmp_path / "downloads")
        try:
            for entry in source.list():
                entry.path.encode()
                outcome = entry.refused or "read"
                if entry.refused is None:
                    try:
                        assert len(source.read(entry)) == entry.size
                    except PhotoUnavailableError as error:
                        outcome = error.reason
                outcomes[outcome] = outcomes.get(outcome, 0) + 1
        except BrokenArchiveError as error:
            outcomes[error.reason] = outcomes.get(error.reason, 0) + 1
        except SourceError as error:
            if "no zip, tar or tar.gz archive" not in str(error):
                raise
            outcomes["no-archive"] = outcomes.get("no-archive", 0) + 1
    assert outcomes.get("changed", 0) == 0
    assert {"read", "broken-archive"} <= set(outcomes), outcomes
