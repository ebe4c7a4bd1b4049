"""Run the scheduled flows on this machine, `python -m pipelines.schedule`: a Prefect server, a worker, the deployments.

Server and worker are children in sessions of their own, so that Ctrl-C reaches this process alone, which ends them in
order: flow runs under way, the worker, the server. What a killed worker leaves behind is ended and told to the server,
or its place under the deployment's concurrency limit would stay taken and every later run be cancelled.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import yaml

from pipelines.environment import prepare

HOST = "127.0.0.1"
PORT = 4200
POOL = "colorize"
DEPLOYMENTS = Path("prefect.yaml")
RETRAIN = "retrain/nightly"

_SECONDS_TO_START = 180.0
_SECONDS_TO_END = 30.0
_SHORTEST_LIFE = 30.0  # seconds: a worker that dies sooner would die again

_DESCRIPTION = f"""\
Retrain on a schedule, on this machine, until Ctrl-C.

Starts a Prefect server on {HOST} (port {PORT}, or a free one where that is taken; its files are in runs/.prefect) and a
worker, and puts the deployments of prefect.yaml on it:

  retrain/nightly   by cron, see the file; one at a time: while one is at work, the next is cancelled
  train/by-hand     started on the page, under Deployments: which architectures are parameters

The page shows runs, logs, progress, learning, comparison and samples. Nights on which this was not running are not made
up for. What was under way when it ended goes on from its last checkpoint in the next run.
On a team's server instead: prefect --no-prompt deploy --all; prefect worker start --pool {POOL} --type process

examples:
  make schedule
  python -m pipelines.schedule --cron "0 */6 * * *"     every six hours, UTC
"""


class ScheduleError(RuntimeError):
    """The server or the worker could not be started, or ended by itself; the message says where to read why."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        "python -m pipelines.schedule",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cron", metavar="WHEN", help="retrain then, UTC, whatever prefect.yaml says")
    options = parser.parse_args(arguments)
    root = Path.cwd()
    # A stopped service gets SIGTERM; the way out is the same as Ctrl-C's.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if address := os.environ.get("PREFECT_API_URL"):
            raise ScheduleError(
                f"PREFECT_API_URL names a server already, {address}: 'prefect --no-prompt deploy --all' puts the "
                f"deployments there, and 'prefect worker start --pool {POOL} --type process' runs them"
            )
        deployments = with_cron((root / DEPLOYMENTS).read_text(encoding="utf-8"), options.cron)
        prepare(root)
        run(root, deployments)
    except KeyboardInterrupt:
        return 130
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def with_cron(text: str, cron: str | None) -> str:
    """The deployments, those with a schedule run by another one.

    Args:
        text: content of `prefect.yaml`.
        cron: five fields, UTC; None: as the file says.

    Raises:
        ValueError: that is no cron expression.
    """
    if cron is None:
        return text
    if len(cron.split()) != 5 or not set(cron) <= set(
        "0123456789*/,- abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ#"
    ):
        raise ValueError(f"--cron '{cron}' is no cron expression: minute hour day month weekday, such as '17 2 * * *'")
    content: dict[str, Any] = yaml.safe_load(text)
    for deployment in content["deployments"]:
        if "schedules" in deployment:
            deployment["schedules"] = [{"cron": cron, "timezone": "UTC"}]
    return yaml.safe_dump(content, sort_keys=False)


def free_port(preferred: int) -> int:
    """A TCP port of the loopback interface that nobody listens on: the preferred one, or any."""
    for port in (preferred, 0):
        with suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    raise OSError(f"no free port on {HOST}")


def run(root: Path, deployments: str) -> None:
    """Serve until interrupted.

    Raises:
        ScheduleError: another process does so for this project, or a part could not be started or ended by itself.
    """
    home = Path(os.environ["PREFECT_HOME"])
    port = free_port(PORT)
    page = f"http://{HOST}:{port}"
    os.environ.update(
        {
            "PREFECT_API_URL": f"{page}/api",
            "PREFECT_SERVER_API_HOST": HOST,
            "PREFECT_SERVER_API_PORT": str(port),
            "PREFECT_UI_API_URL": f"{page}/api",
            "PREFECT_LOCAL_STORAGE_PATH": str(home / "storage"),
            "PREFECT_CLI_PROMPT": "false",
            # In memory, a place that was taken when the server ended would never be free again.
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
            # The flows are of this project, wherever its package is installed from.
            "PYTHONPATH": os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }
    )
    with ExitStack() as stack:
        stack.enter_context(_only_one(home / "schedule.lock", page))
        print("starting Prefect's server", flush=True)
        log = home / "server.log"
        server = stack.enter_context(_child(["server", "start", "--host", HOST, "--port", str(port)], log))
        _wait_for(f"{page}/api/health", server, log)
        print(f"page      {page}\nlog       {log}", flush=True)
        _deploy(root, home, deployments)
        _forget_missed_runs()
        print(f"retrain   {_next_run()}; Ctrl-C ends it", flush=True)
        while True:
            started = time.monotonic()
            _work(server, log)
            if time.monotonic() - started < _SHORTEST_LIFE:
                raise ScheduleError("the worker ended as soon as it was started; its last lines are above")
            print("the worker was killed; starting another", flush=True)


