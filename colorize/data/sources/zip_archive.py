"""Zip archives: which members are handed out, and their bytes; nothing that the archive says of itself is believed."""

from __future__ import annotations

import os
import stat
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from colorize.data.sources import Entry, PhotoUnavailableError
from colorize.data.sources.members import (
    END,
    BrokenArchiveError,
    Gate,
    Refusal,
    identity,
    open_archive,
    printable,
    read_at,
    safe_path,
)
from colorize.data.sources.zip_directory import LOCAL, Directory, Member, decoded, find_directory, members
from colorize.settings.sections import ArchiveSettings

_LOCAL_SIGNATURE: Final = b"PK\x03\x04"
_ENCRYPTED: Final = 1 << 0 | 1 << 6 | 1 << 13  # the data, the data strongly, the directory's values
_PATCH: Final = 1 << 5
_STORED, _DEFLATED, _AES = 0, 8, 99
_SLACK: Final = 64 * 1024  # bytes
_READ_AHEAD: Final = 256 * 1024  # bytes


def list_zip(path: Path, limits: ArchiveSettings) -> Iterator[Entry]:
    """Every member but folders; the central directory is read twice as a stream.

    Memory: some 100 bytes a member, for duplicate names and overlaps.

    Raises:
        BrokenArchiveError: there is no usable central directory.
        SourceError: the file cannot be read.
    """
    with open_archive(path, _READ_AHEAD) as file:
        status = os.fstat(file.fileno())
        directory = find_directory(path, file, status.st_size)
        overlaps = _overlaps(path, file, directory, limits.maximum_members)
        gate = Gate(limits)
        number = 0
        try:
            for number, member in enumerate(members(path, file, directory), start=1):
                if number > limits.maximum_members:
                    yield _rest(limits.maximum_members, directory.claimed)
                    return
                if (entry := _entry(member, gate, directory, bool(overlaps[number - 1]), identity(status))) is not None:
                    yield entry
        except BrokenArchiveError as error:
            if number == 0:
                raise
            yield Entry(END, None, "", error.reason, f"after {number:,} members: {error}")
            return
        if number != directory.claimed and (directory.is_64 or number % 0x10000 != directory.claimed):
            detail = f"the directory holds {number:,} members and claims {directory.claimed:,}; some may be lost"
            yield Entry(END, None, "", "broken-archive", detail)


def read_zip(path: Path, entry: Entry) -> bytes:
    """The bytes of one member: its size and CRC are those of the listing, and never more is unpacked.

    Raises:
        PhotoUnavailableError: "changed" (another archive than listed) or "broken-member".
        SourceError: the archive is gone or cannot be read.
    """
    listed, offset, packed, method = entry.locator.split(" ")[1:]
    with open_archive(path) as file:
        descriptor = file.fileno()
        data = _unpacked(descriptor, entry, int(offset), int(packed), int(method))
        if isinstance(data, bytes):
            return data
        if identity(os.fstat(descriptor)) != listed:
            raise PhotoUnavailableError("changed", f"{path} is not the archive that was listed; list again")
        raise PhotoUnavailableError(data.reason, data.detail)


def _overlaps(path: Path, file: BinaryIO, directory: Directory, maximum: int) -> np.ndarray:
    """Whether each member begins before another one that lies in front of it has ended.

    One packed file that is the content of many members makes a bomb that no ratio tells
    (David Fifield, "A better zip bomb", 2019).
    """
    starts, ends = array("d"), array("d")  # float64 is exact up to 2^53 bytes and overflows nowhere
    try:
        for number, member in enumerate(members(path, file, directory)):
            if number == maximum:
                break
            starts.append(member.offset)
            # One that goes beyond the archive is refused for that, and takes no place from others.
            ends.append(member.offset if member.problem or member.end > directory.start else member.end)
    except BrokenArchiveError:
        pass  # seen again when the members are listed
    order = np.argsort(np.frombuffer(starts), kind="stable")
    reached = np.maximum.accumulate(np.frombuffer(ends)[order])
    overlaps = np.zeros(len(starts), bool)
    overlaps[order[1:]] = np.frombuffer(starts)[order[1:]] < reached[:-1]
    return overlaps


