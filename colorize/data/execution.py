"""Work spread over all cores: results in the order of the inputs, whatever the number of workers."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.connection import wait
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


class WorkerDiedError(ChildProcessError):
    """A worker process was killed or crashed before it handed back its result."""


def worker_count() -> int:
    """Number of worker processes: COLORIZE_WORKERS, else the CPUs this process may use.

    Raises:
        ValueError: COLORIZE_WORKERS is no whole number above 0.
    """
    text = os.environ.get("COLORIZE_WORKERS")
    if text is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"COLORIZE_WORKERS is {text!r}: expected a whole number above 0, or leave it unset")
    return int(text)


def map_ordered(
    function: Callable[[T], R], items: Iterable[T], workers: int | None = None, chunk: int = 4
) -> Generator[R, None, None]:
    """Yield `function(item)` for every item, in the order of the items.

    At most three chunks per worker are under way or waiting to be fetched, so memory is bounded however many items
    there are; `items` is drawn from as results are taken.

    Args:
        function: a function of a module, so that another process can import it; with one worker it runs in here.
        items: inputs that can be pickled.
        workers: processes; None asks `worker_count`.
        chunk: items handed over at a time.

    Raises:
        WorkerDiedError: a worker process was killed or crashed.
        Exception: whatever `function` raised for an item, when that item's turn comes.
    """
    workers = worker_count() if workers is None else workers
    if workers == 1:
        yield from map(function, items)
        return
    # Forking this process would copy locks that its threads (progress bar, Arrow) hold; the fork server has none.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([getattr(function, "func", function).__module__])  # func: that of a partial
    source = iter(items)
    executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    waiting: deque[Future[list[R]]] = deque()
    try:
        while True:
            while len(waiting) < 3 * workers and (some := list(islice(source, chunk))):
                waiting.append(executor.submit(_apply, function, some))
            if not waiting:
                return
            yield from waiting.popleft().result()
    except BrokenProcessPool as error:
        raise WorkerDiedError(
            "a worker process was killed or crashed, most often for want of memory; "
            f"nothing was kept. Try fewer than {workers} with COLORIZE_WORKERS=1"
        ) from error
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _apply(function: Callable[[T], R], items: list[T]) -> list[R]:
    return [function(item) for item in items]


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and end when the parent is killed instead of waiting for work forever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
