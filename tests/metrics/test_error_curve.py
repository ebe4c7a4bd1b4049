"""Error curves and their areas, against values computed by other code."""

from __future__ import annotations

import numpy as np
import pytest

from colorize.color import rgb_to_lab
from colorize.metrics.error_curve import (
    LARGEST,
    area_under,
    bins,
    error_curve,
    imagenet_prior,
    imagenet_weights,
    nearest_bin,
)


def test_the_curve_counts_pixels_up_to_each_threshold() -> None:
    truth = np.zeros((1, 4, 2), np.float32)
    prediction = np.array([[[0, 0], [3, 4], [0, 5.5], [200, 0]]], np.float32)
    curve = error_curve(truth, prediction)
    assert curve.shape == (LARGEST + 1,)
    assert [curve[0], curve[4], curve[5], curve[6], curve[-1]] == [0.25, 0.25, 0.5, 0.75, 0.75]
    weighted = error_curve(truth, prediction, np.array([[1, 2, 3, 4]]))
    assert [weighted[0], weighted[5], weighted[6], weighted[-1]] == pytest.approx([0.1, 0.3, 0.6, 0.6])


def test_areas() -> None:
    same = np.random.default_rng(1).normal(0, 30, (5, 6, 2)).astype(np.float32)
    assert area_under(error_curve(same, same)) == 1.0
    assert area_under(error_curve(same, same + 1000)) == 0.0
    # Everything is off by 75: the curve is 0 before and 1 from there on.
    assert area_under(error_curve(same, same + np.array([75, 0], np.float32))) == pytest.approx(75.5 / 150, abs=1 / 150)


def test_the_bins_and_the_prior_belong_together() -> None:
    assert imagenet_prior().shape == (313,)
    assert imagenet_prior().sum() == pytest.approx(1.0)
    assert bins().shape == (313, 2)
    # The commonest colour of photos is none: a fifth of ImageNet's pixels.
    assert bins()[imagenet_prior().argmax()].tolist() == [0, 0]
    assert imagenet_prior().max() == pytest.approx(0.201, abs=0.001)


def test_the_nearest_bin() -> None:
    ab = np.array([[[1, -2], [14, 6], [-500, 60]]], np.float32)
    assert bins()[nearest_bin(ab)].tolist() == [[[0, 0], [10, 10], [-90, 60]]]
    assert imagenet_weights(ab).argmin() == 0  # a rare colour weighs more


def test_grey_and_noise_on_a_drawn_picture_rank_as_they_should() -> None:
    generator = np.random.default_rng(2)
    coarse = generator.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    truth = rgb_to_lab(coarse.repeat(8, axis=0).repeat(8, axis=1))[..., 1:]
    noisy = truth + generator.normal(0, 5, truth.shape).astype(np.float32)
    weights = imagenet_weights(truth)
    for shares in (None, weights):
        good, bad = (area_under(error_curve(truth, one, shares)) for one in (noisy, np.zeros_like(truth)))
        assert good > 0.9 > bad
