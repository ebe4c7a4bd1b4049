"""The command line as a whole: the default command, help, and errors of one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from colorize.commands import app
from colorize.commands.project import find_root

COMMAND = [str(Path(sys.executable).with_name("colorize"))]


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def test_help_names_every_command_and_the_default() -> None:
    text = CliRunner().invoke(app, ["--help"]).output
    for name in ("photos", "inspect", "remove", "models", "watch", "verify", "doctor", "gc", "colorize FILE"):
        assert name in text


@pytest.mark.parametrize("name", ["photos", "inspect", "remove", "models", "watch", "verify", "doctor", "gc"])
def test_every_command_explains_itself(name: str) -> None:
    result = CliRunner().invoke(app, [name, "-h"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_a_file_is_read_as_the_default_command(tmp_path: Path) -> None:
    result = run("no-such-photo.jpg", folder=tmp_path)
    assert result.returncode == 1
    assert result.stderr.strip() == "error: no-such-photo.jpg: no such file or folder"


def test_options_may_come_before_the_file(tmp_path: Path) -> None:
    result = run("--model", "unet", "no-such-photo.jpg", folder=tmp_path)
    assert "no-such-photo.jpg: no such file or folder" in result.stderr


def test_a_command_wins_over_a_file_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "verify").write_text("no photo", encoding="utf-8")
    assert "Missing argument" in run("verify", folder=tmp_path).stderr
    as_file = run("./verify", folder=tmp_path)
    assert as_file.returncode == 1
    assert "Missing argument" not in as_file.stderr


def test_errors_of_the_system_name_the_file_and_no_number(tmp_path: Path) -> None:
    result = run("compare", "nothing.png", "other.png", folder=tmp_path)
    assert result.returncode == 1
    assert result.stderr.strip() == "error: other.png: no such file or directory"


def test_an_empty_folder_is_no_collection_of_photos(tmp_path: Path) -> None:
    result = run(str(tmp_path), folder=tmp_path)
    assert result.returncode == 1
    assert "no photos in" in result.stderr


def test_the_root_is_found_from_inside_and_from_outside(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository / "docs")
    assert find_root() == repository
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).write_text("", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert find_root() == tmp_path
    monkeypatch.setenv("COLORIZE_ROOT", str(repository))
    assert find_root() == repository
