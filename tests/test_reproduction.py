"""Training a version again: what is refused, what is said to differ, and once for real."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import typer
import yaml
from typer.testing import CliRunner

from colorize.commands.reproduce import reproduce as command
from colorize.registry import Registry, Version
from colorize.reproduction import (
    Recipe,
    ReproductionError,
    differing_inputs,
    differing_tensors,
    parameters,
    recipe,
    reproduce,
)
from colorize.settings import Settings, load_settings

TAGS = {
    "fingerprint": "0123456789ab" + 52 * "0",
    "git_commit": 40 * "c",
    "git_dirty": "false",
    "workers": "2",
    "threads": "3",
    "device": "cpu",
    "data_digest": 64 * "d",
    "requirements_digest": 64 * "e",
}
RUN = "unet-0123456789ab"


def version(**changes: str | None) -> Version:
    tags = {name: value for name, value in {**TAGS, **changes}.items() if value is not None}
    return Version(7, "unet", RUN, (), {}, tags, Path("nowhere"))


def test_a_version_tells_how_it_was_made() -> None:
    made = recipe(version())
    assert (made.number, made.run, made.commit, made.workers, made.threads) == (7, RUN, 40 * "c", 2, 3)
    assert not made.dirty
    assert made.digests == {"data": 64 * "d", "requirements": 64 * "e"}
    assert recipe(version(threads=None)).threads is None
    assert recipe(version(git_dirty="true")).dirty


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fingerprint": None}, r"version 7 \(unet\) was not trained here: its weights are published ones"),
        ({"git_commit": None}, r"version 7 \(unet\) was trained outside of Git"),
    ],
)
def test_what_cannot_be_trained_again_is_refused(changes: dict[str, None], words: str) -> None:
    with pytest.raises(ReproductionError, match=words):
        recipe(version(**changes))


@pytest.mark.parametrize(("device", "gpu"), [("cpu", "never"), ("NVIDIA H100", "always")])
def test_its_clone_trains_with_the_same_workers_and_threads_and_registers_nowhere_else(device: str, gpu: str) -> None:
    text = """
training: {epochs: 5}
scaling: {workers: 8, minimum_workers: 2, cpus_per_worker: null, gpu: auto, storage: "s3://team/runs"}
registry: {store: "postgresql://team/mlflow", artefacts: "s3://team/models"}
"""
    values = yaml.safe_load(parameters(text, recipe(version(device=device))))
    assert values["training"] == {"epochs": 5}
    scaling = {"workers": 2, "minimum_workers": None, "cpus_per_worker": 3, "gpu": gpu, "storage": None}
    assert values["scaling"] == scaling
    settings = Settings.model_validate({**values, "datasets": {"mine": {"source": "file:///photos"}}})
    assert settings.registry.store == "sqlite:///registry/mlflow.db"
    assert settings.registry.artefacts == "registry/artefacts"


def test_parameters_of_a_commit_without_these_sections_get_no_keys_it_may_not_know() -> None:
    values = yaml.safe_load(parameters("training: {epochs: 5}", recipe(version(threads=None))))
    assert values["scaling"] == {"workers": 2, "gpu": "never"}


def test_inputs_that_differ_are_named() -> None:
    made: Recipe = recipe(version(params_digest=64 * "f"))
    same = {"data": 64 * "d", "params": 64 * "f", "requirements": 64 * "e"}
    assert differing_inputs(made, RUN, {**same, "data": "other"}) == []
    other = "unet-ba9876543210"
    (data,) = differing_inputs(made, other, {**same, "data": 64 * "1"})
    assert data == "data: 111111111111… here, dddddddddddd… then"
    both = differing_inputs(made, other, {**same, "params": 64 * "1", "requirements": 64 * "2"})
    assert [one.partition(":")[0] for one in both] == ["params.yaml", "requirements.lock"]
    (code,) = differing_inputs(recipe(version(git_dirty="true")), other, same)
    assert "changed and not committed" in code
    (unknown,) = differing_inputs(made, other, same)
    assert unknown.startswith("code, or published weights")


def test_weights_that_differ_are_named_the_largest_first() -> None:
    then = {"a": np.zeros(3, np.float32), "b": np.ones((2, 2), np.float32), "c": np.zeros(1, np.int64)}
    assert differing_tensors(then, dict(then)) == []
    now = {"a": np.array([0, -0.5, 0.25], np.float32), "b": np.ones((2, 2), np.float32) + 2, "c": then["c"]}
    assert differing_tensors(then, now) == ["b: differs by 2 at most", "a: differs by 0.5 at most"]
    shapes = {"a": np.zeros(4, np.float32), "c": then["c"], "d": then["c"]}
    assert differing_tensors(then, shapes) == [
        "b: only in the registered model",
        "d: only in the new one",
        "a: shape (3,) then, (4,) now",
    ]
    many = {f"t{number:02}": np.full(1, number, np.float32) for number in range(12)}
    said = differing_tensors(many, {name: value + 1 for name, value in many.items()})
    assert said[-1] == "and 4 more of 12 tensors, all by less"


PARAMETERS = """
datasets:
  mine: {source: "sample://landscape-pictures?photos=24", layout: flat}
