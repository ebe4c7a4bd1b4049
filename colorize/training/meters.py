"""Sums over batches and workers, from which the figures of the log are made."""

from __future__ import annotations

import time

import torch
from torch import Tensor, distributed


class Meter:
    """Adds up losses, squared errors and photos; one sum over all workers at the end, none before."""

    def __init__(self, device: torch.device, world_size: int) -> None:
        self._sums = torch.zeros(3, dtype=torch.float64, device=device)
        self._world_size = world_size
        self._started = time.monotonic()
        self._waited = 0.0

    def add(self, photos: int, loss: Tensor, squared_error: Tensor | None = None, waited: float = 0.0) -> None:
        """Count a batch.

        Args:
            photos: how many; with 0 nothing is counted.
            loss: mean over these photos.
            squared_error: mean over these photos, where it is measured.
            waited: seconds that the batch was waited for.
        """
        error = torch.zeros_like(loss) if squared_error is None else squared_error
        if photos:
            self._sums += photos * torch.stack([loss.detach(), error.detach(), torch.ones_like(loss)]).double()
        self._waited += waited

    def read(self) -> tuple[float, float, int]:
        """Mean loss, mean squared error and number of photos over all workers; NaN without photos."""
        if self._world_size > 1:
            distributed.all_reduce(self._sums)
        loss, error, photos = self._sums.tolist()
        return (loss / photos, error / photos, int(photos)) if photos else (float("nan"), float("nan"), 0)

    def seconds(self) -> float:
        """Since the meter was made."""
        return time.monotonic() - self._started

    def wait_share(self) -> float:
        """Share of these seconds in which this worker waited for data, 0..1."""
        return self._waited / max(self.seconds(), 1e-9)
