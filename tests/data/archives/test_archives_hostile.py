"""Zip archives that mean harm: a reason for every member that is refused, good ones stay, nothing is written."""

from __future__ import annotations

import bz2
import random
import stat
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from colorize.data.sources.archive import ArchiveSource
from colorize.data.sources.members import END, BrokenArchiveError
from colorize.settings.sections import ArchiveSettings

Check = Callable[..., None]
Broken = Callable[..., BrokenArchiveError]
GOOD = b"\xff\xd8 the bytes of a good photo " * 20
LIMITS = ArchiveSettings()
Expected = list[tuple[str, str | bytes]]  # path and either the reason or the bytes; "!": the reason comes at reading


@dataclass
class Zipped:
    """One member as it is written, with every lie that a field can tell."""

    name: bytes
    data: bytes = GOOD
    method: int = 0
    flags: int = 0
    mode: int = 0
    local_name: bytes | None = None
    crc: int | None = None
    size: int | None = None
    packed: int | None = None
    offset: int | None = None  # of the local header: none of its own is written
    disk: int = 0
    extra: bytes = b""
    comment: bytes = b""
    payload: bytes | None = None  # in place of the packed data


def zipped(
    *members: Zipped,
    prefix: bytes = b"",
    tail: bytes = b"",
    comment: bytes = b"",
    claimed: int | None = None,
    disk: int = 0,
) -> bytes:
    body, directory = bytearray(), bytearray()
    for member in members:
        name = member.name if member.local_name is None else member.local_name
        raw = zlib.compressobj(9, zlib.DEFLATED, -15) if member.method == 8 else None
        payload = raw.compress(member.data) + raw.flush() if raw else member.data
        payload = payload if member.payload is None else member.payload
        crc = zlib.crc32(member.data) if member.crc is None else member.crc
        size = len(member.data) if member.size is None else member.size
        packed = len(payload) if member.packed is None else member.packed
        offset = len(body) if member.offset is None else member.offset
        if member.offset is None:
            numbers = (crc, packed & 0xFFFFFFFF, size & 0xFFFFFFFF)
            body += struct.pack("<4s5H3L2H", b"PK\3\4", 20, member.flags, member.method, 0, 33, *numbers, len(name), 0)
            body += name + payload
        directory += struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", 0x314, 20, member.flags, member.method, 0, 33, crc, packed, size,
            len(member.name), len(member.extra), len(member.comment), member.disk, 0, member.mode << 16, offset,
        )  # fmt: skip
        directory += member.name + member.extra + member.comment
    number = len(members) if claimed is None else claimed
    end = struct.pack("<4s4H2LH", b"PK\5\6", disk, disk, number, number, len(directory), len(body), len(comment))
    return prefix + bytes(body + directory) + end + comment + tail


def kernel_bomb(files: int = 30) -> bytes:
    """Every member's data are the headers of the next ones, quoted as stored blocks, and one packed kernel."""
    kernel = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = kernel.compress(bytes(1_000_000)) + kernel.flush()
    data, size, crc_of = packed, 1_000_000, bytes(1_000_000)
    parts, directory = b"", []
    for number in reversed(range(files)):
        name = f"bomb{number}.jpg".encode()
        header = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 33, zlib.crc32(crc_of), len(data), size, len(name), 0)
        directory.append((name, len(data), size, zlib.crc32(crc_of), len(header + name)))
        parts = header + name + data
        quote = struct.pack("<BHH", 0, len(header + name), 0xFFFF ^ len(header + name))
        data = quote + parts
        crc_of = header + name + crc_of
        size += len(header + name)
    # Files are nested: the last one built is the outermost and lies first.
    body, table, offset = parts, b"", 0
    for name, length, total, crc, head in reversed(directory):
        table += struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 33, crc, length, total, len(name), 0, 0, 0, 0, 0, offset
        ) + name  # fmt: skip
        offset += head + 5
    return body + table + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, files, files, len(table), len(body), 0)


A, Z = Zipped(b"a.jpg"), Zipped(b"z.jpg")
OK: Expected = [("a.jpg", GOOD), ("z.jpg", GOOD)]
ZIP64 = struct.pack("<2H3Q", 1, 24, 2**64 - 1, 2**64 - 1, 0)


def one(member: Zipped, path: str, result: str | bytes) -> tuple[bytes, Expected]:
    """The member between two good ones, which stay."""
    return zipped(A, member, Z), [OK[0], (path, result), OK[1]]