def _work(server: subprocess.Popen[bytes], log: Path) -> None:
    """Run a worker; returns when it was killed, and nothing of it is left."""
    _crash_unfinished_runs()
    # One flow at a time: each takes the whole machine.
    arguments = ["worker", "start", "--pool", POOL, "--type", "process", "--limit", "1"]
    with _child(arguments, None) as worker:
        family: set[psutil.Process] = set()
        try:
            while worker.poll() is None:
                if server.poll() is not None:
                    raise ScheduleError(f"Prefect's server ended with exit code {server.returncode}; see {log}")
                family |= _family(worker.pid)
                time.sleep(1.0)
        except KeyboardInterrupt:
            print("\nstopping", flush=True)
            raise
        finally:
            _end_runs(worker, family | _family(worker.pid))
            if server.poll() is None:
                _crash_unfinished_runs()


@contextmanager
def _only_one(path: Path, page: str) -> Iterator[None]:
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ScheduleError(f"this project's schedule is running already: {file.read().strip()}") from None
        file.truncate(0)
        file.write(f"process {os.getpid()}, {page}\n")
        file.flush()
        yield


@contextmanager
def _child(arguments: list[str], log: Path | None) -> Iterator[subprocess.Popen[bytes]]:
    """A `prefect` command in a session of its own; ended when the block is left."""
    command = [sys.executable, "-m", "prefect", *arguments]
    with ExitStack() as stack:
        output = None if log is None else stack.enter_context(log.open("ab"))
        process = subprocess.Popen(command, stdout=output, stderr=output and subprocess.STDOUT, start_new_session=True)
        try:
            yield process
        finally:
            family = _family(process.pid)
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_SECONDS_TO_END)
            _end(family)
            process.kill()
            process.wait()


def _family(pid: int) -> set[psutil.Process]:
    try:
        return set(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return set()


def _end_runs(worker: subprocess.Popen[bytes], family: set[psutil.Process]) -> None:
    """End the flow runs, which clean up after themselves, and then what is left of them, Ray and DVC stages."""
    runs = [process for process in family if _is_run(process)]
    for process in runs:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    psutil.wait_procs(runs, _SECONDS_TO_END)
    _end(family)
    del worker


def _is_run(process: psutil.Process) -> bool:
    try:
        return "prefect.flow_engine" in " ".join(process.cmdline()) or "flow-run" in process.cmdline()
    except psutil.Error:
        return False


def _end(family: set[psutil.Process]) -> None:
    for stop in (psutil.Process.terminate, psutil.Process.kill):
        for process in family:
            with suppress(psutil.NoSuchProcess):
                stop(process)
        psutil.wait_procs(list(family), 10.0)


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise ScheduleError(f"Prefect's server ended with exit code {server.returncode}; see {log}")
        with suppress(OSError), urllib.request.urlopen(address, timeout=5.0) as answer:
            if answer.status == 200:
                return
        time.sleep(0.5)
    raise ScheduleError(f"Prefect's server did not answer within {_SECONDS_TO_START:.0f} s; see {log}")


def _deploy(root: Path, home: Path, deployments: str) -> None:
    print("deploying the flows", flush=True)
    file = home / "deployments.yaml"
    file.write_text(deployments, encoding="utf-8")
    pool = ["work-pool", "create", POOL, "--type", "process", "--overwrite"]
    for arguments in (pool, ["--no-prompt", "deploy", "--all", "--prefect-file", str(file)]):
        done = subprocess.run(
            [sys.executable, "-m", "prefect", *arguments],
            cwd=root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ScheduleError(f"'prefect {' '.join(arguments)}' failed:\n{done.stdout}")


def _next_run() -> str:
    """When the schedule is next due, for people."""
    from prefect.client.orchestration import get_client
    from prefect.server.schemas.schedules import CronSchedule

    with get_client(sync_client=True) as client:
        schedule = client.read_deployment_by_name(RETRAIN).schedules[0].schedule
    cron = CronSchedule.model_validate(schedule.model_dump())
    (due,) = asyncio.run(cron.get_dates(1, datetime.now(UTC)))
    return f"{due.astimezone(UTC):%Y-%m-%d %H:%M} UTC is when the next one is due ({cron.cron})"


def _crash_unfinished_runs() -> None:
    """No worker is at work: what the server believes to be running was killed."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import StateType
    from prefect.states import Crashed

    with get_client(sync_client=True) as client:
        for run in _runs(client, [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]):
            client.set_flow_run_state(run.id, Crashed(message="its process was ended with the worker"), force=True)


def _forget_missed_runs() -> None:
    """Runs that were due while nobody was there would all start now."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import StateType

    with get_client(sync_client=True) as client:
        for run in _runs(client, [StateType.SCHEDULED]):
            due = run.expected_start_time
            if run.auto_scheduled and due is not None and due < datetime.now(UTC):
                client.delete_flow_run(run.id)


def _runs(client: Any, states: list[Any]) -> list[Any]:
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType

    wanted = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states)))
    return [run for run in client.read_flow_runs(flow_run_filter=wanted) if run.deployment_id is not None]


if __name__ == "__main__":
    sys.exit(main())
