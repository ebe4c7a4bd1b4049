"""Accuracy of the top bin and diversity of draws, by hand-made cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from colorize.bins import ab_bins
from colorize.metrics.predictions import diversity, draw, top_bin_accuracy
from colorize.models import create
from colorize.models.registry import settings_of


def test_the_top_bin_is_right_where_it_is_nearest_to_the_true_colour() -> None:
    bins = ab_bins()
    chosen = np.array([[[3, 40], [100, 312]], [[0, 0], [0, 7]]])
    logits = np.zeros((2, 313, 2, 2), np.float32)
    np.put_along_axis(logits, chosen[:, None], 5, axis=1)
    ab = np.full((2, 2, 8, 8), 500, np.float32)  # what no position speaks of must not count
    ab[:, :, ::4, ::4] = np.moveaxis(bins[chosen], -1, 1) + np.array([4, -4], np.float32)[:, None, None]
    assert top_bin_accuracy(logits, ab).tolist() == [1, 1]
    ab[0, 0, 0, 4] += 7  # nearer to the neighbouring bin
    ab[1, :, 4, :] = 90
    assert top_bin_accuracy(logits, ab).tolist() == [0.75, 0.5]


def test_scores_of_something_else_are_refused() -> None:
    with pytest.raises(ValueError, match="not those of 313 bins"):
        top_bin_accuracy(np.zeros((1, 529, 4, 4)), np.zeros((1, 2, 16, 16)))
    with pytest.raises(ValueError, match="not those of 313 bins"):
        top_bin_accuracy(np.zeros((1, 313, 4, 3)), np.zeros((1, 2, 16, 16)))


def test_diversity_is_the_mean_distance_of_pairs() -> None:
    draws = np.zeros((3, 2, 2, 4, 4))
    draws[1, 0, 0] = 3  # of the first photo: pairs 0-1, 0-2, 1-2 lie 3, 4 and 5 apart
    draws[2, 0, 1] = 4
    assert diversity(list(draws)).tolist() == [4, 0]
    with pytest.raises(ValueError, match="got 1, give two"):
        diversity(list(draws[:1]))


@pytest.fixture(scope="module")
def stochastic():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return create("unet_vae", settings_of("unet_vae", {"width": 0.1})).eval()


def test_a_draw_follows_from_photo_and_number_alone(stochastic) -> None:
    lightness = np.random.default_rng(0).uniform(0, 100, (3, 1, 48, 48)).astype(np.float32)
    together = draw(stochastic, lightness, ["a", "b", "c"], 0)
    apart = draw(stochastic, lightness[1:2], ["b"], 0)
    assert together.shape == (3, 2, 48, 48)
    np.testing.assert_allclose(apart[0], together[1], atol=1e-4)
    others = [draw(stochastic, lightness, ["a", "b", "c"], number) for number in (0, 1)]
    assert (diversity(others) > 0.01).all()
    assert diversity([together, others[0]]).tolist() == [0, 0, 0]


def test_a_network_without_chance_draws_nothing() -> None:
    plain = create("simple_unet", settings_of("simple_unet", {"width": 0.1})).eval()
    with pytest.raises(ValueError, match="draws nothing at random"):
        draw(plain, np.zeros((1, 1, 48, 48), np.float32), ["a"], 0)
