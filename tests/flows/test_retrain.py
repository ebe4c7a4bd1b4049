"""The flow `retrain` on a project of its own: real DVC, Prefect, Ray and MLflow, several times in a row."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from colorize.data.sources.sample import SampleSource
from colorize.decisions import PATH, Decision, read
from colorize.registry import Registry, holder, lock, promote, rollback
from colorize.settings import Settings, load_settings

pytestmark = pytest.mark.slow

PARAMETERS = """
datasets:
  mine: {{source: "file://{photos}", layout: flat}}
ingest: {{maximum_refused: 0.3, maximum_shrink: 1.0}}
shards: {{size: 32, rows: 16, row_group: 8}}
split: {{validation: 0.2, test: 0.3}}
training: {{epochs: {epochs}, batch_size: 8}}
scaling: {{workers: 1, cpus_per_worker: 1, gpu: never}}
architectures:
  unet: {{model: {{channels: 4, depth: 2}}}}
evaluation: {{gallery: 4}}
gate: {{min_n: 5, guards: {{psnr: 0.5}}}}
retraining: {{notify: "{notify}", publish: "{published}"}}
"""
_MOST_PHOTOS = 120


class _Receiver(BaseHTTPRequestHandler):
    received: list[dict[str, Any]] = []  # noqa: RUF012

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append(json.loads(body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Project:
    """A clone of the repository with photos of its own."""

    def __init__(self, root: Path, repository: Path, notify: str) -> None:
        self.root, self.photos, self.notify = root / "project", root / "photos", notify
        self.output = root / "output.txt"
        self.temporary = Path(tempfile.mkdtemp(prefix="c", dir="/tmp"))  # short enough for Ray's sockets
        files = subprocess.run(
            ["git", "-C", str(repository), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            capture_output=True, text=True, check=True,
        ).stdout.split("\0")  # fmt: skip
        wanted = (
            "colorize/",
            "stages/",
            "pipelines/",
            ".dvc/",
            "dvc.yaml",
            "requirements.lock",
            "prefect.yaml",
            ".dvcignore",
            ".gitignore",
        )
        for name in files:
            if name.startswith(wanted) and (repository / name).is_file():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(repository / name, self.root / name)
        (self.root / "removed.jsonl").touch()
        self.set(epochs=1)
        for command in (
            ["init", "-q"],
            ["add", "-A"],
            ["-c", "user.name=t", "-c", "user.email=t@x.org", "commit", "-qm", "1"],
        ):
            subprocess.run(["git", *command], cwd=self.root, check=True)
        self.source = SampleSource("landscape-pictures", _MOST_PHOTOS)
        self.entries = list(self.source.list())

    def set(self, epochs: int) -> None:
        text = PARAMETERS.format(
            photos=self.photos, epochs=epochs, notify=self.notify, published=self.root.parent / "published"
        )
        # DVC wants every section to be there.
        whole = Settings.model_validate(yaml.safe_load(text)).model_dump(mode="json")
        (self.root / "params.yaml").write_text(yaml.safe_dump(whole))

    def have_photos(self, count: int) -> None:
        """Exactly so many in the folder."""
        for number, entry in enumerate(self.entries):
            path = self.photos / Path(entry.path).name
            if number >= count:
                path.unlink(missing_ok=True)
            elif not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(self.source.read(entry))

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A retraining under way; what it prints is in `output`: children that outlive it would hold a pipe open."""
        with self.output.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "pipelines.retrain", *arguments],
                cwd=self.root,
                env={**os.environ, "TMPDIR": str(self.temporary)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def retrain(self, *arguments: str) -> tuple[int, str, list[Decision]]:
        """Exit code, output and the decisions made."""
        before = len(read(self.root / PATH))
        process = self.start(*arguments)
        try:
            process.wait(400)
        finally:
            process.kill()
        return process.returncode, self.output.read_text(), read(self.root / PATH)[before:]

    @property
    def registry(self) -> Registry:
        return Registry(load_settings(self.root / "params.yaml").registry, self.root)


@pytest.fixture(scope="module")
def receiver() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), _Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, repository: Path, receiver: HTTPServer) -> Iterator[Project]:
    made = Project(tmp_path_factory.mktemp("retrain"), repository, f"http://127.0.0.1:{receiver.server_port}/")
    yield made
    shutil.rmtree(made.temporary, ignore_errors=True)


@pytest.fixture(scope="module")
def first(project: Project) -> tuple[int, str, list[Decision]]:
    project.have_photos(60)
    return project.retrain()


@pytest.fixture(scope="module")
def second(project: Project, first: object) -> tuple[int, str, list[Decision]]:
    return project.retrain()


@pytest.fixture(scope="module")
def third(project: Project, second: object) -> tuple[int, str, list[Decision]]:
    """More photos; the driver is killed in mid-training, and the flow run again."""
    project.have_photos(90)
    project.set(epochs=40)
    process = project.start()
    deadline = time.monotonic() + 300
    while not any(path.name >= "epoch-00002" for path in project.root.glob("runs/unet-*/checkpoints/epoch-*")):
        assert process.poll() is None, project.output.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    result = project.retrain()
    # Prefect's temporary server, and Ray's agents for a minute or so, outlive a driver that is killed.
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    return result


