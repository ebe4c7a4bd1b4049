"""Colorizing photos of any size: lightness stays, files are read as they should be shown, memory stays bounded."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from colorize.color import lab_to_rgb, rgb_to_lab
from colorize.inference import Colorizer, _enlarged
from colorize.models import create, save_model
from colorize.models.base import Colorization, Prediction
from colorize.settings.architectures import UNetSettings


class Painter(Colorization):
    """A network that paints the left half of what it sees in one colour and the right half in another."""

    def __init__(self, left: tuple[float, float], right: tuple[float, float]) -> None:
        super().__init__()
        self.paints = torch.nn.Parameter(torch.tensor([left, right]))
        self.seen: list[tuple[int, ...]] = []

    def colors(self, l, seeds=None, hints=None) -> Prediction:  # noqa: E741
        self.seen.append(tuple(l.shape))
        half = (torch.arange(l.shape[-1]) >= l.shape[-1] // 2).long()
        return Prediction(ab=self.paints[half].T[None, :, None, :].expand(len(l), 2, *l.shape[-2:]))


def photo(height: int, width: int) -> np.ndarray:
    blots = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(blots).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture
def painter() -> Colorizer:
    return Colorizer(Painter((-12.0, 14.0), (16.0, -18.0)), "painter", 32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    settings = UNetSettings(channels=4, depth=1)
    save_model(tmp_path / "model", create("unet", settings), "unet", settings, {"size": 48})
    return tmp_path / "model"


@pytest.mark.parametrize(
    ("height", "width", "seen"),
    [
        (120, 200, (32, 53)),  # the short side as in training
        (200, 120, (53, 32)),
        (20, 30, (32, 48)),  # a small photo is enlarged
        (10, 2000, (3, 512)),  # a very long one is bounded
        (1, 1, (32, 32)),
    ],
)
def test_any_size_comes_back_at_its_size(painter: Colorizer, height: int, width: int, seen: tuple[int, int]) -> None:
    result = painter.colorize(photo(height, width))
    assert result.shape == (height, width, 3)
    assert result.dtype == np.uint8
    assert painter.model.seen == [(1, 1, *seen)]


def test_lightness_is_the_photos_own(painter: Colorizer) -> None:
    rgb = photo(150, 210)
    lightness = rgb_to_lab(rgb)[..., 0]
    difference = np.abs(rgb_to_lab(painter.colorize(rgb))[..., 0] - lightness)
    assert difference.mean() < 0.15
    assert difference.max() <= 0.7


@pytest.mark.parametrize("ab", [(90.0, 80.0), (-100.0, 90.0), (60.0, -120.0)])
def test_a_colour_no_screen_can_show_is_paled_with_its_hue_not_clipped(ab: tuple[float, float]) -> None:
    colorizer = Colorizer(Painter(ab, ab), "loud", 32)
    rgb = np.repeat(np.arange(0, 256, 4, dtype=np.uint8)[:, None, None], 64, axis=1).repeat(3, axis=2)
    result = rgb_to_lab(colorizer.colorize(rgb))
    assert np.abs(result[..., 0] - rgb_to_lab(rgb)[..., 0]).mean() < 0.5
    clipped = rgb_to_lab(lab_to_rgb(np.dstack([rgb_to_lab(rgb)[..., :1], np.full((64, 64, 2), ab, np.float32)])))
    assert np.abs(clipped[..., 0] - rgb_to_lab(rgb)[..., 0]).mean() > 2
    middle = result[24:40]
    assert np.hypot(middle[..., 1], middle[..., 2]).mean() > 25
    turned = np.angle((middle[..., 1] + 1j * middle[..., 2]) / complex(*ab))
    assert np.abs(np.degrees(turned)).mean() < 12


def test_only_lightness_is_looked_at(painter: Colorizer) -> None:
    rgb = photo(60, 80)
    grey = lab_to_rgb(rgb_to_lab(rgb) * np.array([1, 0, 0], np.float32))[..., :1].repeat(3, axis=2)
    np.testing.assert_array_equal(painter.colorize(grey), painter.colorize(grey[..., 0]))
    assert np.abs(painter.colorize(rgb).astype(int) - painter.colorize(grey)).mean() < 2


def test_strips_leave_no_seams(painter: Colorizer, monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = photo(90, 70)
    whole = painter.colorize(rgb)
    monkeypatch.setattr("colorize.inference._STRIP_PIXELS", 70 * 7)
    np.testing.assert_array_equal(painter.colorize(rgb), whole)


def test_enlarging_agrees_with_torch() -> None:
    small = np.random.default_rng(0).normal(0, 30, (2, 9, 13)).astype(np.float32)
    expected = torch.nn.functional.interpolate(torch.from_numpy(small)[None], (40, 61), mode="bilinear")[0]
    np.testing.assert_allclose(_enlarged(small, (40, 61), 0, 40), expected.numpy().transpose(1, 2, 0), atol=1e-3)
    np.testing.assert_array_equal(_enlarged(small, (40, 61), 11, 18), _enlarged(small, (40, 61), 0, 40)[11:18])


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
    ],
)
def test_what_is_no_photo_is_refused_with_its_shape(painter: Colorizer, wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"uint8 photo.*got"):
        painter.colorize(wrong)


def test_a_file_is_colorized_beside_itself_upright(painter: Colorizer, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photo(60, 100)).save(tmp_path / "holiday.one.JPG", exif=exif)
    written = painter.colorize_file(tmp_path / "holiday.one.JPG")
    assert written == tmp_path / "holiday.one.colorized.png"
    with Image.open(written) as result:
        assert (result.format, result.size, result.mode) == ("PNG", (60, 100), "RGB")
        assert "exif" not in result.info
    assert sorted(path.name for path in tmp_path.iterdir()) == ["holiday.one.JPG", "holiday.one.colorized.png"]


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "CMYK", "I;16"])
def test_any_pixel_format_is_taken(painter: Colorizer, tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(photo(40, 50))
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    else:
        picture = picture.convert(mode)
    picture.save(tmp_path / "photo.tif")
    written = painter.colorize_file(str(tmp_path / "photo.tif"), tmp_path / "sub" / "out.png")
    with Image.open(written) as result:
        assert result.size == (50, 40)


def test_what_cannot_be_read_is_named_with_its_reason_and_leaves_nothing(painter: Colorizer, tmp_path: Path) -> None:
    Image.fromarray(photo(60, 100)).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:700])
    (tmp_path / "note.jpg").write_text("not a photo")
    with pytest.raises(ValueError, match=r"cut\.jpg cannot be colorized: truncated"):
        painter.colorize_file(tmp_path / "cut.jpg")
    with pytest.raises(ValueError, match=r"note\.jpg cannot be colorized: not-an-image"):
        painter.colorize_file(tmp_path / "note.jpg")
    with pytest.raises(FileNotFoundError):
        painter.colorize_file(tmp_path / "absent.jpg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.jpg", "note.jpg"]


def test_a_model_folder_is_loaded_with_its_training_size(folder: Path) -> None:
    colorizer = Colorizer.load(folder)
    assert colorizer.size == 48
    assert colorizer.name == str(folder)
    result = colorizer.colorize(photo(70, 90))
    np.testing.assert_array_equal(result, Colorizer.load(str(folder)).colorize(photo(70, 90)))


def test_what_no_registry_knows_is_an_error_that_names_it(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "params.yaml").write_text((repository / "params.yaml").read_text())
    with pytest.raises(ValueError, match="nonsense"):
        Colorizer.load("nonsense", root=tmp_path)


def test_importing_does_not_load_torch() -> None:
    code = "import sys, colorize.inference; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_a_photo_of_24_megapixels_needs_little_memory_beside_itself(painter: Colorizer) -> None:
    rgb = np.asarray(Image.fromarray(photo(100, 150)).resize((6000, 4000)))
    painter.colorize(rgb[:500])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    painter.colorize(rgb)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 72 + 200, f"{grown:.0f} MiB beside the photo, {time.perf_counter() - start:.1f} s"
