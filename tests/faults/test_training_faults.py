"""A training worker on real Ray, killed at ten points: at most one checkpoint is lost, and the weights are the same."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import tempfile
import time
from pathlib import Path
from threading import Event

import pytest

from colorize.settings import Settings, load_settings
from colorize.settings.sections import ScalingSettings
from colorize.training.identity import RunSpecification, specify
from colorize.training.loop import train
from pipelines.environment import prepare
from pipelines.ray_session import ray_session
from pipelines.ray_train import submit
from stages import dedupe, ingest, shard, sources, split, statistics

pytestmark = pytest.mark.slow

KILLS = 10
EPOCHS = 80
PARAMETERS = f"""
datasets:
  landscape-pictures: {{source: "sample://landscape-pictures?photos=60", layout: flat}}
ingest: {{maximum_refused: 0.3}}
shards: {{size: 32, rows: 16, row_group: 8}}
split: {{validation: 0.2, test: 0.2}}
training: {{epochs: {EPOCHS}, batch_size: 8}}
architectures:
  unet: {{model: {{channels: 4, depth: 2}}}}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    root = tmp_path_factory.mktemp("project")
    (root / "params.yaml").write_text(PARAMETERS)
    (root / "requirements.lock").write_bytes((repository / "requirements.lock").read_bytes())
    (root / "removed.jsonl").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        settings = load_settings(root / "params.yaml")
        sources.main(settings, "landscape-pictures")
        ingest.main(settings, "landscape-pictures")
        for stage in (dedupe, split, shard, statistics):
            stage.main(settings)
    return root


def specification(root: Path) -> RunSpecification:
    settings: Settings = load_settings(root / "params.yaml")
    return specify(settings, "unet", root / "data" / "lab", root)


def epochs(folder: Path) -> list[Path]:
    return sorted((folder / "checkpoints").glob("epoch-*"))


def test_ten_kills_cost_at_most_a_checkpoint_each_and_change_no_weight(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, chance = specification(project), random.Random(1)
    train(run, project / "data" / "lab", tmp_path / "undisturbed", device="cpu", threads=1)
    with tempfile.TemporaryDirectory(prefix="c", dir="/tmp") as short:
        monkeypatch.setattr(tempfile, "tempdir", short)
        prepare(tmp_path)
        folder = tmp_path / "runs" / run.name
        scaling = ScalingSettings(workers=1, cpus_per_worker=1, gpu="never", maximum_failures=KILLS)
        with ray_session():
            training = submit(run, str(project / "data" / "lab"), folder, None, scaling)
            killed: list[int] = []
            newest: Path | None = None
            inode = 0
            deadline = time.monotonic() + 500
            while not training.ended(0.02, Event()):
                assert time.monotonic() < deadline
                done = epochs(folder)
                if newest is not None and done and done[-1].name > newest.name:
                    # It went on from the checkpoint that was there, which is still the same one.
                    if newest.exists():
                        assert (newest / "state.json").stat().st_ino == inode
                    newest = None
                log = folder / "workers" / "rank-0.log"
                pids = re.findall(r"process (\d+)", log.read_text()) if log.exists() else []
                wanted = (len(killed) + 1) * EPOCHS // (KILLS + 2)
                if len(killed) == KILLS or not pids or int(pids[-1]) in killed or len(done) == 0:
                    continue
                if int(done[-1].name.removeprefix("epoch-")) < wanted:
                    continue
                time.sleep(chance.uniform(0.0, 0.05))
                done = epochs(folder)
                newest, inode = done[-1], (done[-1] / "state.json").stat().st_ino
                os.kill(int(pids[-1]), signal.SIGKILL)
                killed.append(int(pids[-1]))
    assert len(set(killed)) == KILLS
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records if "validation_loss" in record] == list(range(1, EPOCHS + 1))
    model = "model/model.safetensors"
    assert (folder / model).read_bytes() == (tmp_path / "undisturbed" / model).read_bytes()
