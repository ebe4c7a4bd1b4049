"""DeOldify: published names and shapes, the details that its weights rest on, any size, training, files."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from colorize.models import Colorization, create, load_model, save_model
from colorize.models.deoldify import ArtisticGenerator, Critic, Generator, StableGenerator
from colorize.models.deoldify_blocks import Enlargement, LastEnlargement, SelfAttention
from colorize.models.resnet import ResNet
from colorize.models.spectral import SpectralConvolution, WeightNormConvolution
from colorize.settings import Section
from colorize.settings.architectures import DeOldifyArtisticSettings, DeOldifyStableSettings

SLIM: dict[str, Section] = {
    "deoldify_artistic": DeOldifyArtisticSettings(encoder="resnet18", encoder_width=0.1, factor=1.0),
    "deoldify_stable": DeOldifyStableSettings(encoder="resnet50", encoder_width=0.05, factor=0.1),
}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def slim(name: str) -> Colorization:
    return create(name, SLIM[name])


@pytest.mark.parametrize(
    ("build", "encoder", "blocks"),
    [
        (ArtisticGenerator, (64, 128, 256, 512), (768, 768, 672, 300)),
        (StableGenerator, (256, 512, 1024, 2048), (512, 512, 512, 256)),
    ],
)
def test_stages_have_the_published_shapes(build: type, encoder: tuple[int, ...], blocks: tuple[int, ...]) -> None:
    """At render factor 35, where the deepest stage is one larger than half of the one before: 18 and 35."""
    with torch.device("meta"):
        network = build().eval()
        seen: dict[str, tuple[int, ...]] = {}
        for stage in ("0.2", "0.4", "0.5", "0.6", "0.7", "3", "4", "5", "6", "7", "8", "10", "11"):
            remember(network, f"layers.{stage}", seen)
        output = network(torch.rand(1, 3, 560, 560))
    assert output.shape == (1, 3, 560, 560)
    assert seen == {
        "layers.0.2": (64, 280, 280),
        "layers.0.4": (encoder[0], 140, 140),
        "layers.0.5": (encoder[1], 70, 70),
        "layers.0.6": (encoder[2], 35, 35),
        "layers.0.7": (encoder[3], 18, 18),
        "layers.3": (encoder[3], 18, 18),
        "layers.4": (blocks[0], 35, 35),
        "layers.5": (blocks[1], 70, 70),
        "layers.6": (blocks[2], 140, 140),
        "layers.7": (blocks[3], 280, 280),
        "layers.8": (blocks[3], 560, 560),
        "layers.10": (blocks[3] + 3, 560, 560),
        "layers.11": (3, 560, 560),
    }


def remember(network: nn.Module, stage: str, seen: dict[str, tuple[int, ...]]) -> None:
    def note(_: nn.Module, __: object, output: Tensor) -> None:
        seen[stage] = tuple(output.shape[1:])

    network.get_submodule(stage).register_forward_hook(note)


@pytest.mark.parametrize(("size", "patches"), [((64, 64), 1), ((192, 192), 81), ((96, 160), 21)])
def test_the_critic_gives_a_logit_a_patch(size: tuple[int, int], patches: int) -> None:
    with torch.device("meta"):
        assert Critic()(torch.rand(2, 3, *size)).shape == (2, patches)
    critic = Critic(channels=4)
    logits = critic(torch.randn(2, 3, *size))
    assert logits.shape == (2, patches)
    logits.square().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in critic.parameters())


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (ArtisticGenerator, [-0.5162080397, -0.9130588527, 0.6202968716]),
        (StableGenerator, [-0.0997516879, 0.6704647456, 0.3351535623]),
        (Critic, [-0.02752309478, -0.0224802181, 0.003843135003]),
    ],
)
def test_a_forward_is_pinned(build: type, expected: list[float]) -> None:
    """Weights and input are waves; the generators' code equals the published artistic one to 1e-13 at full width."""
    network = build(channels=4) if build is Critic else build(encoder="resnet50", encoder_width=0.05, factor=0.2)
    network = network.double().eval()
    fill_with_waves(network)
    places = torch.arange(3 * 72 * 104, dtype=torch.float64).reshape(1, 3, 72, 104)
    loudness = 1000 if build is Critic else 1  # without normalization, little of the picture is left at the end
    with torch.no_grad():
        output = network(loudness * torch.sin(places * 0.1)).flatten()
    assert [output[0].item(), output[-1].item(), output.std().item()] == pytest.approx(expected, rel=1e-6)


