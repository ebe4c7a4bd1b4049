"""Objectives: values worked out by hand, what they refuse, and that slices of a batch add up."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from colorize.models import Latent, Prediction
from colorize.models import create as create_model
from colorize.models.registry import settings_of
from colorize.objectives import Objective, PhotoBatch, TrainingData, create
from colorize.objectives.vae import divergence
from colorize.settings import Section
from colorize.settings.objectives import ClassificationSettings, RegressionSettings, VAESettings


def no_histogram() -> np.ndarray:
    pytest.fail("these objectives do not ask how common colours are")


def no_weights(name: str) -> dict[str, torch.Tensor]:
    pytest.fail("these objectives do not ask for published weights")


def make(architecture: str, *terms: Section) -> Objective:
    return create(terms, architecture, TrainingData(no_histogram, no_weights))


def photos(l: float, a: float, b: float) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: E741
    ab = torch.tensor([a, b]).reshape(1, 2, 1, 1).expand(2, 2, 4, 4)
    return torch.full((2, 1, 4, 4), l), ab


def loss_of(settings: RegressionSettings | VAESettings, architecture: str, prediction: Prediction) -> float:
    batch = PhotoBatch(*photos(50.0, 0.0, 0.0))
    (update,) = make(architecture, settings).updates(lambda *_: prediction, batch)  # type: ignore[arg-type]
    assert update.group == "model"
    assert update.prediction is prediction
    return update.loss.item()


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("mse", (11**2 + 33**2) / 2 / 110**2),
        ("l1", (11 + 33) / 2 / 110),
        # delta 22: 11 lies on the parabola, 33 on the line.
        ("huber", (11**2 / 2 / 22 + (33 - 22 / 2)) / 2 / 110),
    ],
)
def test_distances_are_those_of_the_docstring(loss: str, expected: float) -> None:
    _, ab = photos(50.0, 11.0, -33.0)
    settings = RegressionSettings(loss=loss, huber_delta=22.0)
    assert loss_of(settings, "unet", Prediction(ab)) == pytest.approx(expected, rel=1e-5)


def test_own_lightness_counts_like_a_and_b() -> None:
    l, ab = photos(83.0, 11.0, 0.0)  # noqa: E741
    settings = RegressionSettings(loss="mse")
    assert loss_of(settings, "simple_unet", Prediction(ab, l)) == pytest.approx((33**2 + 11**2) / 3 / 110**2, rel=1e-5)


def test_divergence_is_that_of_two_normals() -> None:
    latent = Latent(torch.full((2, 3, 4, 5), 2.0), torch.full((2, 3, 4, 5), math.log(0.25)))
    assert divergence(latent).item() == pytest.approx((4 + 0.25 - math.log(0.25) - 1) / 2)
    assert divergence(Latent(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1))).item() == 0
    reference = torch.distributions.kl_divergence(
        torch.distributions.Normal(latent.mean, (latent.log_variance / 2).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    torch.testing.assert_close(divergence(latent), reference.mean())


def test_vae_adds_the_weighted_divergence() -> None:
    l, ab = photos(50.0, 0.0, 0.0)  # noqa: E741
    prediction = Prediction(ab, l, latent=Latent(torch.full((2, 1, 1, 1), 2.0), torch.zeros(2, 1, 1, 1)))
    assert loss_of(VAESettings(kl_weight=0.5), "unet_vae", prediction) == pytest.approx(0.5 * 2.0)


@pytest.mark.parametrize(
    ("settings", "architecture", "message"),
    [
        (
            VAESettings(),
            "unet",
            "objective 'vae' does not train 'unet': it fits unet_vae, unet_vae_deep; .*name: regression",
        ),
        (
            RegressionSettings(),
            "unet_vae",
            "'regression' does not train 'unet_vae': it fits .*simple_unet, unet, vgg16_decoder; .*vae",
        ),
        (
            ClassificationSettings(),
            "unet",
            "objective 'classification' does not train 'unet': it fits eccv16; .*name: regression",
        ),
    ],
)
def test_a_mismatch_is_refused_and_says_what_fits(settings: Section, architecture: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(architecture, settings)


@pytest.mark.parametrize(
    ("architecture", "values"), [("unet", {"channels": 4, "depth": 1}), ("unet_vae", {"width": 0.1})]
)
def test_the_loss_of_a_batch_is_the_mean_over_its_photos(architecture: str, values: dict[str, float]) -> None:
    torch.manual_seed(0)
    model = create_model(architecture, settings_of(architecture, values))
    objective = make(architecture, VAESettings() if architecture == "unet_vae" else RegressionSettings())
    l, ab = torch.rand(3, 1, 24, 24) * 100, torch.randn(3, 2, 24, 24) * 20  # noqa: E741

    def loss(start: int, stop: int) -> torch.Tensor:
        batch = PhotoBatch(l[start:stop], ab[start:stop], list(range(start, stop)))
        return next(objective.updates(model, batch)).loss

    torch.testing.assert_close(loss(0, 3), (loss(0, 2) * 2 + loss(2, 3)) / 3)
