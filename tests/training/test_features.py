"""What a training can be told beside the plain loop: averaging, accumulation, freezing, sizes, stopping, a critic."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from colorize.data.statistics import gather
from colorize.models import Prediction, load_model
from colorize.settings import Settings
from colorize.training.averaging import MovingAverage
from colorize.training.identity import RunSpecification, specify
from colorize.training.log import read_log
from colorize.training.loop import train
from colorize.training.stopping import best_epoch, is_over

Settle = Callable[..., Settings]


class InterruptionError(Exception):
    """Stands for whatever ends a worker between two steps."""


@pytest.fixture
def specified(lab: Path, root: Path, settings: Settle) -> Callable[..., RunSpecification]:
    """Makes a run of one architecture: its model and objective, and overrides of the training section."""

    def make(architecture: str, model: dict[str, Any], objective: Any = None, **training: object) -> RunSpecification:
        values = settings(**training).model_dump(mode="json")
        chosen = {"model": model, **({} if objective is None else {"objective": objective})}
        values["architectures"] = {architecture: chosen}
        return specify(Settings.model_validate(values), architecture, lab, root)

    return make


@pytest.fixture
def data(lab: Path, tmp_path: Path) -> Path:
    """The shards with statistics beside them."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "lab").symlink_to(lab)
    (folder / "statistics.json").write_text(json.dumps(gather(lab)))
    return folder / "lab"


TINY = {"channels": 4, "depth": 2}
# Without normalization, before which a bias has no gradient but rounding, that Adam makes as large as any.
BARE = {**TINY, "normalization": "none"}
ENCODER = {"encoder": "resnet18", "encoder_width": 0.1, **TINY}
GAN = [{"name": "regression", "loss": "l1"}, {"name": "adversarial", "channels": 4, "weight": 0.1}]
NOGAN = [GAN[0], {**GAN[1], "generator_epochs": 2, "critic_epochs": 1}]


def fit(run: RunSpecification, lab: Path, folder: Path, **arguments: Any) -> dict[str, Any]:
    return train(run, lab, folder, device="cpu", threads=1, **arguments)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / "model" / "model.safetensors")


def same(one: Path, other: Path) -> bool:
    return (one / "model/model.safetensors").read_bytes() == (other / "model/model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("architecture", "model", "objective", "training"),
    [
        ("unet", TINY, GAN, {"accumulate": 2}),
        ("unet", TINY, NOGAN, {"patience": 2, "early_stop": "validation_color_divergence"}),
        ("unet", TINY, [{**GAN[0]}, {**GAN[1], "critic": "deoldify", "loss": "hinge"}], {"average": 0.9}),
        ("unet", {**TINY, "normalization": "batch"}, None, {"average": 0.9, "patience": 3, "crop": 0.6}),
        ("pix2pix_unet256", {"channels": 4, "depth": 5}, None, {"lighting": 0.3, "sizes": {16: 2}}),
        ("unet", TINY, [{"name": "regression", "rebalancing": 0.5}, {"name": "dominant_colors"}], {"balance": True}),
        (
            "unet",
            {"encoder": "resnet18", "encoder_width": 0.1, **TINY},
            None,
            {"frozen_epochs": 2, "encoder_rate": 0.1},
        ),
    ],
    ids=["gan", "nogan", "deoldify", "average", "dropout", "colors", "frozen"],
)
def test_an_interrupted_run_ends_as_if_it_had_not_been(  # noqa: PLR0917
    architecture: str,
    model: dict[str, Any],
    objective: Any,
    training: dict[str, Any],
    specified: Callable[..., RunSpecification],
    data: Path,
    tmp_path: Path,
) -> None:
    run = specified(architecture, model, objective, epochs=5, **training)
    whole = fit(run, data, tmp_path / "whole")
    for stop in (4, 10):

        def interrupt(record: dict[str, Any], stop: int = stop) -> None:
            if record["step"] == stop and "loss" in record:
                raise InterruptionError

        with pytest.raises(InterruptionError):
            fit(run, data, tmp_path / "resumed", report=interrupt)
    torch.manual_seed(1234)
    done = fit(run, data, tmp_path / "resumed")
    assert same(tmp_path / "whole", tmp_path / "resumed")

    def comparable(result: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in result.items() if key not in ("seconds", "images_per_second")}

    assert comparable(done) == comparable(whole)


