"""The study's own networks and their cure: its tables stage by stage, counts, the ablation axes."""

from __future__ import annotations

import hashlib
import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from colorize.models import Colorization, create
from colorize.models.blocks import upsampler
from colorize.models.lab import lab_to_rgb
from colorize.models.registry import settings_of
from colorize.models.vgg import VGG

UPSAMPLERS = ("transposed-k3", "transposed-k2", "resize", "pixelshuffle")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def build(name: str, **settings: object) -> Colorization:
    return create(name, settings_of(name, settings))


def published(name: str, **settings: object) -> Colorization:
    """Without memory for its weights: shapes and counts need none."""
    with torch.device("meta"):
        return build(name, **settings)


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def shapes(model: Colorization, stages: list[str], side: int) -> dict[str, tuple[int, ...]]:
    """Shape of what each stage makes of one square photo, in the order the stages ran."""
    seen: dict[str, tuple[int, ...]] = {}

    def remember(name: str, output: Tensor) -> None:
        seen[name] = tuple(output.shape[1:])

    for name in stages:
        model.get_submodule(name).register_forward_hook(lambda _, __, output, name=name: remember(name, output))
    prediction = model(torch.full((1, 1, side, side), 50.0, device="meta"))
    own = 0 if prediction.l is None else prediction.l.shape[1]
    seen["output"] = (own + prediction.ab.shape[1], *prediction.ab.shape[2:])
    assert list(seen) == [*stages, "output"]
    return seen


SIMPLE = ["encoder1", "encoder2", "middle", "decoder1", "decoder2"]


@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.parametrize("kind", UPSAMPLERS)
def test_simple_unet_has_the_shapes_of_the_study(kind: str, skips: bool) -> None:
    assert shapes(published("simple_unet", upsampler=kind, skips=skips), SIMPLE, 150) == {
        "encoder1": (64, 146, 146),
        "encoder2": (128, 69, 69),
        "middle": (64, 48, 48),
        "decoder1": (32, 88, 88),
        "decoder2": (32, 168, 168),
        "output": (3, 150, 150),
    }


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_simple_unet_with_padding_keeps_what_a_stage_is_given(padding: str) -> None:
    assert shapes(published("simple_unet", padding=padding, output="ab"), SIMPLE, 150) == {
        "encoder1": (64, 150, 150),
        "encoder2": (128, 75, 75),
        "middle": (64, 74, 74),
        "decoder1": (32, 148, 148),
        "decoder2": (32, 296, 296),
        "output": (2, 150, 150),
    }


