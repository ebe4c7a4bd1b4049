"""Tar and tar.gz archives that mean harm: a reason for every refused member, good ones stay, nothing is written."""

from __future__ import annotations

import gzip
import random
import re
import zlib
from collections.abc import Callable

import pytest

from colorize.data.sources.members import END, BrokenArchiveError
from colorize.settings.sections import ArchiveSettings

Check = Callable[..., None]
Broken = Callable[..., BrokenArchiveError]
GOOD = b"\xff\xd8 the bytes of a good photo " * 20
LIMITS = ArchiveSettings()
Expected = list[tuple[str, str | bytes]]  # path and either the reason or the bytes; "!": the reason comes at reading


def header(
    name: bytes, size: int | bytes = 0, kind: bytes = b"0", magic: bytes = b"ustar\x0000", **raw: bytes
) -> bytes:
    """One tar header with a right checksum, and a member's data behind it where `size` is meant to be true."""
    block = bytearray(512)
    block[0 : len(name)] = name
    block[100:108] = b"0000644\0"
    block[108:116] = block[116:124] = b"0000000\0"
    block[124:136] = size if isinstance(size, bytes) else b"%011o\0" % size
    block[136:148] = b"00000000000\0"
    block[156:157] = kind
    block[257:265] = magic
    for place, value in raw.items():
        start = int(place.removeprefix("at"))
        block[start : start + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def tarred(name: bytes, data: bytes = GOOD, kind: bytes = b"0") -> bytes:
    return header(name, len(data), kind) + padded(data)


def record(key: str, value: bytes) -> bytes:
    body = b" " + key.encode() + b"=" + value + b"\n"
    length = len(body) + 1
    while len(b"%d" % length) + len(body) != length:
        length += 1
    return b"%d" % length + body


def pax(*records: bytes, kind: bytes = b"x") -> bytes:
    return tarred(b"PaxHeader", b"".join(records), kind)


OK: Expected = [("a.jpg", GOOD), ("z.jpg", GOOD)]
TA, TZ, EOF = tarred(b"a.jpg"), tarred(b"z.jpg"), bytes(1024)


def between(middle: bytes, *rows: tuple[str, str | bytes]) -> tuple[bytes, Expected]:
    return TA + middle + TZ + EOF, [OK[0], *rows, OK[1]]


def ending(last: bytes, *rows: tuple[str, str | bytes]) -> tuple[bytes, Expected]:
    return TA + last, [OK[0], *rows]


B = tarred(b"b.jpg")
LONG = b"d/" * 200 + b"photo.jpg"
TARS: dict[str, tuple[bytes, Expected]] = {
    "parent": between(tarred(b"../evil.jpg"), ("../evil.jpg", "unsafe-path")),
    "absolute": between(tarred(b"/evil.jpg"), ("/evil.jpg", "unsafe-path")),
    "drive": between(tarred(b"C:\\evil.jpg"), ("C:\\evil.jpg", "unsafe-path")),
    "parent-backslash": between(tarred(b"x\\..\\..\\evil.jpg"), ("x\\..\\..\\evil.jpg", "unsafe-path")),
    "parent-by-prefix": between(
        header(b"evil.jpg", len(GOOD), at345=b"../..") + padded(GOOD), ("../../evil.jpg", "unsafe-path")
    ),
    "newline": between(tarred(b"b\n.jpg"), ("b\\x0a.jpg", "odd-name")),
    "not-utf8": between(tarred(b"b\xff.jpg"), ("b\\xff.jpg", "odd-name")),
    "no-name": between(tarred(b""), ("(no name)", "odd-name")),
    "symbolic-link": between(header(b"b.jpg", kind=b"2", at157=b"/etc/passwd"), ("b.jpg", "link")),
    "hard-link": between(header(b"b.jpg", kind=b"1", at157=b"a.jpg"), ("b.jpg", "link")),
    "link-then-file-through-it": between(
        header(b"sub", kind=b"2", at157=b"/tmp") + tarred(b"sub/b.jpg"), ("sub", "link"), ("sub/b.jpg", GOOD)
    ),
    "character-device": between(header(b"b.jpg", kind=b"3"), ("b.jpg", "special-file")),
    "block-device": between(header(b"b.jpg", kind=b"4"), ("b.jpg", "special-file")),
    "fifo": between(header(b"b.jpg", kind=b"6"), ("b.jpg", "special-file")),
    "unknown-type": between(tarred(b"b.jpg", kind=b"Q"), ("b.jpg", "special-file")),
    "contiguous-and-oldest": between(
        tarred(b"b.jpg", kind=b"7") + header(b"c.jpg", len(GOOD), b"\0", bytes(8)) + padded(GOOD),
        ("b.jpg", GOOD),
        ("c.jpg", GOOD),
    ),
    "folders-are-silent": between(header(b"sub/", kind=b"5") + header(b"old/", kind=b"\0") + header(b"l", kind=b"V")),
    "folder-with-data": between(tarred(b"sub/", kind=b"7"), ("sub/", "odd-name")),
    "duplicate": between(tarred(b"./a.jpg", b"evil"), ("./a.jpg", "duplicate-name")),
    "sparse": between(tarred(b"b.jpg", kind=b"S"), ("b.jpg", "sparse")),
    "sparse-with-more-blocks": between(
        header(b"b.jpg", len(GOOD), b"S", at482=b"\1") + bytes(504) + b"\1" + bytes(7) + bytes(512) + padded(GOOD),
        ("b.jpg", "sparse"),
    ),
    "sparse-pax": between(
        pax(record("GNU.sparse.major", b"1"), record("GNU.sparse.name", b"c.jpg"), record("path", b"x/b.jpg")) + B,
        ("c.jpg", "sparse"),
    ),
    "long-name": between(tarred(b"././@LongLink", LONG + b"\0", b"L") + B, (LONG.decode(), GOOD)),
    "long-name-leads-out": between(tarred(b"L", b"../../evil\0", b"L") + B, ("../../evil", "unsafe-path")),
    "long-name-huge": between(tarred(b"L", b"n" * (2**20 + 1), b"L") + B, ("b.jpg", "odd-header")),
    "long-link": between(tarred(b"L", b"n" * 300, b"K") + header(b"b.jpg", kind=b"2"), ("b.jpg", "link")),
    "pax-path": between(pax(record("path", "Grün/ö.jpg".encode())) + B, ("Grün/ö.jpg", GOOD)),
    "pax-path-leads-out": between(pax(record("path", b"/etc/evil.jpg")) + B, ("/etc/evil.jpg", "unsafe-path")),
    "pax-path-zero-byte": between(pax(record("path", b"x.jpg\0.exe")) + B, ("x.jpg\\x00.exe", "odd-name")),
    "pax-path-not-utf8": between(pax(record("path", b"x\xfe.jpg")) + B, ("x\\xfe.jpg", "odd-name")),
    "pax-path-huge": between(pax(record("path", b"n" * 100_000)) + B, ("n" * 255 + "…", "odd-name")),
    "pax-path-emptied": between(pax(record("path", b"x.jpg"), record("path", b"")) + B, ("b.jpg", GOOD)),
    "pax-global-path": between(
        pax(record("path", b"x.jpg"), kind=b"g") + B + tarred(b"c.jpg") + pax(record("path", b""), kind=b"g"),
        ("x.jpg", GOOD),
        ("x.jpg", "duplicate-name"),
    ),
    "pax-size": between(pax(record("size", b"%d" % len(GOOD))) + header(b"b.jpg") + padded(GOOD), ("b.jpg", GOOD)),
    "pax-size-absurd": ending(pax(record("size", b"9" * 18)) + B, ("b.jpg", "truncated-archive")),
    "pax-size-no-number": between(pax(record("size", b"-5")) + B, ("b.jpg", "odd-header")),
    "pax-size-endless": between(pax(record("size", b"9" * 5000)) + B, ("b.jpg", "odd-header")),
    "pax-huge": between(pax(record("comment", bytes(2**21))) + B, ("b.jpg", "odd-header")),
    "pax-length-zero": between(pax(b"0 path=x\n") + B, ("b.jpg", "odd-header")),
    "pax-length-wrong": between(pax(b"99999999999999999999 path=x\n") + B, ("b.jpg", "odd-header")),
    "pax-length-no-number": between(pax(b"aa path=x\n") + B, ("b.jpg", "odd-header")),
    "pax-no-value": between(pax(b"7 path\n") + B, ("b.jpg", "odd-header")),
    "headers-without-end": between(pax(record("path", b"x")) * 17 + B, ("x", "odd-header")),
    "size-negative": ending(header(b"b.jpg", b"\xff" * 12), (END, "broken-archive")),
    "size-absurd": ending(header(b"b.jpg", b"\x80" + b"\xff" * 11), (END, "broken-archive")),
    "size-of-8-EiB-less-1": ending(
        header(b"b.jpg", b"\x80\0\0\0\x7f" + b"\xff" * 7) + EOF, ("b.jpg", "truncated-archive")
    ),
    "cut-in-data": ending(B[:600], ("b.jpg", "truncated-archive")),
    "cut-in-header": ending(B[:100], (END, "truncated-archive")),
    "cut-in-extended-header": ending(pax(record("path", b"n" * 5000))[:600], (END, "truncated-archive")),
    "cut-between": ending(B, ("b.jpg", GOOD), (END, "truncated-archive")),
    "checksum-wrong": ending(B[:99] + b"!" + B[100:] + TZ, (END, "broken-archive")),
    "link-that-claims-data": between(header(b"b.jpg", 2**30, b"2"), ("b.jpg", "link")),
    "behind-the-end": (TA + TZ + EOF + B, OK),
    "empty": (EOF, []),
}


@pytest.mark.parametrize("packing", ["tar", "tar.gz"])
@pytest.mark.parametrize("case", TARS)
def test_hostile_tars(check: Check, case: str, packing: str) -> None:
    data, expected = TARS[case]
    check(gzip.compress(data, 1) if packing == "tar.gz" else data, expected)


def test_a_gzip_bomb_is_stopped_early(broken: Broken) -> None:
    zeros = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(zeros.compress(bytes(2**24)) for _ in range(64)) + zeros.flush()  # 1 GiB in 1 MiB
    error = broken(bomb)
    assert error.reason == "bomb-ratio"
    unpacked = int(re.search("more than ([0-9,]+),", str(error))[1].replace(",", ""))  # type: ignore[index]
    assert unpacked < 2**25


def test_a_gzip_of_many_streams_is_bounded_all_the_same(broken: Broken) -> None:
    zeros = gzip.compress(bytes(2**20))
    assert broken(zeros * 100).reason == "bomb-ratio"
    assert broken(gzip.compress(TA) + gzip.compress(b"") * 500 + zeros * 40).reason == "bomb-ratio"


def test_a_gzip_that_unpacks_to_more_than_the_total(broken: Broken) -> None:
    data = random.Random(1).randbytes(100_000)
    error = broken(gzip.compress(tarred(b"b.jpg", data)), ArchiveSettings(maximum_bytes=50_000))
    assert error.reason == "bomb-total"


def test_damaged_gzips(broken: Broken) -> None:
    packed = gzip.compress(TA + TZ + EOF, 0)
    assert broken(packed[:-8] + bytes(4) + packed[-4:]).reason == "broken-archive"
    assert broken(packed.replace(GOOD[:20], b"!" * 20, 1)).reason == "broken-archive"
    assert broken(packed + b"\x1f\x8b\x08 no second stream").reason == "broken-archive"


def test_cut_gzips_keep_what_came_before(check: Check) -> None:
    packed = gzip.compress(TA + TZ + EOF, 0)
    check(packed[: len(TA) + 600], [OK[0], ("z.jpg", "truncated-archive")])


def test_gzips_of_several_streams_and_with_bytes_behind(check: Check) -> None:
    check(gzip.compress(TA) + gzip.compress(b"") * 3 + gzip.compress(TZ + EOF) + bytes(100), OK)
    check(gzip.compress(TA + TZ + EOF) + b"some text", OK)


def test_limits_of_count_and_total(check: Check) -> None:
    names = [f"{number}.jpg" for number in range(6)]
    data = b"".join(tarred(name.encode()) for name in names) + EOF
    rows: Expected = [(name, GOOD) for name in names]
    check(data, [*rows[:4], (END, "too-many-members")], ArchiveSettings(maximum_members=4))
    check(data, rows, ArchiveSettings(maximum_members=6, maximum_bytes=6 * len(GOOD)))
    beyond = [(name, "bomb-total") for name in names[3:]]
    check(data, [*rows[:3], *beyond], ArchiveSettings(maximum_bytes=4 * len(GOOD) - 1))
