"""The Prefect flows `promote`, `rollback` and `compare`: what `colorize models` does, for those who use the page."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from colorize.registry import CHAMPION, Registry, promote_by_hand, roll_back_by_hand
from colorize.registry.comparing import compare_versions
from colorize.settings import load_settings
from pipelines import artifacts
from pipelines.console import say


@flow(name="promote", persist_result=False)
def promote_flow(version: str, alias: str = CHAMPION, root: str = ".") -> None:
    """Give a place to a version without asking the gate.

    Args:
        version: a number, an alias or an architecture.
        alias: the place.
        root: the project's folder.

    Raises:
        RegistryError: there is no such version, or its files are not whole.
    """
    say(f"{alias}: {promote_by_hand(_registry(root), version, alias).reason}")


@flow(name="rollback", persist_result=False)
def rollback_flow(alias: str = CHAMPION, root: str = ".") -> None:
    """Give a place back to its newest earlier holder whose files are whole; works when the newest version is broken.

    Args:
        alias: the place.
        root: the project's folder.

    Raises:
        RegistryError: nobody holds it, or there is no earlier holder with whole files.
    """
    say(f"{alias}: {roll_back_by_hand(_registry(root), alias).reason}")


@flow(name="compare", persist_result=False)
def compare_flow(first: str, second: str, root: str = ".") -> None:
    """The figures of two versions with 95 % intervals of the differences, as a table.

    Args:
        first: a number, an alias or an architecture.
        second: the other.
        root: the project's folder.

    Raises:
        RegistryError: there is no such version, or no photo to compare on.
    """
    registry = _registry(root)
    versions = registry.resolve(first), registry.resolve(second)
    pairs = compare_versions(registry, *versions)
    artifacts.show_pairs(versions, pairs)
    surely = [pair for pair in pairs if pair.first_is_better or pair.second_is_better]
    say(f"version {versions[0].number} against version {versions[1].number}, {pairs[0].photos} photos")
    for pair in surely:
        better = versions[0 if pair.first_is_better else 1].number
        say(f"{pair.metric}: version {better} is better, {pair.difference:+.3f} ({pair.low:+.3f} … {pair.high:+.3f})")
    if not surely:
        say("no figure differs for sure")


def _registry(root: str) -> Registry:
    folder = Path(root).resolve()
    return Registry(load_settings(folder / "params.yaml").registry, folder)
