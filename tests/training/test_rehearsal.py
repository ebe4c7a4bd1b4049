"""What a rehearsal finds: set-ups that learn and others that do not, and what a run needs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from torch import nn

from colorize.models import create, names
from colorize.models.registry import settings_of
from colorize.objectives import TrainingData
from colorize.settings.objectives import AdversarialSettings, PerceptualSettings
from colorize.settings.sections import ArchitecturesSettings, TrainingSettings
from colorize.training import overfit as overfit_module
from colorize.training import rehearsal, room
from colorize.training.identity import RunSpecification
from colorize.training.loop import TrainingError
from colorize.training.overfit import Step
from colorize.training.rehearsal import fault_of, rate_fault, rehearse, slim, slim_photos

drawn_photos = cache(overfit_module.drawn_photos)
CPU = torch.device("cpu")
QUICK = ("unet_vae", "unet_vae_deep", "simple_unet", "vgg16_decoder", "pix2pix_unet256")
EVERY = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names()]
Make = Callable[..., RunSpecification]


def as_shipped(name: str, **training: object) -> RunSpecification:
    """An architecture as published, with the objective and the training that it has by default."""
    chosen = ArchitecturesSettings.model_validate({name: {"model": {}}}).chosen()[name]
    settings = TrainingSettings.model_validate(training)
    return RunSpecification(name, chosen.model, chosen.objective, settings, "d" * 64, "f" * 64)


def course(run: RunSpecification) -> list[Step]:
    """What a rehearsal sees of a run."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.training.seed)
        return rehearsal._learn(run, slim_photos(drawn_photos(64)), CPU, no_weights)


def no_weights(name: str) -> dict[str, torch.Tensor]:
    raise ValueError(name)


def rehearsed(run: RunSpecification, lab: Path, folder: Path, **options: Any) -> str:
    return rehearse(run, lab, [folder], weights=folder, device="cpu", **options)


@pytest.mark.parametrize("name", EVERY)
def test_every_architecture_learns_as_it_is_shipped(name: str) -> None:
    steps = course(as_shipped(name))
    assert fault_of(steps) is None
    assert rehearsal._left(steps) < 0.85  # of 0.93 that would do


@pytest.mark.parametrize("name", EVERY)
def test_no_architecture_learns_at_an_absurd_rate(name: str) -> None:
    assert "does not learn 8 photos by heart" in str(fault_of(course(as_shipped(name, learning_rate=1e4))))


@pytest.mark.parametrize("name", EVERY)
def test_slim_settings_make_a_small_network_of_the_same_kind(name: str) -> None:
    published = settings_of(name, {})
    small = slim(published)
    assert type(small) is type(published)
    assert slim(small) == small
    with torch.device("meta"):
        fewer, all_of_them = (
            sum(one.numel() for one in create(name, settings).parameters()) for settings in (small, published)
        )
    assert fewer < all_of_them / 15


def test_what_is_slim_already_stays_and_published_weights_are_left_out() -> None:
    assert slim(settings_of("simple_unet", {"width": 0.1, "skips": True})).model_dump()["width"] == 0.1
    assert slim(settings_of("unet", {"encoder": "resnet18", "pretrained": "resnet18"})).model_dump() == {
        **settings_of("unet", {}).model_dump(),
        "encoder": "resnet18",
        "channels": 8,
        "encoder_width": 0.125,
    }
    # Limits below what an architecture allows: the lowest that it does.
    assert slim(settings_of("pix2pix_unet256", {})).model_dump()["depth"] == 5
    assert slim(settings_of("ddcolor_tiny", {})).model_dump()["channels"] == 32


def test_critics_become_slim_and_other_terms_stay() -> None:
    assert slim(AdversarialSettings()) == AdversarialSettings(channels=8)
    assert slim(PerceptualSettings()) == PerceptualSettings()


def test_photos_become_eight_small_ones() -> None:
    photos = drawn_photos(128)
    small = slim_photos(photos)
    assert small.l.shape == (8, 1, 64, 64)
    corners = photos.ab[3, 1, 10:12, 20:22].astype(float)
    assert small.ab[3, 1, 5, 10] == np.round(corners.mean())
    three = room.chosen(photos, 3)
    assert slim_photos(three).ids == [three.ids[number] for number in (0, 1, 2, 0, 1, 2, 0, 1)]


