"""A registered model, and how one is found among others by what people call it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from colorize.registry.artefacts import Files
from colorize.registry.errors import RegistryError

CHAMPION = "champion"
PREVIOUS = "previous"


@dataclass(frozen=True, slots=True)
class Version:
    """A registered model.

    Attributes:
        number: counts up from 1, over all architectures.
        architecture: name of the network.
        run: name of the training run that made it.
        aliases: names that point here now, such as `champion`.
        metrics: summary on the test split.
        tags: lineage: commit, digests, seed, device.
        folder: its files: `model.safetensors`, `model.json`, `README.md`, …; where they are in an object store, those
            that were fetched (`Registry.file`, `Registry.model_folder`).
        files: what it keeps, by name, with size and SHA-256.
    """

    number: int
    architecture: str
    run: str
    aliases: tuple[str, ...]
    metrics: dict[str, float]
    tags: dict[str, str]
    folder: Path
    files: Files = field(default_factory=dict)


def find(versions: list[Version], wanted: str, uri: str) -> Version:
    """The version that an alias, the name of an architecture or a number stands for (see `Registry.resolve`).

    Args:
        versions: all there are, oldest first.
        wanted: what it is called.
        uri: of the store, for the message.

    Raises:
        RegistryError: there is no such version; the message says what there is.
    """
    for names in (_by_alias, _by_architecture, _by_number):
        if wanted in (known := names(versions)):
            return known[wanted]
    raise RegistryError(_unknown(wanted, versions, uri))


def _by_alias(versions: list[Version]) -> dict[str, Version]:
    return {alias: version for version in versions for alias in version.aliases}


def _by_architecture(versions: list[Version]) -> dict[str, Version]:
    newest = {version.architecture: version for version in versions}
    aliases = _by_alias(versions)
    return {name: aliases.get(f"{CHAMPION}-{name}", version) for name, version in newest.items()}


def _by_number(versions: list[Version]) -> dict[str, Version]:
    return {str(version.number): version for version in versions}


def _unknown(wanted: str, versions: list[Version], uri: str) -> str:
    if not versions:
        return f"no model '{wanted}': nothing is registered in {uri} yet; 'make run' trains and registers models"
    return (
        f"no model '{wanted}' in {uri}; aliases: {', '.join(sorted(_by_alias(versions))) or 'none'}; "
        f"architectures: {', '.join(sorted(_by_architecture(versions)))}; "
        f"versions: {', '.join(_by_number(versions))}"
    )
