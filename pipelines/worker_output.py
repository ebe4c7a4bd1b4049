"""What a training worker says, in a file of its run: also what C code writes and why it failed."""

from __future__ import annotations

import os
import socket
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path


@contextmanager
def worker_output(path: Path, title: str) -> Iterator[None]:
    """Have this process's standard output and standard error appended to a file, with a line that says where it runs.

    An exception is written there, too, and goes on its way.

    Args:
        path: the file; folders are made.
        title: what begins here.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", buffering=1, encoding="utf-8") as file:
        saved = [(number, os.dup(number)) for number in (1, 2)]
        try:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            for number, _ in saved:
                os.dup2(file.fileno(), number)
            # Ray's own objects for the two streams write elsewhere than to the numbers 1 and 2.
            with redirect_stdout(file), redirect_stderr(file):
                began = datetime.now(UTC).isoformat(timespec="seconds")
                file.write(f"--- {began} {title} on {socket.gethostname()}, process {os.getpid()}\n")
                try:
                    yield
                except BaseException:
                    file.write(traceback.format_exc())
                    raise
        finally:
            for number, copy in saved:
                os.dup2(copy, number)
                os.close(copy)
