"""What training minimises: an objective looks at a batch and says which losses lower which parameters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from colorize.objectives.base import Objective, PhotoBatch, Update
from colorize.objectives.classification import Classification
from colorize.objectives.regression import Regression
from colorize.objectives.vae import VAE
from colorize.settings.architectures import ClassificationSettings, RegressionSettings, VAESettings

__all__ = ["Objective", "PhotoBatch", "Update", "create"]


def create(
    settings: RegressionSettings | VAESettings | ClassificationSettings,
    architecture: str,
    histogram: Callable[[], NDArray[np.int64]],
) -> Objective:
    """The objective of a run.

    Args:
        settings: chooses the objective by its class.
        architecture: the network it is going to train.
        histogram: the colours of the photos to train on, 256 x 256, pixels by code of a and of b; asked for only where
            an objective wants to know how common colours are.

    Raises:
        ValueError: that objective does not train that architecture; the message names what fits.
    """
    if isinstance(settings, VAESettings):
        return VAE(settings, architecture)
    if isinstance(settings, ClassificationSettings):
        return Classification(settings, architecture, histogram)
    return Regression(settings, architecture)
