"""`python -m pipelines.schedule` for real: a Prefect server, a worker, and a schedule that fires."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import yaml

from colorize.registry import Registry, lock
from colorize.settings import load_settings

pytestmark = pytest.mark.slow


def eventually(condition: Callable[[], Any], seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"it did not happen within {seconds:.0f} s")
        time.sleep(0.5)
    return found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """A project whose retraining ends at once, since somebody else is at one."""
    root = tmp_path_factory.mktemp("schedule") / "project"
    for name in ("colorize", "stages", "pipelines"):
        shutil.copytree(repository / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("prefect.yaml", "params.yaml", "dvc.yaml", "requirements.lock"):
        shutil.copy(repository / name, root)
    return root


class Schedule:
    def __init__(self, project: Path, folder: Path) -> None:
        self.output = project / f"output-{time.monotonic()}.txt"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipelines.schedule", "--cron", "* * * * *"],
                cwd=project,
                env={**os.environ, "TMPDIR": str(folder)},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self.output.read_text()

    def page(self) -> str:
        def found() -> str | None:
            assert self.process.poll() is None, self.said
            lines = self.said.splitlines()
            ready = any(line.startswith("retrain ") for line in lines)
            return next((line.split()[1] for line in lines if line.startswith("page ") and ready), None)

        return str(eventually(found, 240))

    def runs(self) -> list[dict[str, Any]]:
        answer = requests.post(f"{self.page()}/api/flow_runs/filter", json={}, timeout=10)
        found: list[dict[str, Any]] = answer.json()
        return found

    def ended(self) -> list[dict[str, Any]]:
        return [run for run in self.runs() if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED")]

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self) -> None:
        family = self.family() if self.process.poll() is None else []
        self.process.send_signal(signal.SIGINT)
        self.process.wait(120)
        _, alive = psutil.wait_procs(family, timeout=30)
        for process in alive:
            process.kill()
        assert not alive


@pytest.fixture(scope="module")
def temporary() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="c", dir="/tmp") as folder:
        yield Path(folder)


def test_a_schedule_fires_and_a_killed_worker_is_replaced(project: Path, temporary: Path) -> None:
    registry = Registry(load_settings(project / "params.yaml").registry, project)
    with lock(registry, "retrain", "somebody else"):
        schedule = Schedule(project, temporary)
        try:
            (run, *_) = eventually(schedule.ended, 240)
            assert run["auto_scheduled"]
            assert "retraining" in run["state"]["message"] or "locked" in run["state"]["message"]
            logs = requests.post(
                f"{schedule.page()}/api/logs/filter",
                json={"logs": {"flow_run_id": {"any_": [run["id"]]}}},
                timeout=10,
            ).json()
            assert any("is locked by somebody else" in entry["message"] for entry in logs)
            names = {run["name"] for run in requests.post(
                f"{schedule.page()}/api/flows/filter", json={}, timeout=10
            ).json()}  # fmt: skip
            assert names == {"retrain", "train", "promote", "rollback", "compare"}

            before = len(schedule.ended())
            (worker,) = [
                process
                for process in schedule.family()
                if "worker" in process.cmdline() and "start" in process.cmdline()
            ]
            eventually(lambda: time.monotonic() and _age(worker) > 31, 60)  # one that dies at once is not started again
            worker.kill()
            eventually(lambda: "the worker was killed; starting another" in schedule.said, 60)
            eventually(lambda: len(schedule.ended()) > before, 200)
            states = {run["state_type"] for run in schedule.runs()}
            assert "RUNNING" not in states or len(schedule.ended()) > before
        finally:
            schedule.end()
    assert schedule.process.returncode == 130
    assert "Traceback" not in schedule.said.split("retrain  ")[0]


def _age(process: psutil.Process) -> float:
    return time.time() - process.create_time()


def test_a_second_schedule_of_the_same_project_says_so(project: Path, temporary: Path) -> None:
    first = Schedule(project, temporary)
    try:
        page = first.page()
        second = subprocess.run(
            [sys.executable, "-m", "pipelines.schedule"],
            cwd=project,
            env={**os.environ, "TMPDIR": str(temporary)},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert second.returncode == 1
        assert "this project's schedule is running already" in second.stderr
        assert page.rpartition(":")[2]
    finally:
        first.end()


def test_deployments_name_flows_that_there_are(repository: Path) -> None:
    import importlib

    for deployment in yaml.safe_load((repository / "prefect.yaml").read_text())["deployments"]:
        path, _, name = deployment["entrypoint"].partition(":")
        flow = getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), name)
        assert set(deployment["parameters"]) <= set(flow.parameters.properties)
