"""LPIPS beside torchmetrics' copy of the authors' code, with the published channel weights and random backbones."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from colorize.metrics.lpips import HEADS, AlexNet, Lpips, heads_file, read_heads
from colorize.models.vgg import VGGEncoder
from colorize.weights import WeightsError, find

CHANNELS = {"alexnet": [64, 192, 384, 256, 256], "vgg16": [64, 128, 256, 512, 512]}


def backbone(name: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(9)
        network = VGGEncoder("vgg16") if name == "vgg16" else AlexNet()
    return network.eval()


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(10)
    first = torch.rand(3, 3, 72, 88, generator=generator) * 2 - 1
    return first, (first + 0.5 * torch.randn(first.shape, generator=generator)).clamp(-1, 1)


@pytest.mark.parametrize("name", sorted(HEADS))
def test_it_is_the_distance_of_the_authors(
    name: str, pair: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchmetrics.functional.image import lpips as theirs

    network = backbone(name)
    # In place of torchvision, which would give these layers their published weights.
    monkeypatch.setattr(theirs, "_get_tv_model_features", lambda net, pretrained: network.features)
    with torch.no_grad():
        ours = Lpips(network, read_heads(heads_file(name)))(*pair)
        expected = theirs.learned_perceptual_image_patch_similarity(*pair, net_type=HEADS[name], reduction="none")
    assert ours.shape == (3,)
    assert (ours > 0.01).all()
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-6)


def test_a_distance_by_hand() -> None:
    class Two(nn.Module):
        def stages(self, image: Tensor) -> list[Tensor]:
            return [image[:, :2] * depth for depth in range(1, 7)]

    # In the middle of the scale, RGB is (shift): the network sees 0 there, and (1, 0) and (0, 1) for these two.
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    first, second = (
        (shift + scale * torch.tensor(seen)).reshape(1, 3, 1, 1).expand(1, 3, 64, 64)
        for seen in ([3.0, 0.0, 5.0], [0.0, 2.0, 5.0])
    )
    # Unit vectors (1, 0) and (0, 1) at each of five depths; the sixth is not looked at.
    distance = Lpips(Two(), [torch.tensor([0.1, 0.03])] * 5)
    assert distance(first, second).item() == pytest.approx(5 * 0.13, rel=1e-5)
    assert distance(first, first).item() == 0


def test_small_pictures_are_enlarged(pair: tuple[Tensor, Tensor]) -> None:
    with torch.random.fork_rng():
        distance = Lpips(AlexNet(0.1).eval(), [torch.ones(count) for count in (6, 19, 38, 26, 26)])
    small = [side[..., :20, :30] for side in pair]
    large = [nn.functional.interpolate(side, size=(64, 64), mode="bilinear") for side in small]
    with torch.no_grad():
        torch.testing.assert_close(distance(*small), distance(*large))


def test_heads_have_a_weight_for_each_channel(tmp_path: Path) -> None:
    for name, channels in CHANNELS.items():
        heads = read_heads(heads_file(name))
        assert [len(head) for head in heads] == channels
        assert all((head >= 0).all() for head in heads)
    # Version 0.1 of the authors' package; another would give other figures.
    digest = hashlib.sha256(heads_file("alexnet").read_bytes()).hexdigest()
    assert digest == "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"
    torch.save({"lin0.model.1.weight": torch.ones(1, 64, 1, 1)}, tmp_path / "cut.pth")
    with pytest.raises(WeightsError, match=r"lin1\.model\.1\.weight.*are not in it"):
        read_heads(tmp_path / "cut.pth")
    with pytest.raises(ValueError, match="5 maps; got weights for 4"):
        Lpips(nn.Identity(), [torch.ones(3)] * 4)


def test_alexnet_is_the_published_network() -> None:
    with torch.device("meta"):
        network = find("alexnet").build()
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items() if "weight" in name}
    assert shapes == {
        "features.0.weight": (64, 3, 11, 11),
        "features.3.weight": (192, 64, 5, 5),
        "features.6.weight": (384, 192, 3, 3),
        "features.8.weight": (256, 384, 3, 3),
        "features.10.weight": (256, 256, 3, 3),
        "classifier.1.weight": (4096, 9216),
        "classifier.4.weight": (4096, 4096),
        "classifier.6.weight": (1000, 4096),
    }
    assert sum(parameter.numel() for parameter in network.parameters()) == 61_100_840


def test_alexnets_logits_are_those_of_its_layers_in_a_row() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = AlexNet(0.1).eval()
    image = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        maps = network.stages(image)
        pooled = nn.functional.max_pool2d(maps[-1], 3, 2).flatten(1)  # 6 x 6 already at this size
        assert [len(features[0]) for features in maps] == [6, 19, 38, 26, 26]
        torch.testing.assert_close(network(image), network.classifier(pooled))
