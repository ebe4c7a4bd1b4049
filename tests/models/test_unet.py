"""The U-Net in its settings: padding, normalization, depth, and the published encoders that it can stand on."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from colorize.models import Colorization, create
from colorize.models.lab import ab_of_output
from colorize.models.resnet import ResNet
from colorize.models.vgg import VGG
from colorize.settings.architectures import UNetSettings


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def build(**settings: object) -> Colorization:
    return create("unet", UNetSettings.model_validate(settings))


def whole(encoder: str, width: float) -> VGG | ResNet:
    return VGG("vgg16", width) if encoder == "vgg16" else ResNet(encoder, width)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [{"encoder": "resnet34", "encoder_width": 0.05, "channels": 4}, {"encoder_width": 0.1, "encoder": "resnet18"}],
)
def test_weights_of_another_kind_or_width_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="do not fit the encoder"):
        build(**settings).begin_with(whole("resnet18", 0.05).state_dict())


def test_a_plain_encoder_takes_no_published_weights() -> None:
    with pytest.raises(ValueError, match="UNet has no encoder that takes published weights"):
        build(channels=4, depth=1).begin_with({})


@pytest.mark.parametrize("padding", ["reflect", "zeros"])
@pytest.mark.parametrize("normalization", ["group", "batch", "none"])
@pytest.mark.parametrize("depth", [1, 3, 6])
def test_unet_in_all_its_settings_fits_tiny_and_odd_photos(padding: str, normalization: str, depth: int) -> None:
    model = build(channels=4, depth=depth, normalization=normalization, padding=padding)
    for size in [(1, 1), (33, 20)]:
        assert model(torch.rand(2, 1, *size) * 100).ab.shape == (2, 2, *size)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("encoder", ["resnet18", "resnet34", "resnet50", "vgg16"])
def test_unet_takes_as_much_of_a_published_encoder_as_it_is_deep(encoder: str, depth: int) -> None:
    model = build(encoder=encoder, encoder_width=0.05, channels=4, depth=depth).train()
    weights = whole(encoder, 0.05).state_dict()
    model.begin_with(weights)
    taken = model.encoder.state_dict()
    assert all(torch.equal(tensor, weights[key]) for key, tensor in taken.items())
    expected = {f"layer{layer}" for layer in range(1, depth)} if encoder != "vgg16" else set()
    assert {key.split(".")[0] for key in taken if key.startswith("layer")} == expected
    for size in [(1, 1), (33, 20)]:
        prediction = model(torch.rand(2, 1, *size) * 100)
        assert prediction.ab.shape == (2, 2, *size)
        assert prediction.l is None
    prediction.ab.square().mean().backward()
    assert all(weights.grad is not None and weights.grad.isfinite().all() for weights in model.parameters())


@pytest.mark.parametrize(
    ("encoder", "skips"),
    [
        ("resnet18", [64, 128, 256]),
        ("resnet34", [64, 128, 256]),
        ("resnet50", [256, 512, 1024]),
        ("vgg16", [256, 512, 512]),
    ],
)
def test_published_encoders_hand_the_decoder_the_maps_of_each_size(encoder: str, skips: list[int]) -> None:
    with torch.device("meta"):
        model = build(encoder=encoder)
    first = [64, 128] if encoder == "vgg16" else [32, 64]
    assert [decoder[0].in_channels for decoder in model.decoders] == [
        channels + skip for channels, skip in zip([32, 64, 128, 256], [*first, *skips[:-1]], strict=True)
    ]
    assert model.reducers[-1].in_channels == skips[-1]
    assert model(torch.full((1, 1, 96, 96), 50.0, device="meta")).ab.shape == (1, 2, 96, 96)


def test_settings_say_how_deep_a_published_encoder_is() -> None:
    assert UNetSettings(depth=6).depth == 6
    with pytest.raises(ValidationError, match="'resnet18' halves the picture 5 times; 'depth' is 6"):
        UNetSettings(encoder="resnet18", depth=6)


def test_settings_of_earlier_versions_have_no_output_and_mean_ab() -> None:
    dumped = UNetSettings().model_dump(mode="json")
    assert dumped.pop("output") == "ab"
    assert UNetSettings.model_validate(dumped) == UNetSettings()
    again = UNetSettings.model_validate_json(UNetSettings(output="oklab").model_dump_json())
    assert again.output == "oklab"


def test_unet_predicts_the_ab_of_its_chroma_at_odd_sizes_too() -> None:
    """The same weights say the same in each space; what they say is converted beside each pixel's own lightness."""
    l = torch.rand(1, 1, 21, 34) * 100  # noqa: E741
    predicted = {}
    for space in ("ab", "oklab", "yuv"):
        torch.manual_seed(0)
        predicted[space] = build(channels=4, depth=2, output=space)(l).ab
    output = predicted["ab"] / 110
    for space in ("oklab", "yuv"):
        torch.testing.assert_close(predicted[space], ab_of_output(output, l, space), rtol=1e-4, atol=1e-3)
        assert (predicted[space] - predicted["ab"]).abs().max() > 0.1


def test_an_unknown_output_is_refused() -> None:
    with pytest.raises(ValidationError, match="'ab', 'oklab' or 'yuv'"):
        UNetSettings(output="rgb")  # type: ignore[arg-type]
