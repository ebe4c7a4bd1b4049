"""Perceptual distance: how different two pictures look to a published network that classifies photos."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from colorize.models import Prediction
from colorize.models.blocks import at_least
from colorize.models.vgg import VGGEncoder
from colorize.objectives.base import PhotoBatch, Term, TrainingData
from colorize.objectives.rgb import imagenet, predicted_rgb, true_rgb
from colorize.settings.objectives import PerceptualSettings

NETWORK: Final = "vgg16_bn"
_MINIMUM_SIDE = 32


class Perceptual(Term):
    """Weighted sum of mean absolute differences between features of prediction and photo.

    The features are those of VGG-16 with batch normalization before its third, fourth and fifth pooling, weighed 20, 70
    and 10: `FeatureLoss` of DeOldify's loss.py (whose further term, the plain L1 distance, is `regression` here); after
    Johnson, Alahi and Fei-Fei, "Perceptual Losses" (ECCV 2016). It means something with published weights only.
    """

    name = "perceptual"
    compares = True

    def __init__(self, settings: PerceptualSettings, data: TrainingData) -> None:
        """Load the published weights.

        Raises:
            ValueError: they are not there, or do not fit.
        """
        self.weights = settings.layers
        # Outside of the random state: its first weights are thrown away.
        with torch.random.fork_rng(devices=[]):
            self.network = VGGEncoder(NETWORK)
        self.network.begin_with(data.published(NETWORK))
        self.network.eval().requires_grad_(False)

    def loss(self, prediction: Prediction, batch: PhotoBatch) -> Tensor:
        """See the class."""
        predicted = self._features(predicted_rgb(prediction, batch))
        with torch.no_grad():
            truth = self._features(true_rgb(batch))
        parts = zip(self.weights, predicted, truth, strict=True)
        return torch.stack([weight * (one - other).abs().mean() for weight, one, other in parts]).sum()

    def to(self, device: torch.device) -> None:
        """See `Term.to`."""
        self.network.to(device)

    def _features(self, rgb: Tensor) -> list[Tensor]:
        return [features.float() for features in self.network.stages(at_least(imagenet(rgb), _MINIMUM_SIDE))[2:5]]
