"""Regression: the distance between predicted and true colour, nothing else."""

from __future__ import annotations

import torch
from torch import Tensor

from colorize.models import Prediction, names
from colorize.objectives.base import PhotoBatch, Term, TrainingData
from colorize.objectives.distance import Distance
from colorize.settings.objectives import RegressionSettings


class Regression(Term):
    """Squared, absolute or Huber distance; for networks that make their own lightness it counts like a and b."""

    name = "regression"
    compares = True

    def __init__(self, settings: RegressionSettings, data: TrainingData) -> None:
        self.distance = Distance(settings, data.histogram)

    @classmethod
    def fitting(cls) -> list[str]:
        """All without a latent code."""
        return names(variational=False)

    def loss(self, prediction: Prediction, batch: PhotoBatch) -> Tensor:
        """See `Distance`."""
        return self.distance(prediction, batch)

    def to(self, device: torch.device) -> None:
        """See `Term.to`."""
        self.distance.to(device)
