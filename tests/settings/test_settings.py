"""params.yaml: the committed one is valid, and a mistake is explained."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from colorize.settings import Settings, SettingsError, load_settings
from colorize.settings.sections import TrainingSettings


@pytest.fixture
def values(repository: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((repository / "params.yaml").read_text(encoding="utf-8")))


def load(values: dict[str, Any], folder: Path) -> Settings:
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return load_settings(path)


def test_the_committed_parameters_are_valid_and_complete(repository: Path, values: dict[str, Any]) -> None:
    settings = load_settings(repository / "params.yaml")
    assert set(values) == set(Settings.model_fields), "params.yaml shows every section"
    for section in set(values) - {"datasets", "architectures"}:
        assert set(values[section]) == set(getattr(settings, section).model_fields_set), section
        assert set(values[section]) == set(type(getattr(settings, section)).model_fields), section


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("training", "epoch"), 3, ["unknown key 'training.epoch'", "did you mean 'epochs'"]),
        (("trainnig",), {}, ["unknown key 'trainnig'", "did you mean 'training'"]),
        (("training", "epochs"), 0, ["'training.epochs' is 0", "greater than or equal to 1"]),
        (("shards", "compression"), "gzip", ["'shards.compression' is 'gzip'", "'none', 'lz4' or 'zstd'"]),
        (("architectures", "unte"), {}, ["unknown key 'architectures.unte'", "did you mean 'unet'"]),
        (("architectures", "unet", "model", "chanels"), 4, ["chanels", "did you mean 'channels'"]),
        (("architectures", "unet", "training"), {"epochz": 2}, ["epochz"]),
        (("datasets", "mirflickr25k", "source"), "/photos", ["/photos", "file:///absolute/folder"]),
        (("split", "test"), 0.95, ["leave nothing to train on"]),
    ],
)
def test_a_mistake_names_key_value_and_way_out(
    values: dict[str, Any], tmp_path: Path, path: tuple[str, ...], value: object, expected: list[str]
) -> None:
    changed = copy.deepcopy(values)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(SettingsError) as error:
        load(changed, tmp_path)
    for part in expected:
        assert part in str(error.value)


def test_a_missing_and_a_broken_file_are_explained(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("training: [1, 2", encoding="utf-8")
    with pytest.raises(SettingsError, match="not valid YAML"):
        load_settings(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("- 1", encoding="utf-8")
    with pytest.raises(SettingsError, match="expected sections"):
        load_settings(tmp_path / "params.yaml")


def test_overrides_of_one_architecture_win(values: dict[str, Any], tmp_path: Path) -> None:
    values["architectures"]["unet"]["training"] = {"epochs": 77}
    values["architectures"]["simple_unet"].pop("training", None)
    settings = load(values, tmp_path)
    assert settings.training_of("unet").epochs == 77
    assert settings.training_of("simple_unet") == settings.training


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        TrainingSettings().epochs = 3  # type: ignore[misc]
