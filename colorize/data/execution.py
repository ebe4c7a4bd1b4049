"""Work spread over all cores, of this machine or of a Ray cluster: results in the order of the inputs."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import multiprocessing.process
import os
import shlex
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from itertools import islice
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any, Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")

RAY_RETRIES: Final = 3
"""So often Ray runs a task again whose worker or node died; what the function itself raises is never tried again."""
_CHUNKS_AHEAD: Final = 3  # per worker
_SECONDS_TO_CONNECT: Final = 10.0
_NO_IMPORT: Final = "The remote function failed to import"  # how Ray begins to say so
_LONGEST_TEMPORARY_FOLDER: Final = 65  # characters


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


def check_ray_address(address: str | None) -> str | None:
    """The address of the Ray cluster to join; None when there is none.

    Raises:
        ValueError: a kind of address that long work cannot be driven through; the message says why and what to do.
    """
    if address and address.startswith("ray://"):
        raise ValueError(
            f"RAY_ADDRESS={address}: a ray:// connection ends a run after 30 s without network; run this on the "
            "cluster with RAY_ADDRESS=auto"
        )
    if address and address.startswith(("http://", "https://")):
        command = shlex.join(["python", *sys.orig_argv[1:]])
        raise ValueError(
            f"RAY_ADDRESS={address} is where Ray takes jobs: `ray job submit --address {address} -- {command}` runs "
            "this there"
        )
    return address or None


def map_ordered(
    function: Callable[[T], R],
    items: Iterable[T],
    workers: int | None = None,
    chunk: int = 4,
    cluster: bool = True,
) -> Generator[R, None, None]:
    """Yield `function(item)` for every item, in the order of the items.

    With RAY_ADDRESS set to a cluster, the items are worked on by Ray tasks of one CPU each, in the working folder of
    this process where a node has it; else by processes of this machine. At most three chunks per worker are under way
    or waiting to be fetched, so memory is bounded however many items there are; `items` is drawn from as results are
    taken. Closing the generator ends what is under way, unless this process was connected to the cluster before.

    Args:
        function: a function of a module, so that another process can import it; with one worker it runs in here.
        items: inputs that can be pickled.
        workers: processes; None asks `worker_count`, or takes all CPUs of the cluster.
        chunk: items handed over at a time.
        cluster: False: on this machine, whatever RAY_ADDRESS says.

    Raises:
        ValueError: RAY_ADDRESS is of a kind that cannot be used.
        ConnectionError: no cluster answers at RAY_ADDRESS, or its nodes lack this package.
        WorkerDiedError: a worker process was killed or crashed; on a cluster, after `RAY_RETRIES` further attempts.
        Exception: whatever `function` raised for an item, when that item's turn comes.
    """
    address = check_ray_address(os.environ.get("RAY_ADDRESS")) if cluster else None
    on_cluster = address is not None and address != "local"
    if workers is None and not on_cluster:
        workers = worker_count()
    if workers == 1:
        yield from map(function, items)
    elif address is not None and on_cluster:
        yield from _on_ray(function, items, address, workers, chunk)
    else:
        assert workers is not None
        yield from _in_processes(function, items, workers, chunk)


def fork_server() -> ForkServerContext:
    """The way in which all processes are started here: not forked from this one, whose threads hold locks.

    multiprocessing puts its sockets some 35 characters below the temporary folder, and the path of a socket may have
    107: where TMPDIR is a long one, as on many clusters, they go to /tmp.
    """
    configuration: dict[str, Any] = multiprocessing.process.current_process()._config  # type: ignore[attr-defined]
    if "tempdir" not in configuration and len(tempfile.gettempdir()) > _LONGEST_TEMPORARY_FOLDER:
        folder = tempfile.mkdtemp(prefix="pymp-", dir="/tmp")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        configuration["tempdir"] = folder
    return multiprocessing.get_context("forkserver")


def _in_processes(function: Callable[[T], R], items: Iterable[T], workers: int, chunk: int) -> Generator[R, None, None]:
    # Forking this process would copy locks that its threads (progress bar, Arrow) hold; the fork server has none.
    context = fork_server()
    context.set_forkserver_preload([getattr(function, "func", function).__module__])  # func: that of a partial
    source = iter(items)
    executor = ProcessPoolExecutor(workers, mp_context=context, initializer=prepare_child)
    waiting: deque[Future[list[R]]] = deque()
    try:
        while True:
            while len(waiting) < _CHUNKS_AHEAD * workers and (some := list(islice(source, chunk))):
                waiting.append(executor.submit(_apply, function, some))
            if not waiting:
                return
            yield from waiting.popleft().result()
    except BrokenProcessPool as error:
        raise WorkerDiedError(
            "a worker process was killed or crashed, most often for want of memory; "
            f"what is complete is kept. Try fewer than {workers} with COLORIZE_WORKERS=1"
        ) from error
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _on_ray(
    function: Callable[[T], R], items: Iterable[T], address: str, workers: int | None, chunk: int
) -> Generator[R, None, None]:
    import ray
    from ray.exceptions import (
        NodeDiedError,
        ObjectLostError,
        OutOfMemoryError,
        RaySystemError,
        RayTaskError,
        WorkerCrashedError,
    )

    with _joined(address):
        if workers is None:
            workers = max(1, int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]
        task: Any = ray.remote(num_cpus=1, max_retries=RAY_RETRIES)(_apply_in)
        folder = str(Path.cwd())
        source = iter(items)
        waiting: deque[ray.ObjectRef[list[R]]] = deque()
        try:
            while True:
                while len(waiting) < _CHUNKS_AHEAD * workers and (some := list(islice(source, chunk))):
                    waiting.append(task.remote(folder, function, some))
                if not waiting:
                    return
                yield from ray.get(waiting.popleft())
        except RayTaskError as error:
            if isinstance(error.cause, RaySystemError) or str(error.cause).startswith(_NO_IMPORT):
                missing = str(error).strip().splitlines()[-1]
                raise ConnectionError(
                    f"RAY_ADDRESS={address}: a node of this cluster cannot import what the work needs; install the "
                    f"same version of this package and its locked dependencies on every node. {missing}"
                ) from error
            raise (error.cause if isinstance(error.cause, Exception) else error) from error
        except (WorkerCrashedError, NodeDiedError, OutOfMemoryError, ObjectLostError) as error:
            raise WorkerDiedError(
                f"a worker or a node of the Ray cluster died, {1 + RAY_RETRIES} times for the same work, most often "
                f"for want of memory: {error}"
            ) from error


@contextmanager
def _joined(address: str) -> Iterator[None]:
    """Be connected to the cluster. When the connection ends, Ray ends all that was begun over it.

    That is how work is called off: `ray.cancel` can crash this process when a task finishes at that very moment (Ray
    2.60, "Tried to complete task that was not pending"). Over a connection that somebody else made, work goes on.
    """
    import ray

    if ray.is_initialized():
        yield
        return
    logging.getLogger("ray").setLevel(logging.ERROR)
    host, _, port = address.rpartition(":")
    try:
        if host and port.isdecimal():  # Ray itself would try for minutes
            socket.create_connection((host.strip("[]"), int(port)), _SECONDS_TO_CONNECT).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError) as error:
        raise ConnectionError(
            f"RAY_ADDRESS={address}: no Ray cluster can be joined there ({error}); start one, or unset RAY_ADDRESS to "
            "work on this machine"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _apply(function: Callable[[T], R], items: list[T]) -> list[R]:
    return [function(item) for item in items]


def _apply_in(folder: str, function: Callable[[T], R], items: list[T]) -> list[R]:
    with suppress(OSError):  # a node that does not share our storage has no such folder
        os.chdir(folder)
    return _apply(function, items)


def prepare_child() -> None:
    """In a child process: leave Ctrl-C to the parent, and end when it is killed instead of waiting for work forever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
