"""pix2pix's U-Net and discriminators: names and shapes as published, the skip connections, any size, pinned figures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from colorize.models.files import load_model, save_model
from colorize.models.pix2pix import PatchGAN, Pix2PixUNet, PixelGAN
from colorize.models.registry import create, settings_of

SLIM = {"channels": 4, "depth": 5}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def wave(*shape: int) -> Tensor:
    """Numbers in -1..1 without a visible pattern, the same on every machine to float64's precision."""
    return torch.sin(torch.arange(torch.Size(shape).numel(), dtype=torch.float64) ** 2 * 0.7 + 1).reshape(shape)


def filled(network: nn.Module) -> nn.Module:
    """The network in evaluation mode and float64, with weights from a formula that keep its signals in range."""
    for name, tensor in network.double().state_dict().items():
        if tensor.ndim > 1:
            tensor.copy_(2 * wave(*tensor.shape) / tensor[0].numel() ** 0.5)
        elif name.endswith(("running_var", "weight")):
            tensor.copy_(1 + 0.5 * wave(*tensor.shape))
        elif not name.endswith("num_batches_tracked"):
            tensor.copy_(0.2 * wave(*tensor.shape))
    return network.eval()


def levels(network: Pix2PixUNet) -> list[nn.Module]:
    """The U-Net's levels from the outside in, each of which holds the next."""
    found = [network.model]
    while below := [layer for layer in found[-1].model if hasattr(layer, "model")]:
        found += below
    return found


def test_levels_have_their_published_shapes() -> None:
    with torch.device("meta"):
        network, seen = Pix2PixUNet(), []
        for level in levels(network):
            level.register_forward_hook(lambda _, given, result: seen.insert(0, (given[0].shape[1:], result.shape[1:])))
        network(torch.empty(2, 1, 256, 256))
    assert seen == [
        ((1, 256, 256), (2, 256, 256)),
        ((64, 128, 128), (128, 128, 128)),
        ((128, 64, 64), (256, 64, 64)),
        ((256, 32, 32), (512, 32, 32)),
        ((512, 16, 16), (1024, 16, 16)),
        ((512, 8, 8), (1024, 8, 8)),
        ((512, 4, 4), (1024, 4, 4)),
        ((512, 2, 2), (1024, 2, 2)),
    ]


@pytest.mark.parametrize("level", range(1, 5))
def test_skips_carry_what_the_leaky_relu_made(level: int) -> None:
    network = filled(Pix2PixUNet(**SLIM))
    inner = levels(network)[level]
    given = wave(2, inner.model[1].in_channels, 32, 32)
    skip = inner(given)[:, : given.shape[1]]
    assert torch.equal(skip, functional.leaky_relu(given, 0.2))


def test_dropout_is_in_the_wide_middle_levels_alone_and_only_in_training() -> None:
    with torch.device("meta"):
        assert [isinstance(level.model[-1], nn.Dropout) for level in levels(Pix2PixUNet())] == (
            [False] * 4 + [True] * 3 + [False]
        )
    network, photo = Pix2PixUNet(channels=4, depth=6), wave(1, 1, 64, 64).float()
    assert not torch.equal(network(photo), network(photo))
    assert torch.equal(network.eval()(photo), network(photo))


def test_fresh_weights_are_drawn_as_the_authors_draw_them() -> None:
    for network in (Pix2PixUNet(channels=8, depth=5), PatchGAN(channels=16), PixelGAN(channels=64)):
        convolutions = [weights for weights in network.parameters() if weights.ndim > 1]
        assert torch.cat([weights.flatten() for weights in convolutions]).std().item() == pytest.approx(0.02, rel=0.05)
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                assert layer.weight.mean().item() == pytest.approx(1, abs=0.02)
                assert 0 < layer.weight.std() < 0.04
            if getattr(layer, "bias", None) is not None:
                assert not layer.bias.any()


def test_figures_of_the_unet_stay() -> None:
    ab = filled(Pix2PixUNet(**SLIM))(wave(1, 1, 32, 64))
    pinned = [0.4228661, 0.0713170, -0.2657815, -0.9884484, 0.3060279, -0.9799468, -0.0729926, -0.9958818]
    torch.testing.assert_close(ab[0, :, 9, ::20].flatten(), torch.tensor(pinned).double(), rtol=0, atol=1e-6)


