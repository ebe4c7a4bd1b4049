"""Parameters of each architecture: names and numbers only, so that a typo is found before torch is imported."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from colorize.settings.base import Section

Upsampler = Literal["transposed-k3", "transposed-k2", "resize"]


class SimpleUNetSettings(Section):
    """The study's Simple UNet: no skips, no padding, three output channels. Width 1 is the published one."""

    width: float = Field(1.0, gt=0, le=4, description="multiplies every hidden channel count; 1 as published")
    upsampler: Upsampler = Field("transposed-k3", description="transposed-k3 as published: the checkerboard")


class UNetVAESettings(Section):
    """The study's UNet-VAE hybrid. Width 1 is the published one (64 channels)."""

    width: float = Field(1.0, gt=0, le=4, description="multiplies every hidden channel count; 1 as published")


class UNetSettings(Section):
    """The cure of the study's artefacts: padding, skip connections, resize-convolution, predicts ab."""

    channels: int = Field(32, ge=4, le=256, description="channels of the first level; they double a level")
    depth: int = Field(4, ge=1, le=6, description="number of times the picture is halved")
    normalization: Literal["group", "batch", "none"] = "group"
    padding: Literal["reflect", "zeros"] = "reflect"


class RegressionSettings(Section):
    """Distance between predicted and true colour: squared, absolute or Huber."""

    name: Literal["regression"] = "regression"
    loss: Literal["mse", "l1", "huber"] = "huber"
    huber_delta: float = Field(10.0, gt=0, description="in CIELAB units: quadratic below, linear above")


class VAESettings(Section):
    """Reconstruction plus the Kullback-Leibler divergence of the latent code from a standard normal."""

    name: Literal["vae"] = "vae"
    loss: Literal["mse", "l1", "huber"] = "mse"
    huber_delta: float = Field(10.0, gt=0, description="in CIELAB units: quadratic below, linear above")
    kl_weight: float = Field(1e-3, ge=0, description="weight of the divergence per latent element")
