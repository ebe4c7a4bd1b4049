"""From a loader's coded photos to what an objective takes, on the device of the network."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from colorize.data.loader import Batch
from colorize.objectives import PhotoBatch


def decode(batch: Batch, device: torch.device, seeds: list[int] | None = None) -> PhotoBatch:
    """Coded lightness and colour (uint8; L x 255 / 100, ab + 128) as float32 on `device`.

    A batch without photos becomes a single black one: every worker has to take part in every step of a network whose
    gradients are averaged, if only with weight 0.
    """
    lightness, ab = _on(batch.l, device) * (100.0 / 255.0), _on(batch.ab, device) - 128.0
    if not batch.ids:
        lightness, ab = (torch.zeros(1, *part.shape[1:], device=device) for part in (lightness, ab))
        seeds = None if seeds is None else [0]
    return PhotoBatch(lightness, ab, seeds, photos=len(batch.ids))


def cut(batch: Batch, parts: int) -> list[Batch]:
    """So many parts of nearly the same number of photos; some may have none."""
    ends = [len(batch.ids) * number // parts for number in range(parts + 1)]
    places = [slice(begin, end) for begin, end in itertools.pairwise(ends)]
    return [Batch(batch.ids[at], batch.datasets[at], batch.l[at], batch.ab[at]) for at in places]


def photo_seed(seed: int, step: int, photo: str) -> int:
    """A seed for what is drawn for one photo in one step, 0 <= seed < 2**62, on whichever worker that is."""
    digest = hashlib.sha256(f"{seed} {step} {photo}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 2


def share_of_loss(photos: int, everyone: int, world_size: int) -> float:
    """What a worker multiplies its mean loss by.

    Gradients are averaged over workers with equal weight, but slices of a global batch may be unequal. With this factor
    the average is the gradient of the plain mean over all photos of the global batch.

    Args:
        photos: in this worker's slice, or in a part of it.
        everyone: photos in the global batch.
        world_size: number of workers.
    """
    return photos * world_size / everyone


def _on(codes: NDArray[np.uint8], device: torch.device) -> Tensor:
    return torch.from_numpy(codes).to(device, non_blocking=True).float()
