"""Measures against published figures, hand-computed cases and what must hold for any photo."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from colorize.color import lab_to_rgb, rgb_to_lab
from colorize.metrics import quality

# Photos: crops of scikit-image's astronaut and coffee; predictions: their CIELAB with ab times 0.4, or without ab.
# Figures: scikit-image 0.26 for PSNR, SSIM (both defaults) and CIELAB; colourfulness by the published definitions
# (Hasler & Süsstrunk 2003; the absolute variant as in DDColor's code) in float64.
GOLDEN = {
    "astronaut": {
        "psnr": 25.19221848896294,
        "ssim": 0.9640395796446675,
        "ab_rmse": 8.930627163208712,
        "colorfulness": (32.74442289791324, 13.597220452584246),
        "colorfulness_absolute": (32.5215709813101, 13.509098336712682),
    },
    "coffee": {
        "psnr": 11.847918691489225,
        "ssim": 0.7758906845497803,
        "ab_rmse": 40.74869606879221,
        "colorfulness": (84.28077497528403, 0.08648424828028418),
        "colorfulness_absolute": (83.73696687272377, 0.08648424828028418),
    },
}


@pytest.fixture(scope="module", params=sorted(GOLDEN))
def pair(request: pytest.FixtureRequest) -> tuple[dict[str, object], NDArray[np.uint8], NDArray[np.uint8]]:
    from skimage import data
    from skimage.color import lab2rgb, rgb2lab

    name: str = request.param
    truth = data.astronaut()[60:156, 160:288] if name == "astronaut" else data.coffee()[100:196, 200:328]
    lab = rgb2lab(truth)
    lab[..., 1:] *= 0.4 if name == "astronaut" else 0.0
    return GOLDEN[name], truth, np.round(np.clip(lab2rgb(lab), 0, 1) * 255).astype(np.uint8)


def test_the_measures_agree_with_published_definitions(pair) -> None:
    golden, truth, prediction = pair
    assert quality.psnr(truth, prediction) == pytest.approx(golden["psnr"], abs=1e-9)
    assert quality.ssim(truth, prediction) == pytest.approx(golden["ssim"], abs=1e-9)
    for name in ("colorfulness", "colorfulness_absolute"):
        measure = getattr(quality, name)
        assert (measure(truth), measure(prediction)) == pytest.approx(golden[name], abs=1e-9)
    # Our CIELAB is float32: a few digits less.
    ab = [rgb_to_lab(rgb)[..., 1:] for rgb in (truth, prediction)]
    assert quality.ab_rmse(*ab) == pytest.approx(golden["ab_rmse"], abs=1e-3)


@pytest.mark.parametrize("shape", [(7, 7), (7, 30), (33, 16)])
@pytest.mark.parametrize("contrast", [0, 3, 255])
def test_ssim_is_that_of_scikit_image(shape: tuple[int, int], contrast: int) -> None:
    from skimage.metrics import structural_similarity

    rng = np.random.default_rng(contrast)
    # Bright and nearly flat is where sums of squares lose their digits in floating point.
    photos = [255 - rng.integers(0, contrast + 1, (*shape, 3)).astype(np.uint8) for _ in range(2)]
    peer = structural_similarity(*photos, channel_axis=-1, data_range=255, win_size=7)
    assert quality.ssim(*photos) == pytest.approx(peer, abs=1e-9)


def test_ciede2000_of_sharmas_test_pairs() -> None:
    # Sharma, Wu, Dalal, "The CIEDE2000 color-difference formula: implementation notes, test data", 2005, table 1,
    # pairs 1, 7, 17 and 25: they exercise the hue terms that implementations get wrong.
    first = [[50, 2.6772, -79.7751], [50, 0, 0], [50, 2.5, 0], [60.2574, -34.0099, 36.2677]]
    second = [[50, 0, -82.7485], [50, -1, 2], [73, 25, -18], [60.4626, -34.1751, 39.4387]]
    expected = np.array([2.0425, 2.3669, 27.1492, 1.2644])
    for a, b, difference in zip(first, second, expected, strict=True):
        mean, p95 = quality.ciede2000(np.array([[a]]), np.array([[b]]))
        assert (mean, p95) == pytest.approx((difference, difference), abs=5e-5)


def test_identical_photos_score_best() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    lab = rgb_to_lab(rgb)
    assert quality.psnr(rgb, rgb) == quality.PSNR_OF_IDENTICAL
    assert quality.ssim(rgb, rgb) == 1.0
    assert quality.ab_rmse(lab[..., 1:], lab[..., 1:]) == 0.0
    assert quality.ciede2000(lab, lab) == (0.0, 0.0)


def test_the_two_colourfulness_definitions_differ_where_colours_oppose_each_other() -> None:
    red_and_green = np.zeros((2, 2, 3), np.uint8)
    red_and_green[0, :, 0] = red_and_green[1, :, 1] = 200
    # rg = ±200, yb = 100. Signed: spread 200, centre (0, 100). Absolute: spread 0, centre (200, 100).
    assert quality.colorfulness(red_and_green) == pytest.approx(200 + 0.3 * 100)
    assert quality.colorfulness_absolute(red_and_green) == pytest.approx(0.3 * np.hypot(200, 100))


def test_the_rebalanced_error_counts_a_rare_colour_for_more() -> None:
    truth = np.zeros((1, 4, 2))
    truth[0, 3] = (30, 40)
    grey = np.zeros_like(truth)
    even, rare = np.ones((1, 4)), np.array([[1.0, 1.0, 1.0, 7.0]])
    assert quality.ab_error_rebalanced(truth, grey, even) == pytest.approx(50 / 4)
    assert quality.ab_error_rebalanced(truth, grey, rare) == pytest.approx(50 * 7 / 10)
    assert quality.ab_error_rebalanced(truth, grey, 3 * rare) == pytest.approx(50 * 7 / 10)


def test_fading_costs_more_in_the_rebalanced_error_than_in_the_plain_one() -> None:
    generator = np.random.default_rng(1)
    lab = np.concatenate([np.full((32, 32, 1), 60.0), generator.normal(0, 4, (32, 32, 2))], axis=-1)
    lab[:4, :, 1:] += 45
    weights = np.where(np.hypot(lab[..., 1], lab[..., 2]) > 30, 6.0, 0.5)
    faded, loud = lab[..., 1:] * 0.2, lab[..., 1:] + generator.normal(0, 9, (32, 32, 2))
    plain = [quality.ab_error_rebalanced(lab[..., 1:], ab, np.ones_like(weights)) for ab in (faded, loud)]
    rebalanced = [quality.ab_error_rebalanced(lab[..., 1:], ab, weights) for ab in (faded, loud)]
    assert plain[0] < plain[1]
    assert rebalanced[0] > rebalanced[1]
    assert quality.colorfulness(lab_to_rgb(lab.astype(np.float32))) > 0
