"""`colorize watch` reads a log that somebody else is still writing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from colorize.commands import app
from colorize.commands.watch import sparkline


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLORIZE_ROOT", str(tmp_path))
    return tmp_path


def write_run(project: Path, name: str, age: float, waits: float = 0.0) -> None:
    folder = project / "runs" / name
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"training": {"batch_size": 16}}))
    step = {"step": 10, "steps": 60, "epoch": 1, "loss": 0.5, "learning_rate": 1e-3, "images_per_second": 12.5}
    step["data_wait_share"] = waits
    epoch = {"epoch": 0, "validation_loss": 0.4, "validation_ab_rmse": 11.25}
    lines = [json.dumps(step), json.dumps(epoch), '{"step": 20, "lo']
    (folder / "log.jsonl").write_text("\n".join(lines), encoding="utf-8")
    os.utime(folder / "log.jsonl", (1e9 - age, 1e9 - age))


def test_it_shows_the_newest_run_and_ignores_a_half_written_line(project: Path) -> None:
    write_run(project, "unet-0", age=100)
    write_run(project, "simple_unet-1", age=1)
    output = CliRunner().invoke(app, ["watch", "--once"]).output
    assert "simple_unet-1" in output
    # 50 steps of 16 photos at 12.5 photos a second are 64 seconds.
    for figure in ("10/60", "0.5000", "12.5", "1 min 04 s left", "0.4000", "11.25"):
        assert figure in output
    assert "waits" not in output
    assert "unet-0" in CliRunner().invoke(app, ["watch", "unet", "--once"]).output


def test_waiting_for_data_is_told_from_one_percent_on(project: Path) -> None:
    write_run(project, "unet-0", age=1, waits=0.034)
    assert "waits for data 3%" in CliRunner().invoke(app, ["watch", "--once"]).output


def test_without_a_run_it_says_how_to_get_one(project: Path) -> None:
    result = CliRunner().invoke(app, ["watch", "--once"])
    assert "make run" in str(result.exception)


def test_the_curve_falls_when_the_values_fall() -> None:
    assert sparkline([4.0, 3.0, 2.0, 1.0]) == "█▆▃▁"
    assert sparkline([1.0] * 500) == "▁" * 60
    assert sparkline([float("nan")]) == ""
