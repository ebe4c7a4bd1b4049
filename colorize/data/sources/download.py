"""One file from a web server to the disk, over lines that break: resumed, checked, and counted as it arrives."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from colorize.data.sources import SourceError
from colorize.data.sources.web import (
    Offer,
    is_transient,
    offer_of,
    open_session,
    request,
    require_status,
    start_of,
    whole_number,
)
from colorize.retry import TransientError, base_seconds, with_retries
from colorize.storage import write_json

if TYPE_CHECKING:
    from requests import Response, Session

_PIECE = 2**20
_SYNCHRONISE_EVERY = 32 * 2**20
_SECONDS_BETWEEN_LINES = 15.0


def transfer(url: str, part: Path, maximum: int) -> Offer:
    """Bring `part` to the whole file, going on where an earlier call, also a killed one, stopped.

    What belongs to an older version of the file is not kept. The attempts of the retry budget count from the last
    byte that had not been there before, so a line that breaks often does not fail as long as it delivers. Beside
    `part` lies a `.json` that says which version of the file it is.

    Args:
        url: https address.
        part: file for what has arrived; its folder is made.
        maximum: bytes; a larger file is refused.

    Returns:
        The offer that the bytes belong to, with their number.

    Raises:
        SourceUnavailableError: no new byte after all attempts; `part` is kept.
        SourceError: the server refuses, the file is too large for `maximum` or for the disk, or another process is
            downloading it.
        OSError: the disk is full or cannot be written to; `part` is kept.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    part.touch()
    with part.open("r+b") as file, open_session() as session, _shown(part.stem) as show:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SourceError(f"{url}: another process is downloading it; run again when that one is done") from error
        running = _Transfer(session, url, file, state_of(part), maximum, show)
        while not with_retries(running.attempt, url, is_transient):
            time.sleep(base_seconds())
        return running.offer


def state_of(part: Path) -> Path:
    """The file beside a partial download that says what it is a part of."""
    return part.with_name(f"{part.name}.json")


@dataclass
class _Transfer:
    """A running download.

    Attributes:
        offer: what `file` holds the beginning of.
        farthest: bytes of the file that have arrived at best, so that an attempt can tell whether it got farther.
    """

    session: Session
    url: str
    file: BinaryIO
    state: Path
    maximum: int
    show: Callable[[int, int | None], None]
    offer: Offer = field(init=False)
    farthest: int = field(init=False)

    def __post_init__(self) -> None:
        self.offer = _read_offer(self.state)
        self.farthest = self._held()

    def attempt(self) -> bool:
        """Receive what can be received: True when the file is whole, False when it grew before the line broke."""
        before = self.farthest
        try:
            self._receive()
        except TransientError:
            if self.farthest > before:
                return False
            raise
        finally:
            self.file.flush()
            os.fsync(self.file.fileno())
        return True

    def _receive(self) -> None:
        held = self._held()
        asked = {"Range": f"bytes={held}-", "If-Range": str(self.offer.validator())} if held else {}
        with request(self.session, "GET", self.url, asked) as response:
            if response.status_code == 416:
                self._begin(Offer())
                raise TransientError("the server has nothing from where the download stopped")
            require_status(self.url, response)
            offer, start = offer_of(response), start_of(response)
            if start not in (0, held) or (start and offer.differs(self.offer)):
                self._begin(Offer())
                raise TransientError("the server went on at another place or with another file")
            if offer.size is None and response.headers.get("Transfer-Encoding", "").lower() != "chunked":
                raise SourceError(f"{self.url}: the server does not say how long the file is, so a cut would not show")
            if start == 0:
                self._begin(offer)
            if offer.size is not None:
                self._require_room(offer.size, offer.size - start)
            end = self._write(response, start)
        if offer.size is not None and end != offer.size:
            raise TransientError(f"the answer ended after {end:,} of {offer.size:,} bytes")
        self.offer = replace(self.offer, size=end)
        write_json(self.state, asdict(self.offer))

    def _held(self) -> int:
        """Bytes that need not come again. Of a whole file the last one does: its answer says whether all is well."""
        size = self.file.seek(0, os.SEEK_END)
        if self.offer.validator() is None or (self.offer.size is not None and size > self.offer.size):
            return 0
        return size if self.offer.size is None else max(0, min(size, self.offer.size - 1))

    def _begin(self, offer: Offer) -> None:
        """Forget what is there, and in this order: a kill in between must not marry old bytes to the new version."""
        self.file.seek(0)
        self.file.truncate()
        self.offer = offer
        write_json(self.state, asdict(offer))

    def _require_room(self, size: int, missing: int) -> None:
        if size > self.maximum:
            raise SourceError(
                f"{self.url}: {size:,} bytes or more; archives.maximum_bytes in params.yaml allows {self.maximum:,}"
            )
        free = shutil.disk_usage(self.state.parent).free
        if missing > free:
            raise SourceError(
                f"{self.url}: {missing:,} bytes are to come, but {self.state.parent} has room for {free:,}; "
                "free some space and run again"
            )

    def _write(self, response: Response, start: int) -> int:
        """Put the body into the file from `start` on; returns where it ended."""
        self.file.seek(start)
        self.file.truncate()
        position, synchronised = start, start
        promised = whole_number(response.headers.get("Content-Length"))
        end = None if promised is None else start + promised
        while end is None or position < end:
            # One read of the socket at a time: a larger one would lose what came before the line broke.
            piece = response.raw.read1(_PIECE if end is None else min(_PIECE, end - position), decode_content=False)
            if not piece:
                break
            self.file.write(piece)
            position += len(piece)
            self.farthest = max(self.farthest, position)
            self.show(position, self.offer.size)
            if position - synchronised >= _SYNCHRONISE_EVERY:
                if self.offer.size is None:
                    self._require_room(position, 0)
                self.file.flush()
                os.fsync(self.file.fileno())
                synchronised = position
        return position


def _read_offer(state: Path) -> Offer:
    """What was written beside a partial download; nothing if it is missing or spoilt: the download begins again."""
    try:
        return Offer(**json.loads(state.read_bytes()))
    except (OSError, ValueError, TypeError):
        return Offer()


@contextmanager
def _shown(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show bytes on standard error: a bar on a terminal, a line now and then in a log."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.progress import TransferSpeedColumn as Speed

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), Speed(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(name, total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total)
        return
    last = time.monotonic()

    def line(done: int, total: int | None) -> None:
        nonlocal last
        if time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            of = f" of {total / 2**20:,.0f}" if total else ""
            print(f"download {name}: {done / 2**20:,.0f}{of} MiB", file=sys.stderr, flush=True)

    yield line
