"""Planted artefacts stand out of the panels; charts are the same bytes each time, in the page's own colours."""

from __future__ import annotations

import re

import numpy as np
import pytest

from colorize.report.charts import TONES, Line, chart
from colorize.report.gallery import disagreement
from colorize.report.panels import Accumulator, Panel

SIZE = 64


def natural(seed: int = 0) -> np.ndarray:
    """Colours with more energy at low frequencies, as photos have; H×W×2."""
    noise = np.random.default_rng(seed).normal(size=(SIZE, SIZE, 2))
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE))[..., None]
    smooth = np.fft.ifft2(np.fft.fft2(noise, axes=(0, 1)) / (frequency + 0.02) ** 2, axes=(0, 1)).real
    return 20 * smooth / smooth.std()


def panel(ab: np.ndarray, truth: np.ndarray) -> Panel:
    added = Accumulator("unet")
    added.add(ab, truth)
    return added.panel()


def test_a_checkerboard_is_a_spike_at_half_a_cycle_a_pixel() -> None:
    truth = natural()
    board = 3.0 * (np.indices((SIZE, SIZE)).sum(axis=0) % 2)[..., None]
    clean, spiked = dict(panel(truth, truth).spectrum), dict(panel(truth + board, truth).spectrum)
    assert max(clean) == 0.5
    assert spiked[0.5] > clean[0.5] + 1.0
    assert spiked[0.25] == pytest.approx(clean[0.25], abs=0.05)


def test_blur_lowers_the_high_end_of_the_spectrum() -> None:
    truth = natural()
    blurred = (truth + np.roll(truth, 1, axis=0) + np.roll(truth, 1, axis=1) + np.roll(truth, (1, 1), axis=(0, 1))) / 4
    clean, soft = dict(panel(truth, truth).spectrum), dict(panel(blurred, truth).spectrum)
    assert soft[0.375] < clean[0.375] - 0.5
    assert soft[1 / 64] == pytest.approx(clean[1 / 64], abs=0.1)


def test_colours_that_fail_at_the_border_raise_only_the_left_of_its_profile() -> None:
    truth = natural()
    framed = truth.copy()
    framed[:2], framed[-2:], framed[:, :2], framed[:, -2:] = (
        truth[part] + [3, 4] for part in (np.s_[:2], np.s_[-2:], np.s_[:, :2], np.s_[:, -2:])
    )
    ways, errors = zip(*panel(framed, truth).border, strict=True)
    assert ways[0] < 5
    assert ways[-1] > 95
    assert errors[0] == pytest.approx(5.0)  # 3-4-5
    assert max(errors[2:]) == 0.0
    assert panel(truth, truth).border == []


def test_hues_are_shares_of_the_chroma() -> None:
    ab = np.zeros((SIZE, SIZE, 2))
    ab[: SIZE // 4] = [0, 30]  # yellow: 90 degrees
    ab[SIZE // 4 :] = [0, -10]  # blue: 270 degrees
    hues = dict(panel(ab, ab).hues)
    assert {hue: share for hue, share in hues.items() if share} == {95.0: pytest.approx(50), 275.0: pytest.approx(50)}


def test_disagreement_is_the_distance_from_the_mean() -> None:
    one, other = np.zeros((4, 4, 2)), np.full((4, 4, 2), [6.0, 8.0])
    assert disagreement([one, other]) == pytest.approx(5.0)
    assert disagreement([one, one, one]) == 0.0
    assert disagreement([one]) == disagreement([]) == 0.0
    assert disagreement([one, np.ones((2, 2, 2))]) == 0.0


def test_a_chart_is_the_same_bytes_and_takes_its_colours_from_the_page() -> None:
    lines = [Line("unet", [(0, 1.0), (1, 3.0)], TONES), Line("<truth>", [(0, 2.0), (1, 1.0)], None, dots=True)]
    first, second = (chart(lines, "Hues & more", x_label="epoch") for _ in range(2))
    assert first == second
    assert first.startswith('<svg class="chart" viewBox="0 0 ')
    assert 'aria-label="Hues &amp; more: unet, &lt;truth&gt;"' in first
    assert {f"var(--tone-{TONES})", "var(--ink)", "var(--muted)", "var(--rule)"} == set(
        re.findall(r"var\([^)]*\)", first)
    )
    assert not re.search(r"#0102|url\(|<style|<metadata|font-family", first)


def test_an_axis_starts_at_zero_where_that_costs_little() -> None:
    def numbers(low: float, high: float) -> list[str]:
        return re.findall(r">(\d+)</text>", chart([Line("unet", [(0, low), (1, high)], 1)], "t", x_label="epoch"))

    assert numbers(1, 10).count("0") == 2  # of both axes
    assert numbers(80, 100).count("0") == 1