def test_the_first_trains_and_crowns(project: Project, first: tuple[int, str, list[Decision]]) -> None:
    code, output, decisions = first
    assert code == 0, output
    assert "train: unet: no model is registered yet" in output
    assert [(made.decision, made.alias, made.version) for made in decisions] == [
        ("promoted", "champion-unet", 1),
        ("promoted", "champion", 1),
    ]
    assert holder(project.registry, "champion").number == 1  # type: ignore[union-attr]
    kept = {path.name for path in project.registry.resolve(1).folder.iterdir()}
    assert {"data.json", "statistics.json", "training_ids.parquet", "params.yaml", "dvc.lock", "rows.parquet"} <= kept
    assert len(list((project.root.parent / "published").iterdir())) == 1


def test_the_second_skips_with_its_reason(project: Project, second: tuple[int, str, list[Decision]]) -> None:
    code, output, decisions = second
    assert code == 0, output
    assert "skip: data, parameters, code and lock file are those that every model was trained with" in output
    assert [(made.decision, made.architecture) for made in decisions] == [("skipped", "unet")]
    assert len(decisions[0].fingerprint or "") == 64
    assert "starting Ray" not in output
    assert len(project.registry.list()) == 1


def test_after_more_photos_and_a_killed_driver_the_third_goes_on_and_decides(
    project: Project, third: tuple[int, str, list[Decision]]
) -> None:
    code, output, decisions = third
    assert code == 0, output
    assert [version.number for version in project.registry.list()] == [1, 2]
    (made,) = [
        run
        for run in project.root.glob("runs/unet-*/run.json")
        if json.loads(run.read_text())["training"]["epochs"] == 40
    ]
    epochs = [json.loads(line) for line in (made.parent / "log.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in epochs if "validation_loss" in record] == [*range(1, 41)]
    (decided,) = [made for made in decisions if made.alias == "champion-unet"]
    assert (decided.version, decided.against) == (2, 1)
    assert decided.figures["photos"] >= 5
    assert {"ab_error_rebalanced", "psnr", "evaluation_digest"} <= decided.figures.keys()
    assert re.search(r"version 2 against version 1: .*95 % interval of the difference", decided.reason)
    assert json.loads(project.registry.resolve(2).tags["decision-champion-unet"])["reason"] == decided.reason


def test_every_decision_was_notified(project: Project, third: object) -> None:
    told = [decision for message in _Receiver.received for decision in message["decisions"]]
    assert [one["reason"] for one in told] == [decision.reason for decision in read(project.root / PATH)][: len(told)]
    assert {one["decision"] for one in told} >= {"promoted", "skipped"}


def test_the_way_back(project: Project, third: object) -> None:
    registry = project.registry
    present = holder(registry, "champion")
    assert present is not None
    if present.number == 1:
        promote(registry, 2, "champion", expected=1)
    left, now = rollback(registry)
    assert (left.number, now.number) == (2, 1)


def test_data_that_shrank_stop_it_and_somebody_may_accept_them(project: Project, third: object) -> None:
    project.have_photos(40)
    project.set(epochs=1)
    code, output, decisions = project.retrain()
    assert code == 3, output
    assert [(made.decision, made.architecture) for made in decisions] == [("stopped", "all")]
    assert re.search(r"photos are usable, \d+ were: .*--accept-data", decisions[0].reason)
    assert len(project.registry.list()) == 2
    code, output, decisions = project.retrain("--accept-data")
    assert code == 0, output
    assert len(project.registry.list()) == 3
    assert decisions


def test_of_two_one_says_who_is_at_work(project: Project, first: object) -> None:
    before = len(read(project.root / PATH))
    with lock(project.registry, "retrain", "somebody"):
        code, output, _ = project.retrain()
    assert code == 1
    assert f"is locked by somebody (process {os.getpid()} on " in output
    assert len(read(project.root / PATH)) == before


def test_a_scheduled_run_whose_worker_is_killed_is_made_up_for_by_the_next(project: Project, third: object) -> None:
    project.set(epochs=30)
    versions = len(project.registry.list())
    with project.output.open("wb") as output:
        schedule = subprocess.Popen(
            [sys.executable, "-m", "pipelines.schedule", "--cron", "* * * * *"],
            cwd=project.root,
            env={**os.environ, "TMPDIR": str(project.temporary)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    known = set(project.root.glob("runs/unet-*"))
    try:

        def wait(condition: Callable[[], object], seconds: float = 400.0) -> None:
            deadline = time.monotonic() + seconds
            while not condition():
                assert schedule.poll() is None, project.output.read_text()
                assert time.monotonic() < deadline, project.output.read_text()
                time.sleep(0.1)

        def epochs() -> list[str]:
            new = set(project.root.glob("runs/unet-*")) - known
            return [path.name for run in new for path in run.glob("checkpoints/epoch-*")]

        wait(lambda: any(name >= "epoch-00002" for name in epochs()))
        (worker,) = [
            process
            for process in psutil.Process(schedule.pid).children(recursive=True)
            if {"prefect", "worker", "start"} <= set(process.cmdline())
        ]
        worker.kill()
        wait(lambda: len(project.registry.list()) > versions)
        wait(lambda: any(made.version == versions + 1 for made in read(project.root / PATH)))
    finally:
        schedule.send_signal(signal.SIGINT)
        schedule.wait(120)
    assert "the worker was killed; starting another" in project.output.read_text()
    (run,) = set(project.root.glob("runs/unet-*")) - known
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records if "validation_loss" in record] == [*range(1, 31)]
    assert [version.run for version in project.registry.list()].count(run.name) == 1
