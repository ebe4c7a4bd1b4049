"""The registry: versions that are complete or absent, aliases, and what people are told."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from colorize.registry import Registry, RegistryError, Version, lineage, promote
from colorize.registry.model_card import findings
from colorize.settings.sections import RegistrySettings

SETTINGS = RegistrySettings()


def make_run(root: Path, name: str) -> Path:
    run = root / "runs" / name
    (run / "model").mkdir(parents=True)
    (run / "model" / "model.safetensors").write_bytes(name.encode())
    (run / "model" / "model.json").write_text("{}")
    (run / "run.json").write_text(json.dumps({"architecture": "unet", "training": {"epochs": 2, "seed": 1}}))
    (run / "done.json").write_text("{}")
    records = [{"step": 5, "epoch": 1, "loss": 2.0}, {"step": 10, "epoch": 1, "validation_loss": 1.5}]
    (run / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return run


def register(registry: Registry, run: Path, error: float = 1.0) -> Version:
    tags = {"architecture": run.name.rpartition("-")[0], "data_digest": "d"}
    return registry.register(run, {"ab_rmse": error}, tags, {"README.md": b"# card"})


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with three versions: unet (1, 3) and simple_unet (2); 3 is champion after 2. Copied, not changed."""
    root = tmp_path_factory.mktemp("project")
    registry = Registry(SETTINGS, root)
    for name in ("unet-aaaaaaaaaaaa", "simple_unet-bbbbbbbbbbbb", "unet-cccccccccccc"):
        register(registry, make_run(root, name))
    promote(registry, 2, "champion", expected=None)
    promote(registry, 3, "champion", expected=2)
    promote(registry, 1, "champion-unet", expected=None)
    return root


@pytest.fixture
def project(filled: Path, tmp_path: Path) -> Path:
    """A copy at another place: what is tested on it also shows that a project can be moved."""
    return Path(shutil.copytree(filled, tmp_path / "moved"))


@pytest.mark.parametrize(
    ("what", "number"),
    [("champion", 3), ("previous", 2), ("unet", 1), ("champion-unet", 1), ("simple_unet", 2), ("2", 2), (3, 3)],
)
def test_a_version_is_found_by_alias_architecture_and_number(project: Path, what: str | int, number: int) -> None:
    registry = Registry(SETTINGS, project)
    assert registry.resolve(what).number == number
    assert (registry.model_folder(what) / "model.safetensors").read_text().startswith(registry.resolve(what).run)


def test_unknown_names_are_answered_with_what_there_is(project: Path) -> None:
    with pytest.raises(RegistryError, match=r"no model 'champ'.*previous.*simple_unet, unet.*versions: 1, 2, 3"):
        Registry(SETTINGS, project).model_folder("champ")


def test_an_empty_project_says_how_to_get_models_and_makes_no_database(tmp_path: Path) -> None:
    registry = Registry(SETTINGS, tmp_path)
    with pytest.raises(RegistryError, match=r"nothing is registered.*make run"):
        registry.resolve("champion")
    assert registry.list() == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [1.0, 9.0])
def test_a_run_is_registered_once_and_new_measurements_replace_old_ones(project: Path, error: float) -> None:
    registry = Registry(SETTINGS, project)
    assert register(registry, project / "runs" / "unet-aaaaaaaaaaaa", error).number == 1
    assert registry.resolve(1).metrics == {"ab_rmse": error}
    assert registry.resolve(1).aliases == ("champion-unet",)
    assert len(registry.list()) == 3


def test_a_version_keeps_model_card_and_lineage(project: Path) -> None:
    version = Registry(SETTINGS, project).resolve(1)
    assert sorted(path.name for path in version.folder.iterdir()) == ["README.md", "model.json", "model.safetensors"]
    assert version.tags["data_digest"] == "d"
    assert version.aliases == ("champion-unet",)


def test_the_curves_of_a_training_are_logged(project: Path) -> None:
    with sqlite3.connect(project / "registry" / "mlflow.db") as database:
        points = set(database.execute("select key, value, step from metrics"))
        parameters = set(database.execute("select key, value from params"))
    assert {("loss", 2.0, 5), ("validation_loss", 1.5, 10), ("test_ab_rmse", 1.0, 0)} <= points
    assert ("training.epochs", "2") in parameters


@pytest.mark.parametrize("killed_in", ["copytree", "create_model_version"])
def test_a_killed_registration_leaves_no_version_and_the_next_one_works(
    project: Path, monkeypatch: pytest.MonkeyPatch, killed_in: str
) -> None:
    run = make_run(project, "unet-dddddddddddd")
    registry = Registry(SETTINGS, project)

    def killed(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*((shutil, killed_in) if killed_in == "copytree" else (registry.client, killed_in)), killed)
        with pytest.raises(KeyboardInterrupt):
            register(registry, run)
    assert [version.number for version in registry.list()] == [1, 2, 3]
    version = register(registry, run)
    assert version.number == 4
    assert (registry.model_folder(4) / "model.safetensors").read_text() == run.name
    assert not list(registry.artefacts.folder.glob(".tmp-*"))


def test_a_run_without_model_is_refused(project: Path) -> None:
    (project / "runs" / "unet-eeeeeeeeeeee").mkdir()
    with pytest.raises(RegistryError, match="no trained model"):
        register(Registry(SETTINGS, project), project / "runs" / "unet-eeeeeeeeeeee")


def test_missing_files_of_a_version_are_named(project: Path) -> None:
    shutil.rmtree(project / "registry" / "artefacts" / "unet-cccccccccccc")
    with pytest.raises(RegistryError, match=r"version 3.*its files are not in"):
        Registry(SETTINGS, project).model_folder("champion")


def test_another_store_can_be_named_by_the_environment(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{filled}/registry/mlflow.db")
    assert len(Registry(SETTINGS, tmp_path).list()) == 3


def test_lineage_tells_commit_and_digests(repository: Path) -> None:
    tags = lineage(repository)
    assert len(tags["git_commit"]) == 40
    assert tags["git_dirty"] in ("true", "false")
    assert len(tags["params_digest"]) == 64


def test_lineage_outside_git_has_no_commit(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("x")
    assert list(lineage(tmp_path)) == ["params_digest"]


def test_a_model_card_says_when_a_model_is_faded_or_useless() -> None:
    metrics = {"colorfulness": 10.0, "colorfulness_truth": 40.0, "ab_rmse": 20.0}
    said = " ".join(findings(metrics, {"grey": {"ab_rmse": 15.0}, "mean_color": {"ab_rmse": 30.0}}))
    assert "faded" in said
    assert "no better than the baseline 'grey'" in said
    assert "mean_color" not in said


def test_artefacts_that_cannot_be_written_are_named_and_nothing_is_registered(project: Path) -> None:
    registry = Registry(SETTINGS, project)
    run, artefacts = make_run(project, "unet-dddddddddddd"), project / "registry" / "artefacts"
    before = registry.list()
    aside = artefacts.rename(project / "aside")
    if os.geteuid() == 0:  # to whom no folder is read-only
        artefacts.write_text("no folder")
    else:
        artefacts.mkdir(0o555)
    with pytest.raises(OSError, match=r"registry/artefacts"):
        register(registry, run)
    artefacts.unlink() if artefacts.is_file() else artefacts.rmdir()
    aside.rename(artefacts)
    assert registry.list() == before
    assert register(registry, run).number == 4
