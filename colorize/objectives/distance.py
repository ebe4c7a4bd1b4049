"""The distance between predicted and true colours that several objectives use."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from colorize.data.statistics import rebalancing_weights
from colorize.models import Prediction
from colorize.models.base import AB_SCALE
from colorize.objectives.base import PhotoBatch
from colorize.objectives.spaces import coordinates
from colorize.settings.objectives import DistanceSettings


class Distance:
    """Mean distance over photos, pixels and the channels that the network makes itself.

    These are two of colour, with lightness of its own all three; in RGB always three. In CIELAB units over 110 (other
    spaces have as far from black to white), so lightness and colour weigh as the space weighs them. With d the
    difference in these units: mse d**2, l1 |d|, huber d**2 / 2 delta below delta and |d| - delta / 2 above (the smooth
    L1 of Girshick, "Fast R-CNN", ICCV 2015), delta being `huber_delta` over 110.

    With `rebalancing` each pixel is multiplied by the weight of its true colour (`rebalancing_weights`): that of a
    rare colour is large, the mean over the training photos 1. Zhang et al. (ECCV 2016) do so in classification.
    """

    def __init__(self, settings: DistanceSettings, histogram: Callable[[], NDArray[np.int64]]) -> None:
        """See `TrainingData.histogram`, which is asked for only with `rebalancing`."""
        self.settings = settings
        self.weights: Tensor | None = None
        if settings.rebalancing is not None:
            self.weights = torch.from_numpy(rebalancing_weights(histogram(), settings.rebalancing)).float()

    def to(self, device: torch.device) -> None:
        """Move the weights."""
        self.weights = None if self.weights is None else self.weights.to(device)

    def __call__(self, prediction: Prediction, batch: PhotoBatch) -> Tensor:
        """A scalar."""
        settings = self.settings
        own_l = prediction.l is not None
        lightness = prediction.l.float() if prediction.l is not None else batch.l
        channels = slice(0 if own_l or settings.space == "rgb" else 1, None)
        predicted = coordinates(lightness, prediction.ab.float(), settings.space)[:, channels]
        truth = coordinates(batch.l, batch.ab, settings.space)[:, channels]
        reduction = "mean" if self.weights is None else "none"
        if settings.loss == "mse":
            loss = functional.mse_loss(predicted, truth, reduction=reduction)
        elif settings.loss == "l1":
            loss = functional.l1_loss(predicted, truth, reduction=reduction)
        else:
            beta = settings.huber_delta / AB_SCALE
            loss = functional.smooth_l1_loss(predicted, truth, beta=beta, reduction=reduction)
        return loss if self.weights is None else (loss * self._of_pixels(self.weights, batch.ab)).mean()

    @staticmethod
    def _of_pixels(weights: Tensor, ab: Tensor) -> Tensor:
        """N x 1 x H x W: the weight of each true colour."""
        codes = (ab + 128.0).round().clamp(0, 255).long()
        return weights[codes[:, 0], codes[:, 1]].unsqueeze(1)
