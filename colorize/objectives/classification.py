"""Classification: which of 313 colours a pixel has, rare colours counting more."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from colorize.bins import ab_bins
from colorize.data.statistics import weights_of_prior
from colorize.models import Prediction, names
from colorize.objectives.base import PhotoBatch, Term, TrainingData
from colorize.settings.objectives import ClassificationSettings

_GREY = 5.0  # CIELAB units: a photo all of whose a and b are within it teaches no colour


class Classification(Term):
    """Cross-entropy with soft targets, weighted by class.

    Zhang et al., "Colorful Image Colorization" (ECCV 2016), section 2. Each pixel that the scores speak of is shared
    out among its nearest bins (`soft_encode`) and weighs what the nearest of them does: 1 / ((1 - rebalancing) prior +
    rebalancing / 313), scaled such that the weight expected under the prior is 1. The prior is that of the training
    photos, shared out in the same way. Photos without colour count nothing, as in the authors' training. They multiply
    gradients alone by the weights, which moves the network in the same way.
    """

    name = "classification"
    compares = True

    def __init__(self, settings: ClassificationSettings, data: TrainingData) -> None:
        self.settings = settings
        self.centers = torch.from_numpy(ab_bins())
        prior = prior_of(data.histogram(), self.centers, settings.neighbours, settings.sigma)
        self.weights = torch.from_numpy(weights_of_prior(prior, settings.rebalancing)).float()

    @classmethod
    def fitting(cls) -> list[str]:
        """Those that score the 313 colours."""
        return names(classifies=True)

    def loss(self, prediction: Prediction, batch: PhotoBatch) -> Tensor:
        """See the class."""
        assert prediction.logits is not None, "a network that classifies has logits"
        scores = prediction.logits.float().movedim(1, -1)  # N x h x w x bins
        step = -(-batch.ab.shape[-2] // scores.shape[1])  # the scores speak of every so-manieth pixel
        truth = batch.ab[:, :, ::step, ::step].movedim(1, -1)
        bins, shares = soft_encode(truth, self.centers, self.settings.neighbours, self.settings.sigma)
        entropy = -(shares * torch.log_softmax(scores, dim=-1).gather(-1, bins)).sum(dim=-1)
        coloured = (batch.ab.abs().amax(dim=(1, 2, 3)) > _GREY).float()
        return ((entropy * self.weights[bins[..., 0]]).mean(dim=(1, 2)) * coloured).mean()

    def to(self, device: torch.device) -> None:
        """See `Term.to`."""
        self.centers, self.weights = self.centers.to(device), self.weights.to(device)


def soft_encode(ab: Tensor, centers: Tensor, neighbours: int, sigma: float) -> tuple[Tensor, Tensor]:
    """Share colours out among their nearest bins by a Gaussian of the distance.

    Args:
        ab: ... x 2, CIELAB units.
        centers: bins x 2.
        neighbours: bins for each colour; the paper's text says 5, its code takes 10.
        sigma: CIELAB units.

    Returns:
        Numbers of the bins, the nearest first, and the shares, which add up to 1: both ... x neighbours.
    """
    colors = ab.reshape(-1, 2)
    squares = (colors[:, :1] - centers[:, 0]) ** 2 + (colors[:, 1:] - centers[:, 1]) ** 2
    nearest, bins = squares.topk(neighbours, dim=1, largest=False, sorted=True)
    shares = torch.softmax(-nearest / (2 * sigma**2), dim=1)
    shape = (*ab.shape[:-1], neighbours)
    return bins.reshape(shape), shares.reshape(shape)


def prior_of(histogram: NDArray[np.int64], centers: Tensor, neighbours: int, sigma: float) -> NDArray[np.float64]:
    """How common each bin is, every colour shared out by `soft_encode`.

    Args:
        histogram: 256 x 256, pixels by code of a and of b.
        centers: bins x 2.
        neighbours: see `soft_encode`.
        sigma: see `soft_encode`.

    Returns:
        One share a bin; they add up to 1.

    Raises:
        ValueError: the histogram is empty.
    """
    codes = np.argwhere(histogram)
    if not len(codes):
        raise ValueError("a histogram without pixels has no prior; are there photos to train on?")
    colors = torch.from_numpy(codes - 128.0)
    bins, shares = soft_encode(colors, centers.double(), neighbours, sigma)
    counts = histogram[tuple(codes.T)].astype(np.float64)
    sums = np.bincount(bins.numpy().ravel(), (shares.numpy() * counts[:, None]).ravel(), minlength=len(centers))
    prior: NDArray[np.float64] = sums / counts.sum()
    return prior
