"""A cluster of two nodes with a token, an S3 server, and trainings that lose nodes, drivers and jobs on the way."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from moto.server import ThreadedMotoServer

from colorize.registry import Registry
from colorize.settings import load_settings
from stages import dedupe, ingest, shard, sources, split, statistics

pytestmark = pytest.mark.slow

PARAMETERS = {
    "datasets": {"landscape-pictures": {"source": "sample://landscape-pictures?photos=60", "layout": "flat"}},
    "ingest": {"maximum_refused": 0.3},
    "shards": {"size": 32, "rows": 16, "row_group": 8},
    "split": {"validation": 0.2, "test": 0.2},
    "training": {"epochs": 4, "batch_size": 8},
    "scaling": {"workers": 2, "cpus_per_worker": 1, "gpu": "never"},
    "architectures": {"unet": {"model": {"channels": 4, "depth": 2, "normalization": "group"}}},
    "evaluation": {"gallery": 4},
    "gate": {"min_n": 5},
}
BUCKET = "s3://colorize-runs"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Nodes:
    """Nodes that `ray start` makes of this machine, with one CPU each and a token that they share."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder, self.port, self.jobs = folder, free_port(), free_port()
        self.environment = {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_metrics_report_interval_ms": "1000",
            "RAY_health_check_period_ms": "1000",
            "RAY_health_check_failure_threshold": "3",
            "RAY_USAGE_STATS_ENABLED": "0",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "trainer",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_EC2_METADATA_DISABLED": "true",
            "TMPDIR": str(folder),
            "RAY_TMPDIR": str(folder),
            # Jobs say `python`: that of this environment.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        self.environment.pop("RAY_ADDRESS", None)
        self.started: list[subprocess.Popen[bytes]] = []
        self.metrics: list[int] = []
        clients, agent = free_port(), free_port()
        self._start(
            "--head",
            f"--port={self.port}",
            f"--dashboard-port={self.jobs}",
            f"--ray-client-server-port={clients}",
            f"--temp-dir={folder}",
            f"--dashboard-agent-listen-port={agent}",
        )
        eventually(self._alive, 90.0)

    def add(self, **environment: str) -> subprocess.Popen[bytes]:
        """One more node; returns when the cluster has it."""
        before = self._alive()
        # A folder of its own, as on a machine of its own: in a common one, nodes unpack a job's code over each other's.
        folder = self.folder / f"node-{len(self.started)}"
        process = self._start(
            f"--address=127.0.0.1:{self.port}",
            f"--dashboard-agent-listen-port={free_port()}",
            f"--temp-dir={folder}",
            **environment,
        )
        eventually(lambda: self._alive() - before, 90.0)
        return process

    def lose(self, process: subprocess.Popen[bytes]) -> None:
        """Kill a node with all that runs on it."""
        with suppress(psutil.NoSuchProcess):
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            for member in family:
                with suppress(psutil.NoSuchProcess):
                    member.kill()
        process.wait()

    def end(self) -> None:
        for process in reversed(self.started):
            self.lose(process)
        # What a node starts ends with it, but not at once.
        own = str(self.folder)
        for process in psutil.process_iter(["cmdline"]):
            if any(own in word for word in process.info["cmdline"] or ()):
                with suppress(psutil.NoSuchProcess):
                    process.kill()

    def _start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        self.metrics.append(free_port())
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1", "--num-gpus=0"]
        command += ["--object-store-memory=104857600", f"--metrics-export-port={self.metrics[-1]}"]
        log = (self.folder / f"node-{len(self.started)}.log").open("wb")
        process = subprocess.Popen(
            [*command, "--node-ip-address=127.0.0.1", *arguments],
            env={**self.environment, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def _alive(self) -> set[str]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.jobs}/nodes?view=summary",
            headers={"Authorization": f"Bearer {self.environment['RAY_AUTH_TOKEN']}"},
        )
        with suppress(OSError), urllib.request.urlopen(request, timeout=5) as answer:
            nodes = json.load(answer)["data"]["summary"]
            return {node["raylet"]["nodeId"] for node in nodes if node["raylet"].get("state") == "ALIVE"}
        return set()


def eventually(condition: Callable[[], object], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"it did not happen within {seconds:.0f} s")
        time.sleep(0.1)


class Project:
    """A folder with data that trains in seconds."""

    def __init__(self, root: Path, data: Path, requirements: Path, settings: dict[str, Any]) -> None:
        self.root, self.output = root, root / "output.txt"
        root.mkdir(parents=True)
        for name in ("data", "reports"):
            shutil.copytree(data / name, root / name)
        shutil.copy(requirements, root)
        (root / "removed.jsonl").touch()
        whole = {name: {**PARAMETERS.get(name, {}), **settings.get(name, {})} for name in {**PARAMETERS, **settings}}
        (root / "params.yaml").write_text(yaml.safe_dump(whole))

    def start(self, environment: dict[str, str], address: str | None) -> subprocess.Popen[bytes]:
        """`python -m pipelines.train`; what it prints is in `output`."""
        environment = {**environment, **({"RAY_ADDRESS": address} if address else {})}
        environment["PYTHONPATH"] = str(Path(__file__).parents[2])
        with self.output.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "pipelines.train"],
                cwd=self.root,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def train(self, environment: dict[str, str], address: str | None) -> tuple[int, str]:
        """Exit code and output."""
        process = self.start(environment, address)
        try:
            process.wait(240)
        finally:
            process.kill()
        return process.returncode, self.output.read_text()

    @property
    def run(self) -> Path:
        (folder,) = self.root.glob("runs/unet-*")
        return folder

    @property
    def weights(self) -> bytes:
        return (self.run / "model" / "model.safetensors").read_bytes()

    @property
    def records(self) -> list[dict[str, Any]]:
        paths = list(self.root.glob("runs/unet-*/log.jsonl"))
        return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    request = urllib.request.Request(f"http://{host}:{port}/{BUCKET.removeprefix('s3://')}", method="PUT")
    urllib.request.urlopen(request).close()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def nodes(endpoint: str) -> Iterator[Nodes]:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("two nodes need two CPUs")
    folder = Path(tempfile.mkdtemp(prefix="c", dir="/tmp"))  # short enough for Ray's sockets
    cluster = None
    try:
        cluster = Nodes(folder, endpoint)
        cluster.add()
        yield cluster
    finally:
        if cluster:
            cluster.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMETERS))
    (root / "removed.jsonl").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        settings = load_settings(root / "params.yaml")
        for dataset in settings.datasets:
            sources.main(settings, dataset)
            ingest.main(settings, dataset)
        for stage in (dedupe, split, shard, statistics):
            stage.main(settings)
    return root


