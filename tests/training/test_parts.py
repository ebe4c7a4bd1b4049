"""The parts of training: schedule, log, checkpoints, batches, precision."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import AdamW

from colorize.data.loader import Batch
from colorize.training import checkpoint, log
from colorize.training.batches import decode, photo_seed, share_of_loss
from colorize.training.checkpoint import State, Trained
from colorize.training.precision import choose_device, choose_precision, reproducible
from colorize.training.schedule import learning_rate

CPU = torch.device("cpu")


def test_the_learning_rate_warms_up_and_goes_down_to_nearly_nothing() -> None:
    rates = [learning_rate(step, 100, 0.5, 10) for step in range(1, 101)]
    assert rates[0] == pytest.approx(0.05)
    assert rates[9] == max(rates) == 0.5
    assert all(a < b for a, b in itertools.pairwise(rates[:10]))
    assert all(a > b for a, b in itertools.pairwise(rates[9:]))
    assert 0 < rates[-1] < 0.001


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_runs_have_a_learning_rate_too(steps: int) -> None:
    assert all(0 < learning_rate(step, steps, 1.0, 50) <= 1 for step in range(1, steps + 1))


def test_a_log_goes_back_to_a_step_and_forgets_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "run" / "log.jsonl"
    log.rewind(path, 0)
    assert log.read_log(path) == []
    for step in (1, 2, 3):
        log.append(path, {"step": step, "loss": step / 10})
    with path.open("a") as file:
        file.write('{"step": 4, "lo')
    assert [record["step"] for record in log.read_log(path)] == [1, 2, 3]
    log.rewind(path, 2)
    log.append(path, {"step": 3, "loss": 9.0})
    assert path.read_text().splitlines()[-1] == '{"step": 3, "loss": 9.0}'
    assert [record["loss"] for record in log.read_log(path)] == [0.1, 0.2, 9.0]


def trained(seed: int, steps: int = 3) -> Trained:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)
    optimizer = AdamW(model.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(2, 2, 8, 8)).square().mean().backward()
        optimizer.step()
    kept = {"average": {"weight": torch.full((3,), float(seed))}, "best": {}}
    return Trained({"model": model}, {"model": optimizer}, kept)


def test_a_checkpoint_brings_back_every_bit(tmp_path: Path) -> None:
    mine = trained(seed=1)
    state = State(epoch=2, step=34, seconds=5.5, training_seconds=4.25, validation={"validation_loss": 0.1})
    folder = checkpoint.save(tmp_path, state, mine, keep=2)
    other = trained(seed=2)
    assert checkpoint.load(folder, other) == state
    one, two = mine.networks["model"], other.networks["model"]
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    for parameter, its in zip(one.parameters(), two.parameters(), strict=True):
        before, after = mine.optimizers["model"].state[parameter], other.optimizers["model"].state[its]
        assert before.keys() == after.keys()
        assert all(torch.equal(before[key], after[key]) for key in before)
        assert after["exp_avg"].stride() == its.stride()
    assert other.kept["average"]["weight"].tolist() == [1.0, 1.0, 1.0]
    assert sorted(path.name for path in folder.iterdir()) == [
        "average.safetensors",
        "best.safetensors",
        "model.safetensors",
        "optimizer.safetensors",
        "state.json",
    ]


def test_only_the_newest_checkpoints_stay(tmp_path: Path) -> None:
    mine = trained(seed=1)
    for epoch in (1, 2, 3):
        checkpoint.save(tmp_path, State(epoch=epoch), mine, keep=2)
    assert [path.name for path in checkpoint.checkpoints(tmp_path)] == ["epoch-00002", "epoch-00003"]


def test_a_checkpoint_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = trained(seed=1)
    checkpoint.save(tmp_path, State(epoch=1), mine, keep=2)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_json", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(tmp_path, State(epoch=2), mine, keep=2)
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-00001"]


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, name: str) -> None:
    mine = trained(seed=1)
    folder = checkpoint.save(tmp_path, State(epoch=1), mine, keep=2)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"epoch-00001: damaged checkpoint .*delete this folder"):
        checkpoint.load(folder, mine)


def test_codes_become_units_and_an_empty_batch_becomes_a_black_photo() -> None:
    codes = np.array([0, 255], np.uint8)
    batch = Batch(["a"], ["d"], codes.reshape(1, 1, 1, 2), np.stack([codes, codes]).reshape(1, 2, 1, 2))
    photos = decode(batch, CPU, [5])
    torch.testing.assert_close(photos.l.flatten(), torch.tensor([0.0, 100.0]))
    assert photos.ab.flatten().tolist() == [-128, 127, -128, 127]
    empty = decode(Batch([], [], np.empty((0, 1, 4, 4), np.uint8), np.empty((0, 2, 4, 4), np.uint8)), CPU, [])
    assert (empty.l.shape, empty.ab.shape, empty.seeds) == ((1, 1, 4, 4), (1, 2, 4, 4), [0])


def test_unequal_slices_average_to_the_mean_over_all_photos() -> None:
    losses = [1.0, 2.0, 6.0, 3.0, 9.0]
    slices = [losses[:1], losses[1:3], losses[3:], []]
    means = [sum(part) / len(part) if part else 123.0 for part in slices]
    weighted = [mean * share_of_loss(len(part), 5, 4) for mean, part in zip(means, slices, strict=True)]
    assert sum(weighted) / 4 == pytest.approx(sum(losses) / 5)


def test_photo_seeds_differ_by_run_step_and_photo() -> None:
    seeds = {photo_seed(seed, step, photo) for seed in (1, 2) for step in (1, 11) for photo in ("1 a", "a")}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**62 for seed in seeds)


def test_a_number_format_is_chosen_by_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert choose_precision("bfloat16", CPU) == torch.bfloat16
    assert choose_precision("auto", CPU) == torch.float32, "the same weights on processors that have it and have not"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False})
    with pytest.raises(ValueError, match=r"training\.precision is 'bfloat16', but device 'cpu' does not"):
        choose_precision("bfloat16", CPU)


def test_hardware_that_is_not_there_is_refused() -> None:
    if not torch.cuda.is_available():
        assert choose_device() == CPU
        with pytest.raises(ValueError, match="'cuda:0': torch sees no GPU here"):
            choose_device("cuda:0")


def test_torch_is_left_as_it_was_found() -> None:
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with reproducible(CPU, before[0] + 1):
        assert torch.get_num_threads() == before[0] + 1
        assert torch.are_deterministic_algorithms_enabled()
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


def test_state_is_plain_json(tmp_path: Path) -> None:
    mine = trained(seed=1)
    folder = checkpoint.save(tmp_path, State(epoch=1, step=2), mine, keep=1)
    assert json.loads((folder / "state.json").read_text())["step"] == 2
