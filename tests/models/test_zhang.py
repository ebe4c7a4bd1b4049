"""ECCV16, SIGGRAPH17 and the 313 bins: names and shapes as published, any size, pinned figures."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from colorize.bins import ab_bins
from colorize.models.annealed_mean import TEMPERATURE, annealed_mean
from colorize.models.base import Hints, Predictor
from colorize.models.eccv16 import ECCV16
from colorize.models.files import load_model, save_model
from colorize.models.registry import create, settings_of
from colorize.models.siggraph17 import SIGGRAPH17

NETWORKS = {"eccv16": ECCV16, "siggraph17": SIGGRAPH17}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def uniform(name: str, *shape: int) -> Tensor:
    """Numbers in 0..1, float64, that depend on name and shape alone: splitmix64 seeded with the name's SHA-256."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    with np.errstate(over="ignore"):
        bits = np.arange(1, math.prod(shape) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        bits = (bits ^ (bits >> np.uint64(31))) >> np.uint64(11)
    return torch.from_numpy(bits.astype(np.float64) / 2**53).reshape(shape)


def filled(network: nn.Module) -> nn.Module:
    """The network in evaluation mode with weights that depend on their names alone and keep its signals in range."""
    for name, tensor in network.state_dict().items():
        values = uniform(name, *tensor.shape) * 2 - 1
        if tensor.ndim > 1:
            values *= math.sqrt(6 / math.prod(tensor.shape[1:]))
        elif name.endswith(("running_var", "weight")):
            values = 1 + 0.5 * values
        elif name.endswith("num_batches_tracked"):
            continue
        else:
            values *= 0.2
        tensor.copy_(values)
    return network.eval()


def lightness(*shape: int) -> Tensor:
    return 100 * uniform("lightness", *shape).float()


@pytest.mark.parametrize("name", NETWORKS)
def test_stages_have_their_published_shapes(name: str) -> None:
    with torch.device("meta"):
        network = NETWORKS[name]()
        seen = {}
        for stage, module in network.named_children():
            module.register_forward_hook(lambda _, __, output, stage=stage: seen.update({stage: tuple(output.shape)}))
        assert network(torch.empty(1, 1, 256, 256)).shape == (1, 2, 256, 256)
    bottom = {f"model{index}": (1, 512, 32, 32) for index in (4, 5, 6, 7)}
    if name == "eccv16":
        top = {"model1": (1, 64, 128, 128), "model2": (1, 128, 64, 64), "model3": (1, 256, 32, 32)}
        assert seen == {**top, **bottom, "model8": (1, 313, 64, 64), "model_out": (1, 2, 64, 64)}
    else:
        top = {"model1": (1, 64, 256, 256), "model2": (1, 128, 128, 128), "model3": (1, 256, 64, 64)}
        for stage, places in (("8", ("8up", "8", "3short8")), ("9", ("9up", "9", "2short9"))):
            top |= dict.fromkeys([f"model{place}" for place in places], top["model3" if stage == "8" else "model2"])
        top |= dict.fromkeys(["model10up", "model10", "model1short10"], (1, 128, 256, 256))
        assert seen == {**top, **bottom, "model_out": (1, 2, 256, 256)}


def test_forward_of_eccv16_rounds_sizes_up_to_multiples_of_8() -> None:
    assert ECCV16(width=0.05)(lightness(1, 1, 70, 50)).shape == (1, 2, 72, 56)


def test_forward_of_siggraph17_wants_multiples_of_8() -> None:
    with pytest.raises(ValueError, match="multiples of 8, got 64 x 60"):
        SIGGRAPH17(width=0.05)(lightness(1, 1, 64, 60))


def test_figures_of_eccv16_stay() -> None:
    network = filled(ECCV16(width=0.125)).double()
    ab = network(lightness(1, 1, 24, 16).double())
    pinned = [-0.0461885, -0.0142915, -0.0322692, 0.0023237, 0.9437269, 0.9574508, 0.9255071, 0.7498443]
    torch.testing.assert_close(ab[0, :, 5, ::5].flatten(), torch.tensor(pinned).double(), rtol=0, atol=1e-5)


def test_figures_of_siggraph17_stay() -> None:
    network = filled(SIGGRAPH17(width=0.125)).double()
    l, ab = lightness(1, 1, 24, 16).double(), 100 * uniform("ab", 1, 2, 24, 16) - 50  # noqa: E741
    mask = (uniform("mask", 1, 1, 24, 16) < 0.1).double()
    blind, hinted = network(l), network(l, ab * mask, mask)
    pinned = [
        [-21.8635524, -25.8970691, -27.4180191, -6.4777820, 7.2266987, 34.4881481, 16.1045300, 43.4039866],
        [-37.2464024, -35.6922224, -18.2830766, -3.9643835, 31.9120192, 52.0747202, -3.1023240, 40.3194836],
    ]
    found = torch.stack([blind[0, :, 5, ::5].flatten(), hinted[0, :, 5, ::5].flatten()])
    torch.testing.assert_close(found, torch.tensor(pinned).double(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_colors_are_those_of_forward_where_no_border_is_needed(name: str) -> None:
    network = filled(NETWORKS[name](width=0.1))
    photo = lightness(2, 1, 24, 32)
    torch.testing.assert_close(network.colors(photo).ab, network(photo))


@pytest.mark.parametrize("size", [(1, 1), (3, 41), (37, 8)])
@pytest.mark.parametrize("name", NETWORKS)
def test_any_size_comes_out_as_it_went_in(name: str, size: tuple[int, int]) -> None:
    network = NETWORKS[name](width=0.05)
    photo = lightness(1, 1, *size)
    assert network.train().colors(photo).ab.shape == (1, 2, *size)
    assert network.eval().predict(photo).ab.isfinite().all()


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_cut_off_repeats_the_border(name: str) -> None:
    network = filled(NETWORKS[name](width=0.1))
    photo = lightness(1, 1, 24, 29)
    by_hand = network(torch.cat([photo, photo[..., -1:].expand(-1, -1, -1, 3)], dim=-1))[..., :29]
    torch.testing.assert_close(network.colors(photo).ab, by_hand)


def test_logits_of_eccv16_are_one_in_four_pixels_and_ab_is_their_annealed_mean() -> None:
    network = filled(ECCV16(width=0.1))
    with torch.no_grad():
        network.model_out.weight.copy_(ECCV16(width=0.05).model_out.weight)  # the table it begins with
    prediction = network.colors(lightness(2, 1, 32, 37))
    assert prediction.logits.shape == (2, 313, 8, 10)
    mean = annealed_mean(network.colors(lightness(2, 1, 32, 48)).logits, torch.from_numpy(ab_bins()))
    enlarged = functional.interpolate(mean, scale_factor=4, mode="bilinear", align_corners=False)
    torch.testing.assert_close(network(lightness(2, 1, 32, 48)), enlarged, rtol=1e-4, atol=1e-4)


def test_a_hint_colours_and_predict_passes_it_on() -> None:
    network = filled(SIGGRAPH17(width=0.1))
    photo = lightness(1, 1, 21, 30)
    hints = Hints(torch.zeros(1, 2, 21, 30), torch.zeros(1, 1, 21, 30))
    blind = network.predict(photo).ab
    assert torch.equal(network.predict(photo, hints).ab, blind)
    hints.ab[0, :, 20, 29], hints.mask[0, :, 20, 29] = torch.tensor([60.0, -40.0]), 1.0
    hinted = network.predict(photo, hints).ab
    assert not torch.equal(hinted, blind)
    # The border that is added and cut off again knows no hints.
    padded = [functional.pad(tensor, (0, 2, 0, 3)) for tensor in (hints.ab, hints.mask)]
    repeated = functional.pad(photo, (0, 2, 0, 3), mode="replicate")
    torch.testing.assert_close(hinted, network(repeated, *padded)[..., :21, :30])
    with pytest.raises(ValueError, match="takes no colour hints"):
        ECCV16(width=0.05).predict(photo, hints)


@pytest.mark.parametrize("name", NETWORKS)
def test_all_that_training_moves_gets_a_finite_gradient(name: str) -> None:
    network = create(name, settings_of(name, {"width": 0.1}))
    prediction = network(lightness(2, 1, 33, 40))
    (prediction.ab if prediction.logits is None else prediction.logits).square().mean().backward()
    still = {key for key, parameter in network.named_parameters() if not parameter.requires_grad}
    assert {key.split(".")[1] for key in still} == {"model_out" if name == "eccv16" else "model_class"}
    for key, parameter in network.named_parameters():
        assert key in still or (parameter.grad.isfinite().all() and parameter.grad.any()), key


@pytest.mark.parametrize("name", NETWORKS)
def test_saved_and_loaded_is_the_same_network(name: str, tmp_path: Path) -> None:
    settings = settings_of(name, {"width": 0.05})
    network = filled(create(name, settings))
    save_model(tmp_path, network, name, settings, {})
    photo = lightness(1, 1, 20, 24)
    loaded = load_model(tmp_path)
    assert isinstance(loaded.network, Predictor)
    assert torch.equal(loaded.predict_ab(photo), network.predict_ab(photo))


@pytest.mark.parametrize("name", NETWORKS)
def test_published_networks_can_be_exported(name: str) -> None:
    network, photo = filled(NETWORKS[name](width=0.05)), lightness(1, 1, 16, 24)
    torch.testing.assert_close(torch.export.export(network, (photo,)).module()(photo), network(photo))


def test_slim_eccv16_learns_eight_photos_by_classification() -> None:
    network = create("eccv16", settings_of("eccv16", {"width": 0.15}))
    photos, bins = functional.interpolate(lightness(8, 1, 4, 4), size=32), torch.from_numpy(ab_bins())
    truth = functional.interpolate(bins[(313 * uniform("bins", 8, 2, 2)).long()].permute(0, 3, 1, 2), size=8)
    classes = (bins[:, :, None, None] == truth[:, None]).all(dim=2).float().argmax(dim=1)
    optimizer = torch.optim.Adam([parameter for parameter in network.parameters() if parameter.requires_grad], lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        loss = functional.cross_entropy(network(photos).logits, classes)
        loss.backward()
        optimizer.step()
    assert loss < 1.5, "uniform guesses have 5.7"


def test_the_bins_are_the_published_ones() -> None:
    bins = ab_bins()
    assert bins.shape == (313, 2)
    assert hashlib.sha256(bins.astype("<i2").tobytes()).hexdigest() == (
        "e74b520cf1929e90ad9f051db10931e8ac5d1534c6cedabd7bfeba7a78a96c89"
    )
    weights = ECCV16(width=0.05).model_out.weight[:, :, 0, 0]
    torch.testing.assert_close(weights.T * 110, torch.from_numpy(bins))


@pytest.mark.parametrize(
    ("temperature", "first", "last"),
    [
        (0.38, (8.751295435470311, 16.712777791610723), (31.118401931022706, 7.355489757723986)),
        (TEMPERATURE, (8.729363814822609, 16.641376640933238), (31.008569319175226, 7.384746087197809)),
        (1.0, (11.95779041356396, 10.57857521057479), (20.466426241551897, 8.41900938083391)),
    ],
)
def test_annealed_means_are_those_of_the_published_formula(
    temperature: float, first: tuple[float, float], last: tuple[float, float]
) -> None:
    logits = 3 * math.sqrt(3) * (2 * uniform("anneal/logits", 2, 313, 6, 7) - 1)
    mean = annealed_mean(logits, torch.from_numpy(ab_bins()), temperature)
    assert mean.shape == (2, 2, 6, 7)
    torch.testing.assert_close(mean[0, :, 0, 0], torch.tensor(first).double(), rtol=0, atol=1e-5)
    torch.testing.assert_close(mean[1, :, 5, 6], torch.tensor(last).double(), rtol=0, atol=1e-5)
