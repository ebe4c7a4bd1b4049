"""`colorize architectures`: the table of all architectures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from colorize.commands import app
from colorize.models import create, names
from colorize.settings import load_settings
from colorize.weights import CATALOGUE


@pytest.fixture
def rows(repository: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, object]]:
    monkeypatch.setenv("COLORIZE_ROOT", str(repository))
    result = CliRunner().invoke(app, ["architectures", "--json"])
    assert result.exit_code == 0, result.output
    return {row["name"]: row for row in json.loads(result.stdout)}


def test_every_architecture_is_listed_with_its_paper(rows: dict[str, dict[str, object]]) -> None:
    assert list(rows) == [*names(), *names(trained=False)]
    assert [name for name, row in rows.items() if not row["paper"]] == []


def test_published_networks_have_their_published_parameters(rows: dict[str, dict[str, object]]) -> None:
    for published in CATALOGUE.values():
        if published.architecture:
            assert rows[published.architecture]["parameters"] == published.parameters
    assert rows["simple_unet"]["parameters"] == 1_363_299
    assert rows["histogram_matching"]["parameters"] == 0


def test_heads_hints_and_objectives_are_told(rows: dict[str, dict[str, object]]) -> None:
    heads = {name: row["head"] for name, row in rows.items()}
    assert heads["eccv16"] == "classes"
    assert {heads[name] for name in ("simple_unet", "unet_vae", "unet_vae_deep")} == {"Lab"}
    assert {heads[name] for name in ("unet", "siggraph17", "ddcolor_tiny", "vgg16_decoder")} == {"ab"}
    assert [name for name, row in rows.items() if row["hints"]] == ["siggraph17", "color_by_optimization"]
    assert rows["unet_vae"]["objective"] == "vae"
    assert rows["unet"]["objective"] == "regression"
    assert rows["histogram_matching"]["objective"] is None


def test_the_projects_own_settings_count(rows: dict[str, dict[str, object]], repository: Path) -> None:
    for name, run in load_settings(repository / "params.yaml").architectures.chosen().items():
        network = create(name, run.model)
        assert rows[name]["parameters_here"] == sum(parameter.numel() for parameter in network.parameters())


def test_the_table_has_a_line_each(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORIZE_ROOT", str(repository))
    output = CliRunner().invoke(app, ["architectures"]).output
    for name in (*names(), *names(trained=False)):
        assert sum(f" {name} " in line for line in output.splitlines()) == 1, name


def test_one_architecture_is_shown_with_its_stages(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORIZE_ROOT", str(repository))
    output = CliRunner().invoke(app, ["architectures", "eccv16"]).output
    assert "32,236,011 parameters (as published), predicts classes" in output
    assert "313 × 64 × 64" in output
    found = json.loads(CliRunner().invoke(app, ["architectures", "unet", "--json"]).stdout)
    assert found["stages"][-1] == {"name": "ab", "shape": [2, 256, 256], "joins": []}
    assert "without learning" in CliRunner().invoke(app, ["architectures", "histogram_matching"]).output


def test_an_unknown_architecture_is_refused_with_what_there_is(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLORIZE_ROOT", str(repository))
    result = CliRunner().invoke(app, ["architectures", "resnet"])
    assert isinstance(result.exception, ValueError)
    assert "no architecture 'resnet'; there are: ddcolor_large" in str(result.exception)
