"""`params.yaml` as typed, validated, frozen settings."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import ValidationError

from colorize.settings.base import Section, SettingsError, explain
from colorize.settings.sections import Settings

__all__ = ["Section", "Settings", "SettingsError", "load_settings"]


def load_settings(path: Path | str = "params.yaml") -> Settings:
    """Read and check a parameter file.

    Raises:
        SettingsError: the file is missing, is no YAML, or a key or value is not allowed; the message names it.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); run from the project's folder") from error
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{path}: expected sections such as 'datasets:', found {type(values).__name__}")
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise explain(error, Settings, str(path)) from error