def steps(losses: list[float], errors: list[float] | None = None) -> list[Step]:
    errors = errors or [20.0] * len(losses)
    return [Step(number, loss, error) for number, (loss, error) in enumerate(zip(losses, errors, strict=True), 1)]


@pytest.mark.parametrize(
    ("losses", "errors", "fault"),
    [
        ([1.0, 0.9, 0.8, 0.7, 0.6, 0.5], None, None),
        ([1.0] * 3 + [0.9, 0.91, 0.92, 0.93, 0.94], None, None),  # their mean is 0.92
        ([1.0, 1.1, 1.2, 1.1, 1.2, 1.1], [20.0, 19.0, 18.0, 17.0, 17.0, 17.0], None),  # against a critic
        ([1.0] * 3 + [0.93, 0.94, 0.95, 0.96, 0.97], None, "loss from 1 to 0.95, ab error from 20 to 20 in 8 steps"),
        ([1.0, 101.0, 0.5, 0.5, 0.4, 0.3], None, "the loss is 1 in step 1 and 101 in step 2"),
        ([1.0, 0.5, float("nan")], None, "the loss is nan in step 3"),
        ([1.0, 0.5, float("inf")], None, "the loss is inf in step 3"),
        ([1.0] + [0.5] * 5, None, "the loss stays 0.5"),
    ],
)
def test_what_counts_as_learning(losses: list[float], errors: list[float] | None, fault: str | None) -> None:
    found = fault_of(steps(losses, errors))
    assert found is None if fault is None else fault in str(found)


