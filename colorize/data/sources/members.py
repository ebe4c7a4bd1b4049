"""What a file of a source may be called and how much it may unpack to: the rules that all archive formats share."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from colorize.data.sources import SourceError
from colorize.settings.sections import ArchiveSettings

END: Final = "(end of archive)"
"""Path of the row that says why the rest of an archive was not looked at."""

_NO_NAME: Final = "(no name)"
_MAXIMUM_NAME: Final = 4096  # bytes: what Linux takes as a path
_SHOWN: Final = 255  # characters shown of a name that is longer than that
_SMALL: Final = 64 * 1024  # bytes: tiny files of one colour shrink more than any ratio for real photos allows
# Control characters, line separators, marks that turn the direction of text round, and bytes that are no UTF-8
# (surrogates, after `os.fsdecode`): all of them make a log or a terminal show something else than what is there.
_ODD: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_DRIVE: Final = re.compile("[A-Za-z]:")


class BrokenArchiveError(SourceError):
    """An archive is unusable as a whole: damaged, a bomb, or of a kind that is not read.

    Args:
        reason: short kebab-case, for counting, such as "truncated-archive".
        message: names the archive, what is wrong, and the way out.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a file is not handed out; see `Entry.refused` and `Entry.detail`."""

    reason: str
    detail: str


def printable(name: str) -> str:
    """A name as valid UTF-8 that can be printed: odd characters and bytes as \\xNN, very long names cut."""
    if not name:
        return _NO_NAME
    shown = name if len(name) <= _MAXIMUM_NAME else f"{name[:_SHOWN]}…"
    return _ODD.sub(lambda match: _escaped(match[0]), shown)


def odd_name(name: str) -> Refusal | None:
    """Why a name cannot be kept as it is, whatever folder it is in.

    Args:
        name: text in which each byte that is not UTF-8 is a surrogate, as `os.fsdecode` gives it.
    """
    if not name:
        return Refusal("odd-name", "the name is empty")
    if (length := len(name.encode(errors="surrogateescape"))) > _MAXIMUM_NAME:
        return Refusal("odd-name", f"the name is {length} bytes long; {_MAXIMUM_NAME} are read at most")
    if (match := _ODD.search(name)) is not None:
        what = "a byte that is not UTF-8" if 0xD800 <= ord(match[0]) <= 0xDFFF else "a control character"
        return Refusal("odd-name", f"the name holds {what}: {_escaped(match[0])}")
    return None


def safe_path(name: str) -> str | Refusal:
    """The path of a member inside the dataset.

    `\\` separates folders just as `/` does, because programs for Windows write it so; `.` and empty parts are dropped.

    Args:
        name: as in the archive; see `odd_name`.
    """
    if (odd := odd_name(name)) is not None:
        return odd
    path = name.replace("\\", "/")
    if path.startswith("/") or _DRIVE.match(path):
        return Refusal("unsafe-path", "the name is absolute; members are named relative to the archive")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        return Refusal("unsafe-path", "the name leads out of the archive by '..'")
    return "/".join(parts) if parts else Refusal("unsafe-path", "the name means the archive's own folder")


@dataclass(slots=True)
class Gate:
    """Judges the members of one archive in the order of their rows.

    Attributes:
        limits: what an archive may ask for.
    """

    limits: ArchiveSettings
    # 60 bits of a digest instead of the name: some 80 bytes a member. Whoever makes two names collide on purpose
    # gets one of his own members refused.
    _names: set[int] = field(default_factory=set)
    _total: int = 0

    def duplicate(self, path: str) -> Refusal | None:
        """Note a path; refuse it when an earlier member had it, whatever became of that one."""
        digest = int.from_bytes(hashlib.blake2b(path.encode(), digest_size=8).digest()) >> 4
        if digest in self._names:
            return Refusal("duplicate-name", "an earlier member bears this name; the first one counts")
        self._names.add(digest)
        return None

    def bomb(self, size: int, packed: int) -> Refusal | None:
        """Refuse a member that unpacks to too much, by itself or with those let through before; else count it in.

        Args:
            size: bytes unpacked, as the archive declares; reading stops there.
            packed: bytes in the archive.
        """
        if size > _SMALL and size > self.limits.maximum_ratio * packed:
            ratio = f"{size / packed:,.0f} times" if packed else "infinitely"
            return Refusal(
                "bomb-ratio",
                f"{packed:,} bytes claim to unpack to {size:,}: {ratio} as many, and archives.maximum_ratio allows "
                f"{self.limits.maximum_ratio:g} times",
            )
        if self._total + size > self.limits.maximum_bytes:
            return Refusal(
                "bomb-total",
                f"{size:,} bytes on top of the {self._total:,} of members before it are more than the "
                f"{self.limits.maximum_bytes:,} of archives.maximum_bytes",
            )
        self._total += size
        return None


@contextmanager
def open_archive(path: Path, buffering: int = 0) -> Iterator[BinaryIO]:
    """Open an archive for reading; trouble of the disk inside the block speaks of the whole archive, too.

    Args:
        path: of a regular file. A FIFO, which could make the caller wait for ever, is refused.
        buffering: bytes read ahead; 0 for none.

    Raises:
        SourceError: it is gone, is no regular file, or cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise SourceError(f"{path} is no regular file; expected a zip, tar or tar.gz archive")
        with os.fdopen(descriptor, "rb", buffering) as file:
            yield file
    except FileNotFoundError as error:
        raise SourceError(f"{path} does not exist; bring it back or correct 'source'") from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}); check its disk and permissions") from error


def read_at(descriptor: int, offset: int, size: int) -> bytes:
    """Up to `size` bytes at `offset`, fewer only where the file ends; any number of threads may share a descriptor."""
    data = os.pread(descriptor, size, offset)
    if len(data) == size or not data:
        return data
    pieces, have = [data], len(data)
    while have < size and (more := os.pread(descriptor, size - have, offset + have)):
        pieces.append(more)
        have += len(more)
    return b"".join(pieces)


def identity(status: os.stat_result) -> str:
    """Tells one state of a file from the next: size and time of the last change."""
    return f"{status.st_size}-{status.st_mtime_ns}"


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
