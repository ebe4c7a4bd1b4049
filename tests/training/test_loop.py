"""The training loop on tiny real shards: learning, determinism, resumption, workers, and what stops it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from colorize.data.statistics import gather
from colorize.models import load_model
from colorize.settings import Settings
from colorize.training.__main__ import application
from colorize.training.identity import RunSpecification, specify
from colorize.training.log import read_log
from colorize.training.loop import TrainingError, train

Run = Callable[..., RunSpecification]
Settle = Callable[..., Settings]

WORKER = """
import json, sys
from pathlib import Path
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from colorize.training.identity import RunSpecification, specify
from colorize.training.loop import train

specification, lab, folder, rank, world_size = json.loads(sys.argv[1])
wrap = {}
if world_size > 1:
    distributed.init_process_group("gloo", f"file://{folder}.store", rank=rank, world_size=world_size)
    wrap = {"wrap": DistributedDataParallel}
run = RunSpecification.from_dict(specification)
train(run, Path(lab), Path(folder), rank=rank, world_size=world_size, device="cpu", threads=1, **wrap)
"""


class InterruptionError(Exception):
    """Stands for whatever ends a worker between two steps."""


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()


def fit(run: RunSpecification, lab: Path, folder: Path, **arguments: Any) -> dict[str, Any]:
    return train(run, lab, folder, device="cpu", threads=1, **arguments)


def start(run: RunSpecification, lab: Path, folder: Path, rank: int = 0, world_size: int = 1) -> subprocess.Popen[str]:
    job = json.dumps([run.to_dict(), str(lab), str(folder), rank, world_size])
    return subprocess.Popen([sys.executable, "-c", WORKER, job], stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("architecture", ["simple_unet", "unet", "unet_vae"])
def test_training_learns_and_leaves_a_model_a_log_and_a_summary(
    architecture: str, run: Run, lab: Path, tmp_path: Path
) -> None:
    specification = run(architecture, epochs=6)
    reported: list[dict[str, Any]] = []
    done = fit(specification, lab, tmp_path, report=reported.append)
    assert json.loads((tmp_path / "done.json").read_text()) == done
    assert (done["epochs"], done["steps"], done["fingerprint"]) == (6, 18, specification.fingerprint)
    assert done["precision"] == "float32"
    assert done["images_per_second"] > 0

    records = read_log(tmp_path / "log.jsonl")
    assert records == reported
    steps = [record for record in records if "loss" in record]
    epochs = [record for record in records if "validation_loss" in record]
    assert [record["step"] for record in steps] == list(range(1, 19))
    assert {"epoch", "learning_rate", "images_per_second", "data_wait_share", "steps"} <= steps[0].keys()
    assert [record["epoch"] for record in epochs] == [1, 2, 3, 4, 5, 6]
    assert epochs[-1]["validation_loss"] < 0.9 * epochs[0]["validation_loss"]
    assert done["validation_ab_rmse"] == epochs[-1]["validation_ab_rmse"]

    assert RunSpecification.from_dict(json.loads((tmp_path / "run.json").read_text())) == specification
    description = json.loads((tmp_path / "model" / "model.json").read_text())
    assert (description["size"], description["run"]) == (32, specification.name)
    assert load_model(tmp_path / "model").predict_ab(torch.full((1, 1, 32, 32), 50.0)).isfinite().all()


@pytest.mark.parametrize("architecture", ["unet", "unet_vae"])
def test_the_same_inputs_give_the_same_weights(architecture: str, run: Run, lab: Path, tmp_path: Path) -> None:
    torch.manual_seed(123)
    fit(run(architecture), lab, tmp_path / "one")
    torch.manual_seed(456)
    fit(run(architecture), lab, tmp_path / "two")
    fit(run(architecture, seed=2), lab, tmp_path / "other")
    assert digest(tmp_path / "one") == digest(tmp_path / "two") != digest(tmp_path / "other")


def test_training_leaves_the_random_state_alone(run: Run, lab: Path, tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    fit(run(epochs=1), lab, tmp_path)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("stop", ["in epoch 2", "before the model"])
@pytest.mark.parametrize("architecture", ["unet", "unet_vae"])
def test_an_interrupted_run_ends_as_if_it_had_not_been(
    architecture: str, stop: str, run: Run, lab: Path, tmp_path: Path
) -> None:
    specification = run(architecture)
    whole = fit(specification, lab, tmp_path / "whole")

    def interrupt(record: dict[str, Any]) -> None:
        if record["step"] == (5 if stop == "in epoch 2" else 9) and ("loss" in record) == (stop == "in epoch 2"):
            raise InterruptionError

    folder = tmp_path / "resumed"
    with pytest.raises(InterruptionError):
        fit(specification, lab, folder, report=interrupt)
    assert not (folder / "done.json").exists()
    resumed: list[dict[str, Any]] = []
    done = fit(specification, lab, folder, report=resumed.append)
    assert resumed[0]["step"] == (4 if stop == "in epoch 2" else 7), "goes on after the newest checkpoint"
    assert digest(folder) == digest(tmp_path / "whole")
    assert [done[key] for key in ("steps", "validation_loss")] == [whole[key] for key in ("steps", "validation_loss")]

    def figures(path: Path) -> list[tuple[object, ...]]:
        return [(record["step"], record.get("loss"), record.get("validation_loss")) for record in read_log(path)]

    assert figures(folder / "log.jsonl") == figures(tmp_path / "whole" / "log.jsonl")


def test_a_finished_run_is_not_trained_again(run: Run, lab: Path, tmp_path: Path) -> None:
    specification = run(epochs=1)
    done = fit(specification, lab, tmp_path)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert fit(specification, Path("nowhere"), tmp_path, report=lambda _: pytest.fail("trained again")) == done
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == written


def test_checkpoints_come_as_often_as_asked_and_after_the_last_epoch(run: Run, lab: Path, tmp_path: Path) -> None:
    fit(run(epochs=5, checkpoint_every=2, keep_checkpoints=9), lab, tmp_path)
    names = [path.name for path in sorted((tmp_path / "checkpoints").iterdir())]
    assert names == ["epoch-00002", "epoch-00004", "epoch-00005"]


def test_the_folder_of_another_run_is_refused(run: Run, lab: Path, tmp_path: Path) -> None:
    fit(run(epochs=1), lab, tmp_path)
    with pytest.raises(ValueError, match=r"holds a run with fingerprint .*choose another folder"):
        fit(run(epochs=2), lab, tmp_path)


def test_a_loss_that_is_no_number_stops_training_and_names_the_photos(run: Run, lab: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"lower training\.learning_rate, .*photos of this batch: [0-9a-f]{64}"):
        fit(run(learning_rate=1e30, warmup_steps=0), lab, tmp_path)
    assert not (tmp_path / "done.json").exists()
    assert all("NaN" not in line for line in (tmp_path / "log.jsonl").read_text().splitlines())


def test_an_empty_training_split_is_refused(run: Run, lab: Path, tmp_path: Path) -> None:
    index = json.loads((lab / "index.json").read_text())
    index["shards"] = [entry for entry in index["shards"] if entry["split"] != "train"]
    (tmp_path / "index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="no photos in the training split"):
        fit(run(), tmp_path, tmp_path / "run")


def test_two_workers_train_as_one(run: Run, lab: Path, tmp_path: Path) -> None:
    """22 photos in batches of 7: unequal slices, and a last batch of one photo that leaves a worker with none."""
    specification = run("unet_vae", batch_size=7, epochs=2)
    folder = tmp_path / "two"
    workers = [start(specification, lab, folder, rank, 2) for rank in (0, 1)]
    fit(specification, lab, tmp_path / "one")
    for worker in workers:
        _, errors = worker.communicate(timeout=120)
        assert worker.returncode == 0, errors
    one, two = ([r for r in read_log(tmp_path / name / "log.jsonl") if "loss" in r] for name in ("one", "two"))
    assert [record["step"] for record in two] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [record["loss"] for record in two] == pytest.approx([record["loss"] for record in one], rel=1e-4)
    mine, theirs = (load_model(tmp_path / name / "model").state_dict() for name in ("one", "two"))
    for name, tensor in mine.items():
        torch.testing.assert_close(theirs[name], tensor, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.slow
def test_one_two_and_four_workers_agree_for_a_hundred_steps(
    settings: Settle, root: Path, lab: Path, tmp_path: Path
) -> None:
    """Without normalization and dropout; the penalty looks at all photos of a step, the critic at each worker's."""
    (tmp_path / "data").mkdir()
    data = tmp_path / "data" / "lab"
    data.symlink_to(lab)
    (tmp_path / "data" / "statistics.json").write_text(json.dumps(gather(lab)))
    values = settings(epochs=34, learning_rate=1e-4).model_dump(mode="json")
    objective = [{"name": "regression"}, {"name": "dominant_colors"}]
    model = {"channels": 4, "depth": 2, "normalization": "none"}
    values["architectures"] = {"unet": {"model": model, "objective": objective}}
    specification = specify(Settings.model_validate(values), "unet", lab, root)
    losses = {}
    for world_size in (1, 2, 4):
        folder = tmp_path / str(world_size)
        workers = [start(specification, data, folder, rank, world_size) for rank in range(world_size)]
        for worker in workers:
            _, errors = worker.communicate(timeout=600)
            assert worker.returncode == 0, errors
        losses[world_size] = [record["loss"] for record in read_log(folder / "log.jsonl") if "loss" in record]
    assert len(losses[1]) >= 100
    assert losses[2] == pytest.approx(losses[1], rel=1e-5)
    assert losses[4] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.slow
