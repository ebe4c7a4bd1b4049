"""Bytes that may mean harm are looked at in a process that may die: a crash or a hang becomes an error to catch.

What this contains is accidents of decoders: the child has limits on CPU time and memory, and what comes back is JSON,
never a pickle. It does not take rights away from the child; it runs as the same user.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import signal
import sys
import threading
import traceback
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

import psutil

from colorize.data.execution import fork_server, prepare_child

_LONGEST_ANSWER = 64 * 2**20  # bytes
_KEPT = 31 * 2**20  # bytes; glibc's own limit for this is 32 MiB
_SECONDS_TO_START = 120.0
_SECONDS_TO_END = 10.0
_NOT_STARTED = "the process that decodes photos could not be started"
_main_lock = threading.Lock()


class SandboxError(Exception):
    """The child died, or had to be ended, over these bytes.

    Attributes:
        reason: "decoder-crash" or "decoder-timeout".
        detail: a sentence for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type[SandboxError], tuple[str, str]]:
        return SandboxError, (self.reason, self.detail)


class _DiedError(Exception):
    """The child ended without an answer."""


@dataclass(frozen=True, slots=True)
class _Child:
    process: ForkServerProcess
    connection: Connection


class Sandbox:
    """Applies a function to bytes in one child process, and starts another when that one died.

    To be used with `with`, and from one thread at a time. The child starts at the first call and ends with the block,
    and when this process is killed.
    """

    def __init__(self, function: Callable[[bytes], dict[str, Any]], seconds: float, memory: int) -> None:
        """Prepare a sandbox; nothing is started yet.

        Args:
            function: a function of a module, or a `functools.partial` of one; what it returns must be fit for JSON. It
                should turn a MemoryError into an answer. Its module should be quick to import: the child does.
            seconds: of CPU time, for one call.
            memory: bytes of address space that the child may take beyond what it has at its start.

        Raises:
            ValueError: the function is one of the main module, which the child does not import.
        """
        self._module: str = getattr(function, "func", function).__module__  # func: that of a partial
        if self._module == "__main__":
            raise ValueError(f"{function!r} is defined in the main module; a sandbox needs one of an importable module")
        self._function = pickle.dumps(function)
        self._seconds = seconds
        self._memory = memory
        # Far beyond what a loaded machine needs for the CPU time: only what waits without computing gets there.
        self._wall_seconds = 10 * seconds + 60
        self._child: _Child | None = None

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __call__(self, data: bytes) -> dict[str, Any]:
        """What the function makes of `data`.

        A child that dies is given the same bytes once more in its next life, since the kernel may have killed it for
        want of memory, whosever fault that was. One that used up its CPU time is not: it would again.

        Raises:
            SandboxError: these bytes crash, hang or outgrow the child.
            RuntimeError: the function raised an exception, or the child could not be started.
        """
        try:
            answer = self._ask(data)
        except _DiedError:
            try:
                answer = self._ask(data)
            except _DiedError as error:
                raise SandboxError("decoder-crash", f"the decoder died twice: {error}") from None
        if "memory" in answer:
            raise SandboxError("decoder-crash", f"the decoder asked for more than {self._memory / 2**20:.0f} MiB")
        if "error" in answer:
            raise RuntimeError(f"in the sandbox: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def close(self) -> None:
        """End the child, whatever it is doing."""
        self._end(patience=0)

    def _ask(self, data: bytes) -> dict[str, Any]:
        if self._child is None:
            self._child = self._start()
        connection = self._child.connection
        try:
            connection.send_bytes(data)
            answered = connection.poll(self._wall_seconds)
            answer = _understood(connection.recv_bytes(_LONGEST_ANSWER)) if answered else None
        except (OSError, EOFError, ValueError, RecursionError):  # gone, or no longer speaking our language
            code = self._end(patience=_SECONDS_TO_END)
            if code == -signal.SIGPROF:
                raise SandboxError("decoder-timeout", f"more than {self._seconds:g} s of CPU time") from None
            raise _DiedError(_in_words(code)) from None
        except BaseException:  # Ctrl-C while waiting: what the child answers later belongs to no call
            self.close()
            raise
        if answer is None:
            self.close()
            raise SandboxError("decoder-timeout", f"no answer for {self._wall_seconds:.0f} s, and little computing")
        return answer

    def _start(self) -> _Child:
        try:
            return self._start_once()
        except _DiedError:  # killed for want of memory, perhaps; no bytes have a part in it
            pass
        try:
            return self._start_once()
        except _DiedError as error:
            raise RuntimeError(f"{_NOT_STARTED}: {error}, twice") from None

    def _start_once(self) -> _Child:
        # Forking this process would copy locks that its threads hold; the fork server has none.
        context = fork_server()
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_serve, args=(theirs, self._function, self._seconds, self._memory), name="sandbox", daemon=True
        )
        with _without_main():
            context.set_forkserver_preload([__name__, self._module])
            try:
                process.start()
            except (OSError, EOFError) as error:  # the fork server died over its imports, or there is no room for it
                raise RuntimeError(f"{_NOT_STARTED}: {error or 'its fork server died'}") from error
        theirs.close()
        self._child = _Child(process, ours)
        try:
            problem = ours.recv_bytes().decode() if ours.poll(_SECONDS_TO_START) else "it does not answer"
        except (OSError, EOFError):
            code = self._end(patience=_SECONDS_TO_END)
            if code is not None and code < 0:
                raise _DiedError(_in_words(code)) from None
            problem = _in_words(code)
        except BaseException:
            self.close()
            raise
        if problem:
            self.close()
            raise RuntimeError(f"{_NOT_STARTED}: {problem}")
        return self._child

    def _end(self, patience: float) -> int | None:
        """Wait so many seconds for the child to end, then kill it; its exit code."""
        if self._child is None:
            return None
        process, connection = self._child.process, self._child.connection
        self._child = None
        connection.close()
        process.join(patience)
        if process.exitcode is None:
            process.kill()
            process.join()
        code = process.exitcode
        process.close()
        return code


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the main module while a child is started.

    `multiprocessing` would run it again in the child: seconds of imports (pyarrow, all of Ray in a worker of Ray) that
    the function has no use for.
    """
    with _main_lock:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def _understood(answer: bytes) -> dict[str, Any]:
    found = json.loads(answer)
    if not isinstance(found, dict) or not (
        "memory" in found or "error" in found or isinstance(found.get("result"), dict)
    ):
        raise ValueError("not an answer")
    return found


def _in_words(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"


def _serve(connection: Connection, pickled: bytes, seconds: float, memory: int) -> None:
    """The child: answer until the parent hangs up."""
    prepare_child()
    try:
        function = pickle.loads(pickled)
        _limit(memory)
    except Exception:
        connection.send_bytes(traceback.format_exc().encode())
        return
    # Decoders written in C, libtiff above all, chat; it would garble the progress bar.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    # The C library learns from the first large block that is freed how much to keep instead of handing it back to the
    # kernel. Without, every photo's pixels are mapped anew, page by page: 1.7 times the CPU time of a 500-pixel photo.
    bytearray(_KEPT)
    connection.send_bytes(b"")
    with suppress(EOFError, OSError):
        while True:
            data = connection.recv_bytes()
            # The kernel's default action for the signal: Python's own handlers wait for C code that never returns.
            signal.setitimer(signal.ITIMER_PROF, seconds)
            answer = _apply(function, data)
            signal.setitimer(signal.ITIMER_PROF, 0)
            connection.send_bytes(answer)


def _apply(function: Callable[[bytes], dict[str, Any]], data: bytes) -> bytes:
    try:
        result = function(data)
        if not isinstance(result, dict):
            raise TypeError(f"the function returned {result!r}, no dict")
        return json.dumps({"result": result}).encode()
    except MemoryError:
        return b'{"memory": true}'
    except Exception:
        return json.dumps({"error": traceback.format_exc()}).encode()


def _limit(memory: int) -> None:
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = psutil.Process().memory_info().vms + memory
    _, allowed = resource.getrlimit(resource.RLIMIT_AS)
    if allowed == resource.RLIM_INFINITY or most < allowed:
        resource.setrlimit(resource.RLIMIT_AS, (most, allowed))
