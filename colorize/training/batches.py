"""From a loader's coded photos to what an objective takes, on the device of the network."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import torch
from torch import Tensor

from colorize.data.loader import Batch, Loader
from colorize.objectives import PhotoBatch


class Slice(NamedTuple):
    """One worker's part of a global batch.

    Attributes:
        photos: what the objective sees.
        weight: share of this part in the loss, times the number of workers: the plain mean over workers of
            weight x loss is then the mean over all photos of the global batch, however unequal the parts are.
    """

    photos: PhotoBatch
    weight: float


def decode(batch: Batch, device: torch.device, seeds: list[int] | None = None) -> PhotoBatch:
    """Coded lightness and colour (uint8; L x 255 / 100, ab + 128) as float32 on `device`."""
    return PhotoBatch(
        l=_on(batch.l, device) * (100.0 / 255.0),
        ab=_on(batch.ab, device) - 128.0,
        seeds=seeds,
    )


def slice_of(batch: Batch, loader: Loader, *, index: int, seed: int, step: int, device: torch.device) -> Slice:
    """A worker's batch with its weight and the seeds of its photos.

    Args:
        batch: this worker's part, perhaps empty.
        loader: where it came from.
        index: of the global batch in its epoch, from 0.
        seed: of the run.
        step: of the run, from 1.
        device: of the network.
    """
    everyone = min(loader.batch_size, loader.photos - index * loader.batch_size)
    if not batch.ids:
        # All workers have to take part in every step; a worker without photos takes part with weight 0.
        side = loader.size
        return Slice(
            PhotoBatch(torch.zeros(1, 1, side, side, device=device), torch.zeros(1, 2, side, side, device=device), [0]),
            0.0,
        )
    photos = decode(batch, device, [photo_seed(seed, step, photo) for photo in batch.ids])
    return Slice(photos, len(batch.ids) * loader.world_size / everyone)


def photo_seed(seed: int, step: int, photo: str) -> int:
    """A seed for what is drawn for one photo in one step, 0 <= seed < 2**62."""
    digest = hashlib.sha256(f"{seed} {step} {photo}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 2


def _on(codes: object, device: torch.device) -> Tensor:
    return torch.as_tensor(codes).to(device, non_blocking=True).float()
