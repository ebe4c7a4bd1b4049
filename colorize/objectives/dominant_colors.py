"""Penalty on dominant colours: a network that paints everything in the usual colours pays for it."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed

from colorize.models import Prediction
from colorize.objectives.base import PhotoBatch, Term, TrainingData
from colorize.settings.objectives import DominantColorsSettings

STEP = 10.0  # CIELAB units between the centres of a and of b
LIMIT = 110.0  # of the outermost centres


class DominantColors(Term):
    """Jensen-Shannon divergence, in bits, between the colours of a batch and those of the training photos.

    Both are histograms over a grid of 10 units in a and b, in which a colour is shared out among the four centres
    around it (linearly, so that it has a gradient everywhere). A network that hedges puts too much into the middle and
    into the commonest hues, and nothing into rare ones. The histogram is that of all photos of the step, on whichever
    workers they are; where `accumulate` cuts them up, that of each part. A batch is a small sample, so even the true
    photos would not have 0.
    """

    name = "dominant_colors"

    def __init__(self, settings: DominantColorsSettings, data: TrainingData) -> None:
        del settings
        self.prior = prior_of(data.histogram())

    def loss(self, prediction: Prediction, batch: PhotoBatch) -> Tensor:
        """See the class."""
        own = soft_histogram(prediction.ab.float()).mean(dim=0)
        return divergence(own if batch.seeds is None else _of_all_workers(own, batch.photos), self.prior)

    def to(self, device: torch.device) -> None:
        """See `Term.to`."""
        self.prior = self.prior.to(device)


def soft_histogram(ab: Tensor) -> Tensor:
    """Shares of colours by photo, with gradients.

    Args:
        ab: N x 2 x H x W, CIELAB units; what lies beyond 110 counts as 110.

    Returns:
        N x 23 x 23, by a and by b; each photo's add up to 1.
    """
    a, b = (_shares(ab[:, channel].flatten(1)) for channel in (0, 1))
    return a.transpose(1, 2) @ b / a.shape[1]


def prior_of(histogram: NDArray[np.int64]) -> Tensor:
    """The colours of a histogram of codes (256 x 256, a and b) in the form of `soft_histogram`, float32, 23 x 23."""
    shares = _shares(torch.arange(256, dtype=torch.float64) - 128.0)
    counted = shares.T @ torch.from_numpy(histogram / histogram.sum()) @ shares
    return counted.float()


def divergence(first: Tensor, second: Tensor) -> Tensor:
    """Jensen-Shannon divergence of two histograms whose shares add up to 1: bits, 0..1, with gradients."""
    mean = (first + second) / 2
    return (_entropy(mean) - (_entropy(first) + _entropy(second)) / 2) / math.log(2)


def _shares(values: Tensor) -> Tensor:
    """... x 23: how much of a value each centre gets."""
    centers = torch.arange(-LIMIT, LIMIT + 1, STEP, dtype=values.dtype, device=values.device)
    return (1.0 - (values.clamp(-LIMIT, LIMIT).unsqueeze(-1) - centers).abs() / STEP).clamp(min=0.0)


def _entropy(shares: Tensor) -> Tensor:
    # The slope is infinite at 0: no share is so small that this matters.
    return -(shares * shares.clamp(min=1e-9).log()).sum()


def _of_all_workers(own: Tensor, photos: int) -> Tensor:
    """The mean over the photos of all workers, whose gradient is that of this worker's own mean.

    The loop weighs each worker's loss by its photos, which makes the sum of these gradients the whole one's.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return own
    sums = torch.cat([own.detach().flatten() * photos, own.new_tensor([float(photos)])])
    distributed.all_reduce(sums)
    return (sums[:-1] / sums[-1]).reshape(own.shape) + (own - own.detach())
