"""Which published weights there are: where they come from, under what licence, and which network takes them.

Facts only, so that listing them costs no import of torch. The eight hexadecimal digits in some file names are the
beginning of the file's SHA-256, as PyTorch's hub checks them; DeOldify and DDColor publish no hashes.
"""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn

Kind = Literal["generator", "critic", "encoder", "extractor"]
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8})\.[a-z]+$")


class WeightsError(ValueError):
    """Weights cannot be read, do not fit, or are not there; the message says what to do."""


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """One file of weights for a network; several trainings of one network are its variants.

    Attributes:
        variant: what its publisher calls this training.
        url: where it is published.
        sha256_prefix: beginning of its SHA-256, where that is published.
    """

    variant: str
    url: str
    sha256_prefix: str | None = None

    @property
    def file_name(self) -> str:
        """The last part of the address, without a query."""
        return self.url.partition("?")[0].rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Published:
    """A published network.

    Attributes:
        name: by which it is asked for.
        kind: a generator makes colours, a critic judges them, an encoder is what others begin with, an extractor is
            what metrics look through (as they do through the encoder `vgg16`).
        builder: `module:attribute` that makes the network at its published width when it is called.
        parameters: their number.
        page: where its publisher describes it.
        licence: of the weights, as far as their publisher states one.
        files: what can be downloaded, the default first; empty where nothing was published for colorization.
        architecture: generators only: the name in the registry of architectures.
        size: generators only: the side in pixels at which the published code runs the network.
        arguments: what the builder is called with.
    """

    name: str
    kind: Kind
    builder: str
    parameters: int
    page: str
    licence: str
    files: tuple[PublishedFile, ...] = ()
    architecture: str | None = None
    size: int | None = None
    arguments: tuple[str, ...] = ()

    def build(self) -> nn.Module:
        """The network with fresh weights at its published width."""
        module, _, attribute = self.builder.partition(":")
        make: Callable[..., nn.Module] = getattr(importlib.import_module(module), attribute)
        return make(*self.arguments)

    def file(self, variant: str | None = None) -> PublishedFile:
        """The published file of a variant; None: the default one.

        Raises:
            WeightsError: nothing is published, or not that variant.
        """
        if not self.files:
            raise WeightsError(
                f"no file is published for '{self.name}' (see {self.page}); where you have weights of your own, run "
                f"'colorize weights import {self.name} FILE'"
            )
        known = {file.variant: file for file in self.files}
        if variant is None:
            return self.files[0]
        if variant not in known:
            raise WeightsError(f"'{self.name}' has no variant '{variant}'; there are: {', '.join(known)}")
        return known[variant]


def _torchvision(name: str, parameters: int, builder: str, file: str, kind: Kind = "encoder") -> Published:
    match = _HASH_IN_NAME.search(file)
    assert match is not None, f"torchvision's file names carry a hash; {file} does not"
    return Published(
        name,
        kind,
        builder,
        parameters,
        f"https://pytorch.org/vision/stable/models/generated/torchvision.models.{name}.html",
        "BSD-3-Clause (trained on ImageNet, whose own terms apply)",
        (PublishedFile("imagenet", f"https://download.pytorch.org/models/{file}", match[1]),),
        # Encoders come in several depths from one builder.
        arguments=(name,) if kind == "encoder" else (),
    )


def _dropbox(variant: str, key: str, file: str) -> PublishedFile:
    # dl=0, as published, is a page about the file; dl=1 the file itself.
    return PublishedFile(variant, f"https://www.dropbox.com/s/{key}/{file}?dl=1")


def _ddcolor(variant: str) -> PublishedFile:
    return PublishedFile(variant, f"https://huggingface.co/piddnad/DDColor-models/resolve/main/ddcolor_{variant}.pth")


_ZHANG = "https://github.com/richzhang/colorization"
_ZHANG_FILES = "https://colorizers.s3.us-east-2.amazonaws.com"
_DEOLDIFY = "https://github.com/jantic/DeOldify"
_PIX2PIX = "https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix"
_DDCOLOR = "https://github.com/piddnad/DDColor"

