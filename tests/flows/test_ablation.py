"""The ablation on a tiny sample: real Prefect, real Ray, two variants with two seeds each."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from colorize.data import statistics
from colorize.data.shard_file import Row, write_shard
from colorize.data.shard_index import read_entry, write_index
from colorize.data.shard_plan import Photo, ShardPlan
from colorize.settings.sections import ShardSettings
from colorize.storage import write_json

pytestmark = pytest.mark.slow

SIDE = 32
PARAMETERS = """
datasets: {}
scaling: {gpu: never}
evaluation: {gallery: 2}
"""


def _row(name: str) -> Row:
    identity = hashlib.sha256(name.encode()).hexdigest()
    random = np.random.default_rng(int(identity[:8], 16))
    lightness = random.integers(40, 216, (4, 4), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    ab = np.stack([178 - lightness // 3, 158 - lightness // 2]).astype(np.uint8)
    return Row(identity, lightness.tobytes(), ab.tobytes(), SIDE, SIDE)


def _lab(folder: Path) -> None:
    """22 photos to train on, 4 to validate, 12 to test: bright is blue, dark is red."""
    settings, entries = ShardSettings(size=SIDE, row_group=4), []
    for split, photos in {"train": 22, "validation": 4, "test": 12}.items():
        rows = [_row(f"{split} {number}") for number in range(photos)]
        plan = ShardPlan(split, "tiny", 0, tuple(Photo(row.id, row.id) for row in rows), settings)
        write_shard(folder / plan.path, plan, rows)
        entries.append(read_entry(folder, plan.path)[0])
    write_index(folder, entries, settings)
    write_json(folder.parent / "statistics.json", statistics.gather(folder))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    root = tmp_path_factory.mktemp("project")
    (root / "params.yaml").write_text(PARAMETERS)
    shutil.copy(repository / "requirements.lock", root)
    _lab(root / "data" / "lab")
    return root


@pytest.fixture(scope="module")
def temporary() -> Iterator[Path]:
    """A folder for temporary files with a name short enough for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="c", dir="/tmp") as folder:
        yield Path(folder)


def ablation(root: Path, temporary: Path, *more: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.ablation", "--seeds", "2", "--cure", "skips", *more],
        cwd=root,
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def first(project: Path, temporary: Path) -> str:
    return ablation(project, temporary)


@pytest.fixture(scope="module")
def second(project: Path, temporary: Path, first: str) -> str:
    return ablation(project, temporary)


def runs(project: Path) -> list[Path]:
    return sorted(path.parent for path in project.glob("runs/ablation/*/done.json"))


def verbs(output: str) -> list[str]:
    """What is done to each run."""
    return [line.split()[0] for line in output.splitlines() if " simple_unet-" in line and "seed" in line]


def test_a_dry_run_trains_nothing(project: Path, temporary: Path) -> None:
    said = ablation(project, temporary, "--dry-run")
    assert verbs(said)
    assert "as published, seed 1" in said
    assert "skip connections, seed 2" in said
    assert not (project / "reports").exists()


def test_each_variant_is_trained_with_each_seed_and_measured(project: Path, first: str) -> None:
    assert verbs(first) == ["train"] * 4
    made = [json.loads((run / "run.json").read_text()) for run in runs(project)]
    assert sorted((run["model"]["skips"], run["training"]["seed"]) for run in made) == [
        (False, 1),
        (False, 2),
        (True, 1),
        (True, 2),
    ]
    assert all(pq.read_table(run / "evaluation/rows.parquet").num_rows == 12 for run in runs(project))
    assert "4 of 4: " in first


def test_the_table_is_on_the_console_and_in_the_reports(project: Path, first: str) -> None:
    table = (project / "reports/ablation.md").read_text()
    assert table in first
    assert "skip connections" in table
    report = json.loads((project / "reports/ablation.json").read_text())
    assert (report["size"], report["seeds"]) == ("small", 2)
    by_figure = {effect["figure"]: effect for effect in report["effects"]}
    assert len(by_figure) == 10
    made = {
        (values["model"]["skips"], values["training"]["seed"]): json.loads(
            (run / "evaluation/summary.json").read_text()
        )
        for run in runs(project)
        if (values := json.loads((run / "run.json").read_text()))
    }
    assert by_figure["ab_rmse"]["base"] == pytest.approx([made[False, seed]["ab_rmse"] for seed in (1, 2)])
    assert by_figure["ab_rmse"]["cured"] == pytest.approx([made[True, seed]["ab_rmse"] for seed in (1, 2)])


def test_nothing_is_registered(project: Path, first: str) -> None:
    assert not (project / "registry").exists()
    assert not (project / "reports/metrics").exists()


def test_a_second_call_trains_nothing_and_says_the_same(project: Path, first: str, second: str) -> None:
    assert verbs(second) == ["skip"] * 4
    assert "starting Ray" not in second
    assert (project / "reports/ablation.md").read_text() in second
    assert (project / "reports/ablation.md").read_text() in first


def test_what_was_interrupted_goes_on_from_its_checkpoint(project: Path, temporary: Path, second: str) -> None:
    weights = {run.name: (run / "model/model.safetensors").read_bytes() for run in runs(project)}
    (run, *_) = runs(project)
    (run / "done.json").unlink()
    shutil.rmtree(run / "model")
    shutil.rmtree(run / "evaluation")
    third = ablation(project, temporary)
    assert sorted(verbs(third)) == ["resume", "skip", "skip", "skip"]
    assert {run.name: (run / "model/model.safetensors").read_bytes() for run in runs(project)} == weights
    assert (project / "reports/ablation.md").read_text() in second


def test_as_many_train_at_once_as_fit() -> None:
    from pipelines.ablation_flow import side_by_side
    from pipelines.ray_session import Node, Resources

    two = [Node(cpus=5, gpus=0), Node(cpus=1, gpus=0)]
    assert side_by_side(Resources(workers=1, cpus=1, gpu=False), two) == 6
    assert side_by_side(Resources(workers=1, cpus=2, gpu=False), two) == 2
    assert side_by_side(Resources(workers=1, cpus=4, gpu=True), [Node(cpus=16, gpus=2), Node(cpus=8, gpus=0)]) == 2
