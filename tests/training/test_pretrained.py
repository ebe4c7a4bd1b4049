"""Encoders that begin with published weights: which ones is part of a run's identity, and they do get there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from colorize.models import load_model
from colorize.settings import Settings
from colorize.training.identity import RunSpecification, fingerprint, specify
from colorize.training.loop import train
from colorize.weights import find
from colorize.weights.importing import import_file

NAME = "resnet18"


@pytest.fixture
def encoded(settings: Callable[..., Settings]) -> Callable[..., Settings]:
    """Makes settings of a U-Net with ResNet-18, that begins with published weights unless told otherwise."""

    def make(pretrained: str | None = NAME, width: float = 1.0, **training: object) -> Settings:
        values = settings(epochs=1, batch_size=22, weight_decay=0.0, warmup_steps=0, **training).model_dump()
        model = {"encoder": NAME, "channels": 4, "depth": 2, "encoder_width": width, "pretrained": pretrained}
        values["architectures"]["unet"] = {"model": model}
        return Settings.model_validate(values)

    return make


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of ResNet-18's weights, fresh ones."""
    path = tmp_path_factory.mktemp("published") / "resnet.pth"
    torch.manual_seed(11)
    torch.save(find(NAME).build().state_dict(), path)
    return path


@pytest.fixture(scope="module")
def project(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project into which they were imported."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "requirements.lock").write_text("torch\n")
    import_file(NAME, published, folder)
    return folder


def test_an_encoder_begins_with_published_weights(
    encoded: Callable[..., Settings], project: Path, published: Path, lab: Path
) -> None:
    run = specify(encoded(learning_rate=1e-12), "unet", lab, project)
    assert RunSpecification.from_dict(json.loads(json.dumps(run.to_dict()))) == run
    folder = project / "runs" / run.name
    train(run, lab, folder, device="cpu")
    ours, theirs = load_model(folder / "model").state_dict(), torch.load(published, weights_only=True)
    name = next(name for name in ours if name.endswith("conv1.weight"))
    torch.testing.assert_close(ours[name], theirs["conv1.weight"], rtol=0, atol=1e-6)
    other = specify(encoded(pretrained=None, learning_rate=1e-12), "unet", lab, project)
    train(other, lab, project / "runs" / other.name, device="cpu")
    assert not torch.allclose(load_model(project / "runs" / other.name / "model").state_dict()[name], ours[name])


def test_the_weights_to_begin_with_are_part_of_the_identity(
    encoded: Callable[..., Settings], project: Path, published: Path, tmp_path: Path
) -> None:
    (tmp_path / "requirements.lock").write_text("torch\n")
    other = torch.load(published, weights_only=True)
    other["conv1.weight"] += 1
    torch.save(other, tmp_path / "other.pth")
    import_file(NAME, tmp_path / "other.pth", tmp_path)
    assert (
        len({fingerprint(encoded(name), "unet", "0", root) for name in (NAME, None) for root in (project, tmp_path)})
        == 3
    )


def test_missing_weights_are_named_before_training(encoded: Callable[..., Settings], lab: Path, tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_text("torch\n")
    with pytest.raises(ValueError, match=r"resnet18: no weights of that name in .*weights fetch resnet18"):
        specify(encoded(), "unet", lab, tmp_path)


def test_other_weights_than_specified_are_refused(
    encoded: Callable[..., Settings], project: Path, lab: Path, tmp_path: Path
) -> None:
    run = specify(encoded(), "unet", lab, project)
    with pytest.raises(ValueError, match="resnet18: no weights of that name"):
        train(run, lab, tmp_path / "runs" / run.name, device="cpu")
    (tmp_path / "weights" / NAME).mkdir(parents=True)
    (tmp_path / "weights" / NAME / "model.json").write_bytes((project / "weights" / NAME / "model.json").read_bytes())
    (tmp_path / "weights" / NAME / "model.safetensors").write_bytes(b"others")
    with pytest.raises(ValueError, match=r"not the file that this run was specified with"):
        train(run, lab, tmp_path / "runs" / run.name, device="cpu")


def test_weights_of_another_width_are_refused(
    encoded: Callable[..., Settings], project: Path, lab: Path, tmp_path: Path
) -> None:
    run = specify(encoded(width=0.5), "unet", lab, project)
    with pytest.raises(ValueError, match="do not fit the encoder"):
        train(run, lab, tmp_path / run.name, device="cpu", weights=project / "weights")
