"""The networks, behind one registry: `names()`, `create(name, settings)`, `load_model(folder)`."""

from __future__ import annotations

# Importing a family registers it.
from colorize.models import (
    color_by_optimization,
    ddcolor,
    deoldify,
    eccv16,
    histogram_matching,
    pix2pix,
    siggraph17,
    simple_unet,
    unet,
    unet_vae,
    unet_vae_deep,
    vgg16_decoder,
)
from colorize.models.base import Colorization, Hints, Latent, Prediction, Predictor
from colorize.models.files import load_model, save_model
from colorize.models.registry import create, names

__all__ = [
    "Colorization",
    "Hints",
    "Latent",
    "Prediction",
    "Predictor",
    "color_by_optimization",
    "create",
    "ddcolor",
    "deoldify",
    "eccv16",
    "histogram_matching",
    "load_model",
    "names",
    "pix2pix",
    "save_model",
    "siggraph17",
    "simple_unet",
    "unet",
    "unet_vae",
    "unet_vae_deep",
    "vgg16_decoder",
]
