"""Averages: of weights over time, and of gradients over workers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, distributed, nn


class MovingAverage:
    """An exponential moving average of a network's weights, which is often the better network.

    Polyak and Juditsky, "Acceleration of stochastic approximation by averaging" (1992), with a memory that grows at
    first, as in TensorFlow's ExponentialMovingAverage: the decay is (1 + steps) / (10 + steps) until that exceeds it.
    Buffers, such as the means of a batch normalization, are taken as they are.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Begin with the network's present weights."""
        self.decay = decay
        self._network = network
        self.parameters = {name: one.detach().clone() for name, one in network.named_parameters()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the network's weights after a step, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        now = [one.detach() for _, one in self._network.named_parameters()]
        torch._foreach_lerp_(list(self.parameters.values()), now, 1 - decay)

    @torch.no_grad()
    def take(self, parameters: Mapping[str, Tensor]) -> None:
        """Set the average, as a checkpoint has it."""
        for name, one in self.parameters.items():
            one.copy_(parameters[name])

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the network's weights for the average and back."""
        for name, one in self._network.named_parameters():
            other = one.detach().clone()
            one.copy_(self.parameters[name])
            self.parameters[name].copy_(other)


def average_over_workers(network: nn.Module) -> None:
    """Replace gradients, and the buffers that are no whole numbers, by their means over all workers.

    For networks that are not wrapped for several workers. What a layer remembers, such as a batch normalization's mean,
    would differ from worker to worker, and a resumed run would begin with one worker's for all.
    """
    gradients = [one.grad for one in network.parameters() if one.grad is not None]
    _average([*gradients, *(one for one in network.buffers() if one.is_floating_point())])


def _average(tensors: Iterable[Tensor]) -> None:
    tensors = list(tensors)
    if not tensors:
        return
    together = torch.cat([one.detach().flatten() for one in tensors])
    distributed.all_reduce(together)
    together /= distributed.get_world_size()
    for one, mean in zip(tensors, torch.split(together, [one.numel() for one in tensors]), strict=True):
        one.detach().copy_(mean.reshape(one.shape))
