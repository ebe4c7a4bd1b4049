"""Each artefact planted in photos at several strengths: its figure rises with it, and photos without it stay flat."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from colorize.color import lab_to_rgb, rgb_to_lab
from colorize.data.sources.sample import SampleSource
from colorize.images import Rejection, decode
from colorize.metrics import artefacts as measures
from colorize.metrics import spectra
from colorize.metrics.artefacts import artefacts
from colorize.settings.sections import ImageSettings

Lab = NDArray[np.float32]
Plant = Callable[[Lab, float], Lab]


@pytest.fixture(scope="module")
def photos() -> list[Lab]:
    """Eight drawn photos with colours and fine structure, CIELAB."""
    source = SampleSource("landscape-pictures", 24)
    found = []
    for entry in source.list():
        photo = decode(source.read(entry), ImageSettings())
        if isinstance(photo, Rejection) or photo.shape[0] < 120 or photo.shape[1] < 150:
            continue
        lab = rgb_to_lab(photo[-120:, :150])
        if np.hypot(lab[..., 1], lab[..., 2]).mean() > 10:
            found.append(lab)
    assert len(found) >= 8
    return found[:8]


def shift_to_blue(lab: Lab, strength: float) -> Lab:
    return lab + np.array([0, 0, -40 * strength], np.float32)


def spoil_border(lab: Lab, strength: float) -> Lab:
    rows, columns = (np.minimum(np.arange(side), np.arange(side)[::-1]) for side in lab.shape[:2])
    near = np.exp(-np.minimum(rows[:, None], columns) / 4.0)[..., None]
    return (lab + near * np.array([0, 30 * strength, -20 * strength])).astype(np.float32)


def blur(lab: Lab, strength: float) -> Lab:
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(lab, (3 * strength, 3 * strength, 0)), np.float32) if strength else lab


def smear_colour(lab: Lab, strength: float) -> Lab:
    return np.concatenate([lab[..., :1], blur(lab, strength)[..., 1:]], axis=-1)


def chequer(period: int) -> Plant:
    def plant(lab: Lab, strength: float) -> Lab:
        rows, columns = (np.arange(side) for side in lab.shape[:2])
        pattern = ((rows[:, None] % period == 0) & (columns % period == 0)) * 4.0 * strength
        return (lab + pattern[..., None] * np.array([0, 1, 1])).astype(np.float32)

    return plant


STRENGTHS = (0.0, 0.3, 0.6, 1.0)


@pytest.mark.parametrize(
    ("group", "figure", "plant", "sign"),
    [
        ("colour_bias", "blue_share", shift_to_blue, 1),
        ("colour_bias", "blue_excess", shift_to_blue, 1),
        ("colour_bias", "false_blue_rate", shift_to_blue, 1),
        ("colour_bias", "shift_b", shift_to_blue, -1),
        ("colour_bias", "hue_divergence", shift_to_blue, 1),
        ("colour_bias", "bin_divergence", shift_to_blue, 1),
        ("border", "error_ratio", spoil_border, 1),
        ("border", "corner_ratio", spoil_border, 1),
        ("resolution", "high_ratio_l", blur, -1),
        ("resolution", "gradient_ratio_l", blur, -1),
        ("resolution", "high_share_l", blur, -1),
        ("resolution", "high_ratio_ab", smear_colour, -1),
        ("resolution", "gradient_ratio_ab", smear_colour, -1),
        ("resolution", "edge_alignment", smear_colour, -1),
        ("checkerboard", "peak_2", chequer(2), 1),
        ("checkerboard", "peak_4", chequer(4), 1),
        ("checkerboard", "peak_8", chequer(8), 1),
        ("checkerboard", "phase_2", chequer(2), 1),
        ("checkerboard", "phase_4", chequer(4), 1),
        ("checkerboard", "phase_8", chequer(8), 1),
        ("checkerboard", "peak_excess_2", chequer(2), 1),
    ],
)
def test_a_planted_artefact_moves_its_figure(
    photos: list[Lab], group: str, figure: str, plant: Plant, sign: int
) -> None:
    means = []
    for strength in STRENGTHS:
        values = []
        for lab in photos:
            truth = lab_to_rgb(lab)
            value = artefacts(lab_to_rgb(plant(lab, strength)), truth)[group][figure]
            assert value is not None
            values.append(value)
        means.append(sign * float(np.mean(values)))
    assert means == sorted(means), means
    assert all(after > before for before, after in itertools.pairwise(means)), means


def test_untouched_photos_stay_flat(photos: list[Lab]) -> None:
    for lab in photos:
        rgb = lab_to_rgb(lab)
        found = artefacts(rgb, rgb)
        assert found["border"]["error_ratio"] == found["border"]["corner_ratio"] == 1.0
        assert found["border"]["profile"] == [0.0] * 16
        assert (found["border"]["shift_x"], found["border"]["shift_y"]) == (0.0, 0.0)
        zero = ("shift_a", "shift_b", "blue_excess", "false_blue_rate", "hue_divergence", "bin_divergence")
        assert all(found["colour_bias"][name] == 0.0 for name in zero)
        ratios = [value for name, value in found["resolution"].items() if "ratio" in name]
        assert ratios == [1.0] * 4
        assert all(found["checkerboard"][f"phase_{period}"] == 0.0 for period in measures.PERIODS)
        assert all(abs(found["checkerboard"][f"peak_{period}"]) < 1.5 for period in measures.PERIODS)


@pytest.mark.parametrize(("down", "right"), [(0, 0), (3, 0), (0, -5), (-2, 4)])
def test_a_shift_is_found_to_the_pixel(photos: list[Lab], down: int, right: int) -> None:
    lab = photos[0]
    found = artefacts(lab_to_rgb(np.roll(lab, (down, right), axis=(0, 1))), lab_to_rgb(lab))["border"]
    assert (found["shift_y"], found["shift_x"]) == pytest.approx((down, right), abs=0.1)


def test_a_picture_alone_tells_what_it_can(photos: list[Lab]) -> None:
    rgb = lab_to_rgb(photos[0])
    alone, beside = artefacts(rgb), artefacts(rgb, rgb)
    assert alone.keys() == beside.keys() == {"colour_bias", "border", "resolution", "checkerboard"}
    for name, figures in alone.items():
        assert figures
        assert figures.keys() <= beside[name].keys()


@pytest.mark.parametrize("colour", [(0, 0, 0), (128, 128, 128), (255, 0, 0)])
def test_flat_pictures_have_figures_too(colour: Sequence[int]) -> None:
    flat = np.full((40, 56, 3), colour, np.uint8)
    found = artefacts(flat, flat)
    numbers = [value for figures in found.values() for value in figures.values() if isinstance(value, float)]
    assert np.isfinite(numbers).all()
    assert all(found["checkerboard"][f"peak_{period}"] == pytest.approx(0.0, abs=0.01) for period in (2, 4, 8))
    assert found["resolution"]["high_ratio_l"] is None


def test_random_transposed_convolutions_have_what_resize_convolutions_lack() -> None:
    import torch
    from torch import nn

    torch.manual_seed(0)

    def decoder(up: Callable[[], nn.Module]) -> nn.Sequential:
        layers: list[nn.Module] = []
        for _ in range(3):
            layers += [up(), nn.ReLU()]
        return nn.Sequential(*layers, nn.Conv2d(16, 2, 1))

    def resize() -> nn.Module:
        return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(16, 16, 3, padding=1, padding_mode="reflect"))

    peaks = {}
    for name, up in (("transposed", lambda: nn.ConvTranspose2d(16, 16, 3, 2, 1, 1)), ("resize", resize)):
        with torch.no_grad():
            ab = decoder(up)(torch.randn(1, 16, 16, 16))[0].permute(1, 2, 0).numpy().astype(np.float64)
        (peaks[name],) = spectra.peaks(spectra.spectrum(ab), (2,))
    assert peaks["transposed"] > 1.5
    assert peaks["resize"] < 1.0


@pytest.mark.parametrize(("shapes", "message"), [(((8, 40), None), "at least 16"), (((40, 40), (40, 41)), "one size")])
def test_pictures_that_cannot_be_measured_are_refused(
    shapes: tuple[tuple[int, int], tuple[int, int] | None], message: str
) -> None:
    rgb, truth = (None if shape is None else np.zeros((*shape, 3), np.uint8) for shape in shapes)
    assert rgb is not None
    with pytest.raises(ValueError, match=message):
        artefacts(rgb, truth)