@pytest.fixture(scope="module")
def make(data: Path, tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Callable[..., Project]:
    def make_project(name: str, **settings: dict[str, Any]) -> Project:
        return Project(tmp_path_factory.mktemp(name) / name, data, repository / "requirements.lock", settings)

    return make_project


@pytest.fixture(scope="module")
def alone(make: Callable[..., Project], nodes: Nodes) -> Project:
    """Trained on one node, into folders."""
    project = make("alone")
    code, output = project.train(nodes.environment, None)
    assert code == 0, output
    return project


def storage(name: str) -> dict[str, dict[str, str]]:
    return {"scaling": {"storage": f"{BUCKET}/{name}"}, "registry": {"artefacts": f"{BUCKET}/{name}/artefacts"}}


def stored(nodes: Nodes, name: str) -> str:
    """What the bucket holds of a project's runs, as S3 lists it."""
    bucket = f"{nodes.environment['AWS_ENDPOINT_URL']}/{BUCKET.removeprefix('s3://')}"
    with urllib.request.urlopen(f"{bucket}?list-type=2&prefix={name}/runs/", timeout=5) as answer:
        text: str = answer.read().decode()
    return text


def scrape(nodes: Nodes) -> str:
    text = ""
    for port in nodes.metrics:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text += answer.read().decode()
    return text


def test_two_nodes_with_s3_make_the_weights_of_one_and_tell_prometheus(
    make: Callable[..., Project], nodes: Nodes, alone: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make("cluster", **storage("two"))
    process = project.start(nodes.environment, f"127.0.0.1:{nodes.port}")
    pattern = r"^ray_colorize_images_per_second\{[^}]*\} ([0-9.e+]+)$"
    eventually(
        lambda: (
            process.poll() is not None
            or any(float(value) > 0 for value in re.findall(pattern, scrape(nodes), re.MULTILINE))
        ),
        180.0,
    )
    told = scrape(nodes)
    assert process.wait(240) == 0, project.output.read_text()
    for gauge in ("images_per_second", "step_seconds", "data_wait_share", "gpu_memory_bytes"):
        assert f"ray_colorize_{gauge}{{" in told
    assert f'run="{project.run.name}"' in told
    assert project.weights == alone.weights
    workers = [(project.run / f"workers/rank-{rank}.log").read_text() for rank in (0, 1)]
    assert all(f"worker {rank} of 2" in text for rank, text in enumerate(workers))
    # The version's files come from the object store, to any folder that has the registry.
    for name, value in nodes.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    shutil.copytree(project.root / "registry", tmp_path / "registry")
    shutil.rmtree(tmp_path / "registry" / "cache")
    registry = Registry(load_settings(project.root / "params.yaml").registry, tmp_path)
    folder = registry.model_folder("champion")
    assert (folder / "model.safetensors").read_bytes() == alone.weights


def test_as_a_job_it_outlives_its_driver_and_is_never_there_twice(
    make: Callable[..., Project], nodes: Nodes, alone: Project
) -> None:
    project = make("job", training={"seed": 2, "epochs": 12}, **storage("job"))
    address = f"http://127.0.0.1:{nodes.jobs}"
    process = project.start(nodes.environment, address)
    eventually(lambda: process.poll() is not None or len(project.records) > 2, 180.0)
    assert process.poll() is None, project.output.read_text() + "".join(
        path.read_text() for path in project.root.glob("runs/*/job.log")
    )
    process.send_signal(signal.SIGKILL)
    process.wait()
    code, output = project.train(nodes.environment, address)
    assert code == 0, output
    assert f"job {project.run.name}, which is there already" in output
    assert [record["epoch"] for record in project.records if "validation_loss" in record] == list(range(1, 13))
    listed = jobs(nodes)
    assert [job["submission_id"] for job in listed] == [project.run.name]
    assert listed[0]["status"] == "SUCCEEDED"


def jobs(nodes: Nodes) -> list[dict[str, Any]]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{nodes.jobs}/api/jobs/",
        headers={"Authorization": f"Bearer {nodes.environment['RAY_AUTH_TOKEN']}"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: list[dict[str, Any]] = json.load(answer)
        return [job for job in found if job["submission_id"]]


@pytest.mark.parametrize("kind", ["jobs", "cluster"])
def test_without_the_token_nobody_gets_in(make: Callable[..., Project], nodes: Nodes, kind: str) -> None:
    project = make(f"stranger-{kind}", training={"seed": 3}, **storage("stranger"))
    environment = {**nodes.environment, "RAY_AUTH_TOKEN": "0" * 64}
    address = {"jobs": f"http://127.0.0.1:{nodes.jobs}", "cluster": f"127.0.0.1:{nodes.port}"}[kind]
    code, output = project.train(environment, address)
    assert code == 1, output
    assert re.search(r"token|authenti", output, re.IGNORECASE), output
    assert "Traceback" not in output
    assert not list(project.root.glob("runs/unet-*/log.jsonl"))


def test_a_node_that_cannot_see_the_storage_is_named_before_anything_is_trained(
    make: Callable[..., Project], nodes: Nodes
) -> None:
    blind = nodes.add(AWS_ENDPOINT_URL=f"http://127.0.0.1:{free_port()}", COLORIZE_RETRY_SECONDS="0.001")
    try:
        project = make("blind", training={"seed": 4}, **storage("blind"))
        code, output = project.train(nodes.environment, f"127.0.0.1:{nodes.port}")
    finally:
        nodes.lose(blind)
    assert code == 1, output
    assert re.search(r"nothing was trained:(?s:.*)\nnode \S+ \([\d.]+\): cannot see s3://colorize-runs/blind ", output)
    assert not project.records


@pytest.mark.parametrize("fewest", [1, None])
def test_a_lost_node(make: Callable[..., Project], nodes: Nodes, alone: Project, fewest: int | None) -> None:
    """With `minimum_workers` training goes on with what is left; without, it waits until there is room again."""
    name = "elastic" if fewest else "patient"
    settings = storage(name)
    settings["scaling"]["minimum_workers"] = fewest  # type: ignore[assignment]
    project = make(name, training={"seed": 5, "epochs": 24}, **settings)
    head, *others = (process for process in nodes.started if process.poll() is None)
    (second,) = others or [nodes.add()]
    assert second is not head
    process = project.start(nodes.environment, f"127.0.0.1:{nodes.port}")
    # In the store, which workers write to: what comes home every few seconds may be of a training that is over.
    eventually(lambda: process.poll() is not None or "/checkpoints/epoch-00002" in stored(nodes, name), 180.0)
    assert process.poll() is None, project.output.read_text()
    nodes.lose(second)
    if fewest is None:
        time.sleep(10.0)
        assert process.poll() is None, project.output.read_text()
        nodes.add()
    process.wait(300)
    assert process.returncode == 0, project.output.read_text()
    assert [record["epoch"] for record in project.records if "validation_loss" in record] == list(range(1, 25))
    done = json.loads((project.run / "done.json").read_text())
    assert done["workers"] == (1 if fewest else 2)
