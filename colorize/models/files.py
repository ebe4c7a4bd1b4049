"""A trained network as two files: `model.safetensors` and `model.json`. No pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import nn

from colorize.models.base import Adapted, Colorization
from colorize.models.registry import create, settings_of
from colorize.settings import Section
from colorize.storage import write_bytes, write_json

FORMAT = 1


def save_model(folder: Path, model: nn.Module, name: str, settings: Section, extra: dict[str, Any]) -> None:
    """Write a network into a folder; the description comes last, so a folder that has it is complete.

    Args:
        folder: made if it does not exist.
        model: the network, not wrapped.
        name: its architecture.
        settings: its model settings.
        extra: further entries of `model.json`, after `format`, `architecture`, `settings` and `parameters` (their
            number).
    """
    write_bytes(folder / "model.safetensors", safetensors.torch.save(weights(model)))
    description = {
        "format": FORMAT,
        "architecture": name,
        "settings": settings.model_dump(mode="json"),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    write_json(folder / "model.json", {**description, **extra})


def load_model(folder: Path) -> Colorization:
    """The network of a folder written by `save_model`, in evaluation mode, on the CPU.

    Also of a folder of imported published weights, whose `model.json` says `published`: its tensors have their
    published names, which are those of the network inside the trained one.

    Raises:
        ValueError: the folder holds no model, or one of another format, or the two files do not fit together.
    """
    try:
        description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        state = safetensors.torch.load_file(folder / "model.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise ValueError(f"{folder}: no readable model.json and model.safetensors here ({error})") from error
    if description.get("format") != FORMAT:
        raise ValueError(f"{folder}: model format {description.get('format')!r}; this version reads {FORMAT}")
    if "architecture" not in description:
        kind, published = description.get("kind", "network"), description.get("published", "unknown")
        raise ValueError(f"{folder}: holds the {kind} '{published}', which makes no colours")
    name = description["architecture"]
    model = create(name, settings_of(name, description["settings"]))
    target = model.network if isinstance(model, Adapted) and "published" in description else model
    try:
        target.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{folder}: the weights do not fit the architecture '{name}': {error}") from error
    return model.eval()


def weights(model: nn.Module) -> dict[str, Any]:
    """The named tensors of a network as the file format wants them: on the CPU, row-major, unshared."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