_CATALOGUE = (
    Published(
        "eccv16",
        "generator",
        "colorize.models.eccv16:ECCV16",
        32_236_011,
        _ZHANG,
        "BSD-2-Clause",
        (PublishedFile("release", f"{_ZHANG_FILES}/colorization_release_v2-9b330a0b.pth", "9b330a0b"),),
        "eccv16",
        256,
    ),
    Published(
        "siggraph17",
        "generator",
        "colorize.models.siggraph17:SIGGRAPH17",
        34_187_027,
        _ZHANG,
        "BSD-2-Clause",
        (PublishedFile("release", f"{_ZHANG_FILES}/siggraph17-df00044c.pth", "df00044c"),),
        "siggraph17",
        256,
    ),
    Published(
        "deoldify_artistic",
        "generator",
        "colorize.models.deoldify:ArtisticGenerator",
        63_646_881,
        _DEOLDIFY,
        "MIT",
        (PublishedFile("artistic", "https://data.deepai.org/deoldify/ColorizeArtistic_gen.pth"),),
        "deoldify_artistic",
        560,
    ),
    Published(
        "deoldify_stable",
        "generator",
        "colorize.models.deoldify:StableGenerator",
        218_222_197,
        _DEOLDIFY,
        "MIT",
        (
            _dropbox("stable", "axsd2g85uyixaho", "ColorizeStable_gen.pth"),
            PublishedFile("video", "https://data.deepai.org/deoldify/ColorizeVideo_gen.pth"),
        ),
        "deoldify_stable",
        560,
    ),
    Published(
        "deoldify_critic",
        "critic",
        "colorize.models.deoldify:Critic",
        94_555_649,
        _DEOLDIFY,
        "MIT",
        (
            _dropbox("artistic", "xpq2ip9occuzgen", "ColorizeArtistic_crit.pth"),
            _dropbox("stable", "s53699e9n84q6sp", "ColorizeStable_crit.pth"),
            _dropbox("video", "xnq1z1oppvgpgtn", "ColorizeVideo_crit.pth"),
        ),
    ),
    Published(
        "pix2pix_unet256",
        "generator",
        "colorize.models.pix2pix:Pix2PixUNet",
        54_409_858,
        _PIX2PIX,
        "BSD-2-Clause",
        architecture="pix2pix_unet256",
        size=256,
    ),
    Published("pix2pix_patchgan", "critic", "colorize.models.pix2pix:PatchGAN", 2_765_633, _PIX2PIX, "BSD-2-Clause"),
    Published("pix2pix_pixelgan", "critic", "colorize.models.pix2pix:PixelGAN", 8_832, _PIX2PIX, "BSD-2-Clause"),
    Published(
        "ddcolor_tiny",
        "generator",
        "colorize.models.ddcolor:ddcolor_tiny",
        55_006_640,
        _DDCOLOR,
        "Apache-2.0",
        (_ddcolor("paper_tiny"),),
        "ddcolor_tiny",
        512,
    ),
    Published(
        "ddcolor_large",
        "generator",
        "colorize.models.ddcolor:ddcolor_large",
        227_869_328,
        _DDCOLOR,
        "Apache-2.0",
        (_ddcolor("modelscope"), _ddcolor("artistic"), _ddcolor("paper")),
        "ddcolor_large",
        512,
    ),
    _torchvision("resnet18", 11_689_512, "colorize.models.resnet:ResNet", "resnet18-f37072fd.pth"),
    _torchvision("resnet34", 21_797_672, "colorize.models.resnet:ResNet", "resnet34-b627a593.pth"),
    _torchvision("resnet50", 25_557_032, "colorize.models.resnet:ResNet", "resnet50-0676ba61.pth"),
    _torchvision("resnet101", 44_549_160, "colorize.models.resnet:ResNet", "resnet101-63fe2227.pth"),
    _torchvision("vgg16", 138_357_544, "colorize.models.vgg:VGG", "vgg16-397923af.pth"),
    _torchvision("vgg16_bn", 138_365_992, "colorize.models.vgg:VGG", "vgg16_bn-6c64b313.pth"),
    _torchvision("alexnet", 61_100_840, "colorize.metrics.lpips:AlexNet", "alexnet-owt-7be5be79.pth", "extractor"),
    _torchvision(
        "inception_v3",
        27_161_264,
        "colorize.metrics.inception:InceptionV3",
        "inception_v3_google-0cc3c7bd.pth",
        "extractor",
    ),
)
CATALOGUE = {published.name: published for published in _CATALOGUE}


def names() -> list[str]:
    """Names of all published networks, sorted."""
    return sorted(CATALOGUE)


def find(name: str) -> Published:
    """The published network of a name.

    Raises:
        WeightsError: there is none; the message names the nearest, or all.
    """
    if name not in CATALOGUE:
        near = difflib.get_close_matches(name, CATALOGUE, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(names())}"
        raise WeightsError(f"no published network is named '{name}'; {hint}")
    return CATALOGUE[name]


def hash_in(file_name: str) -> str | None:
    """The beginning of a SHA-256 that a file's name carries (`resnet34-b627a593.pth`), as PyTorch's hub writes it."""
    match = _HASH_IN_NAME.search(file_name)
    return match[1] if match else None