def test_parts_of_a_step_have_the_gradient_of_the_whole(
    specified: Callable[..., RunSpecification], lab: Path, tmp_path: Path
) -> None:
    for parts in (1, 3, 16):
        fit(specified("unet", BARE, epochs=2, accumulate=parts), lab, tmp_path / str(parts))
    for parts in (3, 16):
        for name, tensor in weights(tmp_path / "1").items():
            torch.testing.assert_close(weights(tmp_path / str(parts))[name], tensor, rtol=1e-3, atol=1e-4, msg=name)
    losses = [[r["loss"] for r in read_log(tmp_path / str(n) / "log.jsonl") if "loss" in r] for n in (1, 16)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_moving_average_follows_with_a_growing_memory() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(1.0)
    average = MovingAverage(network, decay=0.9)
    expected = 1.0
    for step, value in enumerate((2.0, 4.0, -3.0), start=1):
        with torch.no_grad():
            network.weight.fill_(value)
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
        assert average.parameters["weight"].item() == pytest.approx(expected)
    average.swap()
    assert network.weight.item() == pytest.approx(expected)
    average.swap()
    assert network.weight.item() == -3.0


def test_the_model_is_the_average_and_is_what_was_validated(
    specified: Callable[..., RunSpecification], lab: Path, tmp_path: Path
) -> None:
    fit(specified("unet", TINY), lab, tmp_path / "plain")
    fit(specified("unet", TINY, average=0.99), lab, tmp_path / "averaged")
    last = safetensors.torch.load_file(tmp_path / "averaged/checkpoints/epoch-00003/model.safetensors")
    kept = safetensors.torch.load_file(tmp_path / "averaged/checkpoints/epoch-00003/average.safetensors")
    mine, plain = weights(tmp_path / "averaged"), weights(tmp_path / "plain")
    assert all(torch.equal(plain[name], last[name]) for name in plain), "averaging does not disturb training"
    assert all(torch.equal(mine[name], kept[name]) for name in kept)
    assert any(not torch.equal(mine[name], last[name]) for name in mine)


def test_a_frozen_encoder_stays_and_then_learns_at_its_own_rate(
    specified: Callable[..., RunSpecification], lab: Path, tmp_path: Path
) -> None:
    def encoder(epoch: int) -> dict[str, torch.Tensor]:
        path = tmp_path / f"run/checkpoints/epoch-{epoch:05d}/model.safetensors"
        return {n: t for n, t in safetensors.torch.load_file(path).items() if n.startswith("encoder.")}

    fit(specified("unet", ENCODER, frozen_epochs=2, keep_checkpoints=9, encoder_rate=0.5), lab, tmp_path / "run")
    first, second, third = encoder(1), encoder(2), encoder(3)
    assert all(torch.equal(first[name], second[name]) for name in first), "means of normalizations stay, too"
    assert any(not torch.equal(second[name], third[name]) for name in second)
    with pytest.raises(ValueError, match=r"training.frozen_epochs is 1, but UNet has no encoder of its own"):
        fit(specified("unet", TINY, frozen_epochs=1), lab, tmp_path / "plain")
    with pytest.raises(ValueError, match=r"training.encoder_rate is 0.1, but VGG16Decoder has no encoder"):
        fit(specified("vgg16_decoder", {"width": 0.1, "encoder_width": 0.1}, encoder_rate=0.1), lab, tmp_path / "vgg")


@pytest.mark.parametrize(
    ("figures", "begin", "best", "over"),
    [
        ([], 0, None, False),
        ([3.0, 2.0, 1.0], 0, 3, False),
        ([3.0, 2.0, 2.0], 0, 2, False),
        ([3.0, 2.0, 2.0, 2.5], 0, 2, True),
        ([1.0, 3.0, 2.0], 1, 3, False),
        ([1.0, 3.0, 4.0], 3, None, False),
    ],
)
def test_stopping_looks_for_the_smallest_figure(figures: list[float], begin: int, best: int | None, over: bool) -> None:
    assert best_epoch(figures, begin) == best
    assert is_over(figures, 2, begin) is over
    assert not is_over(figures, None, begin)


def test_training_stops_by_itself_and_the_model_is_the_best(
    specified: Callable[..., RunSpecification], lab: Path, tmp_path: Path
) -> None:
    """A rate that is far too high makes things worse after a while."""
    training = {"epochs": 40, "learning_rate": 0.3, "warmup_steps": 0, "patience": 3, "keep_checkpoints": 99}
    done = fit(specified("unet", TINY, **training), lab, tmp_path)
    records = [record for record in read_log(tmp_path / "log.jsonl") if "validation_loss" in record]
    losses = [record["validation_loss"] for record in records]
    assert len(losses) == done["epochs"] < 40
    assert done["best_epoch"] == 1 + losses.index(min(losses)) == len(losses) - 3
    assert done["validation_loss"] == min(losses)
    best = safetensors.torch.load_file(tmp_path / f"checkpoints/epoch-{done['best_epoch']:05d}/model.safetensors")
    assert all(torch.equal(tensor, weights(tmp_path)[name]) for name, tensor in best.items())


def test_a_schedule_of_network_critic_and_both(
    specified: Callable[..., RunSpecification], lab: Path, tmp_path: Path
) -> None:
    fit(specified("unet", TINY, NOGAN, epochs=5, keep_checkpoints=9), lab, tmp_path)
    steps = [record for record in read_log(tmp_path / "log.jsonl") if "loss" in record]
    told = {epoch: {key for record in steps if record["epoch"] == epoch for key in record} for epoch in range(1, 6)}
    assert "critic_loss" not in told[1] | told[2]
    assert "loss_adversarial" not in told[1] | told[2] | told[3]
    assert {"critic_loss", "loss"} <= told[3]
    assert {"critic_loss", "loss_adversarial", "loss_regression", "loss"} <= told[4] & told[5]

    def network(name: str, epoch: int) -> dict[str, torch.Tensor]:
        return safetensors.torch.load_file(tmp_path / f"checkpoints/epoch-{epoch:05d}/{name}.safetensors")

    def moved(name: str, before: int, after: int) -> bool:
        one, two = network(name, before), network(name, after)
        return any(not torch.equal(one[key], two[key]) for key in one)

    assert [moved("critic", epoch, epoch + 1) for epoch in (1, 2, 3, 4)] == [False, True, True, True]
    assert [moved("model", epoch, epoch + 1) for epoch in (1, 2, 3, 4)] == [True, False, True, True]


def test_smaller_photos_come_first_and_sizes_that_the_shards_lack_are_refused(
    specified: Callable[..., RunSpecification], lab: Path, tmp_path: Path
) -> None:
    fit(specified("unet", TINY, sizes={16: 1, 24: 1}), lab, tmp_path / "grown")
    fit(specified("unet", TINY), lab, tmp_path / "plain")
    assert not same(tmp_path / "grown", tmp_path / "plain")
    assert load_model(tmp_path / "grown" / "model").predict_ab(torch.full((1, 1, 32, 32), 50.0)).isfinite().all()
    with pytest.raises(ValueError, match=r"64.*shards\.size"):
        fit(specified("unet", TINY, sizes={64: 1}), lab, tmp_path / "large")


def test_photos_per_epoch_cut_a_run_into_shorter_epochs(
    specified: Callable[..., RunSpecification], lab: Path, tmp_path: Path
) -> None:
    done = fit(specified("unet", TINY, photos_per_epoch=10, epochs=4), lab, tmp_path)
    assert (done["epochs"], done["steps"]) == (4, 8)


@pytest.mark.slow
def test_a_compiled_network_learns_the_same(
    specified: Callable[..., RunSpecification], lab: Path, tmp_path: Path
) -> None:
    model = {"channels": 4, "depth": 5, "dropout": 0.0}
    fit(specified("pix2pix_unet256", model, epochs=2, learning_rate=1e-4), lab, tmp_path / "plain")
    fit(specified("pix2pix_unet256", model, epochs=2, learning_rate=1e-4, compile=True), lab, tmp_path / "compiled")
    logs = (read_log(tmp_path / name / "log.jsonl") for name in ("plain", "compiled"))
    one, other = ([record["loss"] for record in log if "loss" in record] for log in logs)
    assert other == pytest.approx(one, rel=1e-3)
    assert list(weights(tmp_path / "plain")) == list(weights(tmp_path / "compiled"))


def test_a_wrong_translation_is_refused(
    specified: Callable[..., RunSpecification], lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class WithoutGradient(torch.nn.Module):
        """What the compiler makes of a network whose gradients it loses on the way."""

        def __init__(self, model: torch.nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, l: torch.Tensor, seeds: list[int]) -> Prediction:  # noqa: E741
            prediction = self.model(l, seeds)
            return Prediction(ab=prediction.ab.detach() + 0.5 * (prediction.ab - prediction.ab.detach()))

    monkeypatch.setattr(torch, "compile", WithoutGradient)
    with pytest.raises(ValueError, match=r"translates this network wrongly: the gradient of .* is off by 50%"):
        fit(specified("unet", TINY, compile=True), lab, tmp_path / "run")


def test_compiling_without_a_compiler_is_refused(
    specified: Callable[..., RunSpecification], lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ValueError, match=r"training.compile is true, but there is no C\+\+ compiler"):
        fit(specified("unet", TINY, compile=True), lab, tmp_path / "run")
