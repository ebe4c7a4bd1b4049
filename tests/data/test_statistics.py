"""Statistics: exact counts of the training split alone, and weights that follow the paper's formula."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from colorize.data.shard_file import Row, write_shard
from colorize.data.shard_index import read_entry, write_index
from colorize.data.shard_plan import Photo, ShardPlan
from colorize.data.statistics import (
    StatisticsError,
    color_classes,
    gather,
    load_statistics,
    rebalancing_weights,
    weights_of_prior,
)
from colorize.settings.sections import ShardSettings
from colorize.storage import write_json


def write_lab(folder: Path, pixels: dict[tuple[str, str], np.ndarray], row_group: int = 4) -> Path:
    """Shards of the photos (N×3×16×16) of each split and dataset."""
    settings = ShardSettings(size=16, rows=512, row_group=row_group, compression="none")
    entries = []
    for (split, dataset), labs in pixels.items():
        names = [hashlib.sha256(f"{split}{dataset}{number}".encode()).hexdigest() for number in range(len(labs))]
        plan = ShardPlan(split, dataset, 0, tuple(Photo(name, f"{name}.jpg") for name in names), settings)
        rows = [Row(name, lab[0].tobytes(), lab[1:].tobytes(), 9, 9) for name, lab in zip(names, labs, strict=True)]
        write_shard(folder / plan.path, plan, rows)
        entries.append(read_entry(folder, plan.path)[0])
    write_index(folder, entries, settings)
    return folder


@pytest.fixture(scope="module")
def photos() -> dict[tuple[str, str], np.ndarray]:
    generator = np.random.default_rng(2)
    return {
        ("train", "birds"): generator.integers(20, 220, (9, 3, 16, 16), dtype=np.uint8),
        ("train", "trees"): generator.integers(100, 140, (5, 3, 16, 16), dtype=np.uint8),
        ("validation", "trees"): generator.integers(0, 256, (3, 3, 16, 16), dtype=np.uint8),
        ("test", "birds"): generator.integers(0, 256, (3, 3, 16, 16), dtype=np.uint8),
    }


def test_figures_are_those_of_the_training_pixels(photos: dict[tuple[str, str], np.ndarray], tmp_path: Path) -> None:
    write_json(tmp_path / "statistics.json", gather(write_lab(tmp_path / "lab", photos)))
    statistics = load_statistics(tmp_path / "statistics.json")
    train = np.concatenate([lab for (split, _), lab in photos.items() if split == "train"]).astype(np.float64)
    l, a, b = train[:, 0] / 2.55, train[:, 1] - 128, train[:, 2] - 128  # noqa: E741
    assert (statistics.photos, statistics.pixels) == (14, 14 * 256)
    np.testing.assert_allclose(statistics.mean, [l.mean(), a.mean(), b.mean()], rtol=1e-12)
    np.testing.assert_allclose(statistics.standard_deviation, [l.std(), a.std(), b.std()], rtol=1e-12)
    np.testing.assert_array_equal(statistics.mean_ab, statistics.mean[1:])
    expected, *_ = np.histogram2d((a + 128).ravel(), (b + 128).ravel(), bins=256, range=[[0, 256], [0, 256]])
    assert statistics.histogram.dtype == np.int64
    np.testing.assert_array_equal(statistics.histogram, expected)
    assert statistics.digest == json.loads((tmp_path / "lab" / "index.json").read_text())["digest"]


def test_row_groups_change_nothing_but_the_digest(photos: dict[tuple[str, str], np.ndarray], tmp_path: Path) -> None:
    one, other = (gather(write_lab(tmp_path / str(size), photos, size)) for size in (4, 7))
    assert one.pop("digest") != other.pop("digest")
    assert one == other


def test_nothing_to_count(photos: dict[tuple[str, str], np.ndarray], tmp_path: Path) -> None:
    lab = write_lab(tmp_path, {("test", "birds"): photos["test", "birds"]})
    with pytest.raises(StatisticsError, match="the training split has no photos"):
        gather(lab)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 1, "pixels": 3, "ab_histogram": {"7": "255 1 2"}}',
        '{"ab_histogram": {"999": "1 1"}}',
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "statistics.json"
    with pytest.raises(StatisticsError, match=r"statistics\.json is missing: run 'dvc repro statistics'"):
        load_statistics(path)
    path.write_text(text)
    with pytest.raises(StatisticsError, match=r"statistics\.json is damaged"):
        load_statistics(path)


# Classes and weights


def test_colour_classes() -> None:
    classes = color_classes()
    assert classes.shape == (309, 2)
    assert (classes % 10 == 0).all()
    assert classes.tolist() == sorted(classes.tolist())
    assert [0, 0] in classes.tolist()
    assert classes.min(axis=0).tolist() == [-90, -110]
    assert classes.max(axis=0).tolist() == [100, 100]


def test_weights_of_a_prior_by_hand() -> None:
    # 1 / (p/2 + 1/8) for p = 1/2, 1/4, 1/4, 0 is 8/3, 4, 4, 8, and 10/3 is expected under p.
    weights = weights_of_prior(np.array([0.5, 0.25, 0.25, 0]), 0.5)
    np.testing.assert_allclose(weights, np.array([8 / 3, 4, 4, 8]) / (10 / 3))
    np.testing.assert_allclose(weights_of_prior(np.array([0.7, 0.2, 0.1]), 1.0), 1)
    np.testing.assert_allclose(weights_of_prior(np.array([0.8, 0.2]), 0.0) * [0.8, 0.2], 0.5)


def test_one_colour_is_shared_out_by_the_gaussian() -> None:
    histogram = np.zeros((256, 256), np.int64)
    histogram[128 + 3, 128 + 14] = 1000
    classes = color_classes()
    squares = ((classes - [3, 14]) ** 2).sum(axis=1)
    nearest = np.argsort(squares, kind="stable")[:10]
    prior = np.zeros(len(classes))
    prior[nearest] = np.exp(-squares[nearest] / 50) / np.exp(-squares[nearest] / 50).sum()
    expected = weights_of_prior(prior, 0.5)
    weights = rebalancing_weights(histogram)
    for a, b in ((3, 14), (0, 10), (-60, 40), (70, -90)):
        at = np.argmin(((classes - [a, b]) ** 2).sum(axis=1))
        assert weights[128 + a, 128 + b] == pytest.approx(expected[at])


def test_rare_colours_weigh_more() -> None:
    histogram = np.ones((256, 256), np.int64)
    histogram[118:139, 118:139] = 100_000
    weights = rebalancing_weights(histogram)
    assert weights.shape == (256, 256)
    assert (weights > 0).all()
    assert weights[128, 128] < 0.1 * weights[128 + 60, 128 + 60]
    np.testing.assert_allclose(weights, rebalancing_weights(histogram * 3))
    np.testing.assert_allclose(rebalancing_weights(histogram, 1.0), 1)


def test_an_empty_histogram_is_refused() -> None:
    with pytest.raises(ValueError, match="256x256 histogram with pixels"):
        rebalancing_weights(np.zeros((256, 256), np.int64))