def test_unet_vae_has_the_shapes_of_the_study() -> None:
    model = published("unet_vae")
    stages = ["encoder1", "encoder2", "encoder3", "mean", "log_variance", "decoder1", "decoder2", "decoder3"]
    assert shapes(model, stages, 150) == {
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
    assert [decoder[0].in_channels for decoder in (model.decoder1, model.decoder2, model.decoder3)] == [128, 128, 64]


def test_unet_vae_deep_has_four_layers_of_kernel_3_a_side() -> None:
    model = published("unet_vae_deep")
    stages = [f"encoders.{level}" for level in range(4)] + ["mean", "log_variance"]
    stages += [f"decoders.{level}" for level in range(4)]
    assert shapes(model, stages, 150) == {
        "encoders.0": (64, 74, 74),
        "encoders.1": (64, 36, 36),
        "encoders.2": (64, 17, 17),
        "encoders.3": (64, 8, 8),
        "mean": (64, 8, 8),
        "log_variance": (64, 8, 8),
        "decoders.0": (64, 17, 17),
        "decoders.1": (64, 35, 35),
        "decoders.2": (64, 71, 71),
        "decoders.3": (64, 143, 143),
        "output": (3, 150, 150),
    }
    layers = [module[0] for module in (*model.encoders, *model.decoders)]
    assert {(layer.kernel_size, layer.stride, layer.padding) for layer in layers} == {((3, 3), (2, 2), (0, 0))}
    assert [decoder[0].in_channels for decoder in model.decoders] == [128] * 4


def test_vgg16_decoder_has_the_shapes_of_the_study() -> None:
    model = published("vgg16_decoder")
    layers = [str(place) for place in range(17)]
    assert [type(model.decoder[int(place)]).__name__ for place in layers] == [
        *("Conv2d", "ReLU", "Conv2d", "ReLU", "Upsample"),
        *("Conv2d", "ReLU", "Upsample") * 3,
        *("Conv2d", "Tanh", "Upsample"),
    ]
    kept = [f"decoder.{place}" for place in (0, 2, 4, 5, 7, 8, 10, 11, 13, 14, 16)]
    assert list(shapes(model, ["encoder.features.30", *kept], 224).values()) == [
        (512, 7, 7),
        (256, 7, 7),
        (128, 7, 7),
        (128, 14, 14),
        (64, 14, 14),
        (64, 28, 28),
        (32, 28, 28),
        (32, 56, 56),
        (16, 56, 56),
        (16, 112, 112),
        (2, 112, 112),
        (2, 224, 224),
        (2, 224, 224),
    ]


def test_unet_doubles_its_channels_where_it_halves_the_photo() -> None:
    stages = ["stem", *[f"encoders.{level}" for level in range(4)], *[f"decoders.{level}" for level in (3, 2, 1, 0)]]
    assert list(shapes(published("unet"), stages, 256).values()) == [
        (32, 256, 256),
        (64, 128, 128),
        (128, 64, 64),
        (256, 32, 32),
        (512, 16, 16),
        (256, 32, 32),
        (128, 64, 64),
        (64, 128, 128),
        (32, 256, 256),
        (2, 256, 256),
    ]


@pytest.mark.parametrize(
    ("name", "settings", "count"),
    [
        ("simple_unet", {}, 1_363_299),
        ("simple_unet", {"upsampler": "resize"}, 1_363_299),
        ("simple_unet", {"upsampler": "transposed-k2"}, 1_332_579),
        ("simple_unet", {"padding": "reflect"}, 1_363_299),
        ("simple_unet", {"output": "rgb"}, 1_363_299),
        ("simple_unet", {"output": "ab"}, 1_363_299 - 33),
        ("simple_unet", {"output": "oklab"}, 1_363_299 - 33),
        ("simple_unet", {"output": "yuv"}, 1_363_299 - 33),
        ("simple_unet", {"skips": True}, 1_363_299 + 128 * 64 + 64 * 32),
        ("simple_unet", {"upsampler": "pixelshuffle"}, 1_332_579 + 3 * (64 + 32 + 32)),
        ("unet_vae", {}, 878_275),
        ("unet_vae_deep", {}, 415_107),
        ("vgg16_decoder", {}, 14_714_688 + 1_572_114),
        ("unet", {}, 7_221_698),
        ("unet", {"output": "oklab"}, 7_221_698),
    ],
)
def test_published_networks_have_their_number_of_parameters(name: str, settings: dict[str, Any], count: int) -> None:
    assert parameters(published(name, **settings)) == count


def test_only_the_decoder_of_the_vgg16_decoder_is_trained() -> None:
    model = published("vgg16_decoder")
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert sum(parameter.numel() for parameter in trained) == 1_572_114
    assert not any(module.training for module in model.train().encoder.modules())
    model = published("vgg16_decoder", train_encoder=True)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert model.train().encoder.training


@pytest.mark.parametrize(
    ("name", "settings", "digest", "first"),
    [
        ("simple_unet", {"width": 0.25}, "f8834f06cdea4ca2", -34.276),
        ("unet_vae", {"width": 0.25}, "092ba692d2685117", 124.959),
        ("unet", {}, "213e5c35fdcc7590", 84935.435),
    ],
)
def test_names_and_first_weights_stay_what_earlier_versions_trained(
    name: str, settings: dict[str, Any], digest: str, first: float
) -> None:
    state = build(name, **settings).state_dict()
    lines = "\n".join(f"{key} {tuple(tensor.shape)}" for key, tensor in state.items())
    assert hashlib.sha256(lines.encode()).hexdigest()[:16] == digest
    # The order in which a generator's numbers are used up: weights of one layer in place of another's change this.
    weighted = sum(place * tensor.double().sum().item() for place, tensor in enumerate(state.values(), start=1))
    assert weighted == pytest.approx(first, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("simple_unet", {"width": 0.2}, (-231.9756, 209.2145, -449.1165)),
        ("simple_unet", {"width": 0.2, "skips": True, "padding": "reflect"}, (-232.1052, 211.1488, -446.0978)),
        ("simple_unet", {"width": 0.2, "upsampler": "pixelshuffle", "output": "rgb"}, (45.5281, 18.6892, 26.6072)),
        ("unet_vae", {"width": 0.2}, (65.1679, 179.9189, 242.6631)),
        ("unet_vae_deep", {"width": 0.2}, (-143.1602, 119.7610, -26.2457)),
        ("vgg16_decoder", {"width": 0.2, "encoder_width": 0.1}, (0.2749, 97.7164, 98.2995)),
        ("unet", {"channels": 4, "depth": 2}, (-1.1463, 60.6611, -26.9151)),
        (
            "unet",
            {"channels": 4, "depth": 3, "encoder": "resnet18", "encoder_width": 0.1},
            (7.2814, 162.0190, 169.0480),
        ),
    ],
)
def test_figures_stay_the_same(name: str, settings: dict[str, Any], expected: tuple[float, ...]) -> None:
    """Mean and deviation of ab, and one value, of a photo and weights that a formula makes."""
    model = build(name, **settings).eval()
    with torch.no_grad():
        for place, parameter in enumerate(model.parameters()):
            wave = torch.sin(1.7 * torch.arange(parameter.numel(), dtype=torch.float64) + place)
            parameter.copy_(wave.reshape(parameter.shape) * math.sqrt(3 / max(1, parameter[0].numel())))
    rows, columns = torch.arange(76.0)[:, None], torch.arange(70.0)
    l = 50 + 45 * torch.sin(rows / 5 + torch.cos(columns / 7))[None, None]  # noqa: E741
    with torch.no_grad():
        ab = model.colors(l).ab.double()
    found = (ab.mean().item(), ab.std().item(), ab[0, 1, 40, 30].item())
    assert found == pytest.approx(expected, rel=2e-4, abs=1e-2)


