"""Who holds an alias, who held it before, and the way back.

The earlier holders of each alias are a tag of the registered model, oldest first, written before the alias moves. So
whatever is killed in between, the tag may name the present holder as its last entry, which the way back passes over,
but it never lacks one. A tag for each alias: two that move at the same time do not undo each other's.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

from colorize.registry.errors import RegistryError
from colorize.registry.locks import lock
from colorize.registry.store import Registry
from colorize.registry.version import CHAMPION, PREVIOUS, Version

#: Tag of a version that somebody turned back from: the gate never promotes it again.
ROLLED_BACK = "rolled_back"

_HISTORY = "history"
_MOST_REMEMBERED = 100
_PATIENCE = 30.0  # seconds: nobody moves an alias for longer


class HolderChangedError(RegistryError):
    """The alias points to another version than the one that the challenger was compared with."""


def holder(registry: Registry, alias: str) -> Version | None:
    """The version that an alias points to now."""
    return next((version for version in registry.list() if alias in version.aliases), None)


def promote(registry: Registry, version: int, alias: str, *, expected: int | None) -> None:
    """Point an alias to a version, if its holder is still the one that the decision was about.

    The champion that is replaced becomes `previous`.

    Args:
        registry: where.
        version: number of the new holder.
        alias: such as `champion`.
        expected: number of the present holder; None: nobody holds it.

    Raises:
        HolderChangedError: somebody else holds it by now.
        RegistryError: there is no such version, or its files are not whole.
    """
    with lock(registry, f"alias {alias}", f"promotion of version {version}", _PATIENCE):
        registry.check_whole(registry.resolve(version))
        present = holder(registry, alias)
        number = None if present is None else present.number
        if number != expected:
            raise HolderChangedError(
                f"'{alias}' points to {_named(number)}, not to {_named(expected)} any more; compare again"
            )
        if number is None or number != version:
            _move(registry, alias, number, version)


def rollback(registry: Registry, alias: str = CHAMPION) -> tuple[Version, Version]:
    """Point an alias back to its newest earlier holder whose files are whole.

    The version that is left is tagged (`ROLLED_BACK`); other aliases of champions that it holds go back too, and are
    removed where there is nobody to go back to.

    Args:
        registry: where.
        alias: such as `champion`, or `champion-unet`.

    Returns:
        The version that was left, and the one that holds the alias now.

    Raises:
        RegistryError: nobody holds the alias, or there is no earlier holder with whole files.
    """
    with lock(registry, f"alias {alias}", f"rollback of {alias}", _PATIENCE):
        left = holder(registry, alias)
        if left is None:
            raise RegistryError(f"nobody holds '{alias}': there is nothing to go back from")
        now = _earlier(registry, alias, left.number)
        if now is None:
            raise RegistryError(
                f"version {left.number} is the first '{alias}' with whole files: there is none to go back to"
            )
        when = datetime.now(UTC).isoformat(timespec="seconds")
        registry.client.set_model_version_tag(registry.name, str(left.number), ROLLED_BACK, when)
        _return(registry, alias, now.number)
    for other in left.aliases:
        if other.startswith(f"{CHAMPION}-") and other != alias:
            with lock(registry, f"alias {other}", f"rollback of {alias}", _PATIENCE):
                earlier = _earlier(registry, other, left.number)
                if earlier is None:
                    registry.client.delete_registered_model_alias(registry.name, other)
                else:
                    _return(registry, other, earlier.number)
    return left, registry.resolve(now.number)


def _move(registry: Registry, alias: str, present: int | None, version: int) -> None:
    if present is not None:
        earlier = [number for number in _history(registry, alias) if number != present]
        _remember(registry, alias, [*earlier, present])
        if alias == CHAMPION:
            registry.client.set_registered_model_alias(registry.name, PREVIOUS, str(present))
    registry.client.set_registered_model_alias(registry.name, alias, str(version))


def _earlier(registry: Registry, alias: str, left: int) -> Version | None:
    known = {version.number: version for version in registry.list()}
    for number in reversed(_history(registry, alias)):
        version = known.get(number)
        if version is None or number == left or ROLLED_BACK in version.tags:
            continue
        if registry.is_whole(version):
            return version
    return None


def _return(registry: Registry, alias: str, version: int) -> None:
    registry.client.set_registered_model_alias(registry.name, alias, str(version))
    held = _history(registry, alias)
    earlier = held[: held.index(version)]
    _remember(registry, alias, earlier)
    if alias == CHAMPION:
        if earlier:
            registry.client.set_registered_model_alias(registry.name, PREVIOUS, str(earlier[-1]))
        else:
            registry.client.delete_registered_model_alias(registry.name, PREVIOUS)


def _history(registry: Registry, alias: str) -> list[int]:
    history: list[int] = json.loads(registry.tag(f"{_HISTORY}-{alias}") or "[]")
    return history


def _remember(registry: Registry, alias: str, history: list[int]) -> None:
    registry.set_tag(f"{_HISTORY}-{alias}", json.dumps(history[-_MOST_REMEMBERED:]))


def _named(number: int | None) -> str:
    return "nobody" if number is None else f"version {number}"
