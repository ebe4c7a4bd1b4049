"""Published weights that an encoder begins with, or that judge pictures: found by name, told apart by digest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from colorize.settings import Section
from colorize.settings.objectives import PerceptualSettings
from colorize.storage import sha256_file

if TYPE_CHECKING:
    from torch import Tensor

#: Folder of the project, one folder in it for each published network that was imported.
FOLDER = "weights"
TENSORS = "model.safetensors"
DESCRIPTION = "model.json"


def encoder(model: Section) -> str | None:
    """The published weights that a network's encoder begins with, by name; None for most."""
    name: str | None = getattr(model, "pretrained", None)
    return name


def wanted(model: Section, objective: Sequence[Section]) -> tuple[str, ...]:
    """All published weights that a run needs, by name: the encoder's, and those of a network that judges pictures."""
    names = [encoder(model), *("vgg16_bn" for term in objective if isinstance(term, PerceptualSettings))]
    return tuple(dict.fromkeys(name for name in names if name is not None))


def digests(weights: Path, names: Sequence[str]) -> dict[str, str]:
    """`recorded_digest` of several, by name."""
    return {name: recorded_digest(weights, name) for name in names}


def recorded_digest(weights: Path, name: str) -> str:
    """SHA-256 of imported weights, as it was recorded when they were imported; costs no reading of the weights.

    Args:
        weights: the project's folder of imported weights.
        name: of the published network.

    Raises:
        ValueError: they are not there.
    """
    try:
        digest: str = json.loads((weights / name / DESCRIPTION).read_bytes())["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{name}: no weights of that name in {weights}; run 'colorize weights fetch {name}' where "
            f"there is internet, or 'colorize weights import {name} FILE'; 'colorize weights list' says what there is"
        ) from error
    return digest


def read(weights: Path, digests: Mapping[str, str], name: str) -> dict[str, Tensor]:
    """Imported weights, tensors by their published names.

    Args:
        weights: the project's folder of imported weights.
        digests: SHA-256 of what a run was specified with, by name.
        name: of the published network.

    Raises:
        ValueError: they are not there, or are no longer those of that digest.
    """
    import safetensors.torch

    recorded_digest(weights, name)
    path, digest = weights / name / TENSORS, digests.get(name, "")
    if not path.is_file() or sha256_file(path) != digest:
        raise ValueError(
            f"{path} is not the file that this run was specified with (SHA-256 {digest[:12]}…); import '{name}' again "
            "and start over"
        )
    return safetensors.torch.load_file(path)
