"""Networks: the study's shapes stage by stage, any size in and out, gradients, files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from colorize.models import create, load_model, names, save_model
from colorize.models.registry import settings_of
from colorize.settings.architectures import SimpleUNetSettings, UNetSettings, UNetVAESettings

SMALL = {
    "simple_unet": {"width": 0.25},
    "unet": {"channels": 4, "depth": 2},
    "unet_vae": {"width": 0.1},
}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def small(name: str, **settings: object) -> nn.Module:
    return create(name, settings_of(name, {**SMALL[name], **settings}))


def shapes(model: nn.Module, stages: list[str]) -> dict[str, tuple[int, ...]]:
    """Shape of what each stage makes of one 150 x 150 photo, in the order the stages ran."""
    seen: dict[str, tuple[int, ...]] = {}

    def remember(name: str, output: Tensor) -> None:
        seen[name] = tuple(output.shape[1:])

    for name in stages:
        model.get_submodule(name).register_forward_hook(lambda _, __, output, name=name: remember(name, output))
    prediction = model(torch.full((1, 1, 150, 150), 50.0))
    seen["output"] = (prediction.l.shape[1] + prediction.ab.shape[1], *prediction.ab.shape[2:])
    return seen


@pytest.mark.parametrize("upsampler", ["transposed-k3", "transposed-k2", "resize"])
def test_simple_unet_has_the_shapes_of_the_study(upsampler: str) -> None:
    model = create("simple_unet", SimpleUNetSettings(upsampler=upsampler))
    assert shapes(model, ["encoder1", "encoder2", "middle", "decoder1", "decoder2"]) == {
        "encoder1": (64, 146, 146),
        "encoder2": (128, 69, 69),
        "middle": (64, 48, 48),
        "decoder1": (32, 88, 88),
        "decoder2": (32, 168, 168),
        "output": (3, 150, 150),
    }


def test_unet_vae_has_the_shapes_of_the_study() -> None:
    model = create("unet_vae", UNetVAESettings())
    stages = ["encoder1", "encoder2", "encoder3", "mean", "log_variance", "decoder1", "decoder2", "decoder3"]
    assert shapes(model, stages) == {
        "encoder1": (64, 74, 74),
        "encoder2": (64, 36, 36),
        "encoder3": (64, 17, 17),
        "mean": (64, 17, 17),
        "log_variance": (64, 17, 17),
        "decoder1": (64, 38, 38),
        "decoder2": (64, 80, 80),
        "decoder3": (64, 164, 164),
        "output": (3, 150, 150),
    }
    assert model.decoder1[0].in_channels == model.decoder2[0].in_channels == 128
    assert model.decoder3[0].in_channels == 64


@pytest.mark.parametrize(
    ("name", "settings", "count"),
    [
        ("simple_unet", {"upsampler": "transposed-k3"}, 1_363_299),
        ("simple_unet", {"upsampler": "resize"}, 1_363_299),
        ("simple_unet", {"upsampler": "transposed-k2"}, 1_332_579),
        ("unet_vae", {}, 878_275),
    ],
)
def test_published_networks_have_their_number_of_parameters(name: str, settings: dict[str, str], count: int) -> None:
    model = create(name, settings_of(name, settings))
    assert sum(parameter.numel() for parameter in model.parameters()) == count


@pytest.mark.parametrize("size", [(37, 53), (150, 150), (97, 131), (1, 1), (3, 200)])
@pytest.mark.parametrize("name", names())
def test_any_size_comes_out_as_it_went_in(name: str, size: tuple[int, int]) -> None:
    model = small(name).eval()
    prediction = model.predict(torch.rand(2, 1, *size) * 100)
    assert prediction.ab.shape == (2, 2, *size)
    assert prediction.ab.isfinite().all()
    assert (prediction.l is None) == (name == "unet")
    if prediction.l is not None:
        assert prediction.l.shape == (2, 1, *size)


@pytest.mark.parametrize("padding", ["reflect", "zeros"])
@pytest.mark.parametrize("normalization", ["group", "batch", "none"])
@pytest.mark.parametrize("depth", [1, 3, 6])
def test_unet_in_all_its_settings_fits_tiny_and_odd_photos(padding: str, normalization: str, depth: int) -> None:
    model = create("unet", UNetSettings(channels=4, depth=depth, normalization=normalization, padding=padding))
    for size in [(1, 1), (33, 20)]:
        assert model(torch.rand(2, 1, *size) * 100).ab.shape == (2, 2, *size)


@pytest.mark.parametrize("name", names())
def test_every_parameter_gets_a_finite_gradient(name: str) -> None:
    model = small(name)
    prediction = model(torch.rand(2, 1, 70, 81) * 100, [1, 2])
    loss = prediction.ab.square().mean() + (0 if prediction.l is None else prediction.l.square().mean())
    loss.backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.any(), parameter_name


@pytest.mark.parametrize("name", names())
def test_predictions_stay_in_their_ranges(name: str) -> None:
    model = small(name).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(40.0)
    prediction = model.predict(torch.rand(1, 1, 70, 70) * 100)
    assert prediction.ab.abs().max() > 100, "the test wants values that need clipping"
    assert prediction.ab.min() >= -128
    assert prediction.ab.max() <= 127
    if prediction.l is not None:
        assert prediction.l.min() >= 0
        assert prediction.l.max() <= 100


def test_the_latent_code_is_the_mean_unless_a_generator_draws_it() -> None:
    model, l = small("unet_vae").eval(), torch.rand(2, 1, 40, 40) * 100  # noqa: E741
    mean = model.predict(l).ab
    assert torch.equal(mean, model.predict(l).ab)
    drawn = model.predict(l, generator=torch.Generator().manual_seed(7)).ab
    assert torch.equal(drawn, model.predict(l, generator=torch.Generator().manual_seed(7)).ab)
    assert not torch.equal(drawn, mean)
    assert not torch.equal(drawn, model.predict(l, generator=torch.Generator().manual_seed(8)).ab)


def test_a_photos_latent_code_depends_on_its_own_seed_alone() -> None:
    model, l = small("unet_vae").eval(), torch.rand(3, 1, 40, 40) * 100  # noqa: E741
    together = model(l, [11, 12, 13]).ab
    alone = model(l[1:2], [12]).ab
    torch.testing.assert_close(together[1:2], alone)


def test_a_border_of_reflections_leaves_a_flat_photo_flat() -> None:
    """Without padding, or with zeros, the border would differ from the middle: the study's corner artefact."""
    flat = torch.full((1, 1, 64, 64), 60.0)
    spread = {
        padding: small("unet", padding=padding, normalization="none").eval().predict(flat).ab.std(dim=(2, 3)).max()
        for padding in ("reflect", "zeros")
    }
    assert spread["reflect"] < 1e-3
    assert spread["zeros"] > 100 * spread["reflect"]


