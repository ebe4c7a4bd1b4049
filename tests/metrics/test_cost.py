"""What networks cost: counted by hand on small ones, and the same each time."""

from __future__ import annotations

import torch
from torch import nn

from colorize.metrics.cost import cost_of
from colorize.models import Colorization, Prediction, create
from colorize.models.registry import settings_of


class Convolutions(Colorization):
    """Two convolutions by kernels of one pixel with ReLU between them; `keep` holds on to the first one's output."""

    def __init__(self, *, keep: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 8, 1, bias=False), nn.Conv2d(8, 2, 1, bias=False)
        self.keep = keep

    def colors(self, l: torch.Tensor, seeds: object = None, hints: object = None) -> Prediction:  # noqa: E741
        hidden = self.first(l)
        active = torch.relu(hidden)
        if not self.keep:
            del hidden
        return Prediction(self.second(active))


def test_operations_and_memory_are_those_counted_by_hand() -> None:
    pixels = 16 * 16
    found = cost_of(Convolutions(keep=True).eval(), 16)
    assert found.parameters == 8 + 16
    assert found.operations == 2 * pixels * (8 + 16)
    # Weights, both hidden maps of eight channels, and what comes out; the photo is not the network's.
    assert found.memory == 4 * (24 + pixels * (8 + 8 + 2))


def test_what_is_let_go_of_is_not_counted_beside_what_comes_later() -> None:
    pixels = 16 * 16
    found = cost_of(Convolutions(keep=False).eval(), 16)
    assert found.memory == 4 * (24 + pixels * (8 + 8))


def test_a_network_costs_the_same_each_time_and_more_for_larger_photos() -> None:
    network = create("unet", settings_of("unet", {"channels": 4, "depth": 2})).eval()
    first, second, larger = cost_of(network, 32), cost_of(network, 32), cost_of(network, 64)
    assert first == second
    assert first.parameters == larger.parameters == sum(weight.numel() for weight in network.parameters())
    assert 3.5 < larger.operations / first.operations < 4.5
    assert larger.memory > first.memory
