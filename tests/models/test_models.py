"""All networks of the registry, each in a slim version: any size in and out, gradients, learning, files, export."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from colorize.models import Colorization, Hints, Prediction, create, load_model, names, save_model
from colorize.models.registry import settings_of
from colorize.settings.architectures import UNetSettings
from colorize.settings.sections import ArchitecturesSettings

SLIM: dict[str, dict[str, Any]] = {
    "color_by_optimization": {},
    "ddcolor_large": {"encoder_width": 0.05, "channels": 32, "embedding": 16, "queries": 4, "layers": 3},
    "ddcolor_tiny": {"encoder_width": 0.1, "channels": 32, "embedding": 16, "queries": 4, "layers": 3},
    "deoldify_artistic": {"encoder": "resnet18", "encoder_width": 0.1, "factor": 0.5},
    "deoldify_stable": {"encoder": "resnet50", "encoder_width": 0.1, "factor": 0.1},
    "eccv16": {"width": 0.1},
    "histogram_matching": {},
    "pix2pix_unet256": {"channels": 4, "depth": 5},
    "siggraph17": {"width": 0.1},
    "simple_unet": {"width": 0.2},
    "unet": {"channels": 4, "depth": 2},
    "unet_vae": {"width": 0.1},
    "unet_vae_deep": {"width": 0.1},
    "vgg16_decoder": {"width": 0.1, "encoder_width": 0.1},
}

# Weights that the published networks have and colours do not depend on, by what their names hold.
UNUSED = {
    "ddcolor_large": "encoder.arch.norm.",
    "ddcolor_tiny": "encoder.arch.norm.",
    "siggraph17": "model_class.",
}


LEARNERS = names()
ALL = [*LEARNERS, *names(trained=False)]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def slim(name: str, **settings: object) -> Colorization:
    return create(name, settings_of(name, {**SLIM[name], **settings}))


def test_whatever_can_be_trained_can_be_set_in_params_yaml() -> None:
    assert names() == sorted(ArchitecturesSettings.model_fields)


@pytest.mark.parametrize("size", [(37, 53), (97, 64), (1, 1), (3, 100)])
@pytest.mark.parametrize("name", ALL)
def test_any_size_comes_out_as_it_went_in(name: str, size: tuple[int, int]) -> None:
    model = slim(name).eval()
    prediction = model.predict(torch.rand(2, 1, *size) * 100)
    assert prediction.ab.shape == (2, 2, *size)
    assert prediction.ab.isfinite().all()
    if prediction.l is not None:
        assert prediction.l.shape == (2, 1, *size)
        assert prediction.l.isfinite().all()
    assert (prediction.latent is not None) == model.variational


@pytest.mark.parametrize("name", ALL)
def test_photos_of_a_batch_do_not_see_each_other(name: str) -> None:
    model, l = slim(name).eval(), torch.rand(3, 1, 40, 56) * 100  # noqa: E741
    torch.testing.assert_close(model.predict_ab(l)[1:2], model.predict_ab(l[1:2]), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", LEARNERS)
def test_every_parameter_gets_a_finite_gradient(name: str) -> None:
    model = slim(name).train()
    prediction = model(torch.rand(2, 1, 70, 81) * 100, [1, 2])
    loss = prediction.ab.square().mean() + (0 if prediction.l is None else prediction.l.square().mean())
    assert loss.isfinite()
    loss.backward()
    trained = {key: weights for key, weights in model.named_parameters() if weights.requires_grad}
    if name in UNUSED:
        trained = {key: weights for key, weights in trained.items() if UNUSED[name] not in key}
    for key, weights in trained.items():
        assert weights.grad is not None, key
        assert weights.grad.isfinite().all(), key
    # A few are 0 before the first step: what lies behind a gate that is still shut, or a bias that a softmax cancels.
    assert sum(bool(weights.grad.any()) for weights in trained.values()) > 0.9 * len(trained)


@pytest.mark.parametrize("name", LEARNERS)
def test_eight_photos_are_learnt_by_heart(name: str) -> None:
    """Squared error below 40 % of what one colour for all of them has."""
    model = slim(name).train()
    l, ab = _photos(8, 32)  # noqa: E741
    variance = ab.var(dim=(0, 2, 3), unbiased=False).mean()
    optimizer = torch.optim.Adam([weights for weights in model.parameters() if weights.requires_grad], lr=2e-3)
    for _ in range(250):
        loss = (model(l).ab - ab).square().mean() / variance
        if loss < 0.4:
            return
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pytest.fail(f"the error is {loss.item():.2f} after 250 steps")


def _photos(count: int, side: int) -> tuple[Tensor, Tensor]:
    """Photos of two areas, each of one colour, whose lightness tells the colour."""
    across = torch.linspace(-1, 1, side)
    angle = torch.arange(count) * math.pi / count
    rising = torch.cos(angle)[:, None, None] * across[:, None] + torch.sin(angle)[:, None, None] * across
    upper = (rising > 0).float()[:, None]
    l = 30 + 40 * upper + 5 * rising[:, None]  # noqa: E741
    return l, torch.cat([50 * upper - 20, 20 - 60 * upper], dim=1)


class _Wild(Colorization):
    def colors(self, l: Tensor, seeds: Sequence[int] | None = None, hints: Hints | None = None) -> Prediction:  # noqa: E741
        return Prediction(ab=torch.cat([l * 0 + 500, l * 0 - 500], dim=1), l=l * 3)


def test_predictions_are_cut_to_their_ranges() -> None:
    prediction = _Wild().predict(torch.tensor([-50.0, 20.0, 90.0]).reshape(1, 1, 1, 3))
    assert prediction.ab[0, :, 0].T.tolist() == [[127, -128]] * 3
    assert prediction.l is not None
    assert prediction.l.flatten().tolist() == [0, 60, 100]


@pytest.mark.parametrize("name", names(variational=True))
def test_the_latent_code_is_the_mean_unless_a_generator_draws_it(name: str) -> None:
    model, l = slim(name).eval(), torch.rand(2, 1, 40, 40) * 100  # noqa: E741
    mean = model.predict(l).ab
    assert torch.equal(mean, model.predict(l).ab)
    drawn = model.predict(l, generator=torch.Generator().manual_seed(7)).ab
    assert torch.equal(drawn, model.predict(l, generator=torch.Generator().manual_seed(7)).ab)
    assert not torch.equal(drawn, mean)
    assert not torch.equal(drawn, model.predict(l, generator=torch.Generator().manual_seed(8)).ab)


@pytest.mark.parametrize("name", names(variational=True))
def test_a_photos_latent_code_depends_on_its_own_seed_alone(name: str) -> None:
    model, l = slim(name).eval(), torch.rand(3, 1, 40, 40) * 100  # noqa: E741
    together = model(l, [11, 12, 13]).ab
    alone = model(l[1:2], [12]).ab
    torch.testing.assert_close(together[1:2], alone)


@pytest.mark.parametrize("name", ALL)
def test_saved_and_loaded_is_the_same_network(name: str, tmp_path: Path) -> None:
    model = slim(name).eval().to(memory_format=torch.channels_last)
    save_model(tmp_path / "model", model, name, settings_of(name, SLIM[name]), {"size": 128})
    loaded = load_model(tmp_path / "model")
    assert not loaded.training
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, loaded.state_dict()[key]) for key, tensor in model.state_dict().items())
    l = torch.rand(1, 1, 33, 50) * 100  # noqa: E741
    torch.testing.assert_close(loaded.predict_ab(l), model.predict_ab(l), rtol=1e-4, atol=1e-3)
    description = json.loads((tmp_path / "model" / "model.json").read_text())
    assert description["architecture"] == name
    assert description["size"] == 128
    assert description["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert {path.suffix for path in (tmp_path / "model").iterdir()} == {".json", ".safetensors"}


@pytest.mark.parametrize("name", LEARNERS)
def test_the_graph_can_be_exported(name: str) -> None:
    model, l = slim(name).eval(), torch.rand(1, 1, 45, 64) * 100  # noqa: E741
    program = torch.export.export(model, (l,))
    other = torch.rand(1, 1, 45, 64) * 100
    torch.testing.assert_close(program.module()(other).ab, model(other).ab, rtol=1e-4, atol=1e-3)


def test_damaged_and_foreign_folders_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no readable model\.json"):
        load_model(tmp_path)
    folder = tmp_path / "model"
    save_model(folder, slim("unet"), "unet", settings_of("unet", SLIM["unet"]), {})
    description = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**description, "settings": {"channels": 8, "depth": 2}}))
    with pytest.raises(ValueError, match="do not fit the architecture 'unet'"):
        load_model(folder)
    (folder / "model.json").write_text(json.dumps({**description, "format": 99}))
    with pytest.raises(ValueError, match="format 99"):
        load_model(folder)
    (folder / "model.json").write_text(json.dumps(description))
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ValueError, match=str(folder)):
        load_model(folder)


def test_unknown_names_and_foreign_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'vgg'; there are: .*simple_unet, unet, unet_vae"):
        create("vgg", UNetSettings())
    with pytest.raises(ValueError, match="takes UNetVAESettings, not UNetSettings"):
        create("unet_vae", UNetSettings())
    with pytest.raises(ValueError, match=r"N x 1 x H x W, got \(1, 3, 8, 8\)"):
        slim("unet").predict(torch.rand(1, 3, 8, 8))