ZIPS: dict[str, tuple[bytes, Expected]] = {
    "parent": one(Zipped(b"../evil.jpg"), "../evil.jpg", "unsafe-path"),
    "parent-inside": one(Zipped(b"a/../../evil.jpg"), "a/../../evil.jpg", "unsafe-path"),
    "parent-harmless": one(Zipped(b"a/../b.jpg"), "a/../b.jpg", "unsafe-path"),
    "parent-backslash": one(Zipped(b"..\\evil.jpg"), "..\\evil.jpg", "unsafe-path"),
    "absolute": one(Zipped(b"/evil.jpg"), "/evil.jpg", "unsafe-path"),
    "drive": one(Zipped(b"C:\\evil.jpg"), "C:\\evil.jpg", "unsafe-path"),
    "drive-relative": one(Zipped(b"c:evil.jpg"), "c:evil.jpg", "unsafe-path"),
    "share": one(Zipped(b"\\\\host\\evil.jpg"), "\\\\host\\evil.jpg", "unsafe-path"),
    "itself": one(Zipped(b"./."), "./.", "unsafe-path"),
    "backslash": one(Zipped(b"sub\\photo.jpg"), "sub/photo.jpg", GOOD),
    "dots": one(Zipped(b"./sub//photo.jpg"), "sub/photo.jpg", GOOD),
    "zero-byte": one(Zipped(b"b.jpg\0.exe"), "b.jpg\\x00.exe", "odd-name"),
    "newline": one(Zipped(b"b\n.jpg"), "b\\x0a.jpg", "odd-name"),
    "escape": one(Zipped(b"b\x1b[2J.jpg"), "b\\x1b[2J.jpg", "odd-name"),
    "direction": one(Zipped("gpj\u202e.exe".encode(), flags=2048), "gpj\\u202e.exe", "odd-name"),
    "not-utf8": one(Zipped(b"b\xff.jpg", flags=2048), "b\\xff.jpg", "odd-name"),
    "surrogate": one(Zipped(b"b\xed\xa0\x80.jpg", flags=2048), "b\\xed\\xa0\\x80.jpg", "odd-name"),
    "code-page": one(Zipped(b"Gr\x81n.jpg"), "Grün.jpg", GOOD),
    "utf8-without-flag": one(Zipped("Grün.jpg".encode()), "Grün.jpg", GOOD),
    "no-name": one(Zipped(b""), "(no name)", "odd-name"),
    "long-name": one(Zipped(b"n" * 5000), "n" * 255 + "…", "odd-name"),
    "link": one(Zipped(b"b.jpg", b"/etc/passwd", mode=stat.S_IFLNK | 0o777), "b.jpg", "link"),
    "fifo": one(Zipped(b"b.jpg", b"", mode=stat.S_IFIFO), "b.jpg", "special-file"),
    "device": one(Zipped(b"b.jpg", b"", mode=stat.S_IFCHR), "b.jpg", "special-file"),
    "encrypted": one(Zipped(b"b.jpg", flags=1), "b.jpg", "encrypted"),
    "encrypted-aes": one(Zipped(b"b.jpg", method=99), "b.jpg", "encrypted"),
    "bzip2": one(Zipped(b"b.jpg", bz2.compress(GOOD), 12, size=len(GOOD)), "b.jpg", "compression-not-supported"),
    "deflate64": one(Zipped(b"b.jpg", method=9), "b.jpg", "compression-not-supported"),
    "duplicate": one(Zipped(b"a.jpg", b"evil"), "a.jpg", "duplicate-name"),
    "duplicate-spelled-otherwise": one(Zipped(b".\\a.jpg", b"evil"), ".\\a.jpg", "duplicate-name"),
    "duplicate-of-a-link": (
        zipped(Zipped(b"b.jpg", b"/etc", mode=stat.S_IFLNK), Zipped(b"b.jpg"), A),
        [("b.jpg", "link"), ("b.jpg", "duplicate-name"), OK[0]],
    ),
    "overlap-same-data": one(Zipped(b"b.jpg", offset=0), "b.jpg", "overlapping-member"),
    "overlap-inside": one(Zipped(b"b.jpg", b"", offset=40), "b.jpg", "overlapping-member"),
    "kernel": (
        kernel_bomb(),
        [("bomb0.jpg", "bomb-ratio"), *((f"bomb{number}.jpg", "overlapping-member") for number in range(1, 30))],
    ),
    "ratio": one(Zipped(b"b.jpg", bytes(10_000_000), 8), "b.jpg", "bomb-ratio"),
    "ratio-small-is-fine": one(Zipped(b"b.jpg", bytes(65_536), 8), "b.jpg", bytes(65_536)),
    "from-nothing": one(Zipped(b"b.jpg", b"", 8, size=2**31, packed=0), "b.jpg", "bomb-ratio"),
    "beyond-the-archive": one(Zipped(b"b.jpg", b"", size=5000, packed=5000), "b.jpg", "broken-member"),
    "offset-beyond": one(Zipped(b"b.jpg", offset=2**31), "b.jpg", "broken-member"),
    "stored-sizes-differ": one(Zipped(b"b.jpg", size=99), "b.jpg", "broken-member"),
    "packed-larger": one(Zipped(b"b.jpg", random.Random(1).randbytes(200_000), 8, size=9), "b.jpg", "broken-member"),
    "wrong-checksum": one(Zipped(b"b.jpg", crc=7), "b.jpg", "!broken-member"),
    "not-deflate": one(Zipped(b"b.jpg", method=8, payload=GOOD), "b.jpg", "!broken-member"),
    "unpacks-to-more": one(Zipped(b"b.jpg", bytes(60_000), 8, size=1000), "b.jpg", "!broken-member"),
    "unpacks-to-less": one(Zipped(b"b.jpg", bytes(1000), 8, size=60_000), "b.jpg", "!broken-member"),
    "deflate-cut": one(Zipped(b"b.jpg", GOOD, 8, packed=20), "b.jpg", "!broken-member"),
    "two-names": one(Zipped(b"b.jpg", local_name=b"c.jpg"), "b.jpg", "!broken-member"),
    "zip64-field-missing": one(Zipped(b"b.jpg", size=0xFFFFFFFF), "b.jpg", "broken-member"),
    "zip64-field-short": one(
        Zipped(b"b.jpg", size=0xFFFFFFFF, packed=0xFFFFFFFF, extra=ZIP64[:2] + b"\x08\0" + ZIP64[4:12]),
        "b.jpg", "broken-member",
    ),
    "zip64-absurd": one(
        Zipped(b"b.jpg", size=0xFFFFFFFF, packed=0xFFFFFFFF, extra=ZIP64), "b.jpg", "broken-member"
    ),
    "extra-overruns": one(Zipped(b"b.jpg", extra=b"\x99\x99\xff\xff"), "b.jpg", GOOD),
    "other-part": one(Zipped(b"b.jpg", disk=3), "b.jpg", "broken-member"),
    "folder-with-data": one(Zipped(b"sub/"), "sub/", "odd-name"),
    "folders-are-silent": (zipped(A, Zipped(b"sub/", b""), Zipped(b"../", b""), Zipped(b"s\\", b""), Z), OK),
    "prefix": (zipped(A, Z, prefix=b"PK\3\4 something in front"), OK),
    "bytes-behind": (zipped(A, Z, tail=b"something behind"), OK),
    "end-record-in-comment": (zipped(A, Z, comment=zipped() + b"more"), OK),
    "claims-more": (zipped(A, Z, claimed=9), [*OK, (END, "broken-archive")]),
    "directory-damaged": (
        zipped(A, Z).replace(b"PK\1\2", b"PK\1\3").replace(b"PK\1\3", b"PK\1\2", 1),
        [OK[0], (END, "broken-archive")],
    ),
    "empty": (zipped(), []),
}  # fmt: skip

