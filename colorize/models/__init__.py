"""The networks, behind one registry: `names()`, `create(name, settings)`, `load_model(folder)`."""

from __future__ import annotations

# Importing a family registers it.
from colorize.models import simple_unet, unet, unet_vae
from colorize.models.base import Colorization, Hints, Latent, Prediction, Predictor
from colorize.models.files import load_model, save_model
from colorize.models.registry import create, names

__all__ = [
    "Colorization",
    "Hints",
    "Latent",
    "Prediction",
    "Predictor",
    "create",
    "load_model",
    "names",
    "save_model",
    "simple_unet",
    "unet",
    "unet_vae",
]
