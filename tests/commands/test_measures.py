"""`colorize compare` and `colorize artefacts`: figures of pictures that any system made."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from colorize.commands import app
from colorize.metrics.pairs import matched, measure
from colorize.metrics.quality import psnr

KEYS = {
    "psnr",
    "ssim",
    "ab_rmse",
    "ciede2000_mean",
    "ciede2000_p95",
    "colorfulness",
    "colorfulness_absolute",
    "colorfulness_error",
    "auc",
    "auc_rebalanced",
    "ssim_variant",
    "auc_prior",
}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three true photos, two of them colorized, one of which is better than the other."""
    generator = np.random.default_rng(1)
    for number in range(3):
        truth = generator.integers(0, 256, (5, 6, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
        grey = np.repeat(truth.mean(axis=2, keepdims=True), 3, axis=2)
        for folder, picture, name in (
            ("truth", truth, f"{number}.png"),
            ("predicted", np.rint(truth + (grey - truth) * 0.3 * number), f"{number}.colorized.png"),
        ):
            (tmp_path / folder).mkdir(exist_ok=True)
            if (folder, number) != ("predicted", 2):
                Image.fromarray(picture.astype(np.uint8)).save(tmp_path / folder / name)
    return tmp_path


def run(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def test_two_files(pictures: Path) -> None:
    code, output, _ = run("compare", pictures / "predicted/1.colorized.png", pictures / "truth/1.png", "--json")
    figures = json.loads(output)
    assert code == 0
    assert figures.keys() >= KEYS
    assert "7x7" in figures["ssim_variant"]
    assert figures["colorfulness"] < figures["colorfulness_truth"]
    assert figures["colorfulness_error"] == figures["colorfulness_truth"] - figures["colorfulness"]
    assert 0 < figures["auc_rebalanced"] < figures["auc"] < 1


def test_the_same_picture_twice_is_perfect(pictures: Path) -> None:
    truth = pictures / "truth/0.png"
    _, output, _ = run("compare", truth, truth, "--json")
    figures = json.loads(output)
    assert (figures["psnr"], figures["ssim"], figures["auc"], figures["auc_rebalanced"]) == (100, 1, 1, 1)
    assert figures["ab_rmse"] == figures["ciede2000_p95"] == figures["colorfulness_error"] == 0


@pytest.mark.parametrize("protocol", ["center-crop", "resize"])
def test_pictures_of_two_sizes_are_measured_by_a_protocol(pictures: Path, protocol: str) -> None:
    files = pictures / "predicted/1.colorized.png", pictures / "truth/1.png"
    with Image.open(files[0]) as picture:
        smaller = picture.crop((0, 0, 46, 40))
    smaller.save(files[0])
    with pytest.raises(ValueError, match="46 x 40 pixels beside 48 x 40"):
        run("compare", *files)
    _, output, _ = run("compare", *files, "--protocol", protocol, "--size", 32, "--json")
    found = json.loads(output)
    assert found["protocol"] == f"{protocol} 32"
    boxes = {"center-crop": [(3, 0, 43, 40), (4, 0, 44, 40)], "resize": [(0, 0, 46, 40), (0, 0, 48, 40)]}[protocol]
    made = []
    for file, box in zip(files, boxes, strict=True):
        with Image.open(file) as picture:
            made.append(np.asarray(picture.crop(box).resize((32, 32), Image.Resampling.BICUBIC)))
    assert found["psnr"] == psnr(made[1], made[0])
    assert found["ab_rmse"] > 0


def test_a_protocol_nobody_knows_is_refused_with_those_there_are(pictures: Path) -> None:
    truth = pictures / "truth/0.png"
    code, _, errors = run("compare", truth, truth, "--protocol", "square")
    assert code == 2
    assert "center-crop" in errors


def test_two_folders_have_means_and_every_picture(pictures: Path) -> None:
    code, output, errors = run("compare", pictures / "predicted", pictures / "truth", "--json")
    found = json.loads(output)
    assert code == 1  # one truth has no partner
    assert "left out: 2: has no partner" in errors
    assert (found["photos"], found["left_out"]) == (2, {"2": "has no partner"})
    assert [row["name"] for row in found["each"]] == ["0.colorized.png", "1.colorized.png"]
    assert found["psnr"] == np.mean([row["psnr"] for row in found["each"]])
    assert found["colorfulness_difference"] == pytest.approx(found["colorfulness_error"])  # both are less colourful
    code, output, _ = run("compare", pictures / "predicted", pictures / "truth")
    assert "mean of 2 pictures" in output
    assert " dB" in output


def test_what_cannot_be_compared_is_named(pictures: Path) -> None:
    (pictures / "predicted/2.png").write_bytes(b"no picture")
    code, output, errors = run("compare", pictures / "predicted", pictures / "truth", "--json")
    assert code == 1
    assert json.loads(output)["photos"] == 2
    assert "2.png cannot be read: not-an-image" in errors
    with pytest.raises(ValueError, match="two pictures or two folders"):
        run("compare", pictures / "predicted", pictures / "truth/0.png")
    Image.new("RGB", (20, 30)).save(pictures / "small.png")
    with pytest.raises(ValueError, match="20 x 30 pixels beside 48 x 40: bring both to one size"):
        run("compare", pictures / "small.png", pictures / "truth/0.png")
    (pictures / "predicted/1.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="have the same name"):
        run("compare", pictures / "predicted", pictures / "truth")


def test_artefacts_of_a_picture(pictures: Path) -> None:
    picture, truth = pictures / "predicted/1.colorized.png", pictures / "truth/1.png"
    code, output, _ = run("artefacts", picture, "--json")
    alone = json.loads(output)
    assert code == 0
    assert alone.keys() == {"colour_bias", "border", "resolution", "checkerboard"}
    _, output, _ = run("artefacts", picture, "--truth", truth, "--json")
    beside = json.loads(output)
    assert beside["border"]["error_ratio"] > 0
    assert beside["colour_bias"].keys() > alone["colour_bias"].keys()
    _, output, _ = run("artefacts", picture, "--truth", truth)
    assert "checkerboard\n" in output
    assert "false_blue_rate" in output


def test_names_are_matched_whatever_their_endings() -> None:
    ours, theirs = [Path("a/x.colorized.png"), Path("a/y.png")], [Path("b/x.jpg"), Path("b/z.jpg")]
    assert matched(ours, theirs) == ([(ours[0], theirs[0])], ["y", "z"])


def test_figures_equal_those_of_scikit_image() -> None:
    from skimage.color import rgb2lab
    from skimage.metrics import peak_signal_noise_ratio

    generator = np.random.default_rng(3)
    truth, other = (generator.integers(0, 256, (30, 40, 3), np.uint8) for _ in range(2))
    found = measure(truth, other)
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(truth, other))
    difference = rgb2lab(truth)[..., 1:] - rgb2lab(other)[..., 1:]
    assert found["ab_rmse"] == pytest.approx(np.sqrt(np.mean(difference**2)), rel=1e-6)
    distance = np.sqrt((difference**2).sum(axis=-1))
    curve = [(distance <= threshold).mean() for threshold in range(151)]
    assert found["auc"] == pytest.approx(np.trapezoid(curve) / 150, abs=1e-5)