LOOK_IN_ZIP64 = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *[65535] * 2, *[2**32 - 1] * 2, 0)
BROKEN_ZIPS = {
    "cut": (zipped(A, Z)[:-30], "truncated-archive"),
    "several-parts": (zipped(A, Z, disk=2), "multi-disk-archive"),
    "directory-elsewhere": (zipped(A, Z)[:-10] + struct.pack("<LLH", 60, 2**31, 0), "broken-archive"),
    "directory-overwritten": (zipped(A, Z).replace(b"PK\1\2", b"XX\1\2"), "broken-archive"),
    "zip64-record-missing": (
        zipped(A)[:-22] + struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1) + LOOK_IN_ZIP64,
        "broken-archive",
    ),
    "zip64-several-parts": (
        zipped(A)[:-22] + struct.pack("<4sLQL", b"PK\6\7", 0, 0, 7) + LOOK_IN_ZIP64,
        "multi-disk-archive",
    ),
    "only-a-signature": (b"PK\3\4", "truncated-archive"),
}  # fmt: skip


@pytest.mark.parametrize("case", ZIPS)
def test_hostile_zips(check: Check, case: str) -> None:
    check(*ZIPS[case])


@pytest.mark.parametrize("case", BROKEN_ZIPS)
def test_zips_that_are_unusable_as_a_whole(broken: Broken, case: str) -> None:
    data, reason = BROKEN_ZIPS[case]
    assert broken(data).reason == reason


def test_limits_of_count_and_total(check: Check) -> None:
    names = [f"{number}.jpg" for number in range(6)]
    data = zipped(*(Zipped(name.encode()) for name in names))
    rows: Expected = [(name, GOOD) for name in names]
    check(data, [*rows[:4], (END, "too-many-members")], ArchiveSettings(maximum_members=4))
    check(data, rows, ArchiveSettings(maximum_members=6, maximum_bytes=6 * len(GOOD)))
    beyond = [(name, "bomb-total") for name in names[3:]]
    check(data, [*rows[:3], *beyond], ArchiveSettings(maximum_bytes=4 * len(GOOD) - 1))


def test_too_many_members_says_how_many_were_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped(A, Z, Zipped(b"b.jpg")))
    last = list(ArchiveSource(tmp_path / "a.zip", ArchiveSettings(maximum_members=2), tmp_path).list())[-1]
    assert last.detail == "archives.maximum_members is 2; 1 of 3 were not looked at"
