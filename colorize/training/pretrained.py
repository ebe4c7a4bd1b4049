"""Published weights that an encoder begins with: found by name beside the project, told apart by digest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from colorize.settings import Section
from colorize.storage import sha256_file

if TYPE_CHECKING:
    from torch import Tensor

#: Folder of the project, one folder in it for each published network that was imported.
FOLDER = "weights"
TENSORS = "model.safetensors"
DESCRIPTION = "model.json"


def wanted(model: Section) -> str | None:
    """The published weights that a network's settings ask for, by name; None for most."""
    name: str | None = getattr(model, "pretrained", None)
    return name


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
            f"pretrained: {name}: no weights of that name in {weights}; run 'colorize weights fetch {name}' where "
            f"there is internet, or 'colorize weights import {name} FILE'; 'colorize weights list' says what there is"
        ) from error
    return digest


def read(weights: Path, name: str, digest: str) -> dict[str, Tensor]:
    """Imported weights, tensors by their published names.

    Raises:
        ValueError: they are not there, or are no longer those of that digest.
    """
    import safetensors.torch

    recorded_digest(weights, name)
    path = weights / name / TENSORS
    if not path.is_file() or sha256_file(path) != digest:
        raise ValueError(
            f"{path} is not the file that this run was specified with (SHA-256 {digest[:12]}…); import '{name}' again "
            "and start over"
        )
    return safetensors.torch.load_file(path)
