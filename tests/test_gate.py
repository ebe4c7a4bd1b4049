"""The gate: honest about chance, and able to see a difference that is there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from colorize.gate import Verdict, judge
from colorize.settings import load_settings
from colorize.settings.sections import GateSettings

PRIMARY = "ab_error_rebalanced"
NO_GUARDS = GateSettings(min_n=20, guards={})


def rows(**columns: object) -> pa.Table:
    size = len(next(iter(columns.values())))  # type: ignore[arg-type]
    return pa.table({"id": [f"{n:04d}" for n in range(size)], "dataset": ["d"] * size, **columns})


def differing(challenger: object, champion: object, settings: GateSettings = NO_GUARDS, **options: object) -> Verdict:
    return judge(rows(**{PRIMARY: challenger}), rows(**{PRIMARY: champion}), PRIMARY, settings, **options)  # type: ignore[arg-type]


def noise(seed: int, photos: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a champion, which spread much, and what another differs by on each photo."""
    generator = np.random.default_rng(seed)
    return generator.gamma(4.0, 5.0, photos), generator.standard_normal(photos)


def promotions(simulations: int, photos: int, effect: float, settings: GateSettings, draw: str = "normal") -> float:
    """Share of challengers that pass, whose scores differ by `effect` deviations on average."""
    passed = 0
    for seed in range(simulations):
        champion, difference = noise(seed, photos)
        if draw == "skewed":
            difference = np.random.default_rng(seed).exponential(1.0, photos) - 1.0
        challenger = champion - settings.min_delta - effect + difference
        passed += differing(challenger, champion, settings, resamples=1000).promote
    return passed / simulations


@pytest.mark.parametrize("draw", ["normal", "skewed"])
def test_chance_rarely_promotes(draw: str) -> None:
    # 400 of them: with a true rate of 2.5 %, more than 5 % would come once in 500 times; the seeds are fixed.
    assert promotions(400, 100, 0.0, NO_GUARDS, draw) <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("min_delta", [0.0, 0.5])
def test_of_ten_thousand_challengers_that_are_no_better_at_most_five_in_a_hundred_pass(min_delta: float) -> None:
    settings = GateSettings(min_n=100, min_delta=min_delta, guards={})
    share = promotions(10_000, 100, 0.0, settings)
    assert 0.005 <= share <= 0.05


@pytest.mark.parametrize("min_delta", [0.0, 1.0])
def test_a_small_true_effect_is_found(min_delta: float) -> None:
    settings = GateSettings(min_n=100, min_delta=min_delta, guards={})
    assert promotions(200, 500, 0.2, settings) >= 0.9


def test_the_default_fits_the_samples_test_split(repository: Path) -> None:
    settings = load_settings(repository / "params.yaml")
    photos = json.loads((repository / "reports/metrics/data/split.json").read_text())["test"]
    assert settings.gate.min_n <= photos


def test_too_few_photos_are_said() -> None:
    verdict = differing([1.0] * 19, [9.0] * 19)
    assert (verdict.promote, verdict.photos, verdict.figures) == (False, 19, {})
    assert "19 were measured with both, gate.min_n is 20" in verdict.reason


def test_only_photos_of_the_list_that_nobody_trained_on_count() -> None:
    champion, difference = noise(1, 60)
    challenger = np.where(np.arange(60) < 30, champion - 5.0, champion + 5.0)
    first = [f"{n:04d}" for n in range(30)]
    assert not differing(challenger, champion + 0 * difference).promote
    assert differing(challenger, champion, only=first).promote
    left = differing(challenger, champion, leave_out=[f"{n:04d}" for n in range(25, 60)])
    assert (left.promote, left.photos) == (True, 25)


def test_better_by_less_than_min_delta_is_not_enough() -> None:
    champion, difference = noise(2)
    challenger = champion - 1.0 + 0.1 * difference
    assert differing(challenger, champion, GateSettings(min_n=20, min_delta=0.9, guards={})).promote
    verdict = differing(challenger, champion, GateSettings(min_n=20, min_delta=1.1, guards={}))
    assert not verdict.promote
    assert verdict.figures[PRIMARY].limit == -1.1
    assert verdict.reason.startswith("not better for sure by more than 1.1: ab_error_rebalanced")


def test_the_same_scores_are_not_better() -> None:
    champion, _ = noise(3)
    assert not differing(champion, champion).promote


@pytest.mark.parametrize(("loss", "passes"), [(0.3, True), (0.49, True), (0.7, False)])
def test_a_guard_may_be_worse_within_its_tolerance(loss: float, passes: bool) -> None:
    champion, difference = noise(4)
    settings = GateSettings(min_n=20, guards={"psnr": 0.5})
    one = rows(**{PRIMARY: champion - 2.0, "psnr": 25.0 - loss + 0.001 * difference})
    other = rows(**{PRIMARY: champion, "psnr": np.full(100, 25.0)})
    verdict = judge(one, other, PRIMARY, settings)
    assert verdict.promote is passes
    assert verdict.figures["psnr"].passed is passes
    assert ("psnr within tolerance" in verdict.reason) is passes
    assert ("psnr may be 0.5 worse at most: psnr 24.300 against 25.000" in verdict.reason) is not passes


def test_an_uncertain_guard_does_not_hold() -> None:
    champion, difference = noise(5)
    one = rows(**{PRIMARY: champion - 2.0, "psnr": 25.0 - 0.3 + 3.0 * difference})
    other = rows(**{PRIMARY: champion, "psnr": np.full(100, 25.0)})
    verdict = judge(one, other, PRIMARY, GateSettings(min_n=20, guards={"psnr": 0.5}))
    assert verdict.figures["psnr"].low < -0.5
    assert not verdict.promote


def test_a_figure_of_the_whole_set_is_a_guard() -> None:
    """Each photo's colourfulness is as far off as before, but all are now too pale: the mean of the set tells."""
    champion, _ = noise(6)
    truth = np.full(100, 40.0)
    either_way = truth + np.where(np.arange(100) % 2, 8.0, -8.0)
    settings = GateSettings(min_n=20, guards={"colorfulness_difference": 3.0})
    columns = {"colorfulness_truth": truth}
    other = rows(**{PRIMARY: champion}, colorfulness=either_way, **columns)
    pale = rows(**{PRIMARY: champion - 2.0}, colorfulness=truth - 8.0, **columns)
    as_before = rows(**{PRIMARY: champion - 2.0}, colorfulness=either_way, **columns)
    assert judge(as_before, other, PRIMARY, settings).promote
    verdict = judge(pale, other, PRIMARY, settings)
    figure = verdict.figures["colorfulness_difference"]
    assert (figure.challenger, figure.champion) == (8.0, 0.0)
    assert not verdict.promote


def test_the_verdict_is_the_same_every_time_and_fit_for_json() -> None:
    champion, difference = noise(7)
    one, other = (differing(champion - 0.5 + difference, champion) for _ in range(2))
    assert one == other
    assert json.loads(json.dumps(one.to_dict(), allow_nan=False))["photos"] == 100


@pytest.mark.parametrize("name", ["lpips", "colorfulness"])
def test_a_guard_that_is_not_measured_or_has_no_direction_is_refused(name: str) -> None:
    champion, _ = noise(8)
    table = rows(**{PRIMARY: champion})
    with pytest.raises(ValueError, match=name):
        judge(table, table, PRIMARY, GateSettings(min_n=20, guards={name: 1.0}))
