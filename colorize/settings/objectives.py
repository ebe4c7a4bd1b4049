"""Parameters of what training minimises: one term, or several whose weighted sum it is."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from colorize.settings.base import Section

Space = Literal["lab", "oklab", "yuv", "rgb"]
Weight = Annotated[float, Field(gt=0, description="what the term is multiplied by in the sum")]


class DistanceSettings(Section):
    """How far a predicted colour is from the true one."""

    loss: Literal["mse", "l1", "huber"] = "huber"
    huber_delta: float = Field(10.0, gt=0, description="in CIELAB units: quadratic below, linear above")
    space: Space = Field("lab", description="the colour space in which distances are taken")
    rebalancing: float | None = Field(
        None,
        gt=0,
        le=1,
        description="λ: a pixel counts the more the rarer its colour is in training photos: 1 all alike, towards 0 "
        "each by its rarity; null: all alike",
    )


class RegressionSettings(DistanceSettings):
    """Distance between predicted and true colour: squared, absolute or Huber."""

    name: Literal["regression"] = "regression"
    weight: Weight = 1.0


class VAESettings(DistanceSettings):
    """Reconstruction plus the Kullback-Leibler divergence of the latent code from a standard normal."""

    name: Literal["vae"] = "vae"
    weight: Weight = 1.0
    loss: Literal["mse", "l1", "huber"] = "mse"
    kl_weight: float = Field(1e-3, ge=0, description="weight of the divergence per latent element")
    kl_warmup_steps: int = Field(0, ge=0, description="steps over which kl_weight rises from 0")
    free_bits: float = Field(
        0.0, ge=0, description="nats per latent element that each channel of a photo's code may have at no cost"
    )


class ClassificationSettings(Section):
    """Which of the 313 colours each pixel has, with rare colours counting more (Zhang et al. 2016)."""

    name: Literal["classification"] = "classification"
    weight: Weight = 1.0
    rebalancing: float = Field(
        0.5,
        gt=0,
        le=1,
        description="λ: 1 counts all colours alike, towards 0 each by how rare it is in training photos",
    )
    sigma: float = Field(5.0, gt=0, description="CIELAB units, of the Gaussian that shares a colour out among its bins")
    neighbours: int = Field(10, ge=1, le=313, description="bins that a colour is shared out among")


class DominantColorsSettings(Section):
    """Penalty on dominant colours: how far the colours of a batch are from those of the training photos."""

    name: Literal["dominant_colors"] = "dominant_colors"
    weight: Weight = 0.1


class ColorfulnessSettings(Section):
    """Penalty on pale colours (Kang et al., DDColor, 2023)."""

    name: Literal["colorfulness"] = "colorfulness"
    weight: Weight = 0.5


class PerceptualSettings(Section):
    """Distance of what a published VGG-16 sees (Johnson et al. 2016, as DeOldify uses it)."""

    name: Literal["perceptual"] = "perceptual"
    weight: Weight = 1.0
    layers: tuple[float, float, float] = Field(
        (20.0, 70.0, 10.0), description="weights of the features before the third, fourth and fifth pooling"
    )


class AdversarialSettings(Section):
    """A critic learns to tell photos from colorizations, and the network to deceive it.

    With `generator_epochs` and `critic_epochs` it is DeOldify's NoGAN: the network trains alone, then the critic on
    what it makes, then both.
    """

    name: Literal["adversarial"] = "adversarial"
    weight: Weight = 0.01
    loss: Literal["vanilla", "lsgan", "hinge"] = "vanilla"
    critic: Literal["patchgan", "deoldify"] = "patchgan"
    channels: int = Field(64, ge=4, le=512, description="of the critic's first convolution; as published: 64 and 256")
    critic_rate: float = Field(1.0, gt=0, description="the critic's learning rate over the network's")
    generator_epochs: int = Field(0, ge=0, description="epochs at the beginning without the critic")
    critic_epochs: int = Field(0, ge=0, description="epochs after those in which only the critic trains")


Term = Annotated[
    RegressionSettings
    | VAESettings
    | ClassificationSettings
    | DominantColorsSettings
    | ColorfulnessSettings
    | PerceptualSettings
    | AdversarialSettings,
    Field(discriminator="name"),
]


def _as_terms(value: Any) -> Any:
    """One term may stand without a list around it."""
    return (value,) if isinstance(value, (dict, Section)) else value


Objective = Annotated[tuple[Term, ...], BeforeValidator(_as_terms), Field(min_length=1)]


def title(objective: tuple[Section, ...]) -> str:
    """The names of an objective's terms, such as `regression + colorfulness`."""
    return " + ".join(str(getattr(term, "name")) for term in objective)  # noqa: B009
