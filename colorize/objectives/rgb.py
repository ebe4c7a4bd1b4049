"""Photos and predictions as sRGB, for terms that look at them as people and other networks do."""

from __future__ import annotations

import torch
from torch import Tensor

from colorize.models import Prediction
from colorize.models.blocks import IMAGENET_DEVIATION, IMAGENET_MEAN
from colorize.models.lab import lab_to_rgb
from colorize.objectives.base import PhotoBatch


def predicted_rgb(prediction: Prediction, batch: PhotoBatch) -> Tensor:
    """N x 3 x H x W in 0..1, with the network's own lightness where it makes one; gradients end at the gamut's edge."""
    lightness = batch.l if prediction.l is None else prediction.l.float()
    return lab_to_rgb(torch.cat([lightness, prediction.ab.float()], dim=1)).clamp(0.0, 1.0)


def true_rgb(batch: PhotoBatch) -> Tensor:
    """N x 3 x H x W in 0..1."""
    return lab_to_rgb(torch.cat([batch.l, batch.ab], dim=1)).clamp(0.0, 1.0)


def imagenet(rgb: Tensor) -> Tensor:
    """sRGB in 0..1 less the mean of ImageNet over its deviation."""
    mean = rgb.new_tensor(IMAGENET_MEAN).reshape(1, 3, 1, 1)
    return (rgb - mean) / rgb.new_tensor(IMAGENET_DEVIATION).reshape(1, 3, 1, 1)
