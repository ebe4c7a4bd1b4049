"""Checkpoints of a run: one folder an epoch, whole or not there at all. Safetensors and JSON, no pickle."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from colorize.models.files import weights
from colorize.storage import atomic_folder, write_bytes, write_json


@dataclass(slots=True)
class State:
    """How far a run has come. What training draws at random follows from (seed, epoch, step, photo) and is not kept.

    Attributes:
        epoch: finished epochs.
        step: finished optimizer steps.
        seconds: spent so far, by all attempts.
        training_seconds: of these, spent in training steps.
        validation: the figures of the last epoch.
    """

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    training_seconds: float = 0.0
    validation: dict[str, float] = field(default_factory=dict)


def save(folder: Path, state: State, model: nn.Module, optimizers: dict[str, Optimizer], keep: int) -> Path:
    """Write a checkpoint under `folder` and remove older ones beyond the `keep` newest.

    The files are written into a temporary folder that is renamed at the end: a checkpoint that has its name is whole.
    """
    final = folder / f"epoch-{state.epoch:05d}"
    with atomic_folder(final) as building:
        write_bytes(building / "model.safetensors", safetensors.torch.save(weights(model)))
        write_bytes(building / "optimizer.safetensors", safetensors.torch.save(_optimizer_tensors(optimizers)))
        write_json(building / "state.json", asdict(state))
    for old in checkpoints(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def checkpoints(folder: Path) -> list[Path]:
    """All whole checkpoints, oldest first."""
    return sorted(folder.glob("epoch-*"))


def load(path: Path, model: nn.Module, optimizers: dict[str, Optimizer]) -> State:
    """Put a checkpoint into a network and its optimizers, in place and bit for bit.

    Raises:
        ValueError: the folder is damaged; deleting it lets the run resume from an older one.
    """
    try:
        model.load_state_dict(safetensors.torch.load_file(path / "model.safetensors"))
        tensors = safetensors.torch.load_file(path / "optimizer.safetensors")
        state = State(**json.loads((path / "state.json").read_text(encoding="utf-8")))
        for name, optimizer in optimizers.items():
            _restore(name, optimizer, tensors)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, safetensors.SafetensorError) as error:
        raise ValueError(f"{path}: damaged checkpoint ({error}); delete this folder to resume from before") from error
    return state


def _optimizer_tensors(optimizers: dict[str, Optimizer]) -> dict[str, Tensor]:
    """Every tensor of the optimizers, as `<group>/<number of the parameter>/<entry>`."""
    return {
        f"{name}/{number}/{entry}": tensor.detach().cpu().contiguous()
        for name, optimizer in optimizers.items()
        for number, entries in optimizer.state_dict()["state"].items()
        for entry, tensor in entries.items()
    }


def _restore(name: str, optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        group, number, entry = key.split("/")
        if group == name:
            # In the memory layout of the parameter, or the next step would run another, slower kernel.
            parameter = parameters[int(number)]
            value = torch.empty_like(parameter).copy_(tensor) if tensor.shape == parameter.shape else tensor
            state.setdefault(int(number), {})[entry] = value.detach()
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
