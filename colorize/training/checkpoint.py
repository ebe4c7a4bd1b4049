"""Checkpoints of a run: one folder an epoch, whole or not there at all. Safetensors and JSON, no pickle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from colorize.models.files import weights
from colorize.storage import atomic_folder, write_bytes, write_json
from colorize.training.optimizers import parameters_of

Tensors = dict[str, Tensor]


@dataclass(slots=True)
class State:
    """How far a run has come. What training draws at random follows from (seed, epoch, step, photo) and is not kept.

    Attributes:
        epoch: finished epochs.
        step: finished optimizer steps.
        seconds: spent so far, by all attempts.
        training_seconds: of these, spent in training steps.
        validation: the figures of the last epoch.
        history: what early stopping looks at, one for each finished epoch; empty where it does not.
        best: the figures of the best epoch by that.
    """

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    training_seconds: float = 0.0
    validation: dict[str, float] = field(default_factory=dict)
    history: list[float] = field(default_factory=list)
    best: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Trained:
    """Everything of a run that changes from step to step, beside its `State`.

    Attributes:
        networks: the model and, where there is one, a critic, by the names of their groups.
        optimizers: one for each.
        kept: further tensors, by what they are: a moving average, the best weights so far.
    """

    networks: dict[str, nn.Module]
    optimizers: dict[str, Optimizer]
    kept: dict[str, Tensors] = field(default_factory=dict)


def save(folder: Path, state: State, trained: Trained, keep: int) -> Path:
    """Write a checkpoint under `folder` and remove older ones beyond the `keep` newest.

    The files are written into a temporary folder that is renamed at the end: a checkpoint that has its name is whole.
    """
    final = folder / f"epoch-{state.epoch:05d}"
    with atomic_folder(final) as building:
        for name, network in trained.networks.items():
            _write(building / f"{name}.safetensors", weights(network))
        for name, tensors in trained.kept.items():
            _write(building / f"{name}.safetensors", tensors)
        _write(building / "optimizer.safetensors", _optimizer_tensors(trained.optimizers))
        write_json(building / "state.json", asdict(state))
    for old in checkpoints(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def checkpoints(folder: Path) -> list[Path]:
    """All whole checkpoints, oldest first."""
    return sorted(folder.glob("epoch-*"))


def load(path: Path, trained: Trained) -> State:
    """Put a checkpoint into networks and optimizers, in place and bit for bit; what `kept` has there replaces its.

    Raises:
        ValueError: the folder is damaged; deleting it lets the run resume from an older one.
    """
    try:
        for name, network in trained.networks.items():
            network.load_state_dict(safetensors.torch.load_file(path / f"{name}.safetensors"))
        for name in trained.kept:
            trained.kept[name] = safetensors.torch.load_file(path / f"{name}.safetensors")
        tensors = safetensors.torch.load_file(path / "optimizer.safetensors")
        state = State(**json.loads((path / "state.json").read_text(encoding="utf-8")))
        for name, optimizer in trained.optimizers.items():
            _restore(name, optimizer, tensors)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, safetensors.SafetensorError) as error:
        raise ValueError(f"{path}: damaged checkpoint ({error}); delete this folder to resume from before") from error
    return state


def _write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    there = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, safetensors.torch.save(there))


def _optimizer_tensors(optimizers: dict[str, Optimizer]) -> Tensors:
    """Every tensor of the optimizers, as `<group>/<number of the parameter>/<entry>`."""
    return {
        f"{name}/{number}/{entry}": tensor
        for name, optimizer in optimizers.items()
        for number, entries in optimizer.state_dict()["state"].items()
        for entry, tensor in entries.items()
    }


def _restore(name: str, optimizer: Optimizer, tensors: Tensors) -> None:
    parameters = parameters_of(optimizer)
    state: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        group, number, entry = key.split("/")
        if group == name:
            # In the memory layout of the parameter, or the next step would run another, slower kernel.
            parameter = parameters[int(number)]
            value = torch.empty_like(parameter).copy_(tensor) if tensor.shape == parameter.shape else tensor
            state.setdefault(int(number), {})[entry] = value.detach()
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
