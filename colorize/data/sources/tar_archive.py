"""Tar archives: one walk over the headers, which reads no data and believes no number.

Formats: POSIX.1-2017 pax and ustar, and GNU tar's long names. `tarfile` lends the reading of one header's numbers and
checksum; its walk keeps an object for every member and reads extended headers of any size.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from colorize.data.sources import Entry, PhotoUnavailableError
from colorize.data.sources.members import (
    END,
    BrokenArchiveError,
    Gate,
    Refusal,
    open_archive,
    printable,
    read_at,
    safe_path,
)
from colorize.settings.sections import ArchiveSettings

BLOCK: Final = 512
_MAXIMUM_EXTENDED: Final = 2**20  # bytes of one extended header
_MAXIMUM_EXTENDED_HEADERS: Final = 16  # for one member
_LONG_NAME, _LONG_LINK, _PAX, _SOLARIS_PAX, _PAX_GLOBAL = b"L", b"K", b"x", b"X", b"g"
_EXTENDED: Final = (_LONG_NAME, _LONG_LINK, _PAX, _SOLARIS_PAX, _PAX_GLOBAL)
_REGULAR: Final = (b"0", b"\0", b"7")
_LINKS: Final = {b"1": "hard", b"2": "symbolic"}
_FOLDERS: Final = (b"5", b"D", b"V")  # and GNU's lists of a folder's files, and its label of the archive
_SPARSE: Final = b"S"
_WITHOUT_DATA: Final = (b"1", b"2", b"3", b"4", b"5", b"6")
_SPARSE_KEY: Final = b"GNU.sparse."


@dataclass(slots=True)
class _Extended:
    """What the headers before a member say about it. `odd` is why they cannot be used."""

    number: int = 0
    name: bytes | None = None
    values: dict[bytes, bytes] = field(default_factory=dict)
    odd: str | None = None


def starts_like_tar(block: bytes) -> bool:
    """Whether a file that begins with these 512 bytes is a tar archive; an empty one begins with zeros."""
    if len(block) != BLOCK:
        return False
    return not any(block) or _header(block) is not None


def list_tar(path: Path, state: str, limits: ArchiveSettings, kind: str) -> Iterator[Entry]:
    """Every member but folders. Memory: some 80 bytes a member, for duplicate names.

    Args:
        path: the plain tar.
        state: identity of the archive, which the members' versions bear: that of `path`, or of the .tar.gz it was in.
        limits: what the archive may ask for.
        kind: first word of the locators.

    Raises:
        BrokenArchiveError: it does not begin like a tar.
        SourceError: a file cannot be read.
    """
    gate = Gate(limits)
    number = 0
    for name, header, offset, refusal in _members(path):
        if refusal is not None and refusal.reason in ("truncated-archive", "broken-archive"):
            yield Entry(printable(name), None, "", refusal.reason, refusal.detail)
            return
        number += 1
        if number > limits.maximum_members:
            detail = f"archives.maximum_members is {limits.maximum_members:,}; others follow, how many is not known"
            yield Entry(END, None, "", "too-many-members", detail)
            return
        if header.type in _FOLDERS or (name.endswith(("/", "\\")) and not header.size):
            continue
        safe = safe_path(name)
        if isinstance(safe, Refusal):
            refused: Refusal | None = safe
        else:
            refused = gate.duplicate(safe) or refusal or _refusal(name, header) or gate.bomb(header.size, header.size)
        version, locator = f"{offset}-{state}", f"{kind} {offset}"
        if refused is None and isinstance(safe, str):
            yield Entry(safe, header.size, version, locator=locator)
        elif refused is not None:
            yield Entry(printable(name), header.size, version, refused.reason, refused.detail, locator)


def read_tar(file: BinaryIO, entry: Entry) -> bytes:
    """The bytes of one member, from where they were when it was listed.

    Raises:
        PhotoUnavailableError: "broken-member": the archive ends before.
    """
    size = entry.size or 0
    data = read_at(file.fileno(), int(entry.locator.split(" ")[1]), size)
    if len(data) != size:
        raise PhotoUnavailableError("broken-member", f"{len(data):,} of {size:,} bytes are there; the archive is cut")
    return data


def _members(path: Path) -> Iterator[tuple[str, tarfile.TarInfo, int, Refusal | None]]:
    """Name, header, offset of the data, and what is wrong, of each member; the last one may say why no more come."""
    with open_archive(path) as file:
        descriptor = file.fileno()
        length = os.fstat(descriptor).st_size
        position = 0
        shared: dict[bytes, bytes] = {}
        extended = _Extended()
        while True:
            block = read_at(descriptor, position, BLOCK)
            if len(block) == BLOCK and not any(block):
                return
            header = _header(block) if len(block) == BLOCK else None
            if header is None:
                refusal = _cannot_go_on(block, position)
                if position == 0:
                    raise BrokenArchiveError(
                        refusal.reason, f"{path} cannot be read as a tar: {refusal.detail}; get it again"
                    )
                yield END, tarfile.TarInfo(), position, refusal
                return
            position += BLOCK
            if header.type in _EXTENDED:
                _take(extended, shared, header, descriptor, position)
                position += _padded(header.size)
                continue
            name, problem = _described(block, header, extended, shared)
            extended = _Extended()
            if header.type == _SPARSE:
                position = _after_sparse_map(descriptor, position, block)
            with_data = header.type not in _WITHOUT_DATA
            if with_data and position + header.size > length:
                detail = f"{header.size:,} bytes should follow; the archive ends after {max(length - position, 0):,}"
                yield name, header, position, Refusal("truncated-archive", detail)
                return
            yield name, header, position, problem
            if with_data:
                position += _padded(header.size)


def _header(block: bytes) -> tarfile.TarInfo | None:
    """The numbers of one header; None when its checksum is wrong or its size is no size."""
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return None
    return header if 0 <= header.size < 1 << 63 else None


def _cannot_go_on(block: bytes, position: int) -> Refusal:
    if not block:
        return Refusal("truncated-archive", "the mark of the archive's end is missing; members may be missing, too")
    if len(block) < BLOCK:
        return Refusal("truncated-archive", f"the archive ends inside a header, at byte {position + len(block):,}")
    return Refusal("broken-archive", f"no header of a member at byte {position:,}; nothing behind can be found")


def _take(
    extended: _Extended, shared: dict[bytes, bytes], header: tarfile.TarInfo, descriptor: int, position: int
) -> None:
    """Note what an extended header says about the next member, or about all that follow."""
    extended.number += 1
    if header.size > _MAXIMUM_EXTENDED:
        extended.odd = f"an extended header is {header.size:,} bytes long; {_MAXIMUM_EXTENDED:,} are read at most"
    elif extended.number > _MAXIMUM_EXTENDED_HEADERS:
        extended.odd = f"more than {_MAXIMUM_EXTENDED_HEADERS} extended headers describe it"
    elif header.type == _LONG_NAME:
        extended.name = read_at(descriptor, position, header.size).split(b"\0", 1)[0]
    elif header.type != _LONG_LINK:
        values = shared if header.type == _PAX_GLOBAL else extended.values
        if not _pax(read_at(descriptor, position, header.size), values):
            extended.odd = "an extended header is damaged"


def _pax(data: bytes, values: dict[bytes, bytes]) -> bool:
    """Note the records (`length keyword=value` and a newline) that matter here; False when they are malformed."""
    position = 0
    while position < len(data) and data[position]:  # some writers fill up with zeros
        space = data.find(b" ", position, position + 20)
        digits = data[position:space] if space > 0 else b""
        end = position + int(digits) if digits.isdigit() else 0
        if end <= space or end > len(data) or data[end - 1 : end] != b"\n":
            return False
        keyword, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals:
            return False
        if keyword in (b"path", b"size") or keyword.startswith(_SPARSE_KEY):
            values[keyword if keyword in (b"path", b"size", _SPARSE_KEY + b"name") else _SPARSE_KEY] = value
        position = end
    return True


def _described(
    block: bytes, header: tarfile.TarInfo, extended: _Extended, shared: dict[bytes, bytes]
) -> tuple[str, Refusal | None]:
    """The member's name, and what is wrong with what its headers say; an extended size is put into the header."""
    values = {key: value for key, value in {**shared, **extended.values}.items() if value}  # empty: as if not given
    name = block[:100].split(b"\0", 1)[0]
    if block[257:263] == b"ustar\0" and (prefix := block[345:500].split(b"\0", 1)[0]):
        name = prefix + b"/" + name
    name = values.get(_SPARSE_KEY + b"name") or values.get(b"path") or extended.name or name
    problem = None if extended.odd is None else Refusal("odd-header", extended.odd)
    if (size := values.get(b"size")) is not None:
        if size.isdigit() and len(size) < 19:
            header.size = int(size)
        else:
            problem = problem or Refusal("odd-header", "its size in an extended header is no number")
    if header.type == _SPARSE or any(key.startswith(_SPARSE_KEY) for key in values):
        problem = problem or Refusal("sparse", "a file with holes, stored without them; pack it without --sparse")
    return name.decode(errors="surrogateescape"), problem


def _after_sparse_map(descriptor: int, position: int, block: bytes) -> int:
    """Skip the blocks in which the list of a sparse file's pieces goes on."""
    more = block[482]
    while more and len(block := read_at(descriptor, position, BLOCK)) == BLOCK:
        more = block[504]
        position += BLOCK
    return position


def _refusal(name: str, header: tarfile.TarInfo) -> Refusal | None:
    if header.type in _LINKS:
        return Refusal("link", f"a {_LINKS[header.type]} link; links in archives are not followed")
    if header.type not in _REGULAR:
        return Refusal(
            "special-file", f"no regular file: a device, FIFO or type {printable(header.type.decode('latin-1'))}"
        )
    if name.endswith(("/", "\\")):
        return Refusal("odd-name", f"it is called a folder, and {header.size:,} bytes belong to it")
    return None


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
