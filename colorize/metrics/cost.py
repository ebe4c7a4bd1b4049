"""What a network costs: parameters, operations and memory for one photo, counted rather than timed."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from colorize.models import Colorization


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one photo's colours.

    Attributes:
        parameters: numbers that were learnt.
        operations: additions and multiplications of convolutions, matrix products and attention; the rest is left out.
        memory: bytes, the most that weights and tensors take together at any moment of the forward pass.
    """

    parameters: int
    operations: int
    memory: int


def cost_of(model: Colorization, size: int) -> Cost:
    """What a network costs for one photo, on whichever device it is: the same on every machine.

    Args:
        model: in evaluation mode; afterwards its weights ask for no gradients.
        size: height and width of the photo, pixels.
    """
    device = next((weight.device for weight in model.parameters()), torch.device("cpu"))
    lightness = torch.full((1, 1, size, size), 50.0, device=device)
    model.requires_grad_(False)  # else torch's counter asks weights for what they have not
    operations, memory = FlopCounterMode(display=False), _Memory()
    with torch.no_grad():
        with operations:
            model.predict(lightness)
        with memory:
            model.predict(lightness)
    weights = _bytes_of(model)
    return Cost(
        sum(weight.numel() for weight in model.parameters()), operations.get_total_flops(), weights + memory.most
    )


def _bytes_of(module: nn.Module) -> int:
    tensors = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors.values())


class _Memory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows what is allocated inside: each storage counts once, from its making until nobody has it any more.

    Attributes:
        most: bytes, the largest sum.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = 0
        self._now = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        before = {_address(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        found = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(found):
            if isinstance(leaf, Tensor) and (address := _address(leaf)) not in before | self._known:
                self._add(leaf.untyped_storage(), address)
        return found

    def _add(self, storage: torch.UntypedStorage, address: int) -> None:
        size = storage.nbytes()
        self._known.add(address)
        self._now += size
        self.most = max(self.most, self._now)
        weakref.finalize(storage, self._remove, address, size)

    def _remove(self, address: int, size: int) -> None:
        self._known.discard(address)
        self._now -= size


def _address(tensor: Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata
    return address
