"""Progress of long work: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")
_SECONDS_BETWEEN_LINES = 15.0


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield `items`, showing on standard error how far the work is.

    Args:
        items: what is worked through.
        description: a few words, such as "ingest landscape-pictures".
        total: number of items, where `items` has no length of its own.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr.isatty():
        yield from _with_bar(items, description, total)
    else:
        yield from _with_lines(items, description, total)


def _with_bar(items: Iterable[T], description: str, total: int | None) -> Iterator[T]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
        yield from progress.track(items, total=total, description=description)


def _with_lines(items: Iterable[T], description: str, total: int | None) -> Iterator[T]:
    last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            print(f"{description}: {done}" + (f" of {total}" if total else ""), file=sys.stderr, flush=True)
