"""Published networks have the names, shapes, order and number of parameters of the published weights."""

from __future__ import annotations

import hashlib

import pytest
import torch
from torch import nn

from colorize.weights import CATALOGUE


def built(name: str) -> nn.Module:
    """At the published width, without memory for it."""
    with torch.device("meta"):
        return CATALOGUE[name].build()


def parameters_of(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "parameters", "entries", "digest"),
    [
        ("ddcolor_large", 227_869_328, 602, "a2d7fb8196cc5bc2d0a320a789d0db64c12c8151bf5ae44eff2fe0b1b1f10961"),
        ("ddcolor_tiny", 55_006_640, 440, "16fe14e2d8ffccfabf48e6f7ecc07ca184f90477c2a9e0044834949ecc65ab6d"),
        ("deoldify_artistic", 63_646_881, 378, "19426ec86553176436ff28136c85dc5fc950fafe3e1c0d367abed77cbb6d4429"),
        ("deoldify_critic", 94_555_649, 45, "15e59bdd31dbeaad1ffe6fff09836d43dd3f0bf06452e3935f128166bd9d376c"),
        ("deoldify_stable", 218_222_197, 754, "ff153907e95ed87b4804e8b378ea6c3c25dfd50da075f47a5251ef478f99d7b7"),
        ("eccv16", 32_236_011, 82, "51e0521b28cf32195f7a6fa371062b3b3fc635775954e42f23bae57d8de42f4f"),
        ("pix2pix_patchgan", 2_765_633, 22, "b8438f65c3d877bc882075aa0503e48f52c350295a4ce606a30d0c483efe4f5f"),
        ("pix2pix_pixelgan", 8_832, 9, "653497fec91cb30ca01b25c59c4b996f2e5a7a32ac2cb87aa3b665762cee591c"),
        ("pix2pix_unet256", 54_409_858, 82, "53a3f729d561035bd89a0c7166fea47bd0a05c277962e1bc29600b191d1cba2b"),
        ("resnet101", 44_549_160, 626, "a2eaa6ec78fea0e859ad183ee37158cea6334a688f2dfb6b1dca1fb095eb05f6"),
        ("resnet34", 21_797_672, 218, "26b8fa6a164e58b5465ec3539527057723954cb985d5943c845277a1bb996193"),
        ("siggraph17", 34_187_027, 107, "80d6466132ba8f2d681365969cf8ff0e73f7627579404faa9c9078056cc06473"),
        ("vgg16", 138_357_544, 32, "4c25aa94397f7e67b4d5cbd1410bd7e9f317560c0d47efd2d434bf7356e102a4"),
        ("vgg16_bn", 138_365_992, 97, "9f4f7d463e0618d9cf40350a40138e51e8e8ab6abfda3a901aeca03789f8c618"),
    ],
)
def test_names_shapes_and_order_are_the_published(name: str, parameters: int, entries: int, digest: str) -> None:
    """The digest is of lines `name shape dtype`, in order, of the state dict that the published code makes."""
    network = built(name)
    state = network.state_dict()
    lines = "".join(f"{key} {list(tensor.shape)} {tensor.dtype}\n" for key, tensor in state.items())
    assert len(state) == entries
    assert hashlib.sha256(lines.encode()).hexdigest() == digest
    assert parameters_of(network) == parameters == CATALOGUE[name].parameters


@pytest.mark.parametrize(("name", "parameters"), [("resnet18", 11_689_512), ("resnet50", 25_557_032)])
def test_the_other_depths_have_their_number_of_parameters(name: str, parameters: int) -> None:
    assert parameters_of(built(name)) == parameters == CATALOGUE[name].parameters