def test_figures_of_the_discriminators_stay() -> None:
    image = wave(1, 3, 32, 40)
    patches, pixels = filled(PatchGAN(channels=8))(image), filled(PixelGAN(channels=8))(image)
    assert patches.shape == (1, 1, 2, 3)
    assert pixels.shape == (1, 1, 32, 40)
    pinned = [
        -0.0770033,
        0.0152146,
        0.9691253,
        -0.4986436,
        0.0560024,
        1.5224714,
        0.8370355,
        0.19728,
        3.2310109,
        0.2418608,
    ]
    found = torch.cat([patches.flatten(), pixels[0, 0, 7, ::10]])
    torch.testing.assert_close(found, torch.tensor(pinned).double(), rtol=0, atol=1e-6)


def test_forward_wants_multiples() -> None:
    with pytest.raises(ValueError, match="multiples of 32, got 64 x 60"):
        Pix2PixUNet(**SLIM)(wave(1, 1, 64, 60).float())


@pytest.mark.parametrize("size", [(1, 1), (33, 20), (3, 70)])
def test_any_size_comes_out_as_it_went_in(size: tuple[int, int]) -> None:
    network, photo = Pix2PixUNet(**SLIM), 50 + 50 * wave(1, 1, *size).float()
    assert network.train().colors(photo).ab.shape == (1, 2, *size)
    ab = network.eval().predict(photo).ab
    assert ab.shape == (1, 2, *size)
    assert ab.isfinite().all()


def test_colors_are_forward_in_cielab_units_with_the_border_repeated() -> None:
    network, photo = filled(Pix2PixUNet(**SLIM)), 50 + 50 * wave(1, 1, 30, 64)
    repeated = torch.cat([photo, photo[:, :, -1:].expand(-1, -1, 2, -1)], dim=2)
    torch.testing.assert_close(network.colors(photo).ab, 110 * network(repeated / 50 - 1)[:, :, :30])


def test_every_parameter_gets_a_finite_gradient() -> None:
    network, judges = (
        create("pix2pix_unet256", settings_of("pix2pix_unet256", SLIM)),
        (PatchGAN(channels=4), PixelGAN()),
    )
    photo = 50 + 50 * wave(2, 1, 40, 33).float()
    ab = network(photo).ab
    image = torch.cat([photo / 50 - 1, ab / 110], dim=1)
    sum(judge(image).square().mean() for judge in judges).backward()
    for part in (network, *judges):
        for name, parameter in part.named_parameters():
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name


def test_saved_and_loaded_is_the_same_network(tmp_path: Path) -> None:
    settings = settings_of("pix2pix_unet256", SLIM)
    network = create("pix2pix_unet256", settings).eval()
    save_model(tmp_path, network, "pix2pix_unet256", settings, {})
    photo = 50 + 50 * wave(1, 1, 20, 40).float()
    assert torch.equal(load_model(tmp_path).predict_ab(photo), network.predict_ab(photo))


@pytest.mark.parametrize("network", [Pix2PixUNet(**SLIM), PatchGAN(channels=4), PixelGAN(channels=4)])
def test_networks_can_be_exported(network: nn.Module) -> None:
    inputs = 1 if isinstance(network, Pix2PixUNet) else 3
    image = wave(1, inputs, 32, 64)
    torch.testing.assert_close(torch.export.export(filled(network), (image,)).module()(image), network(image))


def test_a_slim_unet_learns_eight_photos() -> None:
    network = create("pix2pix_unet256", settings_of("pix2pix_unet256", {**SLIM, "dropout": 0.0}))
    photos = 50 + 50 * functional.interpolate(wave(8, 1, 4, 4).float(), size=32)
    truth = 60 * functional.interpolate(wave(8, 2, 2, 2).float(), size=32)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        loss = functional.l1_loss(network(photos).ab, truth)
        loss.backward()
        optimizer.step()
    assert loss < 0.4 * truth.abs().mean(), "1 is what grey has"
