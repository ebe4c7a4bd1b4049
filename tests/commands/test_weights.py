"""`colorize weights`: list, import and fetch, as a person at a terminal sees them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from colorize.commands import app
from colorize.models.eccv16 import ECCV16
from colorize.models.pix2pix import PixelGAN
from colorize.models.resnet import ResNet

COMMAND = str(Path(sys.executable).with_name("colorize"))


def run(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *map(str, arguments)], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path: Path, repository: Path) -> Path:
    """A project folder with nothing but its parameters."""
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).write_bytes((repository / name).read_bytes())
    return tmp_path


def test_the_list_names_every_network_its_licence_and_what_is_there(project: Path) -> None:
    torch.save(PixelGAN().state_dict(), project / "pixel.pth")
    assert run("weights", "import", "pix2pix_pixelgan", "pixel.pth", folder=project).returncode == 0
    shown = run("weights", "list", folder=project)
    assert shown.returncode == 0, shown.stderr
    lines = [line for line in shown.stdout.splitlines() if "│" in line]
    assert len(lines) == 18
    pixel = next(line for line in lines if "pix2pix_pixelgan" in line)
    assert "pixel.pth" in pixel
    assert "8,832" in pixel
    values = {row["name"]: row for row in json.loads(run("weights", "list", "--json", folder=project).stdout)}
    assert values["eccv16"]["files"][0]["sha256_prefix"] == "9b330a0b"
    assert values["eccv16"]["imported"] is None
    assert values["pix2pix_pixelgan"]["imported"]["licence"] == "that of whoever trained them"


def test_an_encoder_is_imported_and_says_how_to_use_it(project: Path) -> None:
    torch.save(ResNet("resnet18").state_dict(), project / "r18.pth")
    done = run("weights", "import", "resnet18", "r18.pth", folder=project)
    assert done.returncode == 0, done.stderr
    assert "11,689,512 parameters" in done.stdout
    assert "pretrained: resnet18" in done.stdout
    assert "note: r18.pth is none of the published files of 'resnet18'" in done.stderr
    assert not (project / "registry").exists()


def test_a_generator_is_imported_listed_and_colorizes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORIZE_ROOT", str(project))
    torch.save(ECCV16().state_dict(), project / "e.pth")
    Image.radial_gradient("L").resize((40, 24)).save(project / "photo.png")
    # In one process: each new one would import torch and MLflow again.
    outputs = []
    weights, photo = str(project / "e.pth"), str(project / "photo.png")
    for words in (["weights", "import", "eccv16", weights], ["models"], [photo, "--model", "1"]):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, (done.output, done.exception)
        outputs.append(done.stdout)
    assert "registered as version 1" in outputs[0]
    assert "published-eccv16-" in outputs[1]
    with Image.open(project / "photo.colorized.png") as colored:
        assert colored.size == (40, 24)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("import", "eccv61", "w.pth"), "no published network is named 'eccv61'; did you mean 'eccv16'?"),
        (("import", "eccv16", "w.pth"), "w.pth: not the weights of 'eccv16' (82 tensors"),
        (("import", "eccv16", "none.pth"), "error: none.pth: no such file or directory"),
        (("import", "eccv16", "x-9b330a0b.pth"), "not with 9b330a0b as published"),
        (("fetch", "pix2pix_unet256"), "no file is published for 'pix2pix_unet256'"),
        (("fetch", "siggraph17", "--variant", "best"), "'siggraph17' has no variant 'best'; there are: release"),
    ],
)
def test_what_cannot_be_done_is_one_line(project: Path, arguments: tuple[str, ...], message: str) -> None:
    for name in ("w.pth", "x-9b330a0b.pth"):
        torch.save({"a": torch.zeros(1)}, project / name)
    done = run("weights", *arguments, folder=project)
    assert done.returncode == 1
    if message.startswith("w.pth: not"):
        message = "w.pth: not the weights of 'eccv16' ("
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (project / "weights").exists()


def test_without_internet_fetching_says_so_and_keeps_what_it_has(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("COLORIZE_RETRY_SECONDS", "0")
    done = run("weights", "fetch", "eccv16", folder=project)
    assert done.returncode == 1
    assert "colorization_release_v2-9b330a0b.pth: tried 10 times" in done.stderr
    assert "run the same command again" in done.stderr


def test_git_ignores_weights_but_not_the_package(repository: Path) -> None:
    def ignored(path: str) -> bool:
        return subprocess.run(["git", "check-ignore", "-q", path], cwd=repository, check=False).returncode == 0

    assert ignored("weights/eccv16/model.safetensors")
    assert not ignored("colorize/weights/loading.py")