AXES = list(
    itertools.product(UPSAMPLERS, ("none", "zeros", "reflect"), (False, True), ("rgb", "lab", "ab", "oklab", "yuv")),
)


@pytest.mark.parametrize(("kind", "padding", "skips", "output"), AXES)
def test_simple_unet_fits_any_photo_in_all_its_settings(kind: str, padding: str, skips: bool, output: str) -> None:
    model = build("simple_unet", width=0.05, upsampler=kind, padding=padding, skips=skips, output=output)
    for size in [(1, 1), (13, 75)]:
        prediction = model(torch.rand(2, 1, *size) * 100)
        assert prediction.ab.shape == (2, 2, *size)
        assert (prediction.l is None) == (output in ("ab", "oklab", "yuv"))
        prediction.ab.sum().backward()
        assert all(weights.grad is not None and weights.grad.isfinite().all() for weights in model.parameters())


@pytest.mark.parametrize("change", [{"skips": True}, {"padding": "zeros"}, {"padding": "reflect"}, {"output": "rgb"}])
def test_a_cure_leaves_all_other_first_weights_alone(change: dict[str, Any]) -> None:
    disease = build("simple_unet", width=0.1).state_dict()
    torch.manual_seed(0)
    cured = build("simple_unet", width=0.1, **change).state_dict()
    assert all(torch.equal(tensor, cured[key]) for key, tensor in disease.items())


@pytest.mark.parametrize("kind", UPSAMPLERS)
def test_upsamplers_double_each_side_and_only_the_cures_draw_no_checkerboard(kind: str) -> None:
    layer = upsampler(kind, 3)  # type: ignore[arg-type]
    assert layer(torch.rand(2, 3, 5, 8)).shape == (2, 3, 10, 16)
    flat = layer(torch.rand(1, 3, 1, 1).expand(1, 3, 8, 8))[:, :, 4:-4, 4:-4]
    pattern = (flat - flat.mean(dim=(2, 3), keepdim=True)).abs().max().item()
    assert (pattern < 1e-6) == (kind in ("resize", "pixelshuffle"))


def test_a_fresh_pixelshuffle_repeats_pixels_and_then_blurs_them() -> None:
    convolution, shuffle, pad, blur = upsampler("pixelshuffle", 4)
    image = torch.rand(1, 4, 3, 5)
    repeated = shuffle(convolution(image))
    torch.testing.assert_close(repeated, repeated[:, :, ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3))
    blurred = blur(pad(repeated))
    torch.testing.assert_close(blurred[0, :, 0, 0], repeated[0, :, 0, 0])
    torch.testing.assert_close(blurred[0, :, 4, 6], repeated[0, :, 3:5, 5:7].mean(dim=(1, 2)))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("simple_unet", {"width": 0.2, "upsampler": "resize"}),
        ("simple_unet", {"width": 0.2, "upsampler": "pixelshuffle", "skips": True}),
        ("unet", {"channels": 4, "depth": 2, "normalization": "none"}),
    ],
)
def test_a_border_of_reflections_leaves_a_flat_photo_flat(name: str, settings: dict[str, Any]) -> None:
    """With zeros the border differs from the middle: the study's corner artefact."""
    flat = torch.full((1, 1, 64, 64), 60.0)
    spread = {
        padding: build(name, padding=padding, **settings).eval().predict(flat).ab.std(dim=(2, 3)).max()
        for padding in ("reflect", "zeros")
    }
    assert spread["reflect"] < 1e-3
    assert spread["zeros"] > 100 * spread["reflect"]


