"""What training minimises: an objective looks at a batch and says which losses lower which parameters."""

from __future__ import annotations

from colorize.objectives.base import Objective, PhotoBatch, Update
from colorize.objectives.regression import Regression
from colorize.objectives.vae import VAE
from colorize.settings.architectures import RegressionSettings, VAESettings

__all__ = ["Objective", "PhotoBatch", "Update", "create"]


def create(settings: RegressionSettings | VAESettings, architecture: str) -> Objective:
    """The objective of a run.

    Args:
        settings: chooses the objective by its class.
        architecture: the network it is going to train.

    Raises:
        ValueError: that objective does not train that architecture; the message names what fits.
    """
    if isinstance(settings, VAESettings):
        return VAE(settings, architecture)
    return Regression(settings, architecture)
