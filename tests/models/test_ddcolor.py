"""DDColor: published names and shapes, stages, details that its weights rest on, any size, training, files."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from colorize.models import create, load_model, save_model
from colorize.models.base import Colorization
from colorize.models.ddcolor import DDColor, ddcolor_large, ddcolor_tiny
from colorize.models.ddcolor_decoder import sine_positions
from colorize.models.deoldify_blocks import Enlargement
from colorize.models.spectral import SpectralConvolution
from colorize.settings.architectures import DDColorSettings

SLIM = DDColorSettings(encoder_width=0.1, channels=32, embedding=16, queries=8, layers=3)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def slim(name: str = "ddcolor_tiny") -> Colorization:
    return create(name, SLIM)


@pytest.mark.parametrize(
    ("build", "widths"), [(ddcolor_tiny, (96, 192, 384, 768)), (ddcolor_large, (192, 384, 768, 1536))]
)
def test_stages_have_the_published_shapes(build: type, widths: tuple[int, ...]) -> None:
    with torch.device("meta"):
        network = build().eval()
        seen: dict[str, tuple[int, ...]] = {}
        for stage in ("encoder.arch.norm0", "encoder.arch.norm1", "encoder.arch.norm2", "encoder.arch.norm3"):
            remember(network, stage, seen)
        for stage in ("layers.0", "layers.1", "layers.2", "last_shuf", "color_decoder.decoder_norm", "color_decoder"):
            remember(network, f"decoder.{stage}", seen)
        output = network(torch.rand(1, 3, 512, 512))
    assert output.shape == (1, 2, 512, 512)
    assert seen == {
        "encoder.arch.norm0": (widths[0], 128, 128),
        "encoder.arch.norm1": (widths[1], 64, 64),
        "encoder.arch.norm2": (widths[2], 32, 32),
        "encoder.arch.norm3": (widths[3], 16, 16),
        "decoder.layers.0": (512, 32, 32),
        "decoder.layers.1": (512, 64, 64),
        "decoder.layers.2": (256, 128, 128),
        "decoder.last_shuf": (256, 512, 512),
        "decoder.color_decoder.decoder_norm": (100, 256),
        "decoder.color_decoder": (100, 512, 512),
    }


def remember(network: nn.Module, stage: str, seen: dict[str, tuple[int, ...]]) -> None:
    def note(_: nn.Module, __: object, output: Tensor) -> None:
        seen[stage] = tuple(output.shape[1:])

    network.get_submodule(stage).register_forward_hook(note)


def test_a_forward_is_pinned() -> None:
    """Weights are waves; the figures were also had from a second, functional writing of the published forward."""
    widths = (8, 12, 16, 20)
    network = DDColor(depths=(1, 2, 1, 1), encoder_channels=widths, channels=32, embedding=16, queries=5, layers=4)
    network.double().eval()
    fill_with_waves(network)
    places = torch.arange(64 * 32, dtype=torch.float64).reshape(1, 1, 64, 32)
    image = (0.5 + 0.5 * torch.sin(places * 0.1)).expand(1, 3, 64, 32)
    with torch.no_grad():
        output = network(image)
    assert output.shape == (1, 2, 64, 32)
    found = [*output[0, :, 3, 5].tolist(), *output[0, :, 40, 31].tolist(), output.std().item()]
    assert found == pytest.approx([0.4113377474, -0.0640713644, 1.0113224505, 1.2836745945, 0.6370947241], rel=1e-6)


def fill_with_waves(network: nn.Module) -> None:
    for index, (name, tensor) in enumerate(network.state_dict().items()):
        if name in {"mean", "std"} or not tensor.is_floating_point():
            continue
        wave = torch.sin(torch.arange(1, tensor.numel() + 1, dtype=torch.float64) * (0.7 + 0.01 * index))
        wave = wave.reshape(tensor.shape)
        if name.endswith("running_var") or (name.endswith("weight") and tensor.ndim == 1):
            wave = 1 + 0.3 * wave
        elif tensor.ndim > 1 and "embed.weight" not in name and "query" not in name:
            wave = wave * math.sqrt(4 / tensor[0].numel())
        tensor.copy_(wave)
    for module in network.modules():
        if isinstance(module, SpectralConvolution):  # one step of power iteration, so that the vectors fit the kernel
            module.train()(torch.zeros(1, module.weight_orig.shape[1], 1, 1, dtype=torch.float64))
            module.eval()


@pytest.mark.parametrize("bias", [True, False])
def test_the_spectral_norm_is_torchs_with_its_names(bias: bool) -> None:
    ours = SpectralConvolution(5, 7, 3, bias=bias)
    theirs = torch.nn.utils.spectral_norm(nn.Conv2d(5, 7, 3, padding=1, bias=bias))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    nn.init.normal_(ours.weight_u)
    nn.init.normal_(ours.weight_v)
    theirs.load_state_dict(ours.state_dict())
    image = torch.rand(2, 5, 6, 4)
    torch.testing.assert_close(ours.eval()(image), theirs.eval()(image))
    torch.testing.assert_close(ours.train()(image), theirs.train()(image))
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
    (ours(image).sum() + ours(image).square().sum()).backward()
    (theirs(image).sum() + theirs(image).square().sum()).backward()
    torch.testing.assert_close(ours.weight_orig.grad, theirs.weight_orig.grad)


@pytest.mark.parametrize("normalised", [True, False])
def test_fresh_shuffling_draws_no_checkerboard(normalised: bool) -> None:
    enlarge = Enlargement(6, 4, 4, normalised=normalised).eval()
    flat = torch.rand(1, 6, 1, 1).expand(1, 6, 3, 5)
    enlarged = enlarge(flat)
    assert enlarged.shape == (1, 4, 12, 20)
    assert enlarged.any()
    torch.testing.assert_close(enlarged, enlarged[..., :1, :1].expand_as(enlarged))


def test_positions_are_y_then_x_sine_then_cosine() -> None:
    positions = sine_positions((3, 5), 16, torch.device("cpu"))
    assert positions.dtype == torch.float32
    assert positions.shape == (15, 16)
    row, column = 1, 3
    y, x = 2 * math.pi * (row + 1) / 3, 2 * math.pi * (column + 1) / 5
    periods = [10_000 ** (2 * pair / 8) for pair in range(4)]
    expected = [wave(place / period) for place in (y, x) for period in periods for wave in (math.sin, math.cos)]
    assert positions[5 * row + column].tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", ["ddcolor_tiny", "ddcolor_large"])
@pytest.mark.parametrize("size", [(1, 1), (33, 20), (64, 97)])
def test_any_size_comes_out_as_it_went_in(name: str, size: tuple[int, int]) -> None:
    ab = slim(name).eval().predict(torch.rand(2, 1, *size) * 100).ab
    assert ab.shape == (2, 2, *size)
    assert ab.isfinite().all()


def test_what_is_added_to_reach_a_multiple_of_32_repeats_the_border() -> None:
    model, l = slim().eval(), torch.rand(1, 1, 40, 64) * 100  # noqa: E741
    enlarged = torch.cat([l, l[:, :, -1:].expand(-1, -1, 24, -1)], dim=2)
    torch.testing.assert_close(model.predict(l).ab, model.predict(enlarged).ab[:, :, :40])


def test_gradients_reach_all_that_is_trained_and_the_photo() -> None:
    model = slim()
    l = (torch.rand(2, 1, 33, 50) * 100).requires_grad_()  # noqa: E741
    with torch.no_grad():
        l[:, :, :4] = 0
    model(l, [1, 2]).ab.square().mean().backward()
    assert l.grad is not None
    assert l.grad.isfinite().all()
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {"network.encoder.arch.norm.weight", "network.encoder.arch.norm.bias"}
    for name, parameter in model.named_parameters():
        if name not in frozen:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name


def test_mixed_precision_stays_near() -> None:
    model, l = slim().eval(), torch.rand(1, 1, 64, 64) * 100  # noqa: E741
    exact = model.predict(l).ab
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model.predict(l).ab
    assert (rounded - exact).abs().max() < 0.1 * exact.abs().max()


def test_saved_and_loaded_is_the_same_network(tmp_path: Path) -> None:
    model, l = slim(), torch.rand(2, 1, 32, 32) * 100  # noqa: E741
    model(l)  # renews what is stored beside the parameters
    save_model(tmp_path / "model", model, "ddcolor_tiny", SLIM, {})
    loaded = load_model(tmp_path / "model")
    assert torch.equal(loaded.predict(l).ab, model.eval().predict(l).ab)


def test_exports() -> None:
    network, l = slim().eval(), torch.rand(2, 1, 40, 33) * 100  # noqa: E741
    torch.testing.assert_close(torch.export.export(network, (l,)).module()(l).ab, network(l).ab)


def test_overfits_eight_photos() -> None:
    model = slim()
    l = functional.interpolate(torch.rand(8, 1, 4, 4) * 100, size=32, mode="bilinear")  # noqa: E741
    ab = functional.interpolate(torch.rand(8, 2, 2, 2) * 100 - 50, size=32, mode="bilinear")
    optimizer = torch.optim.Adam(filter(lambda parameter: parameter.requires_grad, model.parameters()), lr=1e-2)
    losses = []
    for _ in range(80):
        loss = functional.l1_loss(model(l).ab, ab)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses[-5:]) < 0.6 * losses[0], losses
