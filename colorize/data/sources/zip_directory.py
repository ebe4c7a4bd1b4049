"""The table of members at the end of a zip archive, read as a stream.

Structures: APPNOTE.TXT 6.3.10 by PKWARE. Python's `zipfile` keeps an object for every member and gives up on the whole
archive for one bad name.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from colorize.data.sources.members import BrokenArchiveError, read_at

_END: Final = struct.Struct("<4s4H2LH")
_END_SIGNATURE: Final = b"PK\x05\x06"
_MAXIMUM_COMMENT: Final = 0xFFFF
_LOCATOR_64: Final = struct.Struct("<4sLQL")
_LOCATOR_64_SIGNATURE: Final = b"PK\x06\x07"
_END_64: Final = struct.Struct("<4sQ2H2L4Q")
_END_64_SIGNATURE: Final = b"PK\x06\x06"
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_CENTRAL_SIGNATURE: Final = b"PK\x01\x02"
_IN_ZIP64_16: Final = 0xFFFF
_IN_ZIP64: Final = 0xFFFFFFFF
_UTF8: Final = 1 << 11
LOCAL: Final = struct.Struct("<4s5H3L2H")
"""The header in front of a member's data, after which come its name and its extra fields."""


@dataclass(frozen=True, slots=True)
class Directory:
    """Where the central directory lies.

    Attributes:
        start: of its first byte, from the start of the file.
        end: after its last byte.
        claimed: number of members; modulo 65,536 by some programs where it is not `is_64`.
        is_64: whether the end record is that of a zip64 archive.
        prefix: bytes before the archive proper, which offsets do not count.
    """

    start: int
    end: int
    claimed: int
    is_64: bool
    prefix: int


@dataclass(frozen=True, slots=True)
class Member:
    """One row of the central directory.

    Attributes:
        name: as in the archive; bytes that are not text are surrogates.
        flags: general purpose bit flags.
        method: of compression.
        crc: CRC-32 of the unpacked data.
        packed: bytes in the archive.
        size: bytes unpacked.
        offset: of the local header, from the start of the file.
        end: where it ends at the earliest; the local header may have more extra fields than the directory tells.
        mode: Unix file type and permissions; 0 where the packing machine had none.
        problem: what is wrong with the numbers.
    """

    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    end: int  # at least: the local header may have more extra fields than the directory tells
    mode: int
    problem: str | None

    @property
    def is_folder(self) -> bool:
        """Whether it is called a folder; such a member should have no data."""
        return self.name.endswith(("/", "\\")) or stat.S_ISDIR(self.mode)


def find_directory(path: Path, file: BinaryIO, size: int) -> Directory:
    """Find the central directory from the end of the archive, as the format wants it.

    Args:
        path: for messages.
        file: the archive, open.
        size: of the file, in bytes.

    Raises:
        BrokenArchiveError: there is none, it is not where it should be, or it is a part of several.
    """
    tail_start = max(0, size - _END.size - _MAXIMUM_COMMENT)
    tail = read_at(file.fileno(), tail_start, size - tail_start)
    found = _find_end(tail)
    if found is None:
        raise _broken(path, "truncated-archive", "its end, which holds the table of its members, is missing")
    end = tail_start + found
    _, disk, directory_disk, here, claimed, length, offset, _ = _END.unpack_from(tail, found)
    is_64 = False
    if _IN_ZIP64_16 in (disk, directory_disk, here, claimed) or _IN_ZIP64 in (length, offset):
        located = read_at(file.fileno(), max(0, end - _LOCATOR_64.size), _LOCATOR_64.size)
        if located.startswith(_LOCATOR_64_SIGNATURE) and len(located) == _LOCATOR_64.size:
            end, record = _end_64(path, file, end - _LOCATOR_64.size, located)
            disk, directory_disk, here, claimed, length, offset = record
            is_64 = True
    if disk or directory_disk or here != claimed:
        raise _broken(path, "multi-disk-archive", "it is one part of an archive cut into several; join them (zip -s 0)")
    # Offsets count from the archive's first byte, before which other bytes may have been put.
    for prefix in (end - length - offset, 0):
        start = prefix + offset
        if prefix < 0 or start + length > end:
            continue
        if not length or read_at(file.fileno(), start, 4) == _CENTRAL_SIGNATURE:
            return Directory(start, start + length, claimed, is_64, prefix)
    raise _broken(
        path, "broken-archive", f"no table of members at byte {offset:,}, where {length:,} bytes of it should be"
    )


