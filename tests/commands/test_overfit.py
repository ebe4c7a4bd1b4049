"""`colorize overfit`: a network that can learn passes, one that cannot does not."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner, Result

from colorize.commands import app
from colorize.data.shard_file import Row, write_shard
from colorize.data.shard_index import read_entry, write_index
from colorize.data.shard_plan import Photo, ShardPlan
from colorize.models import names
from colorize.models.registry import settings_of
from colorize.settings.objectives import RegressionSettings, VAESettings
from colorize.settings.sections import ShardSettings, TrainingSettings
from colorize.training.overfit import drawn_photos, grey_error, overfit, photos_of


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of tiny networks and photos."""
    values = {
        "datasets": {"tiny": {"source": "sample://tiny"}},
        "shards": {"size": 32},
        "training": {"learning_rate": 0.01, "warmup_steps": 5},
        "architectures": {"unet": {"model": {"channels": 4, "depth": 2}}},
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    monkeypatch.setenv("COLORIZE_ROOT", str(tmp_path))
    return tmp_path


def no_weights(name: str) -> dict[str, torch.Tensor]:
    pytest.fail(f"{name} was asked for")


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["overfit", *arguments])


def test_a_network_learns_the_sample_by_heart(project: Path) -> None:
    result = invoke("unet")
    assert result.exit_code == 0, result.output
    assert "8 photos of the embedded sample, objective regression" in result.output
    reached = float(re.search(r"ok: step \d+, loss [\d.]+, ab RMSE ([\d.]+)", result.output)[1])
    wanted = float(re.search(r"to reach: ([\d.]+)", result.output)[1])
    assert reached < wanted


def test_a_bound_that_is_not_reached_is_an_error(project: Path) -> None:
    result = invoke("unet", "--steps", "3")
    assert result.exit_code == 1
    assert "FAILED: step 3" in result.output


def test_the_shards_of_the_project_are_used(project: Path) -> None:
    lab, settings = project / "data" / "lab", ShardSettings(size=16, row_group=4)
    rows = [Row(f"{number:064x}", bytes([40 * number] * 256), bytes([100, 160] * 256), 16, 16) for number in range(6)]
    plan = ShardPlan("train", "tiny", 0, tuple(Photo(row.id, row.id) for row in rows), settings)
    write_shard(lab / plan.path, plan, rows)
    write_index(lab, [read_entry(lab, plan.path)[0]], settings)
    assert photos_of(lab).ids == [row.id for row in rows]
    result = invoke("unet", "--steps", "1", "--bound", "100")
    assert result.exit_code == 0, result.output
    assert f"6 photos of {lab}" in result.output


def test_an_architecture_that_params_yaml_leaves_out_is_trained_as_published(project: Path) -> None:
    result = invoke("unet_vae_deep", "--steps", "1", "--bound", "100")
    assert result.exit_code == 0, result.output
    assert "objective vae" in result.output


@pytest.mark.parametrize("name", ["histogram_matching", "vgg"])
def test_what_cannot_be_trained_is_named(project: Path, name: str) -> None:
    result = invoke(name)
    assert isinstance(result.exception, ValueError)
    assert str(result.exception) == f"no architecture '{name}' can be trained; there are: {', '.join(names())}"


def test_the_drawn_photos_are_eight_and_colourful() -> None:
    photos = drawn_photos(32)
    assert photos.l.shape == (8, 1, 32, 32)
    assert photos.ab.shape == (8, 2, 32, 32)
    assert grey_error(photos) > 10


def test_the_same_check_takes_the_same_course() -> None:
    def course() -> list[float]:
        model, training = settings_of("unet", {"channels": 4, "depth": 1}), TrainingSettings()
        photos, cpu = drawn_photos(16), torch.device("cpu")
        steps = overfit("unet", model, (RegressionSettings(),), training, photos, device=cpu, published=no_weights)
        return [next(steps).loss for _ in range(4)]

    assert course() == course()


# Two more, ddcolor_large and deoldify_stable, take 4 GB and minutes: `colorize overfit NAME --published` does them.
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in names() if name not in ("ddcolor_large", "deoldify_stable")])
def test_networks_of_published_width_learn_photos(name: str) -> None:
    photos = drawn_photos(32)
    objective = (VAESettings() if name in names(variational=True) else RegressionSettings(),)
    training = TrainingSettings(learning_rate=3e-4, warmup_steps=5)
    cpu = torch.device("cpu")
    course = overfit(name, settings_of(name, {}), objective, training, photos, device=cpu, published=no_weights)
    bound = 0.5 * grey_error(photos)
    assert any(step.ab_rmse < bound for step in islice(course, 300))