ingest: {maximum_refused: 0.5}
shards: {size: 32, rows: 16, row_group: 8}
split: {validation: 0.2, test: 0.2}
training: {epochs: 1, batch_size: 8}
scaling: {workers: 1, cpus_per_worker: 1, gpu: never}
architectures:
  unet: {model: {channels: 4, depth: 2}}
evaluation: {gallery: 2}
"""


def run(root: Path, *arguments: str) -> None:
    done = subprocess.run(arguments, cwd=root, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def commit(root: Path) -> str:
    run(root, "git", "add", "-A")
    run(root, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "state")
    told = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
    return told.stdout.strip()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Path]:
    """A clone with data in DVC's cache and one version; then the code of training, and params.yaml, were changed."""
    root = tmp_path_factory.mktemp("reproduction") / "project"
    listed = ["git", "-C", str(repository), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\0")
    rooms = ("colorize/", "stages/", "pipelines/", ".dvc", "dvc.yaml", "requirements.lock", ".gitignore")
    for name in names:
        if name.startswith(rooms) and (repository / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(repository / name, root / name)
    (root / "removed.jsonl").touch()
    # DVC wants every section to be there.
    whole = Settings.model_validate(yaml.safe_load(PARAMETERS)).model_dump(mode="json")
    (root / "params.yaml").write_text(yaml.safe_dump(whole))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(root))
        patch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
        run(root, "git", "init", "-q")
        commit(root)
        run(root, sys.executable, "-m", "dvc", "repro", "--quiet")
        run(root, sys.executable, "-m", "pipelines.train")
        with (root / "colorize/training/loop.py").open("a") as file:
            file.write("# another text\n")
        (root / "params.yaml").write_text(yaml.safe_dump({**whole, "training": {"epochs": 9}}))
        commit(root)
        yield root


def temporaries(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith("reproduce-")]


@pytest.mark.slow
def test_the_same_weights_byte_for_byte_whatever_the_project_looks_like_today(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLORIZE_ROOT", str(project))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = sorted(str(path) for path in (project / "registry").rglob("*") if path.is_file())
    application = typer.Typer()
    application.command()(command)
    done = CliRunner().invoke(application, ["champion"])
    assert done.exit_code == 0, (done.output, done.exception, capfd.readouterr())
    assert done.output.strip().endswith("the same weights, byte for byte")
    assert "unet: trained" in capfd.readouterr().out  # it really was trained
    assert temporaries(tmp_path) == []
    assert sorted(str(path) for path in (project / "registry").rglob("*") if path.is_file()) == before


@pytest.mark.slow
def test_what_would_be_another_run_is_not_trained(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    registry = Registry(load_settings(project / "params.yaml").registry, project)
    head = commit_of(project)
    made = registry.resolve(1).tags["git_commit"]
    assert head != made
    try:
        registry.client.set_model_version_tag(registry.name, "1", "git_commit", head)
        with pytest.raises(ReproductionError, match=r"not trained, it would be another run, unet-\w{12}: code.*/repro"):
            reproduce(1, registry, project, print)
        registry.client.set_model_version_tag(registry.name, "1", "git_commit", 40 * "0")
        with pytest.raises(ReproductionError, match=r"commit 0{40}, which version 1 was trained from, is not in .*git"):
            reproduce(1, registry, project, print)
    finally:
        registry.client.set_model_version_tag(registry.name, "1", "git_commit", made)
    (kept,) = temporaries(tmp_path)
    assert not list((tmp_path / kept).glob("runs/*/done.json"))


def commit_of(root: Path) -> str:
    told = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
    return told.stdout.strip()
