"""A file of weights as named tensors, and nothing else: no code that a file brings along is ever run."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from colorize.weights.catalogue import WeightsError

# What publishers put a state dict into: DeOldify {model, opt}, DDColor {params}, others {state_dict, …}.
_WRAPPERS = ("model", "params", "state_dict")
# torch.nn.DataParallel calls the network it wraps by this name.
_DATA_PARALLEL = "module."


class _Ignored:
    """Stands in for a number of numpy's: the learning rates in DeOldify's {opt} are some. They are read by nobody."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


_IGNORED: list[Any] = [
    (_Ignored, name) for name in ("numpy.dtype", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file or of one that `torch.save` wrote, by name, on the CPU.

    The file may hold the tensors themselves, or in `model` (DeOldify), `params` (DDColor) or `state_dict`; the prefix
    `module.` of torch's DataParallel is taken off.

    Raises:
        WeightsError: the file is none of these, is damaged, or asks for code to be run.
        OSError: it cannot be read.
    """
    content = _safetensors(path) if path.suffix == ".safetensors" else _torch_file(path)
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"{path}: holds a {type(content).__name__}, not tensors by name (a state dict)")
    tensors: dict[str, Tensor] = {}
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise WeightsError(
                f"{path}: its entry {name!r:.80} is a {type(tensor).__name__}; a state dict holds tensors by name alone"
            )
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            raise WeightsError(
                f"{path}: the tensor {name!r:.80} is sparse, quantized or without content; save it as a plain one"
            )
        tensors[name] = tensor.detach()
    if all(name.startswith(_DATA_PARALLEL) for name in tensors):
        return {name.removeprefix(_DATA_PARALLEL): tensor for name, tensor in tensors.items()}
    return tensors


def _safetensors(path: Path) -> Any:
    import safetensors.torch

    try:
        return safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{path}: no readable safetensors file ({error}); get it again from its source") from error


def _torch_file(path: Path) -> Any:
    with path.open("rb") as file:
        start = file.read(512)
    if start.lstrip()[:1] == b"<":
        raise WeightsError(
            f"{path}: a web page, not weights: open its address in a browser and save what the page offers"
        )
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_IGNORED):
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path}: refused, because reading it takes more than tensors and numbers ({_reason(error)}), and code "
            "from a file is never run here. If you trust its source, load it there with torch and save the state dict "
            "alone: safetensors.torch.save_file(network.state_dict(), 'weights.safetensors')"
        ) from error
    # torch and the pickle format fail in many ways, OSError among them, on bytes that are no such file.
    except Exception as error:
        raise WeightsError(
            f"{path}: no readable file of torch.save ({_reason(error)}); get it again from its source"
        ) from error


def _reason(error: Exception) -> str:
    """The one line of torch's long advice that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if "WeightsUnpickler error" in line or "Unsupported" in line]
    line = (told or lines or [type(error).__name__])[0]
    return line.removeprefix("WeightsUnpickler error: ").partition(" was not an allowed")[0].rstrip(".")[:200]
