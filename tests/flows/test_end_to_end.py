"""Once through the whole house on a tiny sample: real stages, real Ray with two workers, real Prefect, real MLflow."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from colorize.settings import load_settings
from stages import dedupe, ingest, shard, sources, split, statistics

PARAMETERS = """
datasets:
  landscape-image-colorization:
    {source: "sample://landscape-image-colorization?photos=24", layout: landscape-image-colorization}
  landscape-pictures: {source: "sample://landscape-pictures?photos=24", layout: flat}
  mirflickr25k: {source: "sample://mirflickr25k?photos=24", layout: mirflickr25k}
ingest: {maximum_refused: 0.3}
shards: {size: 32, rows: 16, row_group: 8}
split: {validation: 0.2, test: 0.2}
training: {epochs: 1, batch_size: 8}
scaling: {workers: 2, cpus_per_worker: 1, gpu: never}
architectures:
  simple_unet: {model: {width: 0.1}, training: {epochs: 2}}
  unet: {model: {channels: 4, depth: 2}}
evaluation: {gallery: 4}
"""


def make_data(root: Path) -> None:
    settings = load_settings(root / "params.yaml")
    for dataset in settings.datasets:
        sources.main(settings, dataset)
        ingest.main(settings, dataset)
    for stage in (dedupe, split, shard, statistics):
        stage.main(settings)


def train(root: Path, temporary: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.train"],
        cwd=root,
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Path]:
    """A project with its data."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("two workers need two CPUs")
    root = tmp_path_factory.mktemp("project")
    (root / "params.yaml").write_text(PARAMETERS)
    shutil.copy(repository / "requirements.lock", root)
    (root / "removed.jsonl").touch()
    # Figures of an architecture that params.yaml does not name any more.
    (root / "reports/metrics/models").mkdir(parents=True)
    (root / "reports/metrics/models/unet_vae.json").write_text("{}")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        make_data(root)
        yield root


