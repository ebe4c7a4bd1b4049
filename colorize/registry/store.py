"""MLflow's model registry as this project uses it: numbered versions whose files are complete, and aliases.

A version's files lie below `<artefacts>/<run name>/` (`colorize.registry.artefacts`) and are there before the version
is created; tags come with the version in one transaction; aliases come last. So whatever kills a registration, no
number and no alias ever points to half a model, and the next attempt picks up where it stopped. Files are found by
their place below the artefact folder, not by the absolute address MLflow keeps, so a project that was moved or copied
still finds its models.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from colorize.registry.artefacts import WEIGHTS, Artefacts, Files, from_tag, to_tag
from colorize.registry.client import connect
from colorize.registry.errors import RegistryError
from colorize.registry.history import log_run
from colorize.registry.version import Version, find
from colorize.settings.sections import RegistrySettings

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL_CARD = "README.md"

_SQLITE = "sqlite:///"
_FILES = "files"


class Registry:
    """Versions and aliases of one registered model.

    Args:
        settings: the section `registry` of `params.yaml`; MLFLOW_TRACKING_URI replaces its `store`.
        root: the project's folder, which relative paths of the settings start from.
    """

    def __init__(self, settings: RegistrySettings, root: Path) -> None:
        self.name = settings.name
        self.root = Path(root).resolve()
        self.artefacts = Artefacts(settings.artefacts, self.root)
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
            aliases: dict[str, Any] = self.client.get_registered_model(self.name).aliases
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return []
        found = self.client.search_model_versions(f"name='{self.name}'")
        versions = [self._version(entry, aliases) for entry in found if "folder" in entry.tags]
        return sorted(versions, key=lambda version: version.number)

    def resolve(self, what: str | int) -> Version:
        """The version that an alias, the name of an architecture or a number stands for.

        The name of an architecture stands for its champion, or its newest version where none was crowned.

        Raises:
            RegistryError: there is no such version; the message says what there is.
        """
        return find(self.list(), str(what), self.uri)

    def model_folder(self, what: str | int) -> Path:
        """Folder with `model.safetensors` and `model.json` of the version that `what` stands for (see `resolve`).

        Raises:
            RegistryError: there is no such version, or its files were removed.
            SourceUnavailableError: the object store cannot be reached, after all retries.
        """
        version = self.resolve(what)
        for name in (WEIGHTS, *version.files):
            self.file(version, name)
        return version.folder

    def file(self, version: Version, name: str) -> Path:
        """The local path of one of a version's files; from an object store it is fetched, and its digest checked.

        Raises:
            RegistryError: the version keeps no such file, or it is gone.
            SourceUnavailableError: the object store cannot be reached, after all retries.
        """
        called = f"version {version.number} ({version.run})"
        if name not in version.files and name != WEIGHTS:
            raise RegistryError(f"{called} keeps no '{name}'; it keeps: {', '.join(version.files) or 'nothing'}")
        if name not in version.files or (self.artefacts.remote is None and not (version.folder / name).is_file()):
            raise RegistryError(
                f"{called} is registered, but its files are not in {self.artefacts.remote or version.folder}: {name} "
                "is missing; bring it back, or train and register again"
            )
        try:
            return self.artefacts.fetch(version.run, name, version.files[name])
        except RegistryError as error:
            raise RegistryError(f"{called} is registered, but {error}") from error

    def is_whole(self, version: Version) -> bool:
        """Whether the files of a version are there, and its model has the bytes that were registered."""
        try:
            self.check_whole(version)
        except RegistryError:
            return False
        return True

    def check_whole(self, version: Version) -> None:
        """See that the files of a version are there, and that its model has the bytes that were registered.

        Raises:
            RegistryError: they are not.
            SourceUnavailableError: the object store cannot be reached, after all retries.
        """
        try:
            self.artefacts.check(version.run, version.files)
        except RegistryError as error:
            raise RegistryError(f"version {version.number} is not whole: {error}") from error

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
        has_model = (run / "model" / WEIGHTS).is_file()
        if known := next((version for version in self.list() if version.run == run.name), None):
            if has_model and not self.is_whole(known):
                self._list(known, self.artefacts.keep(run.name, run / "model", files))
            return self._refresh(known, metrics, files)
        if not has_model:
            raise RegistryError(f"{run}: there is no trained model in {run / 'model'}; has its training finished?")
        kept = self.artefacts.keep(run.name, run / "model", files)
        self._create_registered_model()
        return self._create(run.name, log_run(self.client, self.name, run, metrics, tags), metrics, tags, files, kept)

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
            if not self.is_whole(known):
                self._list(known, self.artefacts.keep(name, model, files))
            return known
        kept = self.artefacts.keep(name, model, files)
        self._create_registered_model()
        return self._create(name, None, {}, tags, files, kept)

    def record(self, version: int, alias: str, decision: str) -> None:
        """Keep the last decision about a version and an alias with it, as JSON: its tag `decision-<alias>`."""
        self.client.set_model_version_tag(self.name, str(version), f"decision-{alias}", decision)

    def parameters(self, version: Version) -> dict[str, str]:
        """What a version was trained with, by dotted name such as `training.epochs`; none of published weights."""
        identifier = self.client.get_model_version(self.name, str(version.number)).run_id
        return dict(sorted(self.client.get_run(identifier).data.params.items())) if identifier else {}

    def tag(self, key: str) -> str | None:
        """A tag of the registered model as a whole; None where it has none."""
        from mlflow.exceptions import MlflowException

        if not self.exists:
            return None
        try:
            tags: dict[str, str] = self.client.get_registered_model(self.name).tags
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        return tags.get(key)

    def set_tag(self, key: str, value: str) -> None:
        """Set a tag of the registered model as a whole."""
        self._create_registered_model()
        self.client.set_registered_model_tag(self.name, key, value)

    def make_folder(self) -> None:
        """Make the folder of an SQLite store."""
        if self.uri.startswith(_SQLITE):
            Path(self.uri.removeprefix(_SQLITE)).parent.mkdir(parents=True, exist_ok=True)

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's own client of the store."""
        self.make_folder()
        return connect(self.uri)

    def _create(  # noqa: PLR0917
        self,
        name: str,
        run_id: str | None,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        files: Mapping[str, bytes | Path],
        kept: Files,
    ) -> Version:
        card = files.get(MODEL_CARD, b"")
        entry = self.client.create_model_version(
            self.name,
            source=self.artefacts.address(name),
            run_id=run_id,
            tags={
                **tags,
                "run": name,
                "folder": name,
                "metrics": json.dumps(dict(metrics)),
                "weights_sha256": kept[WEIGHTS].sha256,
                _FILES: to_tag(kept),
            },
            description=card.decode() if isinstance(card, bytes) else card.read_text(encoding="utf-8"),
        )
        return self._version(entry, {})

    def _refresh(self, known: Version, metrics: Mapping[str, float], files: Mapping[str, bytes | Path]) -> Version:
        """A run whose measurements changed (other test photos, other measures) is still the same model."""
        if known.metrics == dict(metrics):
            return known
        self._list(known, {**known.files, **self.artefacts.replace(known.run, files)})
        self.client.set_model_version_tag(self.name, str(known.number), "metrics", json.dumps(dict(metrics)))
        return replace(known, metrics=dict(metrics))

    def _list(self, known: Version, files: Files) -> None:
        self.client.set_model_version_tag(self.name, str(known.number), "weights_sha256", files[WEIGHTS].sha256)
        self.client.set_model_version_tag(self.name, str(known.number), _FILES, to_tag(files))

    def _create_registered_model(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _version(self, entry: Any, aliases: Mapping[str, Any]) -> Version:
        tags = dict(entry.tags)
        number = int(entry.version)
        run, listed = tags["folder"], tags.pop(_FILES, None)
        weights = tags.get("weights_sha256", "")
        return Version(
            number=number,
            architecture=tags["architecture"],
            run=tags["run"],
            aliases=tuple(sorted(alias for alias, target in aliases.items() if int(target) == number)),
            metrics=json.loads(tags.pop("metrics")),
            tags=tags,
            folder=self.artefacts.folder / run,
            files=self.artefacts.found(run, weights) if listed is None else from_tag(listed),
        )


def _absolute(store: str, root: Path) -> str:
    """SQLite's address with its path, where relative, below the project's folder."""
    if not store.startswith(_SQLITE):
        return store
    return f"{_SQLITE}{root / store.removeprefix(_SQLITE)}"
