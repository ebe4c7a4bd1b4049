"""The catalogue: every entry builds the network that it names, and says where its weights are from."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch

import colorize.models
from colorize.models.registry import settings_of
from colorize.weights import WeightsError, find, names
from colorize.weights.catalogue import CATALOGUE, hash_in

GENERATORS = [name for name in names() if find(name).kind == "generator"]


def test_all_published_networks_are_there() -> None:
    assert names() == [
        *("alexnet", "ddcolor_large", "ddcolor_tiny", "deoldify_artistic", "deoldify_critic", "deoldify_stable"),
        *("eccv16", "inception_v3"),
        *("pix2pix_patchgan", "pix2pix_pixelgan", "pix2pix_unet256"),
        *("resnet101", "resnet18", "resnet34", "resnet50", "siggraph17", "vgg16", "vgg16_bn"),
    ]


@pytest.mark.parametrize("name", names())
def test_an_entry_builds_a_network_of_its_size(name: str) -> None:
    with torch.device("meta"):
        network = find(name).build()
    assert sum(parameter.numel() for parameter in network.parameters()) == find(name).parameters
    assert isinstance(network, colorize.models.Predictor) == (name in GENERATORS)


@pytest.mark.parametrize("name", GENERATORS)
def test_an_architecture_at_its_defaults_holds_the_published_network(name: str) -> None:
    architecture = find(name).architecture
    with torch.device("meta"):
        ours = colorize.models.create(architecture, settings_of(architecture, {})).network.state_dict()
        published = find(name).build().state_dict()
    assert [(key, tensor.shape) for key, tensor in ours.items()] == [
        (key, tensor.shape) for key, tensor in published.items()
    ]


@pytest.mark.parametrize("name", names())
def test_sources_are_stated(name: str) -> None:
    published = find(name)
    assert published.page.startswith("https://")
    assert published.licence
    for file in published.files:
        assert re.fullmatch(r"https://[^ ]+\.(pth|pt|bin)(\?dl=1)?", file.url)
        assert file.sha256_prefix == hash_in(file.file_name)
    assert len({file.variant for file in published.files}) == len(published.files)


def test_hashes_are_those_of_the_file_names() -> None:
    known = {name: find(name).files[0].sha256_prefix for name in names() if find(name).files}
    assert known["eccv16"] == "9b330a0b"
    assert known["siggraph17"] == "df00044c"
    assert known["vgg16_bn"] == "6c64b313"
    assert known["deoldify_artistic"] is None


def test_unknown_names_and_variants_are_answered() -> None:
    with pytest.raises(WeightsError, match="did you mean 'eccv16'"):
        find("ecv16")
    with pytest.raises(WeightsError, match="there are: alexnet, ddcolor_large"):
        find("monet")
    with pytest.raises(WeightsError, match="no variant 'dark'; there are: stable, video"):
        find("deoldify_stable").file("dark")
    with pytest.raises(WeightsError, match=r"no file is published for 'pix2pix_unet256'.*weights import"):
        find("pix2pix_unet256").file()


def test_the_catalogue_costs_no_torch() -> None:
    script = "import sys, colorize.weights; colorize.weights.names(); print('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"
    )
    assert len(CATALOGUE) == 18
