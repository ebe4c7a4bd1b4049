"""The committed profiles are whole, and `make profile` never drops anybody's edits unasked."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from colorize.commands.profile import differences, put
from colorize.settings import Settings, load_settings

PROFILES = ("full", "sample")


@pytest.fixture
def project(tmp_path: Path, repository: Path) -> Path:
    shutil.copytree(repository / "profiles", tmp_path / "profiles")
    for name in ("dvc.yaml", "Makefile"):
        shutil.copy(repository / name, tmp_path / name)
    shutil.copy(repository / "profiles" / "sample.yaml", tmp_path / "params.yaml")
    return tmp_path


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "colorize.commands.profile", *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


def test_the_sample_profile_is_what_is_committed_as_params_yaml(repository: Path) -> None:
    same = (repository / "profiles/sample.yaml").read_bytes() == (repository / "params.yaml").read_bytes()
    assert same, "params.yaml was changed: cp params.yaml profiles/sample.yaml"


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_valid_and_spells_every_value_out(repository: Path, name: str) -> None:
    path = repository / "profiles" / f"{name}.yaml"
    settings = load_settings(path)
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert set(written) == set(Settings.model_fields)
    for section in set(written) - {"datasets", "architectures"}:
        assert set(written[section]) == set(type(getattr(settings, section)).model_fields), (
            f"profiles/{name}.yaml: section {section} lacks what params.yaml has; copy it from there"
        )


def test_the_full_profile_names_the_published_sets(repository: Path) -> None:
    datasets = load_settings(repository / "profiles/full.yaml").datasets
    assert list(datasets) == list(load_settings(repository / "profiles/sample.yaml").datasets)
    assert {name: (one.layout, one.expected) for name, one in datasets.items()} == {
        "landscape-image-colorization": ("landscape-image-colorization", 7129),
        "landscape-pictures": ("flat", 4319),
        "mirflickr25k": ("mirflickr25k", 25000),
    }
    assert [one.source.partition("://")[0] for one in datasets.values()] == ["kaggle", "kaggle", "https"]


def test_there_and_back_again(project: Path) -> None:
    full = run(project, "full")
    assert full.returncode == 0, full.stderr
    assert (project / "params.yaml").read_bytes() == (project / "profiles/full.yaml").read_bytes()
    for expected in ("datasets.landscape-pictures.expected: None -> 4319", "Disk: about", "make data"):
        assert expected in full.stdout
    assert "0 settings changed" in run(project, "full").stdout
    assert run(project, "sample").returncode == 0
    assert (project / "params.yaml").read_bytes() == (project / "profiles/sample.yaml").read_bytes()


def test_edits_are_kept_until_they_are_saved_or_dropped(project: Path) -> None:
    params = project / "params.yaml"
    edited = params.read_text(encoding="utf-8").replace("epochs: 14", "epochs: 15")
    params.write_text(edited, encoding="utf-8")
    refused = run(project, "full")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: params.yaml has edits")
    assert refused.stderr.count("\n") == 1
    for way_out in ("cp params.yaml profiles/mine.yaml", "FORCE=1"):
        assert way_out in refused.stderr
    assert params.read_text(encoding="utf-8") == edited

    shutil.copy(params, project / "profiles" / "mine.yaml")
    assert run(project, "full").returncode == 0
    assert "training.epochs: 30 -> 15" in run(project, "mine").stdout
    assert params.read_text(encoding="utf-8") == edited


def test_force_drops_edits_even_broken_ones(project: Path) -> None:
    (project / "params.yaml").write_text("oops", encoding="utf-8")
    assert run(project, "sample").returncode == 1
    assert run(project, "sample", "--force").returncode == 0
    assert load_settings(project / "params.yaml").datasets


@pytest.mark.parametrize("name", ["huge", "", "../params", "sample.yaml"])
def test_an_unknown_profile_is_refused_with_the_known_ones(project: Path, name: str) -> None:
    before = (project / "params.yaml").read_bytes()
    with pytest.raises(ValueError, match=r"NAME=full\|sample"):
        put(project, name, force=True)
    assert (project / "params.yaml").read_bytes() == before


def test_a_broken_profile_is_not_put_in_place(project: Path) -> None:
    (project / "profiles" / "mine.yaml").write_text("datasets: 3\n", encoding="utf-8")
    before = (project / "params.yaml").read_bytes()
    with pytest.raises(ValueError, match=r"mine\.yaml: 'datasets' is 3"):
        put(project, "mine", force=True)
    assert (project / "params.yaml").read_bytes() == before


def test_what_is_new_and_what_is_gone_is_said_too(repository: Path) -> None:
    before = load_settings(repository / "profiles/sample.yaml")
    after = Settings.model_validate({**before.model_dump(), "datasets": {"mine": {"source": "file:///mine"}}})
    changed = list(differences(before, after))
    assert changed[0] == "datasets.mine.source: (absent) -> file:///mine"
    assert "datasets.landscape-pictures.layout: flat -> (absent)" in changed
    assert len(changed) == 12


def test_make_hands_name_and_force_on(project: Path) -> None:
    command = ["make", "--no-print-directory", "--dry-run", "profile", "READY=", "NAME=full"]
    printed = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "python -m colorize.commands.profile 'full'"
    printed = subprocess.run([*command, "FORCE=1"], cwd=project, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "python -m colorize.commands.profile 'full' --force"