def test_a_killed_run_ends_as_if_it_had_not_been(run: Run, lab: Path, tmp_path: Path) -> None:
    specification = run("unet", epochs=30)
    fit(specification, lab, tmp_path / "whole")
    folder, kills = tmp_path / "killed", 0
    for delay in (0.0, 0.05, 0.2, 0.35, 0.5):
        worker = start(specification, lab, folder)
        epochs = len(list((folder / "checkpoints").glob("epoch-*"))) and _newest(folder)
        while worker.poll() is None and _newest(folder) <= epochs:
            time.sleep(0.01)
        time.sleep(delay)
        os.kill(worker.pid, signal.SIGKILL)
        kills += worker.wait() == -signal.SIGKILL
    assert kills >= 2
    fit(specification, lab, folder)
    assert digest(folder) == digest(tmp_path / "whole")
    assert not list((folder / "checkpoints").glob(".tmp-*"))


def _newest(folder: Path) -> int:
    names = [path.name for path in (folder / "checkpoints").glob("epoch-*")]
    return int(max(names, default="epoch-0").removeprefix("epoch-"))


def test_the_command_teaches_trains_and_recognises_what_is_done(lab: Path, tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_text("torch==2.13.0\n")
    (tmp_path / "params.yaml").write_text(
        "datasets: {tiny: {source: 'sample://tiny'}}\n"
        "architectures: {unet: {model: {channels: 4, depth: 1}}}\n"
        "training: {batch_size: 8}\n"
    )
    command = ["--lab", str(lab), "--runs", str(tmp_path / "runs"), "--params", str(tmp_path / "params.yaml")]
    options = ["--epochs", "1", "--device", "cpu", "--threads", "1"]
    runner = CliRunner()
    assert "without Ray" in runner.invoke(application, ["--help"]).output
    first = runner.invoke(application, ["unet", *command, *options])
    assert first.exit_code == 0, first.output
    assert "epoch 1: validation loss" in first.output
    (folder,) = (tmp_path / "runs").glob("unet-*")
    assert json.loads((folder / "done.json").read_text())["epochs"] == 1
    assert "is finished already" in runner.invoke(application, ["unet", *command, *options]).output
    unknown = runner.invoke(application, ["vgg", *command])
    assert unknown.exit_code == 1
    assert "chosen: unet" in unknown.output