def _find_end(tail: bytes) -> int | None:
    """Position of the end record: the last one whose comment fills the file, else the last one at all."""
    last = None
    position = tail.rfind(_END_SIGNATURE)
    while position >= 0:
        if position + _END.size <= len(tail):
            comment = _END.unpack_from(tail, position)[-1]
            if position + _END.size + comment == len(tail):
                return position
            last = position if last is None else last
        position = tail.rfind(_END_SIGNATURE, 0, position + 3) if position else -1
    return last


def _end_64(path: Path, file: BinaryIO, locator: int, located: bytes) -> tuple[int, tuple[int, ...]]:
    """The zip64 end record: its place, and disk, directory's disk, members here, in all, directory's size, offset."""
    _, _, offset, disks = _LOCATOR_64.unpack(located)
    if disks > 1:
        raise _broken(path, "multi-disk-archive", f"it is one of {disks:,} parts; join them (zip -s 0)")
    # Where other bytes were put before the archive, the record is not where it is said to be but still next to us.
    for place in (offset, locator - _END_64.size):
        if 0 <= place <= locator - _END_64.size:
            record = read_at(file.fileno(), place, _END_64.size)
            if record.startswith(_END_64_SIGNATURE):
                return place, _END_64.unpack(record)[4:]
    raise _broken(path, "broken-archive", f"no zip64 end record at byte {offset:,}")


def members(path: Path, file: BinaryIO, directory: Directory) -> Iterator[Member]:
    """The rows of the central directory, one in memory at a time.

    Raises:
        BrokenArchiveError: at the first place that is no row.
    """
    position = directory.start
    file.seek(position)
    while position < directory.end:
        head = file.read(_CENTRAL.size)
        if len(head) < _CENTRAL.size or not head.startswith(_CENTRAL_SIGNATURE):
            raise _broken(path, "broken-archive", f"byte {position:,} of its table of members is no member")
        fields = _CENTRAL.unpack(head)
        lengths = sum(fields[10:13])
        rest = file.read(lengths)
        position += _CENTRAL.size + lengths
        if len(rest) < lengths or position > directory.end:
            raise _broken(path, "broken-archive", "the last row of its table of members is cut off")
        yield _member(fields, rest, directory.prefix)


def _member(fields: tuple[int, ...], rest: bytes, prefix: int) -> Member:
    _, _, _, flags, method, _, _, crc, packed, size, name_length, extra_length, _, disk, _, attributes, offset = fields
    problem = None
    if _IN_ZIP64 in (size, packed, offset) or disk == _IN_ZIP64_16:
        wide = _zip64(rest[name_length : name_length + extra_length])
        try:
            size = next(wide) if size == _IN_ZIP64 else size
            packed = next(wide) if packed == _IN_ZIP64 else packed
            offset = next(wide) if offset == _IN_ZIP64 else offset
        except StopIteration:
            problem = "its zip64 field, which should hold its sizes, is missing or too short"
        disk = 0 if disk == _IN_ZIP64_16 else disk
    if disk:
        problem = f"it lies on part {disk} of an archive cut into several"
    offset += prefix
    end = offset + LOCAL.size + name_length + packed
    mode = attributes >> 16
    name = decoded(rest[:name_length], flags)
    return Member(name, flags, method, crc, packed, size, offset, end, mode, problem)


def _zip64(extra: bytes) -> Iterator[int]:
    """The 64-bit numbers of the zip64 extra field, in their order."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        position += 4
        if kind == 1:
            field = extra[position : position + length]
            for place in range(0, len(field) - 7, 8):
                yield from struct.unpack_from("<Q", field, place)
            return
        position += length


def decoded(raw: bytes, flags: int) -> str:
    """A name as text. Without the flag for UTF-8 it is in the code page of the packing machine, which is not told."""
    if not flags & _UTF8:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return raw.decode("cp437")
    return raw.decode(errors="surrogateescape")


def _broken(path: Path, reason: str, what: str) -> BrokenArchiveError:
    return BrokenArchiveError(reason, f"{path} cannot be read as a zip: {what}; get it again from where it came")