def test_rgb_stays_within_srgb() -> None:
    model = build("simple_unet", width=0.2, output="rgb")
    with torch.no_grad():
        model.final.weight.mul_(1000)
    prediction = model.predict(torch.rand(1, 1, 70, 70) * 100)
    assert prediction.l is not None
    rgb = lab_to_rgb(torch.cat([prediction.l, prediction.ab], dim=1))
    assert rgb.min() > -1e-3
    assert rgb.max() < 1 + 1e-3
    assert rgb.std() > 0.1


SMALL: dict[str, dict[str, Any]] = {
    "simple_unet": {"width": 0.25, "upsampler": "resize"},
    "unet": {"channels": 8, "depth": 2},
}
OUTPUTS = [("simple_unet", output) for output in ("rgb", "lab", "ab", "oklab", "yuv")]
OUTPUTS += [("unet", output) for output in ("ab", "oklab", "yuv")]


@pytest.mark.parametrize(("name", "output"), OUTPUTS)
def test_every_output_can_be_trained(name: str, output: str) -> None:
    model = build(name, output=output, **SMALL[name])
    # A dark photo and a bright one, each of one colour.
    l = torch.tensor([30.0, 60.0]).reshape(2, 1, 1, 1) + 10 * torch.rand(2, 1, 32, 32)  # noqa: E741
    truth = torch.tensor([[25.0, -15.0], [-20.0, 30.0]]).reshape(2, 2, 1, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(30):
        loss = ((model(l).ab - truth) / 110).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    assert all(map(math.isfinite, losses))


@pytest.mark.parametrize(("name", "output"), [case for case in OUTPUTS if case[1] in ("ab", "oklab", "yuv")])
def test_a_network_that_makes_no_chroma_leaves_the_photo_grey(name: str, output: str) -> None:
    model = build(name, output=output, **SMALL[name]).eval()
    torch.nn.init.zeros_(model.final.weight)
    torch.nn.init.zeros_(model.final.bias)
    prediction = model.predict(torch.linspace(0, 100, 32 * 32).reshape(1, 1, 32, 32))
    assert prediction.l is None
    assert prediction.ab.abs().max() < 0.05


@pytest.mark.parametrize("output", ["oklab", "yuv"])
@pytest.mark.parametrize("name", ["simple_unet", "unet"])
def test_the_space_of_the_output_changes_no_layer_and_no_first_weight(name: str, output: str) -> None:
    in_ab = build(name, output="ab", **SMALL[name]).state_dict()
    torch.manual_seed(0)
    other = build(name, output=output, **SMALL[name])
    assert list(other.state_dict()) == list(in_ab)
    assert all(torch.equal(tensor, in_ab[key]) for key, tensor in other.state_dict().items())


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        (
            "simple_unet",
            {"width": 0.1, "upsampler": "pixelshuffle", "padding": "reflect", "skips": True, "output": "rgb"},
        ),
        ("simple_unet", {"width": 0.1, "output": "yuv"}),
        ("unet", {"channels": 4, "depth": 2, "output": "oklab"}),
        ("unet", {"channels": 4, "depth": 3, "encoder": "resnet18", "encoder_width": 0.05}),
        ("unet", {"channels": 4, "depth": 3, "encoder": "vgg16", "encoder_width": 0.05}),
    ],
)
def test_graphs_of_the_other_settings_can_be_exported(name: str, settings: dict[str, Any]) -> None:
    model, l = build(name, **settings).eval(), torch.rand(1, 1, 45, 64) * 100  # noqa: E741
    program = torch.export.export(model, (l,))
    other = torch.rand(1, 1, 45, 64) * 100
    torch.testing.assert_close(program.module()(other).ab, model(other).ab, rtol=1e-4, atol=1e-3)


def test_vgg16_decoder_begins_with_published_weights() -> None:
    model = build("vgg16_decoder", width=0.1, encoder_width=0.05)
    weights = VGG("vgg16", 0.05).state_dict()
    model.begin_with(weights)
    assert all(torch.equal(tensor, weights[key]) for key, tensor in model.encoder.state_dict().items())
    assert not any(parameter.requires_grad for parameter in model.encoder.parameters())
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.rand(1, 1, 64, 64) * 100).ab.square().mean().backward()
    optimizer.step()
    changed = {key.split(".")[0] for key, tensor in model.state_dict().items() if not torch.equal(tensor, before[key])}
    assert changed == {"decoder"}


def test_weights_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit the encoder"):
        build("vgg16_decoder", width=0.05, encoder_width=0.05).begin_with(VGG("vgg16", 0.1).state_dict())
