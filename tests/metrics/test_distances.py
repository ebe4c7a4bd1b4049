"""Distances of sets against the formulas by other means, and what batches and parts must not change."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from colorize.metrics import distances
from colorize.metrics.distances import SetDistance


@pytest.fixture
def sets() -> tuple[Tensor, Tensor]:
    """Predicted and true features of 60 photos, 5 numbers each, of different mean and spread."""
    generator = torch.Generator().manual_seed(4)
    truth = torch.randn(60, 5, generator=generator)
    mixed = truth @ torch.randn(5, 5, generator=generator)
    return 0.6 * mixed + 0.3, truth


def measured(predicted: Tensor, truth: Tensor, size: int = 60) -> SetDistance:
    distance = SetDistance(5)
    for start in range(0, len(truth), size):
        distance.update(predicted[start : start + size], truth[start : start + size])
    return distance


def test_the_frechet_distance_is_that_of_heusel(sets: tuple[Tensor, Tensor]) -> None:
    one, other = (features.double().numpy() for features in sets)
    first, second = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    means = np.sum((one.mean(0) - other.mean(0)) ** 2)
    expected = means + np.trace(first) + np.trace(second) - 2 * np.trace(sqrtm(first @ second)).real
    assert measured(*sets).frechet() == pytest.approx(expected, rel=1e-9)


def test_the_frechet_distance_of_two_worked_sets() -> None:
    # One number a photo: means 0 and 3, sample variances 4 and 1: 9 + (2 - 1)².
    truth, predicted = torch.tensor([[-2.0], [0.0], [2.0]]), torch.tensor([[2.0], [3.0], [4.0]])
    distance = SetDistance(1)
    distance.update(predicted, truth)
    assert distance.frechet() == pytest.approx(10.0)


def by_pairs(predicted: Tensor, truth: Tensor) -> float:
    """The unbiased estimate, one kernel value at a time."""
    one, other = predicted.double().numpy(), truth.double().numpy()
    count = len(one)

    def kernel(x, y) -> float:
        return (x @ y / len(x) + 1) ** 3

    within = sum(
        kernel(one[i], one[j]) + kernel(other[i], other[j]) for i, j in itertools.permutations(range(count), 2)
    )
    across = sum(kernel(x, y) for x, y in itertools.product(one, other))
    return within / (count * (count - 1)) - 2 * across / count**2


def test_the_kernel_distance_is_that_of_binkowski(sets: tuple[Tensor, Tensor]) -> None:
    assert measured(*sets).kernel() == pytest.approx(by_pairs(*sets), rel=1e-9)


def test_the_kernel_distance_is_a_mean_over_blocks(
    sets: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distances, "BLOCK", 23)
    blocks = [[features[start : start + 23] for features in sets] for start in (0, 23, 46)]
    expected = sum(len(predicted) * by_pairs(predicted, truth) for predicted, truth in blocks) / 60
    assert measured(*sets, size=9).kernel() == pytest.approx(expected, rel=1e-9)
    # One photo is left over by two blocks of 23: nothing can be said of it alone.
    expected = sum(by_pairs(predicted, truth) for predicted, truth in blocks[:2]) / 2
    assert measured(*(features[:47] for features in sets)).kernel() == pytest.approx(expected, rel=1e-9)


def test_equal_sets_have_no_distance(sets: tuple[Tensor, Tensor]) -> None:
    distance = measured(sets[1], sets[1])
    assert distance.frechet() == pytest.approx(0, abs=1e-6)
    assert distance.kernel() == pytest.approx(by_pairs(sets[1], sets[1]), rel=1e-9)
    assert -0.5 < distance.kernel() <= 0


@pytest.mark.parametrize("size", [1, 7, 59])
def test_the_size_of_batches_changes_nothing(sets: tuple[Tensor, Tensor], size: int) -> None:
    whole, parts = measured(*sets), measured(*sets, size=size)
    assert (parts.frechet(), parts.kernel()) == pytest.approx((whole.frechet(), whole.kernel()), rel=1e-9)
    assert parts.photos == 60


def test_memory_does_not_grow_with_the_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "BLOCK", 10)
    distance = SetDistance(5)
    sizes = []
    for seed in range(30):
        features = torch.randn(2, 10, 5, generator=torch.Generator().manual_seed(seed))
        distance.update(*features)
        sizes.append(len(pickle.dumps(distance)))
    assert max(sizes) - min(sizes) < 64


def test_too_few_photos_are_told() -> None:
    distance = SetDistance(5)
    distance.update(torch.ones(1, 5), torch.ones(1, 5))
    for measure in (distance.frechet, distance.kernel):
        with pytest.raises(ValueError, match="1 photos: sets have a distance from two"):
            measure()
