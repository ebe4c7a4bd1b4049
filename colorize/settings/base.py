"""The base of every settings class: frozen, strict about names, and helpful when something is wrong."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails


class SettingsError(ValueError):
    """A setting is wrong; the message names the key, the value, what is allowed and, for a typo, the nearest name."""


class Section(BaseModel):
    """One section of `params.yaml`: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


def explain(error: ValidationError, model: type[BaseModel], where: str) -> SettingsError:
    """One readable sentence per problem of a pydantic error.

    Args:
        error: what pydantic raised.
        model: the class that was being filled, to find the names that would have been allowed.
        where: the file the values came from.
    """
    lines = [_sentence(detail, model) for detail in error.errors()]
    return SettingsError(f"{where}: " + ("\n" + " " * (len(where) + 2)).join(lines))


def _sentence(detail: ErrorDetails, model: type[BaseModel]) -> str:
    location = [str(part) for part in detail["loc"]]
    key = ".".join(location)
    if detail["type"] == "extra_forbidden":
        allowed = _names_at(model, detail["loc"][:-1])
        near = difflib.get_close_matches(location[-1], allowed, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"allowed here: {', '.join(sorted(allowed)) or 'nothing'}"
        return f"unknown key '{key}'; {hint}"
    if detail["type"] == "missing":
        return f"'{key}' is missing"
    message = detail["msg"].removeprefix("Value error, ")
    return f"'{key}' is {detail['input']!r}: {message[:1].lower()}{message[1:]}"


def _names_at(model: Any, path: tuple[int | str, ...]) -> list[str]:
    """Field names allowed at a path inside a model, looking through mappings, optionals and tagged unions."""
    models = _models_in(model)
    for part in path:
        inner: list[Any] = []
        for candidate in models:
            field = candidate.model_fields.get(str(part))
            if field is not None:
                inner += _models_in(field.annotation)
        # A mapping's key or a union's tag names no field: stay where we are.
        models = inner or models
    return sorted({name for candidate in models for name in candidate.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in getattr(annotation, "__args__", ()) for found in _models_in(argument)]