@pytest.mark.parametrize("name", names())
def test_saved_and_loaded_is_the_same_network(name: str, tmp_path: Path) -> None:
    model = small(name).eval().to(memory_format=torch.channels_last)
    save_model(tmp_path / "model", model, name, settings_of(name, SMALL[name]), {"size": 128})
    loaded = load_model(tmp_path / "model")
    assert not loaded.training
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, loaded.state_dict()[key]) for key, tensor in model.state_dict().items())
    description = json.loads((tmp_path / "model" / "model.json").read_text())
    assert description["architecture"] == name
    assert description["size"] == 128
    assert description["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert {path.suffix for path in (tmp_path / "model").iterdir()} == {".json", ".safetensors"}


def test_damaged_and_foreign_folders_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no readable model\.json"):
        load_model(tmp_path)
    folder = tmp_path / "model"
    save_model(folder, small("unet"), "unet", settings_of("unet", SMALL["unet"]), {})
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
    with pytest.raises(ValueError, match=r"'vgg'; there are: simple_unet, unet, unet_vae"):
        create("vgg", UNetSettings())
    with pytest.raises(ValueError, match="takes UNetVAESettings, not UNetSettings"):
        create("unet_vae", UNetSettings())
    with pytest.raises(ValueError, match=r"N x 1 x H x W, got \(1, 3, 8, 8\)"):
        small("unet").predict(torch.rand(1, 3, 8, 8))
