"""Terms of objectives beside plain distances: reweighting, penalties, perceptual distance, and their sums."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from colorize.color import rgb_to_lab
from colorize.data.statistics import rebalancing_weights
from colorize.divergence import divergence as divergence_of_counts
from colorize.metrics.quality import colorfulness_absolute as measured_colorfulness
from colorize.models import Latent, Prediction, create, names
from colorize.models.lab import lab_to_rgb
from colorize.models.registry import settings_of
from colorize.models.vgg import VGG
from colorize.objectives import Objective, PhotoBatch, TrainingData
from colorize.objectives import create as create_objective
from colorize.objectives.colorfulness import colorfulness_absolute
from colorize.objectives.dominant_colors import divergence, prior_of, soft_histogram
from colorize.objectives.vae import divergence as latent_divergence
from colorize.settings import Settings
from colorize.settings.objectives import (
    ClassificationSettings,
    ColorfulnessSettings,
    DominantColorsSettings,
    PerceptualSettings,
    RegressionSettings,
    VAESettings,
)
from colorize.settings.sections import TrainingSettings
from colorize.training.overfit import drawn_photos, overfit
from colorize.training.rehearsal import slim

Make = Callable[..., Objective]
Says = Callable[[Prediction], nn.Module]


def plain(a: float, b: float, photos: int = 2, side: int = 8) -> torch.Tensor:
    return torch.tensor([a, b]).reshape(1, 2, 1, 1).repeat(photos, 1, side, side)


def batch_of(ab: torch.Tensor, seeds: bool = True, **values: int) -> PhotoBatch:
    l = torch.full_like(ab[:, :1], 50.0)  # noqa: E741
    return PhotoBatch(l, ab, list(range(len(ab))) if seeds else None, photos=len(ab), **values)


def loss(objective: Objective, model: nn.Module, batch: PhotoBatch) -> float:
    return next(objective.updates(model, batch)).loss.item()


def test_rare_colours_weigh_what_the_metric_says(make: Make, says: Says, histogram: NDArray[np.int64]) -> None:
    objective = make("unet", RegressionSettings(loss="mse", rebalancing=0.5))
    weights = rebalancing_weights(histogram, 0.5)
    truth = plain(0.0, 0.0)
    truth[:, :, :2] = 40.0
    found = loss(objective, says(Prediction(truth + 11.0)), batch_of(truth))
    assert found == pytest.approx((weights[168, 168] * 2 + weights[128, 128] * 6) / 8 * 0.01, rel=1e-5)
    assert weights[168, 168] > 2 * weights[128, 128]
    even = make("unet", RegressionSettings(loss="mse", rebalancing=1.0))
    assert loss(even, says(Prediction(truth + 11.0)), batch_of(truth)) == pytest.approx(0.01, rel=1e-4)


def test_distances_in_other_spaces_are_zero_for_the_truth_alone(make: Make, says: Says) -> None:
    truth = plain(20.0, -30.0)
    found = {}
    for space in ("lab", "oklab", "yuv", "rgb"):
        objective = make("unet", RegressionSettings(loss="l1", space=space))
        assert loss(objective, says(Prediction(truth.clone())), batch_of(truth)) == pytest.approx(0.0, abs=1e-6)
        found[space] = loss(objective, says(Prediction(truth + 5.0)), batch_of(truth))
    assert all(value > 0.005 for value in found.values())
    assert len({round(value, 6) for value in found.values()}) == 4


def test_a_soft_histogram_shares_a_colour_out_among_its_neighbours() -> None:
    ab = plain(10.0, -3.0, photos=1)
    found = soft_histogram(ab)[0]
    assert found[12, 10].item() == pytest.approx(0.3)
    assert found[12, 11].item() == pytest.approx(0.7)
    assert found.sum().item() == pytest.approx(1.0)
    assert soft_histogram(plain(-128.0, 127.0, photos=1))[0, 0, 22].item() == pytest.approx(1.0)


def test_the_prior_is_the_same_histogram_of_the_training_photos(histogram: NDArray[np.int64]) -> None:
    prior = prior_of(histogram)
    assert prior.sum().item() == pytest.approx(1.0)
    assert (prior[11, 11].item(), prior[15, 15].item()) == pytest.approx((0.9, 0.1))


def test_the_divergence_is_that_of_counts() -> None:
    generator = torch.Generator().manual_seed(3)
    first, second = (torch.rand(23, 23, generator=generator) ** 4 for _ in range(2))
    first, second = first / first.sum(), second / second.sum()
    expected = divergence_of_counts(first.double().numpy(), second.double().numpy())
    assert divergence(first, second).item() == pytest.approx(expected, abs=1e-5)
    assert divergence(first, first).item() == pytest.approx(0.0, abs=1e-6)


def test_dominant_colours_cost_and_their_gradient_leads_away_from_them(make: Make, says: Says) -> None:
    objective = make("unet", RegressionSettings(), DominantColorsSettings())
    truth = plain(0.0, 0.0, photos=10)
    truth[0] = 40.0  # as often as among the training photos

    def penalty(ab: torch.Tensor) -> float:
        return next(objective.updates(says(Prediction(ab)), batch_of(truth))).parts["dominant_colors"].item()

    right, grey, rare = penalty(truth), penalty(torch.zeros_like(truth)), penalty(plain(40.0, 40.0, photos=10))
    assert right == pytest.approx(0.0, abs=1e-5)
    assert right < grey < rare
    ab = torch.zeros_like(truth) + torch.linspace(-4.0, 4.0, 8)
    ab.requires_grad_(True)
    next(objective.updates(says(Prediction(ab)), batch_of(torch.zeros_like(truth)))).loss.backward()
    assert ab.grad is not None
    assert ab.grad.abs().sum() > 0


def test_penalties_make_networks_use_more_colours(make: Make) -> None:
    """Thirty steps from the same weights, on photos whose colour does not follow from their lightness."""
    torch.manual_seed(0)
    truth = torch.zeros(10, 2, 16, 16)
    truth[0] = 40.0
    spread = {}
    for terms in ((), (DominantColorsSettings(weight=1.0),), (ColorfulnessSettings(weight=0.5),)):
        torch.manual_seed(1)
        model = create("unet", settings_of("unet", {"channels": 8, "depth": 1}))
        objective = make("unet", RegressionSettings(loss="mse"), *terms)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        torch.manual_seed(2)
        l = torch.rand(10, 1, 16, 16) * 100  # noqa: E741
        for _ in range(30):
            optimizer.zero_grad()
            batch = PhotoBatch(l, truth, list(range(10)), photos=10)
            next(objective.updates(model, batch)).loss.backward()
            optimizer.step()
        spread[terms] = float(model(l).ab.detach().std())
    without, penalised, colourful = spread.values()
    assert penalised > 1.5 * without
    assert colourful > 1.5 * without


def test_colourfulness_is_the_metric_of_that_name(make: Make, says: Says) -> None:
    generator = np.random.default_rng(4)
    rgb = generator.integers(30, 220, (3, 16, 16, 3), dtype=np.uint8)
    tensor = torch.from_numpy(rgb).movedim(-1, 1).float() / 255
    expected = [measured_colorfulness(photo) for photo in rgb]
    torch.testing.assert_close(colorfulness_absolute(tensor), torch.tensor(expected), rtol=1e-4, atol=1e-3)
    lab = torch.from_numpy(rgb_to_lab(rgb)).movedim(-1, 1)
    objective = make("unet", RegressionSettings(), ColorfulnessSettings())
    batch = PhotoBatch(lab[:, :1], lab[:, 1:], [0, 1, 2], photos=3)
    part = next(objective.updates(says(Prediction(lab[:, 1:])), batch)).parts["colorfulness"]
    assert part.item() == pytest.approx(1 - float(np.mean(expected)) / 100, abs=2e-3)
    grey = torch.zeros(1, 2, 8, 8, requires_grad=True)
    next(objective.updates(says(Prediction(grey)), batch_of(plain(0, 0, 1)))).loss.backward()
    assert grey.grad is not None
    assert grey.grad.isfinite().all()


def test_perceptual_distance_needs_the_published_network(make: Make) -> None:
    with pytest.raises(ValueError, match=r"vgg16_bn: no weights .*weights fetch vgg16_bn"):
        make("unet", PerceptualSettings())


@pytest.mark.slow
def test_perceptual_distance_is_the_weighted_difference_of_features(says: Says) -> None:
    torch.manual_seed(5)
    network = VGG("vgg16_bn").eval()
    before = torch.random.get_rng_state()
    data = TrainingData(lambda: np.ones((256, 256), np.int64), lambda _: network.state_dict())
    objective = create_objective([PerceptualSettings()], "unet", data)
    assert torch.equal(torch.random.get_rng_state(), before), "the random state is left alone"
    truth = torch.randn(2, 2, 32, 32) * 20
    assert loss(objective, says(Prediction(truth.clone())), batch_of(truth)) == 0
    predicted = (truth + torch.randn(truth.shape)).requires_grad_(True)
    batch = batch_of(truth)
    update = next(objective.updates(says(Prediction(predicted)), batch))
    update.loss.backward()
    assert predicted.grad is not None
    assert predicted.grad.abs().sum() > 0
    mean, deviation = (torch.tensor(v).reshape(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    expected = 0.0
    pictures = [(lab_to_rgb(torch.cat([batch.l, ab], 1)).clamp(0, 1) - mean) / deviation for ab in (predicted, truth)]
    # torchvision's numbers of the layers before the third, fourth and fifth pooling.
    for number, weight in ((22, 20.0), (32, 70.0), (42, 10.0)):
        part = network.features[: number + 1]
        with torch.no_grad():
            expected += weight * float((part(pictures[0]) - part(pictures[1])).abs().mean())
    assert update.loss.item() == pytest.approx(expected, rel=1e-4)


def test_a_variational_network_may_say_something_for_free_and_starts_without_divergence(make: Make, says: Says) -> None:
    latent = Latent(torch.full((2, 3, 2, 2), 0.5), torch.zeros(2, 3, 2, 2))
    assert latent_divergence(latent, free=0.1).item() == pytest.approx(0.125)
    assert latent_divergence(latent, free=0.2).item() == pytest.approx(0.2)
    objective = make("unet_vae", VAESettings(kl_weight=1.0, kl_warmup_steps=10))
    ab = plain(0.0, 0.0)
    prediction = Prediction(ab, torch.full_like(ab[:, :1], 50.0), latent=latent)
    found = [loss(objective, says(prediction), batch_of(ab, step=step)) for step in (1, 5, 10, 11)]
    assert found == pytest.approx([0.0125, 0.0625, 0.125, 0.125])
    assert loss(objective, says(prediction), batch_of(ab, seeds=False)) == pytest.approx(0.125)


def test_a_sum_weighs_its_terms_and_tells_their_parts(make: Make, says: Says) -> None:
    truth = plain(0.0, 0.0)
    terms = (
        RegressionSettings(loss="mse", weight=2.0),
        RegressionSettings(loss="l1", weight=3.0),
        ColorfulnessSettings(weight=0.5),
    )
    update = next(make("unet", *terms).updates(says(Prediction(truth + 11.0)), batch_of(truth)))
    parts = update.parts
    assert list(parts) == ["regression", "regression 2", "colorfulness"]
    assert (parts["regression"].item(), parts["regression 2"].item()) == pytest.approx((0.01, 0.1))
    assert update.loss.item() == pytest.approx(0.02 + 0.3 + 0.5 * parts["colorfulness"].item(), rel=1e-5)


@pytest.mark.parametrize(
    ("architecture", "terms", "message"),
    [
        (
            "unet",
            (ColorfulnessSettings(),),
            "'colorfulness' never compares a colour with the true one; .*regression",
        ),
        ("unet_vae", (DominantColorsSettings(),), "never compares .*add {name: vae}"),
        ("unet", (RegressionSettings(), ClassificationSettings()), "'classification' does not train 'unet'"),
    ],
)
def test_a_sum_that_cannot_teach_is_refused(make: Make, architecture: str, terms: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(architecture, *terms)


@pytest.mark.parametrize("architecture", names())
def test_every_architecture_takes_every_term_that_fits(architecture: str, make: Make) -> None:
    """As settings have them, one by one, with the one that trains it by itself."""
    values = {"name": "vae" if architecture in names(variational=True) else "regression"}
    for other in ("dominant_colors", "colorfulness", "adversarial"):
        settings = Settings.model_validate(
            {
                "datasets": {"tiny": {"source": "sample://tiny"}},
                "architectures": {architecture: {"objective": [values, {"name": other}]}},
            }
        )
        terms = settings.architectures.chosen()[architecture].objective
        assert [term.title for term in make(architecture, *terms).terms] == [values["name"], other]


def _fitting() -> list[tuple[str, str, str]]:
    """Architecture, the term that trains it by itself, and another: everything that fits."""
    found = []
    for architecture in names():
        mains = ["vae"] if architecture in names(variational=True) else ["regression"]
        mains += ["classification"] if architecture in names(classifies=True) else []
        others = ("dominant_colors", "colorfulness", "adversarial")
        found += [(architecture, main, other) for main in mains for other in others]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "main", "other"), _fitting())
def test_every_architecture_learns_by_every_objective_that_fits(architecture: str, main: str, other: str) -> None:
    """Slim, on eight drawn photos of 64 pixels: the sum falls, and what is added to it falls or stays."""
    terms: list[dict[str, object]] = [{"name": main}, {"name": other}]
    if other == "adversarial":
        terms[1] |= {"channels": 4}
    values = {"datasets": {}, "architectures": {architecture: {"objective": terms}}}
    run = Settings.model_validate(values).architectures.chosen()[architecture]
    training = TrainingSettings(learning_rate=1e-3, warmup_steps=1)
    photos, cpu = drawn_photos(64), torch.device("cpu")
    course = overfit(architecture, slim(run.model), run.objective, training, photos, device=cpu, published=lambda _: {})
    losses = [next(course).loss for _ in range(16)]
    assert all(np.isfinite(losses))
    if other != "adversarial":  # there the critic learns to object
        assert np.mean(losses[-4:]) < 0.98 * losses[0]
