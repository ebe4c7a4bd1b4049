"""What would be trained and why, before anything heavy is imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from colorize.settings import Settings
from pipelines.plan import decide, plan, sentence
from pipelines.train import main

FINGERPRINT = "f" * 64


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "data" / "lab").mkdir(parents=True)
    (tmp_path / "data" / "lab" / "index.json").write_text('{"height": 32, "digest": "d"}')
    (tmp_path / "data" / "statistics.json").write_text("{}")
    (tmp_path / "requirements.lock").write_text("")
    return tmp_path


def settings(**sections: object) -> Settings:
    values = {"datasets": {}, "shards": {"size": 32}, "architectures": {"simple_unet": {}, "unet": {}}}
    return Settings.model_validate({**values, **sections})


@pytest.mark.parametrize(
    ("done", "checkpoint", "action", "reason"),
    [
        (None, None, "train", "no run with this data, parameters, code and lock file yet"),
        (None, "epoch-00003", "resume", "stopped after epoch-00003"),
        ({"fingerprint": FINGERPRINT}, "epoch-00008", "skip", "already trained"),
    ],
)
def test_decision(done: dict[str, str] | None, checkpoint: str | None, action: str, reason: str) -> None:
    decided, why = decide(FINGERPRINT, done, checkpoint)
    assert decided == action
    assert why.startswith(reason)


def test_a_folder_of_another_run_is_refused() -> None:
    with pytest.raises(ValueError, match="move it away"):
        decide(FINGERPRINT, {"fingerprint": "e" * 64}, None)


def test_runs_are_found_again_by_name(project: Path) -> None:
    simple, unet = plan(settings(), project)
    assert [simple.action, unet.action] == ["train", "train"]
    (simple.folder / "checkpoints" / "epoch-00001").mkdir(parents=True)
    unet.folder.mkdir()
    (unet.folder / "done.json").write_text(json.dumps({"fingerprint": unet.specification.fingerprint}))
    assert [item.action for item in plan(settings(), project)] == ["resume", "skip"]
    longer = settings(training={"epochs": 99})
    assert [item.action for item in plan(longer, project)] == ["train", "train"]
    assert sentence(plan(settings(), project, ["unet"])[0]).startswith(f"skip   unet-{unet.folder.name[5:]}: already")


@pytest.mark.parametrize(
    ("change", "architectures", "message"),
    [
        ({}, ["u_net"], "'u_net' is not in params.yaml; chosen there: simple_unet, unet"),
        ({"architectures": {}}, [], "chooses no architecture"),
        ({"shards": {"size": 64}}, [], r"photos of 32 pixels.*shards.size 64.*dvc repro"),
    ],
)
def test_what_cannot_be_is_said(
    project: Path, change: dict[str, object], architectures: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plan(settings(**change), project, architectures)


def test_missing_data_names_the_command(project: Path) -> None:
    (project / "data" / "lab" / "index.json").unlink()
    with pytest.raises(ValueError, match="dvc repro"):
        plan(settings(), project)


def test_errors_are_one_line_and_an_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_a_dry_run_imports_nothing_heavy() -> None:
    code = "import pipelines.train, sys; print({'torch', 'ray', 'prefect', 'mlflow', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_dry_run_before_there_is_data_says_what_comes_first(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "params.yaml").write_bytes((repository / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    assert main(["--dry-run"]) == 0
    assert "after `dvc repro`, there is no data yet" in capsys.readouterr().out
    assert main(["--architecture", "unet"]) == 1
    assert "index.json is missing" in capsys.readouterr().err
