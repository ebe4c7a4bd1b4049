"""A real child process: what comes back, what its limits stop, and that nothing of it is left behind."""

from __future__ import annotations

import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from colorize.data.execution import map_ordered
from colorize.data.sandbox import Sandbox, SandboxError

GIB = 2**30
PID = b'{"pid": __import__("os").getpid()}'


# `eval` stands for a decoder: the bytes decide what the child does.
@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(eval, seconds=20, memory=GIB) as ours:
        yield ours


def died(pid: int) -> bool:
    for _ in range(200):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


def test_answers_come_from_one_other_process(sandbox: Sandbox) -> None:
    pid = sandbox(PID)["pid"]
    assert pid != os.getpid()
    assert sandbox(PID)["pid"] == pid
    assert sandbox(b'{"a": [1, 2.5, None, "\\u00e9\\n\\ud800"]}') == {"a": [1, 2.5, None, "é\n\ud800"]}
    assert sandbox(b'{"length": len("' + b"x" * 5_000_000 + b'")}') == {"length": 5_000_000}


def test_a_partial_keeps_its_arguments() -> None:
    with Sandbox(partial(json.loads, parse_int=float), 20, GIB) as ours:
        assert ours(b'{"a": 3}')["a"] == 3.0
        assert isinstance(ours(b'{"a": 3}')["a"], float)


def test_a_crash_is_an_error_and_the_next_bytes_get_a_new_child(sandbox: Sandbox) -> None:
    first = sandbox(PID)["pid"]
    with pytest.raises(SandboxError, match="died twice: killed by SIGSEGV") as caught:
        sandbox(b'__import__("signal").raise_signal(11)')
    assert caught.value.reason == "decoder-crash"
    with pytest.raises(SandboxError, match="exit code 7"):
        sandbox(b'__import__("os")._exit(7)')
    assert sandbox(PID)["pid"] != first


def test_bytes_get_a_second_chance(sandbox: Sandbox, tmp_path: Path) -> None:
    # An out-of-memory killer that comes once is no judgement about the photo.
    mark = str(tmp_path / "mark")
    kill = f"open({mark!r}, 'w'), __import__('signal').raise_signal(9)"
    code = f"{{'n': 5}} if __import__('os').path.exists({mark!r}) else ({kill})"
    assert sandbox(code.encode()) == {"n": 5}


def test_a_child_killed_between_two_photos_is_replaced(sandbox: Sandbox) -> None:
    pid = sandbox(PID)["pid"]
    os.kill(pid, signal.SIGKILL)
    assert died(pid)
    assert sandbox(PID)["pid"] != pid


def test_endless_c_code_is_ended_by_its_cpu_time() -> None:
    with Sandbox(eval, seconds=0.3, memory=GIB) as ours:
        with pytest.raises(SandboxError, match=r"more than 0\.3 s of CPU time") as caught:
            ours(b"sum(iter(int, 1))")  # never comes back to the interpreter: no Python signal handler would run
        assert caught.value.reason == "decoder-timeout"
        # Per call, not in all; and waiting is no computing.
        for _ in range(4):
            assert ours(b'{"n": sum(range(3_000_000)), "slept": __import__("time").sleep(0.2)}')["slept"] is None


