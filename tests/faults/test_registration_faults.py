"""A registration that is killed at fifty points: no alias ever points to half a version, and nothing is there twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from colorize.data.execution import fork_server
from colorize.registry import Registry, holder, promote
from colorize.settings.sections import RegistrySettings

pytestmark = pytest.mark.slow

SETTINGS = RegistrySettings()
POINTS = 50
RUN = "unet-bbbbbbbbbbbb"


def make_run(root: Path, name: str) -> Path:
    run = root / "runs" / name
    (run / "model").mkdir(parents=True)
    (run / "model" / "model.safetensors").write_bytes(name.encode() * 300_000)
    (run / "model" / "model.json").write_text("{}")
    (run / "run.json").write_text(json.dumps({"architecture": "unet", "training": {"epochs": 2, "seed": 1}}))
    (run / "done.json").write_text("{}")
    (run / "log.jsonl").write_text(
        "".join(json.dumps({"step": step, "epoch": 1, "loss": 2.0}) + "\n" for step in range(60))
    )
    return run


def attempt(root: Path, name: str) -> None:
    """Register a run and give it both places, as a training flow does."""
    registry = Registry(SETTINGS, root)
    version = registry.register(
        root / "runs" / name, {"ab_rmse": 1.0}, {"architecture": "unet", "data_digest": "d"}, {"README.md": b"# card"}
    )
    for alias in ("champion-unet", "champion"):
        held = holder(registry, alias)
        if held is None or held.number != version.number:
            promote(registry, version.number, alias, expected=None if held is None else held.number)


def die_at(root: Path, call: int, told: Connection) -> None:
    """The same in a process that kills itself in its `call`-th call of a C function; tells their number if it lives."""
    calls = 0

    def count(_frame: FrameType, event: str, _: Any) -> None:
        nonlocal calls
        if event == "c_call":
            calls += 1
            if calls == call:
                os.kill(os.getpid(), signal.SIGKILL)

    Registry(SETTINGS, root).list()  # what is imported and made once in a process
    sys.setprofile(count)
    attempt(root, RUN)
    sys.setprofile(None)
    told.send(calls)


@pytest.fixture(scope="module", autouse=True)
def own_fork_server() -> None:
    """None that an earlier test started: that would not have MLflow imported, which takes each process seconds."""
    forkserver._forkserver._stop()  # there is no public way


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose champion is version 1, with a second run that is about to be registered."""
    root = tmp_path_factory.mktemp("before") / "project"
    make_run(root, "unet-aaaaaaaaaaaa")
    attempt(root, "unet-aaaaaaaaaaaa")
    make_run(root, RUN)
    return root


def calls_until(root: Path, call: int) -> int | None:
    """Have a process register that dies in its `call`-th call; the number of its calls where it lived."""
    context = fork_server()
    context.set_forkserver_preload(["mlflow", "mlflow.store.tracking.sqlalchemy_store", "colorize.registry"])
    ours, theirs = context.Pipe()
    process = context.Process(target=die_at, args=(root, call, theirs))
    process.start()
    theirs.close()
    process.join(120)
    assert process.exitcode in (0, -signal.SIGKILL)
    return ours.recv() if process.exitcode == 0 else None


def test_whatever_kills_a_registration_every_place_is_held_by_a_whole_version(before: Path, tmp_path: Path) -> None:
    calls = calls_until(Path(shutil.copytree(before, tmp_path / "undisturbed")), 0)
    assert calls is not None
    promoted = set()
    for point in range(POINTS):
        root = Path(shutil.copytree(before, tmp_path / f"point-{point}"))
        assert calls_until(root, int(calls * (point + 0.5) / POINTS)) is None
        registry = Registry(SETTINGS, root)
        versions = registry.list()
        assert [version.number for version in versions] in ([1], [1, 2])
        for version in versions:
            registry.check_whole(version)
            weights = (version.folder / "model.safetensors").read_bytes()
            assert weights == version.run.encode() * 300_000
        for alias in ("champion", "champion-unet"):
            found = holder(registry, alias)
            assert found is not None
            promoted.add((alias, found.number))
        # The next attempt brings it to its end, as if nothing had happened.
        attempt(root, RUN)
        assert [version.run for version in registry.list()] == ["unet-aaaaaaaaaaaa", RUN]
        assert set(registry.resolve(2).aliases) == {"champion", "champion-unet"}
        assert registry.resolve("previous").number == 1
        shutil.rmtree(root)
    # Some died before the first place changed hands, some after; `champion` does in the last hundredth of the work.
    assert {("champion-unet", 1), ("champion-unet", 2), ("champion", 1)} <= promoted
