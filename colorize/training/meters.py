"""Sums over batches and workers, from which the figures of the log are made."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, distributed


class Meter:
    """Adds up figures of batches; one sum over all workers at the end, none before.

    Args:
        names: of the figures, the same on all workers.
        device: where they are added up: a GPU is not waited for.
        world_size: number of workers.
        started: time.monotonic() from which seconds are counted; None: now.
    """

    def __init__(
        self, names: Sequence[str], device: torch.device, world_size: int, started: float | None = None
    ) -> None:
        self._names = list(names)
        self._sums = torch.zeros(len(self._names) + 1, dtype=torch.float64, device=device)
        self._world_size = world_size
        self._started = time.monotonic() if started is None else started
        self._waited = 0.0

    def add(self, photos: int, means: Mapping[str, Tensor], waited: float = 0.0) -> None:
        """Count a batch.

        Args:
            photos: how many; with 0 nothing is counted.
            means: of each figure, the mean over these photos, a scalar.
            waited: seconds that the batch was waited for.
        """
        if photos:
            values = [means[name].detach() for name in self._names]
            self._sums += photos * torch.stack([*values, torch.ones_like(values[0])]).double()
        self._waited += waited

    def read(self) -> tuple[dict[str, float], int]:
        """Mean of each figure and number of photos over all workers; no figures without photos."""
        if self._world_size > 1:
            distributed.all_reduce(self._sums)
        *sums, photos = self._sums.tolist()
        if not photos:
            return {}, 0
        return {name: total / photos for name, total in zip(self._names, sums, strict=True)}, int(photos)

    def seconds(self) -> float:
        """Since it was started."""
        return time.monotonic() - self._started

    def wait_share(self) -> float:
        """Share of these seconds in which this worker waited for data, 0..1."""
        return self._waited / max(self.seconds(), 1e-9)
