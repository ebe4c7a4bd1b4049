"""Inception-v3: torchvision's names and shapes, and the same features as a second reading of its layers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from colorize.metrics.inception import InceptionV3
from colorize.weights import find

State = dict[str, Tensor]

# Each branch of a block as a chain of convolutions: name and stride; padding follows from the kernel where the stride
# is 1 and no 'valid' stands there. `pool` and `max` are poolings, `a|b` two convolutions beside each other.
A = (("branch1x1",), ("branch5x5_1", "branch5x5_2"), ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"))
C = (
    ("branch1x1",),
    ("branch7x7_1", "branch7x7_2", "branch7x7_3"),
    tuple(f"branch7x7dbl_{number}" for number in range(1, 6)),
    ("mean", "branch_pool"),
)
BLOCKS = {
    **{f"Mixed_5{letter}": (*A, ("mean", "branch_pool")) for letter in "bcd"},
    "Mixed_6a": (("branch3x3/2",), ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3/2"), ("max",)),
    **{f"Mixed_6{letter}": C for letter in "bcde"},
    "Mixed_7a": (
        ("branch3x3_1", "branch3x3_2/2"),
        ("branch7x7x3_1", "branch7x7x3_2", "branch7x7x3_3", "branch7x7x3_4/2"),
        ("max",),
    ),
    **{
        f"Mixed_7{letter}": (
            ("branch1x1",),
            ("branch3x3_1", "branch3x3_2a|branch3x3_2b"),
            ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3a|branch3x3dbl_3b"),
            ("mean", "branch_pool"),
        )
        for letter in "bc"
    },
}


def convolution(state: State, name: str, features: Tensor, stride: int = 1, valid: bool = False) -> Tensor:
    weight = state[f"{name}.conv.weight"]
    padding = (0, 0) if valid or stride == 2 else (weight.shape[2] // 2, weight.shape[3] // 2)
    features = functional.conv2d(features, weight, stride=stride, padding=padding)
    statistics = [state[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
    mean, variance, scale, shift = (values.reshape(1, -1, 1, 1) for values in statistics)
    return ((features - mean) / (variance + 1e-3).sqrt() * scale + shift).clamp(min=0)


def step(state: State, block: str, name: str, features: Tensor) -> Tensor:
    if name == "mean":
        return functional.conv2d(
            features.flatten(0, 1)[:, None], torch.full((1, 1, 3, 3), 1 / 9, dtype=features.dtype), padding=1
        ).reshape(features.shape)
    if name == "max":
        return functional.max_pool2d(features, 3, 2)
    if "|" in name:
        return torch.cat([step(state, block, part, features) for part in name.split("|")], dim=1)
    bare, _, stride = name.partition("/")
    return convolution(state, f"{block}.{bare}", features, int(stride or 1))


def by_table(state: State, image: Tensor) -> Tensor:
    features = convolution(state, "Conv2d_1a_3x3", image, 2)
    features = convolution(state, "Conv2d_2a_3x3", features, valid=True)
    features = functional.max_pool2d(convolution(state, "Conv2d_2b_3x3", features), 3, 2)
    features = convolution(state, "Conv2d_3b_1x1", features)
    features = functional.max_pool2d(convolution(state, "Conv2d_4a_3x3", features, valid=True), 3, 2)
    for block, branches in BLOCKS.items():
        outputs = []
        for chain in branches:
            output = features
            for name in chain:
                output = step(state, block, name, output)
            outputs.append(output)
        features = torch.cat(outputs, dim=1)
    return features.mean(dim=(2, 3))


def test_it_is_the_published_network() -> None:
    with torch.device("meta"):
        network = find("inception_v3").build()
    state = network.state_dict()
    # torchvision states 27,161,264 parameters; 96 convolutions have six tensors each, two linear layers two.
    assert sum(parameter.numel() for parameter in network.parameters()) == 27_161_264
    assert len(state) == 96 * 6 + 4
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert shapes["Conv2d_4a_3x3.conv.weight"] == (192, 80, 3, 3)
    assert shapes["Mixed_5b.branch_pool.conv.weight"] == (32, 192, 1, 1)
    assert shapes["Mixed_5c.branch5x5_2.conv.weight"] == (64, 48, 5, 5)
    assert shapes["Mixed_6b.branch7x7dbl_5.conv.weight"] == (192, 128, 1, 7)
    assert shapes["Mixed_6e.branch7x7_3.conv.weight"] == (192, 192, 7, 1)
    assert shapes["Mixed_7b.branch3x3dbl_1.conv.weight"] == (448, 1280, 1, 1)
    assert shapes["Mixed_7c.branch3x3_2b.bn.running_var"] == (384,)
    assert shapes["AuxLogits.conv1.conv.weight"] == (768, 128, 5, 5)
    assert (shapes["AuxLogits.fc.weight"], shapes["fc.weight"]) == ((1000, 768), (1000, 2048))
    assert network.channels == 2048


@pytest.fixture(scope="module")
def network() -> InceptionV3:
    generator = torch.Generator().manual_seed(6)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        made = InceptionV3(0.1).double().eval()
    for name, tensor in made.state_dict().items():
        if name.endswith(("running_mean", "bn.bias")):
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.1)
        elif name.endswith(("running_var", "bn.weight")):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return made


def test_features_are_those_of_a_second_implementation(network: InceptionV3) -> None:
    image = torch.rand(2, 3, 139, 155, dtype=torch.float64, generator=torch.Generator().manual_seed(7)) * 2 - 1
    with torch.no_grad():
        features, expected = network.features(image), by_table(network.state_dict(), image)
    assert features.shape == (2, network.channels)
    assert features.std() > 1e-3
    torch.testing.assert_close(features, expected, rtol=1e-9, atol=1e-12)


def test_only_the_auxiliary_classifier_takes_no_part(network: InceptionV3) -> None:
    image = torch.rand(1, 3, 107, 107, dtype=torch.float64, generator=torch.Generator().manual_seed(8)) * 2 - 1
    network.zero_grad()
    network(image).square().sum().backward()
    idle = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert idle == {name for name, _ in network.named_parameters() if name.startswith("AuxLogits.")}