def test_what_was_found_is_one_line(run: Make, lab: Path, tmp_path: Path) -> None:
    torch.manual_seed(7)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    found = rehearsed(run("unet"), lab, tmp_path, threads=1)
    assert re.fullmatch(
        r"unet: learns \(ab error from [\d.]+ to [\d.]+ in \d+ steps\), needs about \d\.\d GiB of [\d.]+ GiB and "
        r"\d+ MiB of disk",
        found,
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    learns = found.partition("needs")[0]
    assert rehearsed(run("unet"), lab, tmp_path, threads=1).startswith(learns)


@pytest.mark.parametrize("architecture", ["simple_unet", "unet_vae"])
def test_tiny_networks_of_other_tests_pass(run: Make, lab: Path, tmp_path: Path, architecture: str) -> None:
    assert "learns" in rehearsed(run(architecture), lab, tmp_path)


def test_a_rate_of_nearly_zero_is_refused_before_any_step(run: Make, lab: Path, tmp_path: Path) -> None:
    # 22 photos in batches of 8 for 3 epochs: 9 steps.
    with pytest.raises(
        TrainingError, match=r"unet: in 9 steps at training.learning_rate 1e-09 .* about 9e-09: nothing"
    ):
        rehearsed(run("unet", learning_rate=1e-9), lab, tmp_path)
    assert rate_fault(run("unet", learning_rate=1e-5), 22 * 8) is None  # 66 steps
    assert rate_fault(run("unet", learning_rate=1e-7), 22 * 8) is not None


def test_an_absurd_rate_is_refused_with_figures(run: Make, lab: Path, tmp_path: Path) -> None:
    # At 10 it depends on how sums are rounded whether such tiny photos are "learnt": chaos goes down, too.
    with pytest.raises(TrainingError, match=r"unet: a slim version does not learn 8 .*'colorize overfit unet'"):
        rehearsed(run("unet", learning_rate=1e4), lab, tmp_path)


def test_a_network_that_no_gradient_reaches_is_refused(
    run: Make, lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def detached(name: str, settings: Any) -> nn.Module:
        network = create(name, settings)
        network.register_forward_hook(lambda _module, _inputs, said: replace(said, ab=said.ab.detach()))
        return network

    monkeypatch.setattr(overfit_module, "create", detached)
    with pytest.raises(TrainingError, match=r"unet: a training step fails: .*does not require grad"):
        rehearsed(run("unet"), lab, tmp_path)


def test_a_split_without_photos_is_refused(run: Make, lab: Path, tmp_path: Path) -> None:
    shutil.copytree(lab, tmp_path / "lab")
    index = tmp_path / "lab" / "index.json"
    index.write_text(index.read_text().replace('"train"', '"test"'))
    with pytest.raises(ValueError, match="no photos in the training split"):
        rehearsed(run("unet"), tmp_path / "lab", tmp_path)


def test_memory_that_does_not_suffice_is_told(
    run: Make, lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**20))
    with pytest.raises(TrainingError, match=r"unet: a worker needs about .* training.batch_size \(8\) .* \(1\), or"):
        rehearsed(run("unet"), lab, tmp_path)
    assert room.memory_for_one(CPU, 3 * 2**20, 2) == 2 * 2**20


def test_a_disk_that_does_not_suffice_is_told(
    run: Make, lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def usage(place: Path) -> Any:
        asked.append(place)
        return SimpleNamespace(free=1000)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(TrainingError, match=rf"unet: 3 checkpoints and .* 0 MiB are free in {tmp_path}; .* \(2\)"):
        rehearsed(run("unet"), lab, tmp_path / "runs" / "not there yet")
    assert asked == [tmp_path]


def needs(run: RunSpecification, world_size: int = 1) -> room.Needs:
    data = TrainingData(lambda: np.ones((256, 256), np.int64), no_weights)
    return room.needs(run, drawn_photos(32), data, device=CPU, world_size=world_size)


def test_weights_gradients_and_disk_by_hand(run: Make) -> None:
    specification = run("unet")
    network = create("unet", specification.model)
    weights = 4 * sum(one.numel() for one in network.parameters())
    assert not list(network.buffers())
    found = needs(specification)
    assert found.weights == 3 * weights  # themselves and Adam's two averages
    assert found.gradients == weights
    assert found.disk == (2 + 1) * 3 * weights + weights
    assert needs(specification, world_size=2).gradients == 2 * weights
    average = needs(run("unet", average=0.99, patience=3, keep_checkpoints=1))
    assert average.weights == 5 * weights
    assert average.disk == (1 + 1) * 5 * weights + weights


def test_a_frozen_encoder_has_no_gradients(run: Make) -> None:
    specification = as_shipped("vgg16_decoder")
    specification = replace(specification, model=slim(specification.model))
    network = create("vgg16_decoder", specification.model)
    trained = 4 * sum(one.numel() for one in network.parameters() if one.requires_grad)
    held = 4 * sum(one.numel() for one in network.parameters())
    assert trained < held
    found = needs(specification)
    assert found.gradients == trained
    assert found.weights == pytest.approx(held + 2 * trained, rel=1e-3)  # and a few constants


def test_photos_count_by_those_that_a_worker_works_on_at_a_time(run: Make) -> None:
    whole = needs(run("unet", batch_size=16)).photos
    assert needs(run("unet", batch_size=16, accumulate=4)).photos == whole // 4
    assert needs(run("unet", batch_size=16), world_size=2).photos == whole // 2
    # 15 photos, two workers, three parts: 8 photos are cut into parts of 3 at most.
    assert needs(run("unet", batch_size=15, accumulate=3), world_size=2).photos == whole * 3 // 16


def test_what_the_forward_pass_keeps_by_hand() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.Parameter(torch.ones(1, 1, 32, 32))

        def forward(self, l: torch.Tensor) -> torch.Tensor:  # noqa: E741
            return l * self.factor

    class Squares:
        settled = 0

        def updates(self, model: nn.Module, batch: Any) -> Any:
            # A product keeps both factors, of which the weights do not count; a square keeps what is squared.
            yield SimpleNamespace(loss=model(batch.l).square().mean())
            yield SimpleNamespace(loss=model(batch.l).mean())

    photos = room.chosen(drawn_photos(32), 2)
    kept = room._kept_for_backward(Scale(), Squares(), photos, device=CPU, settings=TrainingSettings())  # type: ignore[arg-type]
    assert kept == 2 * (2 * 32 * 32 * 4)