def test_waiting_forever_is_ended_too(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = sandbox(PID)["pid"]
    monkeypatch.setattr(sandbox, "_wall_seconds", 0.5)  # 10 times the CPU time and a minute otherwise
    with pytest.raises(SandboxError, match="no answer") as caught:
        sandbox(b'__import__("time").sleep(1000)')
    assert caught.value.reason == "decoder-timeout"
    assert died(pid)
    assert sandbox(PID)["pid"] != pid


def test_a_bomb_meets_the_limit_of_memory() -> None:
    with Sandbox(eval, seconds=20, memory=300 * 2**20) as ours:
        pid = ours(PID)["pid"]
        assert ours(b'{"n": len(bytearray(200 * 2**20))}')["n"] == 200 * 2**20
        with pytest.raises(SandboxError, match="more than 300 MiB"):
            ours(b"bytearray(400 * 2**20)")
        assert ours(PID)["pid"] == pid


def test_an_exception_is_not_blamed_on_the_bytes(sandbox: Sandbox) -> None:
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        sandbox(b"1 / 0")
    with pytest.raises(RuntimeError, match="not JSON serializable"):
        sandbox(b'{"n": 1j}')
    with pytest.raises(RuntimeError, match="no dict"):
        sandbox(b"5")
    assert sandbox(b'{"n": 1}') == {"n": 1}


@pytest.mark.parametrize("answer", [pickle.dumps(print), b"[]", b'{"result": 1}', b"[" * 100_000])
def test_a_child_that_speaks_another_language_is_a_crash(sandbox: Sandbox, answer: bytes) -> None:
    # As if the bytes had taken the child over: it writes into the connection itself. Nothing is unpickled.
    frame = struct.pack("!i", len(answer)) + answer
    code = f"[os.write(n, {frame!r}) for n in range(3, 50) if os.path.exists(f'/proc/self/fd/{{n}}') and is_socket(n)]"
    helpers = (
        "{'os': __import__('os'), 'is_socket': lambda n: __import__('stat').S_ISSOCK(__import__('os').fstat(n)[0])}"
    )
    with pytest.raises(SandboxError, match="decoder-crash"):
        sandbox(f"eval({code!r}, {helpers})".encode())
    assert sandbox(b'{"n": 1}') == {"n": 1}


def test_chatter_of_decoders_is_not_shown(sandbox: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    sandbox(b'{"n": __import__("os").write(2, b"TIFFReadDirectory: Warning") + __import__("os").write(1, b"chat")}')
    shown = capfd.readouterr()
    assert "TIFFRead" not in shown.err
    assert "chat" not in shown.out


def test_no_core_dumps_and_no_ctrl_c(sandbox: Sandbox) -> None:
    assert sandbox(b'{"core": __import__("resource").getrlimit(4)}')["core"] == [0, 0]
    pid = sandbox(PID)["pid"]
    os.kill(pid, signal.SIGINT)
    assert sandbox(PID)["pid"] == pid


def test_what_cannot_start_says_so() -> None:
    with pytest.raises(ValueError, match="main module"):
        Sandbox(type("f", (), {"__module__": "__main__"}), 1, GIB)  # type: ignore[arg-type]
    with (
        Sandbox(_from_nowhere(), 1, GIB) as ours,
        pytest.raises(RuntimeError, match=r"could not be started(?s:.*)no_such"),
    ):
        ours(b"")


@pytest.mark.parametrize("deaths", [1, 2])
def test_what_is_killed_while_it_starts_is_started_once_more(deaths: int, tmp_path: Path) -> None:
    count = tmp_path / "starts"
    with Sandbox(_killed_at_first(count, deaths), 20, GIB) as ours:
        if deaths == 1:
            assert ours(b'{"n": 1}') == {"n": 1}
        else:
            with pytest.raises(RuntimeError, match="could not be started: killed by SIGKILL, twice"):
                ours(b'{"n": 1}')
    assert count.stat().st_size == 2


def _killed_at_first(count: Path, deaths: int) -> Any:
    """`eval`, but whoever unpickles it is killed, so many times."""
    kill = f"__import__('os').kill(__import__('os').getpid(), 9 * (len(open({str(count)!r}).read()) <= {deaths}))"
    code = f"(open({str(count)!r}, 'a').write('.'), {kill}, eval)[2]"

    class Function:
        __module__ = "builtins"

        def __reduce__(self) -> tuple[object, tuple[str]]:
            return eval, (code,)

    return Function()


def _from_nowhere() -> Any:
    class Function:
        __module__ = "builtins"

        def __reduce__(self) -> tuple[object, tuple[str]]:
            return __import__, ("no_such",)

    return Function()


def test_closing_ends_the_child() -> None:
    with Sandbox(eval, 20, GIB) as ours:
        pid = ours(PID)["pid"]
    assert died(pid)
    ours.close()


def test_in_a_thread_and_in_worker_processes() -> None:
    found: list[int] = []

    def work() -> None:
        with Sandbox(eval, 20, GIB) as ours:
            found.append(ours(PID)["pid"])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert died(found[0])
    # `exec` in a pool worker, since a function of this file cannot be imported there.
    code = """
from colorize.data.sandbox import Sandbox
with Sandbox(eval, 20, 2**30) as ours:
    assert ours(b"{'n': 4}") == {"n": 4}
"""
    assert list(map_ordered(exec, [code] * 3, workers=2, chunk=1)) == [None] * 3


def test_the_child_ends_with_its_parent() -> None:
    code = f"""
import time
from colorize.data.sandbox import Sandbox
ours = Sandbox(eval, 20, 2**30)
print(ours({PID!r})["pid"], flush=True)
ours(b'__import__("time").sleep(60)')
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    assert died(pid)


def test_errors_travel_between_processes() -> None:
    error = pickle.loads(pickle.dumps(SandboxError("decoder-crash", "why")))
    assert (error.reason, error.detail) == ("decoder-crash", "why")
