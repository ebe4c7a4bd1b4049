"""ResNet and VGG-16: published names and shapes, stages, first weights, pinned figures, taking published weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from colorize.models.resnet import ResNet, ResNetEncoder
from colorize.models.vgg import VGG, VGGEncoder

ENCODERS = ["resnet18", "resnet34", "resnet50", "resnet101", "vgg16", "vgg16_bn"]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def whole(name: str, width: float = 1.0) -> ResNet | VGG:
    return VGG(name, width) if name.startswith("vgg") else ResNet(name, width)


def encoder(name: str, width: float = 1.0) -> ResNetEncoder | VGGEncoder:
    return VGGEncoder(name, width) if name.startswith("vgg") else ResNetEncoder(name, width)


@pytest.mark.parametrize(
    ("name", "channels", "sides"),
    [
        ("resnet18", [64, 64, 128, 256, 512], [112, 56, 28, 14, 7]),
        ("resnet34", [64, 64, 128, 256, 512], [112, 56, 28, 14, 7]),
        ("resnet50", [64, 256, 512, 1024, 2048], [112, 56, 28, 14, 7]),
        ("resnet101", [64, 256, 512, 1024, 2048], [112, 56, 28, 14, 7]),
        ("vgg16", [64, 128, 256, 512, 512, 512], [224, 112, 56, 28, 14, 7]),
        ("vgg16_bn", [64, 128, 256, 512, 512, 512], [224, 112, 56, 28, 14, 7]),
    ],
)
def test_stages_have_the_published_shapes(name: str, channels: list[int], sides: list[int]) -> None:
    with torch.device("meta"):
        network = whole(name)
        image = torch.rand(1, 3, 224, 224)
        shapes = [tuple(stage.shape) for stage in network.stages(image)]
        assert network(image).shape == (1, 1000)
    assert network.channels == channels
    assert shapes == [(1, count, side, side) for count, side in zip(channels, sides, strict=True)]


@pytest.mark.parametrize("name", ENCODERS)
def test_slim_encoders_take_odd_sizes_and_give_finite_gradients(name: str) -> None:
    network = encoder(name, 0.1)
    stages = network.stages(torch.randn(2, 3, 67, 93))
    down = math.floor if name.startswith("vgg") else math.ceil
    first = 0 if name.startswith("vgg") else 1
    sizes = [(down(67 / 2**level), down(93 / 2**level)) for level in range(first, 6)]
    assert [tuple(stage.shape) for stage in stages] == [
        (2, count, *size) for count, size in zip(network.channels, sizes, strict=True)
    ]
    assert all((stage >= 0).all() for stage in stages), "each follows a ReLU"
    sum(stage.square().mean() for stage in stages).backward()
    for parameter in network.parameters():
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any() or name == "vgg16_bn"  # a bias before batch normalization changes nothing


@pytest.mark.parametrize("name", ENCODERS)
def test_no_stage_is_changed_by_what_follows(name: str) -> None:
    """ReLUs work in place: a map that one of them wrote over would be another when the forward has ended."""
    network = encoder(name, 0.1).eval()
    seen: list[Tensor] = []
    watched = (
        [layer for layer in network.features if isinstance(layer, nn.MaxPool2d)]
        if isinstance(network, VGGEncoder)
        else [network.maxpool, network.layer2, network.layer3, network.layer4]
    )
    for layer in watched:
        layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    stages = network.stages(torch.randn(1, 3, 64, 64))
    for before, after in zip(seen, stages, strict=False):
        assert torch.equal(before, after)


@pytest.mark.parametrize("name", ["resnet18", "vgg16", "vgg16_bn"])
def test_first_weights_are_drawn_as_torchvision_does(name: str) -> None:
    network = whole(name, 0.5)
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 50_000:
            outputs, _, height, width = module.weight.shape
            assert module.weight.std().item() == pytest.approx(math.sqrt(2 / (outputs * height * width)), rel=0.02)
            assert module.bias is None or not module.bias.any()
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert not module.bias.any()
    if isinstance(network, VGG):
        assert network.classifier[3].weight.std().item() == pytest.approx(0.01, rel=0.02)
        assert not network.classifier[3].bias.any()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18", [0.1492478283, 0.0393892670, 0.1894272184]),
        ("resnet50", [-0.4317695022, 0.2489992494, 0.4453900649]),
        ("vgg16", [0.8804156178, -1.4194348987, 1.0335096643]),
        ("vgg16_bn", [0.9933872414, 0.2435078529, 1.0628257622]),
    ],
)
def test_a_forward_is_pinned(name: str, expected: list[float]) -> None:
    """Weights and input are waves; the code that made these figures equals torchvision's to 1e-15 at full width."""
    network = whole(name, 0.05).double().eval()
    with torch.no_grad():
        for index, (entry, tensor) in enumerate(network.state_dict().items()):
            if tensor.is_floating_point():
                wave = torch.sin(torch.arange(1, tensor.numel() + 1, dtype=torch.float64) * (0.7 + 0.01 * index))
                # Scales and variances lie around 1, kernels keep the size of the numbers, the rest is small.
                one = entry.endswith("running_var") or (entry.endswith("weight") and tensor.ndim == 1)
                gain = 2 / math.sqrt(tensor[0].numel()) if tensor.ndim > 1 else 0.2
                tensor.copy_((1 + 0.3 * wave if one else gain * wave).reshape(tensor.shape))
        places = torch.arange(3 * 64 * 48, dtype=torch.float64).reshape(1, 3, 64, 48)
        logits = network(torch.sin(places * 0.1))
    assert [logits[0, 0].item(), logits[0, 500].item(), logits.std().item()] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ENCODERS)
def test_published_weights_fit_all_but_the_classifier(name: str) -> None:
    published = whole(name, 0.1).state_dict()
    network = encoder(name, 0.1)
    network.begin_with(published)
    for entry, tensor in network.state_dict().items():
        assert torch.equal(tensor, published[entry])
    assert published.keys() - network.state_dict().keys() == {
        entry for entry in published if entry.startswith(("fc.", "classifier."))
    }


@pytest.mark.parametrize(
    ("name", "weights"),
    [("resnet18", "resnet34"), ("resnet34", "resnet50"), ("vgg16", "vgg16_bn"), ("vgg16", "resnet18")],
)
def test_weights_of_another_network_are_refused(name: str, weights: str) -> None:
    with pytest.raises(ValueError, match="'encoder_width'"):
        encoder(name, 0.1).begin_with(whole(weights, 0.1).state_dict())
    with pytest.raises(ValueError, match="size mismatch"):
        encoder(name, 0.1).begin_with(whole(name, 0.2).state_dict())


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vgg16_bn"])
def test_exports(name: str) -> None:
    network, image = whole(name, 0.1).eval(), torch.randn(2, 3, 64, 48)
    torch.testing.assert_close(torch.export.export(network, (image,)).module()(image), network(image))