@pytest.fixture(scope="module")
def temporary() -> Iterator[Path]:
    """A folder for temporary files with a name short enough for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="c", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def first(project: Path, temporary: Path) -> str:
    """What the first training said."""
    return train(project, temporary)


@pytest.fixture(scope="module")
def second(project: Path, temporary: Path, first: str) -> str:
    """What a training said that had nothing new to do."""
    return train(project, temporary)


def records(project: Path, architecture: str) -> list[dict[str, object]]:
    (log,) = project.glob(f"runs/{architecture}-*/log.jsonl")
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.mark.parametrize(("architecture", "epochs"), [("simple_unet", 2), ("unet", 1)])
def test_two_workers_train_every_architecture_to_the_end(
    project: Path, first: str, architecture: str, epochs: int
) -> None:
    (done,) = project.glob(f"runs/{architecture}-*/done.json")
    assert json.loads(done.read_text())["workers"] == 2
    assert [record["epoch"] for record in records(project, architecture) if "validation_loss" in record] == [
        *range(1, epochs + 1)
    ]
    assert f"train  {done.parent.name}: no run with this data" in first
    assert f"{architecture}: trained" in first


def test_the_end_says_where_to_look(project: Path, first: str) -> None:
    assert str(project / "reports/index.html") in first
    assert "mlflow ui --backend-store-uri sqlite:///registry/mlflow.db" in first
    assert "colorize photo.jpg" in first


def test_models_are_registered_and_the_better_one_is_champion(project: Path, first: str) -> None:
    from colorize.registry import Registry

    versions = Registry(load_settings(project / "params.yaml").registry, project).list()
    assert sorted(version.architecture for version in versions) == ["simple_unet", "unet"]
    best = min(versions, key=lambda version: version.metrics["ab_error_rebalanced"])
    assert set(best.aliases) == {"champion", f"champion-{best.architecture}"}
    index = json.loads((project / "data/lab/index.json").read_text())
    for version in versions:
        assert {"model.safetensors", "model.json", "README.md", "grid.png", "rows.parquet", "params.yaml"} <= {
            path.name for path in version.folder.iterdir()
        }
        assert version.metrics["photos"] == index["photos"]["test"]
        assert len(version.tags["fingerprint"]) == 64


def test_the_report_shows_every_model(project: Path, first: str) -> None:
    page = (project / "reports/index.html").read_text()
    assert all(name in page for name in ("simple_unet", "unet", "grey"))


def test_metrics_and_plots_are_there_for_dvc(project: Path, first: str) -> None:
    names = {path.stem for path in (project / "reports/metrics/models").glob("*.json")}
    assert names == {"simple_unet", "unet", "baselines"}
    folder = project / "reports/plots/loss"
    epochs = {path.stem: [point["epoch"] for point in json.loads(path.read_text())] for path in folder.iterdir()}
    assert epochs == {"simple_unet": [1, 2], "unet": [1]}
    points = json.loads((project / "reports/plots/comparison.json").read_text())
    of_rmse = {point["model"]: point for point in points if point["figure"] == "ab RMSE"}
    assert set(of_rmse) == {"simple_unet", "unet", "grey", "mean_color", "another_photo", "histogram_matching"}
    summary = json.loads((project / "reports/metrics/models/unet.json").read_text())
    assert of_rmse["unet"]["mean"] == pytest.approx(summary["ab_rmse"])
    assert of_rmse["unet"]["low"] < of_rmse["unet"]["mean"] < of_rmse["unet"]["high"]
    assert "random_feature_distance" in summary


def test_the_champion_colorizes(project: Path, first: str) -> None:
    from colorize.inference import Colorizer

    rgb = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    colored = Colorizer.load("champion").colorize(rgb)
    assert colored.shape == rgb.shape
    assert colored.dtype == np.uint8


def test_a_second_run_skips_with_its_reason_and_registers_nothing(project: Path, second: str) -> None:
    assert second.count("already trained with the same data, parameters, code and lock file") == 2
    assert "starting Ray" not in second
    assert len(list(project.glob("registry/artefacts/*/model.safetensors"))) == 2


def test_nothing_is_left_of_ray(temporary: Path, second: str) -> None:
    assert list((temporary / "ray").iterdir()) == []


@pytest.fixture
def long(project: Path, tmp_path: Path) -> Path:
    """The same data, and a training that lasts long enough to be hit."""
    shutil.copytree(project / "data", tmp_path / "data")
    shutil.copytree(project / "reports/metrics/data", tmp_path / "reports/metrics/data")
    shutil.copy(project / "requirements.lock", tmp_path)
    one = PARAMETERS.replace("  simple_unet: {model: {width: 0.1}, training: {epochs: 2}}\n", "")
    (tmp_path / "params.yaml").write_text(one.replace("epochs: 1", "epochs: 60").replace("workers: 2", "workers: 1"))
    return tmp_path


@contextmanager
def started(root: Path, temporary: Path) -> Iterator[subprocess.Popen[str]]:
    """A training under way that has written its second checkpoint."""
    command = [sys.executable, "-m", "pipelines.train"]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    # What a shell started in the background ignores Ctrl-C, and so would what that starts: `make test-all &`.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True) as process:
        signal.signal(signal.SIGINT, before)
        for _ in range(3000):
            assert process.poll() is None, "ended too early"
            # Old checkpoints are removed: the second may be gone when it is looked for.
            if any(path.name >= "epoch-00002" for path in root.glob("runs/unet-*/checkpoints/epoch-*")):
                break
            time.sleep(0.1)
        else:
            process.kill()
            pytest.fail("no second checkpoint within five minutes")
        yield process


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_no_epoch_is_lost(long: Path, temporary: Path) -> None:
    with started(long, temporary) as process:
        children = psutil.Process(process.pid).children(recursive=True)
        (worker,) = [child for child in children if "ray::RayTrainWorker" in " ".join(child.cmdline())]
        worker.kill()
        output, _ = process.communicate(timeout=400)
    assert process.returncode == 0, output
    assert [record["epoch"] for record in records(long, "unet") if "validation_loss" in record] == [*range(1, 61)]


@pytest.mark.slow
def test_after_an_interrupt_the_same_run_goes_on(long: Path, temporary: Path) -> None:
    with started(long, temporary) as process:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    assert process.returncode == 130
    assert not list(long.glob("runs/unet-*/done.json"))
    assert not (temporary / "ray").is_dir() or not list((temporary / "ray").iterdir())
    output = train(long, temporary)
    assert "stopped after epoch-" in output
    assert [record["epoch"] for record in records(long, "unet") if "validation_loss" in record] == [*range(1, 61)]