def _entry(member: Member, gate: Gate, directory: Directory, overlaps: bool, archive: str) -> Entry | None:
    if member.is_folder and not member.size:
        return None
    path = safe_path(member.name)
    if isinstance(path, Refusal):
        refusal: Refusal | None = path
    else:
        refusal = gate.duplicate(path) or _refusal(member, directory, overlaps) or gate.bomb(member.size, member.packed)
    version = f"{member.crc:08x}-{member.size:x}"
    # A number of 64 bits without sign is more than a column of a table takes.
    size = member.size if member.size < 1 << 63 else None
    locator = f"zip {archive} {member.offset} {member.packed} {member.method}"
    if refusal is None and isinstance(path, str):
        return Entry(path, size, version, locator=locator)
    assert refusal is not None
    return Entry(printable(member.name), size, version, refusal.reason, refusal.detail, locator)


def _refusal(member: Member, directory: Directory, overlaps: bool) -> Refusal | None:
    if member.is_folder:
        return Refusal("odd-name", f"it is called a folder, and {member.size:,} bytes belong to it")
    if stat.S_ISLNK(member.mode):
        return Refusal("link", "a symbolic link; links in archives are not followed")
    if stat.S_IFMT(member.mode) not in (0, stat.S_IFREG):
        return Refusal("special-file", "a device, FIFO or socket")
    if member.flags & _ENCRYPTED or member.method == _AES:
        return Refusal("encrypted", "encrypted; no password is ever asked for")
    if member.method not in (_STORED, _DEFLATED) or member.flags & _PATCH:
        return Refusal("compression-not-supported", f"packed by method {member.method}; stored and deflate are read")
    if member.problem is not None:
        return Refusal("broken-member", member.problem)
    if member.end > directory.start:
        detail = f"it would end at byte {member.end:,}; the members end at byte {directory.start:,}"
        return Refusal("broken-member", detail)
    if overlaps:
        return Refusal("overlapping-member", f"it begins at byte {member.offset:,}, inside another member")
    # Deflate makes data that cannot be packed hardly longer; without a bound, reading would take any memory.
    if (member.method == _STORED and member.packed != member.size) or member.packed > member.size * 1.1 + _SLACK:
        return Refusal("broken-member", f"{member.packed:,} bytes cannot be what {member.size:,} were packed to")
    return None


def _unpacked(descriptor: int, entry: Entry, offset: int, packed: int, method: int) -> bytes | Refusal:
    head = read_at(descriptor, offset, LOCAL.size)
    if len(head) < LOCAL.size or not head.startswith(_LOCAL_SIGNATURE):
        return Refusal("broken-member", f"no member begins at byte {offset:,}")
    _, _, flags, local_method, _, _, _, _, _, name_length, extra_length = LOCAL.unpack(head)
    name = decoded(read_at(descriptor, offset + LOCAL.size, name_length), flags)
    if safe_path(name) != entry.path or local_method != method or flags & _ENCRYPTED:
        return Refusal("broken-member", f"what lies at byte {offset:,} is called {printable(name)} or packed otherwise")
    crc, size = (int(number, 16) for number in entry.version.split("-"))
    data = read_at(descriptor, offset + LOCAL.size + name_length + extra_length, packed)
    if len(data) < packed:
        return Refusal("broken-member", f"{len(data):,} of {packed:,} bytes are there; the archive is cut off")
    if method == _DEFLATED:
        engine = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            data = engine.decompress(data, size + 1)
        except zlib.error as error:
            return Refusal("broken-member", f"its data are damaged ({error})")
        if not engine.eof and len(data) <= size:
            return Refusal("broken-member", "its packed data end too early")
    if len(data) != size:
        more = "more than" if len(data) > size else f"{len(data):,} instead of"
        return Refusal("broken-member", f"it unpacks to {more} the {size:,} bytes it claims")
    if zlib.crc32(data) != crc:
        return Refusal("broken-member", f"its checksum is {zlib.crc32(data):08x} instead of {crc:08x}")
    return data


def _rest(looked_at: int, claimed: int) -> Entry:
    left = f"{claimed - looked_at:,} of {claimed:,} were" if claimed > looked_at else "others were"
    detail = f"archives.maximum_members is {looked_at:,}; {left} not looked at"
    return Entry(END, None, "", "too-many-members", detail)