def fill_with_waves(network: nn.Module) -> None:
    for index, (name, tensor) in enumerate(network.state_dict().items()):
        if not tensor.is_floating_point():
            continue
        wave = torch.sin(torch.arange(1, tensor.numel() + 1, dtype=torch.float64) * (0.7 + 0.01 * index))
        one = name.endswith(("running_var", "weight_g")) or (name.endswith(".weight") and tensor.ndim == 1)
        tensor.copy_((1 + 0.3 * wave if one else wave).reshape(tensor.shape))
        if tensor.ndim > 1 and name.endswith("weight"):
            tensor.mul_(2 / math.sqrt(tensor[0].numel()))
        if name.endswith(("bias", "running_mean")):
            tensor.mul_(0.2)
    for module in network.modules():
        if isinstance(module, SpectralConvolution):  # one step of power iteration, so that the vectors fit the kernel
            inputs, *sides = module.weight_orig.shape[1:]
            module.train()(torch.zeros(1, inputs, *sides, dtype=torch.float64))
            module.eval()


@pytest.mark.parametrize(
    ("dimensions", "kernel", "stride", "padding", "bias"),
    [(2, 3, 1, None, False), (2, 4, 2, None, True), (2, 4, 1, 0, False), (2, 1, 1, None, True), (1, 1, 1, None, False)],
)
def test_spectral_norm_is_torchs(dimensions: int, kernel: int, stride: int, padding: int | None, bias: bool) -> None:
    ours = SpectralConvolution(5, 7, kernel, bias=bias, stride=stride, padding=padding, dimensions=dimensions).double()
    layer = nn.Conv1d if dimensions == 1 else nn.Conv2d
    zeros = (kernel - 1) // 2 if padding is None else padding
    theirs = torch.nn.utils.spectral_norm(layer(5, 7, kernel, stride=stride, padding=zeros, bias=bias)).double()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    nn.init.normal_(ours.weight_u)
    nn.init.normal_(ours.weight_v)
    theirs.load_state_dict(ours.state_dict())
    image = torch.rand(2, 5, *(8, 6)[:dimensions], dtype=torch.float64)
    torch.testing.assert_close(ours.eval()(image), theirs.eval()(image))
    for _ in range(3):  # each call in training renews the vectors
        torch.testing.assert_close(ours.train()(image), theirs.train()(image))
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
    (ours(image).sum() + ours(image).square().sum()).backward()
    (theirs(image).sum() + theirs(image).square().sum()).backward()
    torch.testing.assert_close(ours.weight_orig.grad, theirs.weight_orig.grad)


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
def test_weight_norm_is_torchs() -> None:
    torch.manual_seed(0)
    ours = WeightNormConvolution(5, 8).double()  # gradients of the direction cancel: float32 keeps few of their digits
    theirs = torch.nn.utils.weight_norm(nn.Conv2d(5, 8, 1)).double()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    nn.init.normal_(ours.weight_g)
    theirs.load_state_dict(ours.state_dict())
    image = torch.rand(2, 5, 4, 3, dtype=torch.float64)
    torch.testing.assert_close(ours(image), theirs(image))
    ours(image).square().sum().backward()
    theirs(image).square().sum().backward()
    torch.testing.assert_close(ours.weight_v.grad, theirs.weight_v.grad)
    torch.testing.assert_close(ours.weight_g.grad, theirs.weight_g.grad)


def test_attention_is_a_softmax_over_the_queries_behind_a_gate() -> None:
    layer, image = SelfAttention(16).eval(), torch.randn(2, 16, 3, 5)
    assert torch.equal(layer(image), image), "the gate of a fresh layer is shut"
    nn.init.constant_(layer.gamma, 0.7)
    places = image.flatten(2)
    query, key, value = layer.query(places), layer.key(places), layer.value(places)
    assert query.shape[1] == 2
    expected = places.clone()
    for photo in range(2):
        for place in range(15):
            attention = torch.softmax(query[photo].T @ key[photo, :, place], dim=0)
            expected[photo, :, place] += 0.7 * value[photo] @ attention
    torch.testing.assert_close(layer(image), expected.reshape(image.shape))


@pytest.mark.parametrize("layer", [Enlargement(6, 4), LastEnlargement(6)])
def test_a_fresh_enlargement_draws_no_checkerboard(layer: nn.Module) -> None:
    enlarged = layer.eval()(torch.rand(1, 6, 1, 1).expand(1, 6, 3, 5))
    assert enlarged.shape[2:] == (6, 10)
    assert enlarged.any()
    torch.testing.assert_close(enlarged, enlarged[..., :1, :1].expand_as(enlarged))


class Echo(Generator):
    """Its answer is the picture it is shown, `factor` times as far from ImageNet's mean."""

    def __init__(self, factor: float) -> None:
        nn.Module.__init__(self)
        self.factor = factor

    def forward(self, image: Tensor) -> Tensor:
        assert image.shape[2] % 2 == image.shape[3] % 2 == 0
        assert min(image.shape[2:]) >= 34
        return image * self.factor


