"""The stages of a network and the shape that each has, found by running it on a photo without numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from colorize.models.registry import create
from colorize.settings import Section

_STEP = 2  # columns by which a drawing moves right where a picture is halved


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a network, as a photo passes it.

    Attributes:
        name: for people.
        shape: channels, rows and columns of what leaves it (queries: number and channels).
        joins: names of earlier stages whose output it takes besides that of the stage before.
    """

    name: str
    shape: tuple[int, ...]
    joins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the network a stage ends: the path of a module."""

    name: str
    path: str
    joins: tuple[str, ...] = ()


#: Side of the photo that an architecture's paper, or the study, gives its shapes for; 256 where it is not here.
_SIDES = {
    "simple_unet": 150,
    "unet_vae": 150,
    "unet_vae_deep": 150,
    "vgg16_decoder": 224,
    "deoldify_artistic": 560,
    "deoldify_stable": 560,
    "ddcolor_tiny": 512,
    "ddcolor_large": 512,
}
_USUAL_SIDE = 256


def side_of(architecture: str) -> int:
    """Pixels of the photo that the stages of an architecture are usually given for."""
    return _SIDES.get(architecture, _USUAL_SIDE)


def stages(architecture: str, settings: Section, side: int | None = None) -> list[Stage]:
    """The stages of a network in the order in which a photo passes them, from its lightness to the last.

    No numbers are computed (torch's meta device), so the largest network takes no memory either.

    Args:
        architecture: a trained architecture of the registry.
        settings: of its network; stages that these leave out are not in the result.
        side: pixels of the photo, square; None: `side_of`.

    Raises:
        ValueError: the architecture is not one whose stages are known.
    """
    if architecture not in _PLACES:
        raise ValueError(f"no stages are known of '{architecture}'; there are: {', '.join(_PLACES)}")
    side = side or side_of(architecture)
    with torch.device("meta"):
        network = create(architecture, settings).eval()
    shapes: dict[str, tuple[int, ...]] = {}
    known = dict(network.named_modules())
    places = [place for place in _PLACES[architecture] if place.path in known]
    for place in places:
        known[place.path].register_forward_hook(partial(_note, shapes, place.path))
    with torch.no_grad():
        network(torch.empty(1, 1, side, side, device="meta"))
    found = [Stage(place.name, shapes[place.path], place.joins) for place in places if place.path in shapes]
    return [Stage("lightness", (1, side, side)), *found]


def draw(found: Sequence[Stage]) -> str:
    """The stages as lines of text: the smaller the picture, the further right; what is joined stands behind.

    Args:
        found: of `stages`.
    """
    side = found[0].shape[-1]
    left = [" " * _STEP * _halvings(side, stage.shape) + stage.name for stage in found]
    width = max(map(len, left)) + 2
    shapes = [" × ".join(map(str, stage.shape)) for stage in found]
    longest = max(map(len, shapes))
    lines = []
    for name, shape, stage in zip(left, shapes, found, strict=True):
        joined = f"  + {', '.join(stage.joins)}" if stage.joins else ""
        lines.append(f"{name:{width}}{shape:>{longest}}{joined}")
    return "\n".join(lines)


def _halvings(side: int, shape: tuple[int, ...]) -> int:
    if len(shape) != 3:  # queries are no picture
        return 0
    count = 0
    while shape[-1] * 2**count < 0.7 * side:
        count += 1
    return count


def _note(shapes: dict[str, tuple[int, ...]], path: str, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
    shapes[path] = tuple(output.shape[1:])


def _pix2pix(depth: int) -> list[_Place]:
    """Levels lie inside each other: down through all of them, and up again."""
    down, up, base = [_Place("down 1", "network.model.model.0")], [], "network.model.model.1"
    for level in range(2, depth + 1):
        down.append(_Place(f"down {level}", f"{base}.model.1"))
        last = level == depth
        up.append(_Place(f"up {level}", f"{base}.model.{3 if last else 5}", () if last else (f"down {level}",)))
        base += ".model.3"
    return [*down, *reversed(up), _Place("ab", "network.model.model.4", ("down 1",))]


def _ddcolor() -> list[_Place]:
    encoder = [_Place(f"ConvNeXt stage {i + 1}", f"network.encoder.arch.stages.{i}") for i in range(4)]
    pixels = [
        _Place(f"pixel decoder {i + 1}", f"network.decoder.layers.{i}", (f"ConvNeXt stage {3 - i}",)) for i in range(3)
    ]
    looked_at = tuple(place.name for place in pixels)
    return [
        *encoder,
        *pixels,
        _Place("enlarged", "network.decoder.last_shuf"),
        _Place("queries", "network.decoder.color_decoder.color_embed", looked_at),
        _Place("queries × pixels", "network.decoder.color_decoder", ("enlarged",)),
        _Place("ab", "network.refine_net", ("input",)),
    ]


def _deoldify() -> list[_Place]:
    encoder = [
        _Place("ResNet stem", "network.layers.0.2"),
        *(_Place(f"ResNet layer {i}", f"network.layers.0.{i + 3}") for i in range(1, 5)),
    ]
    up = [
        _Place("block 1", "network.layers.4", ("ResNet layer 3",)),
        _Place("block 2, attention", "network.layers.5", ("ResNet layer 2",)),
        _Place("block 3", "network.layers.6", ("ResNet layer 1",)),
        _Place("block 4", "network.layers.7", ("ResNet stem",)),
    ]
    return [
        *encoder,
        _Place("middle", "network.layers.3"),
        *up,
        _Place("enlarged", "network.layers.8"),
        _Place("residual block", "network.layers.10", ("input",)),
        _Place("RGB", "network.layers.11"),
    ]


def _zhang(last: int) -> list[_Place]:
    return [_Place(f"model{i}", f"network.model{i}") for i in range(1, last + 1)]


def _siggraph17() -> list[_Place]:
    joins = {8: "model3", 9: "model2", 10: "model1"}
    places = [
        _Place(place.name, place.path, (joins[i],) if i in joins else ()) for i, place in enumerate(_zhang(10), 1)
    ]
    return [*places, _Place("ab", "network.model_out")]


def _unet() -> list[_Place]:
    depth = range(1, 7)
    encoders = [_Place(f"encoder {i}", f"encoders.{i - 1}") for i in depth]
    decoders = [
        _Place(f"decoder {i}", f"decoders.{i - 1}", (f"encoder {i - 1}" if i > 1 else "stem",)) for i in reversed(depth)
    ]
    return [_Place("stem", "stem"), *encoders, *decoders, _Place("ab", "final")]


_PLACES: dict[str, list[_Place]] = {
    "simple_unet": [
        *(_Place(f"encoder {i}", f"encoder{i}") for i in (1, 2)),
        _Place("middle", "middle"),
        *(_Place(f"decoder {i}", f"decoder{i}") for i in (1, 2)),
        _Place("Lab", "final"),
    ],
    "unet_vae": [
        *(_Place(f"encoder {i}", f"encoder{i}") for i in (1, 2, 3)),
        _Place("latent mean", "mean"),
        _Place("log variance", "log_variance"),
        _Place("decoder 1", "decoder1", ("encoder 3",)),
        _Place("decoder 2", "decoder2", ("encoder 2, interpolated",)),
        _Place("decoder 3", "decoder3"),
        _Place("Lab", "final"),
    ],
    "unet_vae_deep": [
        *(_Place(f"encoder {i}", f"encoders.{i - 1}") for i in (1, 2, 3, 4)),
        _Place("latent mean", "mean"),
        _Place("log variance", "log_variance"),
        _Place("decoder 1", "decoders.0", ("encoder 4",)),
        *(_Place(f"decoder {i}", f"decoders.{i - 1}", (f"encoder {5 - i}, interpolated",)) for i in (2, 3, 4)),
        _Place("Lab", "final"),
    ],
    "unet": _unet(),
    "vgg16_decoder": [
        *(_Place(f"VGG16 block {i}", f"encoder.features.{path}") for i, path in enumerate((4, 9, 16, 23, 30), 1)),
        _Place("convolution 1", "decoder.1"),
        _Place("convolution 2, up", "decoder.4"),
        _Place("convolution 3, up", "decoder.7"),
        _Place("convolution 4, up", "decoder.10"),
        _Place("convolution 5, up", "decoder.13"),
        _Place("convolution 6, tanh", "decoder.15"),
        _Place("ab", "decoder.16"),
    ],
    "eccv16": [
        *_zhang(7),
        _Place("model8, 313 classes", "network.model8"),
        _Place("annealed mean", "network.model_out"),
    ],
    "siggraph17": _siggraph17(),
    "deoldify_artistic": _deoldify(),
    "deoldify_stable": _deoldify(),
    "pix2pix_unet256": _pix2pix(8),
    "ddcolor_tiny": _ddcolor(),
    "ddcolor_large": _ddcolor(),
}
