"""The distance in random features: fixed to the bit, nothing between equal sets, more with every planted difference."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from colorize.color import lab_to_rgb, rgb_to_lab
from colorize.data.sources.sample import SampleSource
from colorize.images import Rejection, decode
from colorize.metrics.networks import through_networks
from colorize.metrics.random_features import RandomFeatures, drawn_integers
from colorize.settings.sections import ImageSettings

Lab = NDArray[np.float32]
SHA256 = "8840c64ac6d48a23eba80d9a017878700f58c98e736482451a454a9fca0498ec"


@pytest.fixture(scope="module")
def photos() -> Lab:
    """Twelve drawn photos, CIELAB, N×96×128×3."""
    source = SampleSource("landscape-pictures", 32)
    decoded = (decode(source.read(entry), ImageSettings()) for entry in source.list())
    large = (photo for photo in decoded if not isinstance(photo, Rejection) and min(photo.shape[:2]) >= 128)
    return np.stack([rgb_to_lab(photo[:96, :128]) for photo in itertools.islice(large, 12)])


def split_mix(seed: int, first: int, count: int) -> list[int]:
    """Sums of four 16-bit parts of SplitMix64's values, less their mean: in Python's own whole numbers."""
    found = []
    for number in range(first + 1, first + count + 1):
        value = (number * 0x9E3779B97F4A7C15 + seed) % 2**64
        value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        value = (value ^ value >> 27) * 0x94D049BB133111EB % 2**64
        value ^= value >> 31
        found.append(sum(value.to_bytes(8)[at] * 256 + value.to_bytes(8)[at + 1] for at in (0, 2, 4, 6)) - 131070)
    return found


def test_the_weights_are_those_of_whole_number_arithmetic() -> None:
    # The first values of SplitMix64 from seed 0 are published: 0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4.
    parts = [(0xE220, 0xA839, 0x7B1D, 0xCDAF), (0x6E78, 0x9E6A, 0xA1B9, 0x65F4)]
    assert drawn_integers(0, 0, 2).tolist() == [sum(four) - 131070 for four in parts]
    assert drawn_integers(313, 500, 400).tolist() == split_mix(313, 500, 400)
    network = RandomFeatures()
    weights = [convolution.weight for convolution in network.convolutions]
    assert (weights[0].flatten()[:50].double() * 2**18).tolist() == split_mix(313, 0, 50)
    assert (weights[1].flatten()[:50].double() * 2**19).tolist() == split_mix(313, weights[0].numel(), 50)
    stored = b"".join(weight.numpy().astype("<f4").tobytes() for weight in weights)
    assert network.sha256 == hashlib.sha256(stored).hexdigest() == SHA256


def test_making_the_network_draws_no_random_numbers() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    RandomFeatures()
    assert torch.equal(torch.rand(3), expected)


def test_features_are_means_of_three_stages() -> None:
    grey = torch.full((2, 3, 150, 200), 0.5)
    features = RandomFeatures()(grey)
    # R + 2G + B is 2 and there is no colour: the network sees zeros, and has no biases.
    assert features.shape == (2, 128)
    assert not features.any()
    assert (RandomFeatures()(torch.rand(2, 3, 40, 40)) > 0).any(dim=0).sum() > 100


def desaturated(lab: Lab, strength: float) -> Lab:
    return lab * np.array([1, 1 - strength, 1 - strength], np.float32)


def hue_shifted(lab: Lab, strength: float) -> Lab:
    angle = np.pi / 2 * strength
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.concatenate([lab[..., :1], lab[..., 1:] @ turned.T], axis=-1).astype(np.float32)


def noisy(lab: Lab, strength: float) -> Lab:
    noise = np.random.default_rng(3).normal(0, 25 * strength, lab[..., 1:].shape)
    return np.concatenate([lab[..., :1], lab[..., 1:] + noise], axis=-1).astype(np.float32)


@pytest.mark.parametrize("plant", [desaturated, hue_shifted, noisy])
def test_the_distance_grows_with_a_planted_difference(
    photos: Lab, plant: Callable[[Lab, float], Lab], tmp_path: Path
) -> None:
    truth = lab_to_rgb(photos)
    found = []
    for strength in (0.0, 0.25, 0.5, 0.75, 1.0):
        predicted = lab_to_rgb(plant(photos, strength)) if strength else truth
        figures, _ = through_networks([(predicted, truth)], tmp_path)
        found.append(figures["random_feature_distance"].value)
    assert found[0] == pytest.approx(0, abs=1e-9)
    assert all(after > 1.2 * before for before, after in itertools.pairwise(found[1:])), found
    assert found[1] > 1e4 * max(found[0], 1e-10), found
