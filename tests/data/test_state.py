"""The state of the data, and when it looks wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from colorize.data.state import DataState, drift, in_cells, problems, read_state
from colorize.settings.sections import RetrainingSettings

LIMITS = RetrainingSettings(maximum_shrink=0.1, maximum_refused_rise=0.05, maximum_drift=0.1)
BEFORE = DataState(
    digest="a" * 64,
    listed={"one": 100, "two": 200},
    refused={"one": 2, "two": 4},
    photos={"train": 200, "validation": 30, "test": 60},
    histogram=[[10, 0], [0, 30]],
)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"photos": {"train": 181, "validation": 30, "test": 50}}, []),
        ({"photos": {"train": 180, "validation": 30, "test": 50}}, ["260 photos are usable, 290 were: 10.3% fewer"]),
        ({"refused": {"one": 6, "two": 13}}, []),
        ({"refused": {"one": 8, "two": 4}}, ["of dataset 'one' 8.0% of the files are refused, 2.0% were"]),
        ({"listed": {"one": 100}, "refused": {"one": 2}}, ["dataset 'two' is gone"]),
        ({"listed": {"one": 100, "two": 200, "new": 10}, "refused": {"one": 2, "two": 4, "new": 9}}, []),
        ({"histogram": [[12, 0], [0, 28]]}, []),
        ({"histogram": [[30, 0], [0, 10]]}, ["their divergence is 0.189 bit, retraining.maximum_drift is 0.1"]),
        (
            {"photos": {"train": 100, "validation": 3, "test": 6}, "histogram": [[0, 1], [1, 0]]},
            ["109 photos are usable", "their divergence is 1.000 bit"],
        ),
    ],
)
def test_data_that_look_wrong(change: dict[str, object], expected: list[str]) -> None:
    found = problems(replace(BEFORE, **change), BEFORE, LIMITS)  # type: ignore[arg-type]
    assert len(found) == len(expected)
    for sentence, part in zip(found, expected, strict=True):
        assert part in sentence


def test_divergence_is_in_bits_and_symmetric() -> None:
    first, second = np.array([[1, 1], [0, 0]]), np.array([[0, 2], [2, 0]])
    assert drift(first, second) == pytest.approx(0.5)
    assert drift(second, first) == drift(first, second)
    assert drift(first, 1000 * first) == 0.0
    assert drift(np.array([5, 0]), np.array([0, 3])) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="without pixels"):
        drift(first, 0 * first)


def test_chance_is_no_drift() -> None:
    """Two draws of photos of the same kind, each with colours of its own."""
    generator = np.random.default_rng(1)

    def some(photos: int, shift: float = 0.0) -> np.ndarray:
        centres = generator.normal((shift, 5.0), (12.0, 25.0), (photos, 2))
        codes = (centres[:, None] + generator.normal(0, 8, (photos, 2000, 2)) + 128).clip(0, 255).astype(int)
        return np.bincount((codes[..., 0] * 256 + codes[..., 1]).ravel(), minlength=65536).reshape(256, 256)

    assert drift(in_cells(some(300)), in_cells(some(300))) < 0.05
    assert drift(in_cells(some(300)), in_cells(some(300, shift=25.0))) > 0.1


def test_cells_hold_all_pixels() -> None:
    histogram = np.random.default_rng(0).integers(0, 9, (256, 256))
    cells = in_cells(histogram)
    assert cells.shape == (26, 26)
    assert cells.sum() == histogram.sum()
    assert cells[12, 25] == histogram[120:130, 250:].sum()


def test_json_and_back() -> None:
    assert DataState.from_json(BEFORE.to_json()) == BEFORE
    with pytest.raises(ValueError, match="no state of data"):
        DataState.from_json(b'{"listed": {}}')


def test_without_the_stages_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ingest-one\.json is missing: run 'dvc repro' first"):
        read_state(tmp_path, {"one": None})


def test_it_is_read_from_what_the_stages_left(tmp_path: Path) -> None:
    (tmp_path / "reports/metrics/data").mkdir(parents=True)
    (tmp_path / "data/lab").mkdir(parents=True)
    (tmp_path / "reports/metrics/data/ingest-one.json").write_text(json.dumps({"listed": 9, "rejected": 2}))
    (tmp_path / "data/lab/index.json").write_text(json.dumps({"digest": "d" * 64, "photos": {"train": 5, "test": 2}}))
    statistics = {
        "format": 1, "photos": 5, "pixels": 6, "mean": {"l": 1, "a": 2, "b": 3},
        "standard_deviation": {"l": 1, "a": 2, "b": 3}, "ab_histogram": {"128": "130 2 4"}, "digest": "d" * 64,
    }  # fmt: skip
    (tmp_path / "data/statistics.json").write_text(json.dumps(statistics))
    state = read_state(tmp_path, {"one": None})
    assert (state.listed, state.refused, state.photos) == ({"one": 9}, {"one": 2}, {"train": 5, "test": 2})
    assert np.array(state.histogram)[12, 13] == 6