@pytest.mark.parametrize("size", [(1, 1), (33, 34), (35, 70), (64, 64)])
def test_a_network_that_answers_grey_colours_nothing(size: tuple[int, int]) -> None:
    ab = Echo(1).predict(torch.rand(2, 1, *size) * 100).ab
    assert ab.shape == (2, 2, *size)
    assert ab.abs().max() < 0.05


def test_colours_are_clamped_to_srgb_and_have_gradients_all_the_same() -> None:
    l = torch.tensor([0.0, 100.0]).reshape(1, 1, 1, 2).requires_grad_()  # noqa: E741
    ab = Echo(1.5).colors(l).ab  # below black and above white in all three channels
    assert ab.abs().max() < 0.05
    (gradient,) = torch.autograd.grad(ab[:, 0].sum(), l)
    assert gradient.isfinite().all()
    assert gradient.all()


@pytest.mark.parametrize("name", SLIM)
@pytest.mark.parametrize("size", [(1, 1), (37, 53), (64, 64)])
def test_any_size_comes_out_as_it_went_in(name: str, size: tuple[int, int]) -> None:
    model = slim(name)
    ab = model.eval().predict(torch.rand(2, 1, *size) * 100).ab
    assert ab.shape == (2, 2, *size)
    assert ab.isfinite().all()
    model.train()(torch.rand(1, 1, *size) * 100).ab.square().mean().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("name", SLIM)
def test_all_that_is_not_behind_the_shut_gate_learns(name: str) -> None:
    model = slim(name)
    model(torch.rand(2, 1, 70, 81) * 100).ab.square().mean().backward()
    idle = {key for key, parameter in model.named_parameters() if not parameter.grad.any()}
    block = "conv2" if name == "deoldify_artistic" else "conv"
    assert idle == {f"network.layers.5.{block}.3.{part}.weight_orig" for part in ("query", "key", "value")}


def test_the_published_forward_wants_even_sides_and_stays_in_its_range() -> None:
    network = ArtisticGenerator(encoder="resnet18", encoder_width=0.1, factor=0.5).eval()
    assert network(100 * torch.randn(1, 3, 40, 38)).abs().max() <= 3
    with pytest.raises(RuntimeError, match="35"):
        network(torch.rand(1, 3, 40, 35))


def test_evaluation_leaves_all_numbers_alone_and_a_trained_network_can_be_copied() -> None:
    model, l = slim("deoldify_artistic"), torch.rand(2, 1, 40, 40) * 100  # noqa: E741
    before = copy.deepcopy(model.state_dict())
    model.eval()(l)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    model.train()(l).ab.sum().backward()
    for key in ("layers.3.0.0.weight_u", "layers.3.0.0.weight_v", "layers.1.running_mean"):
        assert not torch.equal(model.network.state_dict()[key], before[f"network.{key}"])
    torch.testing.assert_close(copy.deepcopy(model).eval()(l).ab, model.eval()(l).ab, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "kind", "width"), [("deoldify_artistic", "resnet18", 0.1), ("deoldify_stable", "resnet50", 0.05)]
)
def test_it_begins_with_a_published_resnet(name: str, kind: str, width: float) -> None:
    model, published = slim(name), ResNet(kind, width)
    model.begin_with(published.state_dict())
    image = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(model.network.layers["0"].eval()(image), published.eval().stages(image)[-1])


@pytest.mark.parametrize(("kind", "width"), [("resnet34", 0.1), ("resnet18", 0.2)])
def test_weights_of_another_encoder_are_refused(kind: str, width: float) -> None:
    with pytest.raises(ValueError, match="'encoder_width'"):
        slim("deoldify_artistic").begin_with(ResNet(kind, width).state_dict())


@pytest.mark.parametrize("name", SLIM)
def test_saved_and_loaded_is_the_same_network(name: str, tmp_path: Path) -> None:
    model, l = slim(name), torch.rand(1, 1, 40, 36) * 100  # noqa: E741
    save_model(tmp_path, model, name, SLIM[name], {})
    loaded = load_model(tmp_path)
    assert torch.equal(loaded.predict(l).ab, model.eval().predict(l).ab)


@pytest.mark.parametrize("name", SLIM)
def test_exports(name: str) -> None:
    network, l = slim(name).eval(), torch.rand(2, 1, 37, 50) * 100  # noqa: E741
    torch.testing.assert_close(torch.export.export(network, (l,)).module()(l).ab, network(l).ab)


@pytest.mark.parametrize("name", SLIM)
def test_overfits_eight_photos(name: str) -> None:
    model = slim(name)
    l = functional.interpolate(torch.rand(8, 1, 4, 4) * 100, size=32, mode="bilinear")  # noqa: E741
    ab = functional.interpolate(torch.rand(8, 2, 2, 2) * 80 - 40, size=32, mode="bilinear")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = functional.l1_loss(model(l).ab, ab)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    # A single colour for all of them is 17 away.
    assert losses[-1] < 8, losses
