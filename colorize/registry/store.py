"""MLflow's model registry as this project uses it: numbered versions whose files are complete, and aliases.

A version's files lie in `<artefacts>/<run name>/` and are there before the version is created; tags come with the
version in one transaction; aliases come last. So whatever kills a registration, no number and no alias ever points to
half a model, and the next attempt picks up where it stopped. Files are found by their place below the artefact
folder, not by the absolute address MLflow keeps, so a project that was moved or copied still finds its models.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from colorize.registry.history import log_run
from colorize.settings.sections import RegistrySettings
from colorize.storage import atomic_folder, write_bytes

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"
PREVIOUS = "previous"
MODEL_CARD = "README.md"

_SQLITE = "sqlite:///"


class RegistryError(ValueError):
    """What was asked for is not in the registry, or its files are gone; the message lists what there is."""


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
        folder: its files: `model.safetensors`, `model.json`, `README.md`, …
    """

    number: int
    architecture: str
    run: str
    aliases: tuple[str, ...]
    metrics: dict[str, float]
    tags: dict[str, str]
    folder: Path


class Registry:
    """Versions and aliases of one registered model.

    Args:
        settings: the section `registry` of `params.yaml`; MLFLOW_TRACKING_URI replaces its `store`.
        root: the project's folder, which relative paths of the settings start from.
    """

    def __init__(self, settings: RegistrySettings, root: Path) -> None:
        self.name = settings.name
        self.root = Path(root).resolve()
        self.artefacts = self.root / settings.artefacts
        self.uri = os.environ.get("MLFLOW_TRACKING_URI") or _absolute(settings.store, self.root)

    @property
    def exists(self) -> bool:
        """Whether there is a store to read; asking it never makes one."""
        return not self.uri.startswith(_SQLITE) or Path(self.uri.removeprefix(_SQLITE)).is_file()

    def list(self) -> list[Version]:
        """All versions, oldest first."""
        from mlflow.exceptions import MlflowException

        if not self.exists:
            return []
        try:
            aliases: dict[str, Any] = self._client.get_registered_model(self.name).aliases
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return []
        found = self._client.search_model_versions(f"name='{self.name}'")
        versions = [self._version(entry, aliases) for entry in found if "folder" in entry.tags]
        return sorted(versions, key=lambda version: version.number)

    def resolve(self, what: str | int) -> Version:
        """The version that an alias, the name of an architecture or a number stands for.

        The name of an architecture stands for its champion, or its newest version where none was crowned.

        Raises:
            RegistryError: there is no such version; the message says what there is.
        """
        versions = self.list()
        wanted = str(what)
        for names in (_by_alias, _by_architecture, _by_number):
            if wanted in (known := names(versions)):
                return known[wanted]
        raise RegistryError(_unknown(wanted, versions, self.uri))

    def model_folder(self, what: str | int) -> Path:
        """Folder with `model.safetensors` and `model.json` of the version that `what` stands for (see `resolve`).

        Raises:
            RegistryError: there is no such version, or its files were removed.
        """
        version = self.resolve(what)
        if not (version.folder / "model.safetensors").is_file():
            raise RegistryError(
                f"version {version.number} ({version.run}) is registered, but its files are not in {version.folder}; "
                "bring that folder back, or train and register again"
            )
        return version.folder

    def register(
        self, run: Path, metrics: Mapping[str, float], tags: Mapping[str, str], files: Mapping[str, bytes | Path]
    ) -> Version:
        """Make a version of a finished run, or bring the measurements of the one it already has up to date.

        Args:
            run: the run's folder, with the model in `model/` and the log in `log.jsonl`; its name is its identity.
            metrics: summary on the test split.
            tags: lineage; `architecture` is needed.
            files: what else to keep beside the model, by name: content, or a file to copy.

        Raises:
            RegistryError: the run has no model.
            OSError: the artefact folder cannot be written to.
        """
        if known := next((version for version in self.list() if version.run == run.name), None):
            return self._refresh(known, metrics, files)
        if not (run / "model" / "model.safetensors").is_file():
            raise RegistryError(f"{run}: there is no trained model in {run / 'model'}; has its training finished?")
        self._keep(run.name, run / "model", files)
        self._create_registered_model()
        return self._create(run.name, log_run(self._client, self.name, run, metrics, tags), metrics, tags, files)

    def register_published(
        self, name: str, model: Path, tags: Mapping[str, str], files: Mapping[str, bytes]
    ) -> Version:
        """Make a version of a network that others trained, to compare with; the one it already has is kept.

        Args:
            name: stands where the name of a run does, and tells these weights from all others.
            model: folder with `model.safetensors` and `model.json`.
            tags: where the weights are from; `architecture` is needed.
            files: what else to keep beside the model, by name.

        Raises:
            OSError: the artefact folder cannot be written to.
        """
        if known := next((version for version in self.list() if version.run == name), None):
            if not (known.folder / "model.safetensors").is_file():
                self._keep(name, model, files)
            return known
        self._keep(name, model, files)
        self._create_registered_model()
        return self._create(name, None, {}, tags, files)

    def promote(self, version: int, alias: str = CHAMPION) -> None:
        """Point an alias to a version; the champion that is replaced becomes `previous`."""
        if alias == CHAMPION:
            present = next((known for known in self.list() if CHAMPION in known.aliases), None)
            if present is not None and present.number != version:
                self._client.set_registered_model_alias(self.name, PREVIOUS, str(present.number))
        self._client.set_registered_model_alias(self.name, alias, str(version))

    @cached_property
    def _client(self) -> MlflowClient:
        # MLflow and alembic tell of every table they make; nobody who trains a model needs to know.
        for chatty in ("mlflow", "alembic"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient

        if self.uri.startswith(_SQLITE):
            Path(self.uri.removeprefix(_SQLITE)).parent.mkdir(parents=True, exist_ok=True)
        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def _keep(self, name: str, model: Path, files: Mapping[str, bytes | Path]) -> None:
        """Copy a version's files to their place. Nothing refers to it yet: an interrupted attempt's can be replaced."""
        with atomic_folder(self.artefacts / name) as building:
            shutil.copytree(model, building, dirs_exist_ok=True)
            for file, content in files.items():
                (building / file).write_bytes(content if isinstance(content, bytes) else content.read_bytes())

    def _create(
        self,
        name: str,
        run_id: str | None,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        files: Mapping[str, bytes | Path],
    ) -> Version:
        card = files.get(MODEL_CARD, b"")
        entry = self._client.create_model_version(
            self.name,
            source=(self.artefacts / name).as_uri(),
            run_id=run_id,
            tags={**tags, "run": name, "folder": name, "metrics": json.dumps(dict(metrics))},
            description=card.decode() if isinstance(card, bytes) else card.read_text(encoding="utf-8"),
        )
        return self._version(entry, {})

    def _refresh(self, known: Version, metrics: Mapping[str, float], files: Mapping[str, bytes | Path]) -> Version:
        """A run whose measurements changed (other test photos, other measures) is still the same model."""
        if known.metrics == dict(metrics):
            return known
        for name, content in files.items():
            write_bytes(known.folder / name, content if isinstance(content, bytes) else content.read_bytes())
        self._client.set_model_version_tag(self.name, str(known.number), "metrics", json.dumps(dict(metrics)))
        return replace(known, metrics=dict(metrics))

    def _create_registered_model(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _version(self, entry: Any, aliases: Mapping[str, Any]) -> Version:
        tags = dict(entry.tags)
        number = int(entry.version)
        return Version(
            number=number,
            architecture=tags["architecture"],
            run=tags["run"],
            aliases=tuple(sorted(alias for alias, target in aliases.items() if int(target) == number)),
            metrics=json.loads(tags.pop("metrics")),
            tags=tags,
            folder=self.artefacts / tags["folder"],
        )


def _absolute(store: str, root: Path) -> str:
    """SQLite's address with its path, where relative, below the project's folder."""
    if not store.startswith(_SQLITE):
        return store
    return f"{_SQLITE}{root / store.removeprefix(_SQLITE)}"


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
