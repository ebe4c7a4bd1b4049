"""The paired bootstrap: its answers on cases where the truth is known."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from colorize.metrics.comparison import best, compare, interval, pareto_front, wins


def rows(values, ids=None, metric: str = "ab_rmse") -> pa.Table:
    values = list(values)
    return pa.table({"id": ids or [f"photo-{index}" for index in range(len(values))], metric: values})


def test_pairing_sees_a_small_difference_that_hard_photos_would_hide() -> None:
    generator = np.random.default_rng(0)
    hardness = generator.normal(20, 10, 100)
    a, b = hardness + generator.normal(0, 0.5, 100), hardness + 1 + generator.normal(0, 0.5, 100)
    comparison = compare(rows(a), rows(b), "ab_rmse")
    assert comparison.photos == 100
    assert comparison.low < comparison.difference < comparison.high < 0
    assert comparison.difference == pytest.approx(comparison.first - comparison.second)
    assert comparison.first_is_better
    assert not comparison.second_is_better
    # Unpaired, the intervals of the means overlap widely.
    assert interval(a)[1] > interval(b)[0]


def test_more_is_better_for_psnr() -> None:
    comparison = compare(rows([30.0, 31.0, 32.0], metric="psnr"), rows([20.0, 20.5, 21.0], metric="psnr"), "psnr")
    assert comparison.first_is_better
    assert best({"a": 1.0, "b": 2.0}, "psnr") == "b"
    assert best({"a": 1.0, "b": 2.0}, "ab_rmse") == "a"


def test_photos_are_joined_by_id_whatever_their_order() -> None:
    ids = [f"photo-{index}" for index in range(50)]
    values = np.random.default_rng(1).normal(10, 3, 50)
    order = np.random.default_rng(2).permutation(50)
    shuffled = rows(values[order] + 0.5, [ids[index] for index in order])
    straight = compare(rows(values, ids), rows(values + 0.5, ids), "ab_rmse")
    assert compare(rows(values, ids), shuffled, "ab_rmse") == straight
    assert (straight.low, straight.high) == pytest.approx((-0.5, -0.5))


def test_photos_without_a_value_in_both_are_left_out() -> None:
    comparison = compare(rows([1.0, None, 3.0, 9.0], list("abcd")), rows([2.0, 2.0, 5.0], list("abc")), "ab_rmse")
    assert comparison.photos == 2
    assert comparison.difference == pytest.approx(-1.5)


def test_the_same_seed_gives_the_same_interval_in_any_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).normal(0, 1, 40)
    assert interval(values, seed=5) == interval(values, seed=5)
    assert interval(values, seed=5) != interval(values, seed=6)
    whole = interval(values, seed=5)
    monkeypatch.setattr("colorize.metrics.comparison._CHUNK", 400)
    assert interval(values, seed=5) == pytest.approx(whole)


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(4)
    covered = 0
    for seed in range(200):
        low, high = interval(generator.normal(3, 2, 60), resamples=500, seed=seed)
        covered += low <= 3 <= high
    assert 0.89 <= covered / 200 <= 0.99


def test_what_cannot_be_compared_is_an_error_that_says_so() -> None:
    with pytest.raises(ValueError, match=r"no metric 'nice'.*ab_rmse"):
        compare(rows([1.0]), rows([1.0]), "nice")
    with pytest.raises(ValueError, match="same test split"):
        compare(rows([1.0], ["a"]), rows([1.0], ["b"]), "ab_rmse")


def test_a_photo_is_won_by_the_best_and_shared_by_equals() -> None:
    ids = ["a", "b", "c", "d"]
    measured = {
        "first": pa.table({"id": ids, "ab_rmse": [1.0, 5.0, 2.0, None], "psnr": [30.0, 20.0, 25.0, 20.0]}),
        "second": pa.table({"id": ids[::-1], "ab_rmse": [1.0, 2.0, 4.0, 3.0], "psnr": [10.0, 26.0, 30.0, 20.0]}),
    }
    # d has no value in the first, c is shared.
    assert wins(measured, "ab_rmse") == pytest.approx({"first": 1.5 / 3, "second": 1.5 / 3})
    assert wins(measured, "psnr") == pytest.approx({"first": 2 / 4, "second": 2 / 4})
    assert wins({"only": measured["first"]}, "psnr") == {"only": 1.0}
    assert wins({**measured, "third": pa.table({"id": ["z"], "psnr": [1.0]})}, "psnr") == {
        "first": 0.0,
        "second": 0.0,
        "third": 0.0,
    }


def test_the_front_are_those_that_nothing_beats_in_both() -> None:
    costs = {"small": 1.0, "wasteful": 3.0, "middle": 2.0, "large": 9.0, "twin": 2.0}
    errors = {"small": 30.0, "wasteful": 25.0, "middle": 20.0, "large": 10.0, "twin": 20.0}
    assert pareto_front(costs, errors, "ab_rmse") == {"small", "middle", "twin", "large"}
    assert pareto_front(costs, errors, "psnr") == {"small"}
    assert pareto_front({"cheap": 1.0, "dear": 2.0}, {"cheap": 5.0, "dear": 5.0}, "ab_rmse") == {"cheap"}
