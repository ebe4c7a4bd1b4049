"""Regression: the distance between predicted and true colour, nothing else."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from colorize.models import names
from colorize.objectives.base import Objective, PhotoBatch, Update, distance
from colorize.settings.architectures import RegressionSettings


class Regression(Objective):
    """Squared, absolute or Huber distance; for networks that make their own lightness it counts like a and b."""

    name = "regression"

    def __init__(self, settings: RegressionSettings, architecture: str) -> None:
        super().__init__(architecture)
        self.settings = settings

    @classmethod
    def fitting(cls) -> list[str]:
        """All without a latent code."""
        return names(variational=False)

    def updates(self, model: nn.Module, batch: PhotoBatch) -> Iterator[Update]:
        """One update; see `Objective.updates`."""
        prediction = model(batch.l)
        yield Update("model", distance(prediction, batch, self.settings), prediction)
