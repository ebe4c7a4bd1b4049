"""Classification into 313 colours: soft targets, prior and weights by the paper's formulas, and what is counted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from colorize.bins import ab_bins
from colorize.models import Prediction
from colorize.models import create as create_model
from colorize.models.registry import settings_of
from colorize.objectives import Objective, PhotoBatch, TrainingData, create
from colorize.objectives.classification import Classification, prior_of, soft_encode
from colorize.settings.objectives import ClassificationSettings

CENTERS = torch.from_numpy(ab_bins())


def histogram() -> NDArray[np.int64]:
    generator = np.random.default_rng(1)
    counts = np.zeros((256, 256), np.int64)
    codes = np.clip(np.rint(generator.normal(128, 15, (4000, 2))), 0, 255).astype(int)
    np.add.at(counts, (codes[:, 0], codes[:, 1]), 1)
    return counts


def make(settings: ClassificationSettings, counts: NDArray[np.int64]) -> Objective:
    return create([settings], "eccv16", TrainingData(lambda: counts, lambda _: {}))


def weights_of(objective: Objective) -> torch.Tensor:
    (only,) = objective.terms
    assert isinstance(only.term, Classification)
    return only.term.weights


class Fixed(nn.Module):
    def __init__(self, logits: torch.Tensor, ab: torch.Tensor) -> None:
        super().__init__()
        self.logits, self.ab = logits, ab

    def forward(self, l: torch.Tensor, seeds: object = None) -> Prediction:  # noqa: E741
        return Prediction(ab=self.ab, logits=self.logits)


def test_soft_targets_are_gaussian_shares_of_the_nearest_bins() -> None:
    ab = torch.tensor([[3.0, -4.0], [55.0, 47.0], [-200.0, 10.0]], dtype=torch.float64)
    bins, shares = soft_encode(ab, CENTERS.double(), 10, 5.0)
    assert bins.shape == shares.shape == (3, 10)
    for color, numbers, parts in zip(ab.numpy(), bins.numpy(), shares.numpy(), strict=True):
        squares = ((color - ab_bins()) ** 2).sum(axis=1)
        order = np.argsort(squares, kind="stable")[:10]
        np.testing.assert_allclose(squares[numbers], squares[order])
        expected = np.exp(-(squares[numbers] - squares[numbers[0]]) / 50)
        np.testing.assert_allclose(parts, expected / expected.sum(), rtol=1e-9)
    assert (shares.sum(dim=-1) - 1).abs().max() < 1e-12


def test_the_prior_is_the_mean_of_the_soft_targets_and_its_expected_weight_is_one() -> None:
    counts = histogram()
    prior = prior_of(counts, CENTERS, 10, 5.0)
    codes = np.repeat(np.argwhere(counts), counts[tuple(np.argwhere(counts).T)], axis=0)
    bins, shares = soft_encode(torch.from_numpy(codes - 128.0), CENTERS.double(), 10, 5.0)
    dense = torch.zeros(len(codes), 313, dtype=torch.float64).scatter_(1, bins, shares)
    np.testing.assert_allclose(prior, dense.mean(dim=0).numpy(), atol=1e-12)
    objective = make(ClassificationSettings(rebalancing=0.5), counts)
    weights = weights_of(objective).double().numpy()
    assert (prior * weights).sum() == pytest.approx(1.0, rel=1e-6)
    np.testing.assert_allclose(
        weights / weights[0], (0.5 * prior[0] + 0.5 / 313) / (0.5 * prior + 0.5 / 313), rtol=1e-6
    )
    with pytest.raises(ValueError, match="are there photos to train on"):
        prior_of(np.zeros((256, 256), np.int64), CENTERS, 10, 5.0)


def test_the_loss_is_the_weighted_cross_entropy_of_every_fourth_pixel() -> None:
    generator = torch.Generator().manual_seed(2)
    ab = torch.randn(3, 2, 10, 14, generator=generator) * 30
    ab[2] = 1.0  # a grey photo teaches nothing
    logits = torch.randn(3, 313, 3, 4, generator=generator)
    objective = make(ClassificationSettings(), histogram())
    (update,) = objective.updates(Fixed(logits, ab), PhotoBatch(torch.zeros(3, 1, 10, 14), ab))
    weights = weights_of(objective)
    total = 0.0
    for photo in range(2):
        for row in range(3):
            for column in range(4):
                bins, shares = soft_encode(ab[photo, :, 4 * row, 4 * column], CENTERS, 10, 5.0)
                target = torch.zeros(313).scatter_(0, bins, shares)
                entropy = nn.functional.cross_entropy(logits[photo, :, row, column][None], target[None])
                total += float(entropy * weights[bins[0]])
    assert update.loss.item() == pytest.approx(total / 12 / 3, rel=1e-5)


def test_slices_of_a_batch_add_up_and_every_scoring_weight_gets_a_gradient() -> None:
    torch.manual_seed(0)
    model = create_model("eccv16", settings_of("eccv16", {"width": 0.1})).eval()
    objective = make(ClassificationSettings(), histogram())
    l, ab = torch.rand(3, 1, 24, 24) * 100, torch.randn(3, 2, 24, 24) * 20  # noqa: E741

    def loss(start: int, stop: int) -> torch.Tensor:
        return next(objective.updates(model, PhotoBatch(l[start:stop], ab[start:stop]))).loss

    torch.testing.assert_close(loss(0, 3), (loss(0, 2) * 2 + loss(2, 3)) / 3)
    loss(0, 3).backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert without == {"network.model_out.weight"}
