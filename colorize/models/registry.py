"""Which architectures there are: one dictionary that the families fill by decorator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from colorize.models.base import Colorization
from colorize.settings import Section

_FAMILIES: dict[str, tuple[type[Colorization], type[Section]]] = {}
Family = TypeVar("Family", bound=type[Colorization])


def register(name: str, settings: type[Section]) -> Callable[[Family], Family]:
    """Class decorator: make a network known under `name`; its constructor takes one instance of `settings`."""

    def add(network: Family) -> Family:
        assert name not in _FAMILIES, f"two architectures are named {name!r}"
        _FAMILIES[name] = (network, settings)
        return network

    return add


def names(*, variational: bool | None = None, classifies: bool | None = None, trained: bool = True) -> list[str]:
    """Names of all architectures that are trained, or of the methods that are not, sorted.

    Args:
        variational: only those that have, or lack, a latent code.
        classifies: only those that score, or do not score, the 313 colours.
        trained: false for methods that colour without learning.
    """
    return sorted(
        name
        for name, (network, _) in _FAMILIES.items()
        if variational in (None, network.variational)
        and classifies in (None, network.classifies)
        and network.trained == trained
    )


def create(name: str, settings: Section) -> Colorization:
    """A network with fresh weights, drawn from torch's global random state.

    Args:
        name: one of `names()`, or of `names(trained=False)`.
        settings: the settings class of that architecture.

    Raises:
        ValueError: the name is unknown, or the settings are another architecture's.
    """
    network, expected = _lookup(name)
    if not isinstance(settings, expected):
        raise ValueError(f"architecture '{name}' takes {expected.__name__}, not {type(settings).__name__}")
    # The base class fixes no constructor: each family takes its own settings class, checked above.
    build: Callable[[Any], Colorization] = network
    return build(settings)


def settings_of(name: str, values: dict[str, Any]) -> Section:
    """The settings of an architecture from plain values, as read from a model's description."""
    return _lookup(name)[1].model_validate(values)


def _lookup(name: str) -> tuple[type[Colorization], type[Section]]:
    if name not in _FAMILIES:
        raise ValueError(f"no architecture is named '{name}'; there are: {', '.join(names())}")
    return _FAMILIES[name]
