"""Published weights inside their networks: every name and every shape must fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from colorize.weights.catalogue import WeightsError, find

if TYPE_CHECKING:
    from torch import Tensor, nn

_NAMED = 3
_COUNTER = ".num_batches_tracked"


def load_published(name: str, path: Path | str) -> nn.Module:
    """A published network with published weights, in evaluation mode, on the CPU.

    Its `forward` takes and gives what the published code does (see the network's own class); generators also offer
    `predict`, from lightness to ab.

    Args:
        name: one of `colorize.weights.names()`.
        path: the file as published (`.pth`, `.pt`, `.bin`) or as `.safetensors`.

    Raises:
        WeightsError: no network has that name; the file is not readable without running code; or its tensors are not
            those of the network: the message names the first that are missing, unexpected or of another shape.
        OSError: the file cannot be read.
    """
    import torch

    from colorize.weights.reading import read_tensors

    published, path = find(name), Path(path)
    tensors = read_tensors(path)
    # The first weights, drawn only to be replaced, must not move the random numbers of whoever loads a network.
    with torch.random.fork_rng(devices=[]):
        network = published.build()
    network.load_state_dict(_fitting(tensors, network.state_dict(), name, path))
    return network.eval()


def _fitting(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], name: str, path: Path) -> dict[str, Tensor]:
    """The tensors, after making sure that they are those of the network.

    As PyTorch itself has it, old files are met half-way. Before 0.4.1 there were no counters beside the statistics of
    batch normalization; evaluation does not look at them, and they begin at 0. Before 0.4 a single number was a vector
    of one.
    """
    # In the order of the network's own names, whatever the file's.
    fitting = {
        key: _number(tensors[key], tensor) if key in tensors else tensor.new_zeros(tensor.shape)
        for key, tensor in wanted.items()
        if key in tensors or key.endswith(_COUNTER)
    }
    other_shape = [
        f"{key} is {_shape(tensor)}, not {_shape(wanted[key])}"
        for key, tensor in fitting.items()
        if tensor.shape != wanted[key].shape
    ]
    problems = {
        "missing": [key for key in wanted if key not in fitting],
        "unexpected": [key for key in tensors if key not in wanted],
        "of another shape": other_shape,
        "of another type": [
            f"{key} is {tensor.dtype}"
            for key, tensor in fitting.items()
            if tensor.is_floating_point() != wanted[key].is_floating_point() or tensor.is_complex()
        ],
    }
    if any(problems.values()):
        told = "; ".join(f"{len(found)} {what}: {_first(found)}" for what, found in problems.items() if found)
        raise WeightsError(f"{path}: not the weights of '{name}' ({told}). {_way_out(tensors, name)}")
    if broken := [key for key, tensor in fitting.items() if not tensor.isfinite().all()]:
        raise WeightsError(
            f"{path}: {len(broken)} tensors hold values that are no numbers: {_first(broken)}; the file is damaged or "
            "of a training that failed: get it again from its source"
        )
    return fitting


def _number(tensor: Tensor, wanted: Tensor) -> Tensor:
    return tensor[0] if wanted.ndim == 0 and tuple(tensor.shape) == (1,) else tensor


def _way_out(tensors: Mapping[str, Tensor], name: str) -> str:
    """Which other network the names are of, where that can be told from the catalogue without building it."""
    return (
        f"Give the file published for '{name}' ('colorize weights list' names its source), or name the network that "
        f"this file is of: it holds {len(tensors)} tensors, from {next(iter(tensors), 'none')} on"
    )


def _first(found: list[str]) -> str:
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"
