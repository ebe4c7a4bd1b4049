"""`colorize gc` removes what nothing refers to, and nothing else."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from colorize.commands import app, gc

OLD = time.time() - 7200


@pytest.fixture
def project(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with shards' index, one run of the past, one unfinished and recent, and a killed writer's leftover."""
    (tmp_path / "params.yaml").write_bytes((repository / "params.yaml").read_bytes())
    (tmp_path / "data" / "lab").mkdir(parents=True)
    (tmp_path / "data" / "lab" / "index.json").write_text('{"digest": "0"}', encoding="utf-8")
    (tmp_path / "data" / "statistics.json").write_text("{}", encoding="utf-8")
    (tmp_path / "requirements.lock").write_text("", encoding="utf-8")
    for name in ("unet-past", "unet-recent", "unet-abandoned"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "log.jsonl").write_text("{}\n", encoding="utf-8")
    (tmp_path / "runs" / "unet-past" / "done.json").write_text("{}", encoding="utf-8")
    os.utime(tmp_path / "runs" / "unet-abandoned" / "log.jsonl", (OLD, OLD))
    (tmp_path / "runs" / "notes.txt").write_text("mine", encoding="utf-8")
    for name in (".tmp-old", ".tmp-new"):
        (tmp_path / "data" / name).write_text("", encoding="utf-8")
    os.utime(tmp_path / "data" / ".tmp-old", (OLD, OLD))
    monkeypatch.setenv("COLORIZE_ROOT", str(tmp_path))
    monkeypatch.setattr(gc, "_dead_ray_sessions", list)
    return tmp_path


def test_a_dry_run_removes_nothing(project: Path) -> None:
    before = sorted(project.rglob("*"))
    output = CliRunner().invoke(app, ["gc", "--dry-run"]).output
    assert "would remove" in output
    assert sorted(project.rglob("*")) == before


def test_superseded_runs_and_old_leftovers_go_and_the_rest_stays(project: Path) -> None:
    result = CliRunner().invoke(app, ["gc"])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (project / "runs").iterdir()) == ["notes.txt", "unet-recent"]
    assert sorted(path.name for path in (project / "data").iterdir()) == [".tmp-new", "lab", "statistics.json"]
    assert "3 item(s)" in result.output
