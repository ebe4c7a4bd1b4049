"""Flat, grey, nearly grey and one-toned photos are told from coloured ones."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from colorize.data.flags import flag_of
from colorize.settings.sections import ImageSettings

SETTINGS = ImageSettings()
SEPIA = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])


def scene(seed: int, width: int = 480, height: int = 360) -> np.ndarray:
    """Patches of colour with shades and noise."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)
    return np.clip(smooth + generator.normal(0, 6, (height, width, 1)), 0, 255).astype(np.uint8)


def luma(rgb: np.ndarray) -> np.ndarray:
    return np.asarray(rgb @ np.array([0.299, 0.587, 0.114]))


def toned(rgb: np.ndarray, paper: tuple[int, int, int]) -> np.ndarray:
    return np.round(luma(rgb)[..., None] / 255 * np.array(paper)).astype(np.uint8)


def sepia(rgb: np.ndarray) -> np.ndarray:
    return np.clip(np.round(rgb @ SEPIA.T), 0, 255).astype(np.uint8)


def washed_out(rgb: np.ndarray, share: float) -> np.ndarray:
    grey = luma(rgb)[..., None]
    return np.round(grey + (rgb - grey) * share).astype(np.uint8)


def as_jpeg(rgb: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def reason(rgb: np.ndarray, settings: ImageSettings = SETTINGS) -> str | None:
    flag = flag_of(rgb, settings)
    assert flag is None or flag.detail
    return None if flag is None else flag.reason


@pytest.mark.parametrize("seed", range(8))
def test_coloured_pictures_are_not_flagged(seed: int) -> None:
    for picture in (scene(seed), as_jpeg(scene(seed), 40), scene(seed, 60, 40), scene(seed, 33, 200)):
        assert reason(picture) is None


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (90, 140, 60), (250, 20, 20)])
def test_one_colour_all_over_is_flat_whatever_it_is(colour: tuple[int, int, int]) -> None:
    picture = np.full((300, 400, 3), colour, np.uint8)
    assert reason(picture) == "flat"
    picture[:20, :20] = (0, 90, 255)  # less than a hundredth
    assert reason(picture) == "flat"
    picture[:60, :60] = (0, 90, 255)
    assert reason(picture) != "flat"


def test_grey_is_judged_by_the_most_colourful_hundredth() -> None:
    grey = np.repeat(scene(1)[..., :1], 3, axis=-1)
    assert reason(grey) == "grey"
    assert reason(as_jpeg(grey, 50)) == "grey"
    grey[:30, :30] = (200, 40, 40)
    assert reason(grey) == "grey"
    grey[:60, :60] = (200, 40, 40)
    assert reason(grey) == "near-grey"  # 2 % of the picture
    grey[:120, :120] = (200, 40, 40)
    assert reason(grey) is None


def test_washed_out_colours_are_near_grey() -> None:
    picture = scene(2)
    assert reason(washed_out(picture, 0.02)) == "grey"
    assert reason(washed_out(picture, 0.05)) == "near-grey"
    assert reason(washed_out(picture, 0.5)) is None


@pytest.mark.parametrize("paper", [(255, 225, 170), (170, 200, 255), (200, 255, 210), (255, 190, 200)])
@pytest.mark.parametrize("quality", [None, 95, 75])
def test_tinted_prints_are_sepia_whatever_the_tint(paper: tuple[int, int, int], quality: int | None) -> None:
    for seed in range(4):
        picture = toned(scene(seed), paper)
        assert reason(picture if quality is None else as_jpeg(picture, quality)) == "sepia"


@pytest.mark.parametrize("quality", [None, 95])
def test_the_common_sepia_filter(quality: int | None) -> None:
    found = [
        reason(sepia(scene(seed)) if quality is None else as_jpeg(sepia(scene(seed)), quality)) for seed in range(8)
    ]
    assert found == ["sepia"] * 8


def test_two_tones_are_colours() -> None:
    grey = luma(scene(3))[..., None] / 255
    left, right = grey * np.array([255, 225, 170]), grey * np.array([170, 200, 255])
    picture = np.concatenate([left[:, :240], right[:, 240:]], axis=1).astype(np.uint8)
    assert reason(picture) is None


def test_thresholds_decide() -> None:
    picture = scene(4)
    assert reason(picture, ImageSettings(grey_chroma=200)) == "grey"
    assert reason(picture, ImageSettings(near_grey_chroma=200)) == "near-grey"
    assert reason(picture, ImageSettings(flat_range=300)) == "flat"
    assert reason(sepia(picture), ImageSettings(sepia_scatter=0, sepia_chroma=1)) is None
    assert reason(np.repeat(picture[..., :1], 3, axis=-1), ImageSettings(grey_chroma=0, near_grey_chroma=0)) is None


def test_one_pixel() -> None:
    assert reason(np.array([[[200, 30, 30]]], np.uint8)) == "flat"
