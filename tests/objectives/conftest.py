"""What tests of several objectives need: a network that says what it was told to, and a histogram of colours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from colorize.models import Prediction
from colorize.objectives import Objective, TrainingData, create
from colorize.settings import Section


class Fixed(nn.Module):
    """A network that says what it was told to, whatever the photo."""

    def __init__(self, prediction: Prediction) -> None:
        super().__init__()
        self.prediction = prediction

    def forward(self, l: torch.Tensor, seeds: object = None) -> Prediction:  # noqa: E741
        return self.prediction


@pytest.fixture
def says() -> Callable[[Prediction], nn.Module]:
    """Makes a network that predicts the same for all."""
    return Fixed


@pytest.fixture
def histogram() -> NDArray[np.int64]:
    """Colours of training photos, 256 x 256: nine tenths grey, one tenth (40, 40)."""
    counts = np.zeros((256, 256), np.int64)
    counts[128, 128], counts[168, 168] = 9000, 1000
    return counts


@pytest.fixture
def make(histogram: NDArray[np.int64]) -> Callable[..., Objective]:
    """Makes the objective of some terms."""

    def objective(architecture: str, *terms: Section) -> Objective:
        def none(name: str) -> dict[str, torch.Tensor]:
            raise ValueError(f"{name}: no weights of that name in weights; run 'colorize weights fetch {name}'")

        return create(terms, architecture, TrainingData(lambda: histogram, none))

    return objective
