"""What makes a training run the same run: its specification and fingerprint. Costs no import of torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from colorize.data.shard_index import read_index
from colorize.settings import Section, Settings
from colorize.settings.objectives import Objective
from colorize.settings.sections import ArchitectureRun, ArchitecturesSettings, TrainingSettings
from colorize.training import pretrained

_PACKAGE = Path(__file__).parents[1]
# Patterns of the sources whose text decides weights; a command line and a drawing only show, a check keeps
# nothing, a copy elsewhere changes nothing.
_SOURCES = (
    "bins.py",
    "divergence.py",
    "models/*.py",
    "objectives/*.py",
    "training/*.py",
    "data/epochs.py",
    "data/loader.py",
    "data/shard_file.py",
    "data/statistics.py",
)
_NOT_COUNTED = {
    "models/stages.py",
    "training/__main__.py",
    "training/overfit.py",
    "training/mirror.py",
    "training/rehearsal.py",
    "training/room.py",
}
# How often and how many checkpoints are kept changes no weight.
_WITHOUT_EFFECT = {"checkpoint_every", "keep_checkpoints"}


@dataclass(frozen=True, slots=True)
class RunSpecification:
    """Everything a worker has to know to train one network, and nothing about where it runs.

    Attributes:
        architecture: a name of the model registry.
        model: the settings of that architecture.
        objective: what is minimised.
        training: epochs, batch size, learning rate, seed and the like.
        data_digest: of what training sees of the shards, 64 hexadecimal digits.
        fingerprint: of all this and the code, 64 hexadecimal digits.
        published: digests of the published weights that it needs, by name; mostly none.
    """

    architecture: str
    model: Section
    objective: Objective
    training: TrainingSettings
    data_digest: str
    fingerprint: str
    published: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the run, which is also its identity: `<architecture>-<12 digits of the fingerprint>`."""
        return run_name(self.architecture, self.fingerprint)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return {
            "architecture": self.architecture,
            "model": self.model.model_dump(mode="json"),
            "objective": [term.model_dump(mode="json") for term in self.objective],
            "training": self.training.model_dump(mode="json"),
            "data_digest": self.data_digest,
            "fingerprint": self.fingerprint,
            "published": self.published,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RunSpecification:
        """The inverse of `to_dict`.

        Raises:
            pydantic.ValidationError: a value is not one this version knows.
        """
        name = values["architecture"]
        chosen = {name: {"model": values["model"], "objective": values["objective"]}}
        run = ArchitecturesSettings.model_validate(chosen).chosen()[name]
        training = TrainingSettings.model_validate(values["training"])
        return cls(
            name,
            run.model,
            run.objective,
            training,
            values["data_digest"],
            values["fingerprint"],
            values.get("published", {}),
        )


def specify(settings: Settings, architecture: str, lab: Path, root: Path) -> RunSpecification:
    """The run that the settings ask for, on the data that is there.

    Args:
        settings: all of `params.yaml`.
        architecture: one of the architectures chosen there.
        lab: folder of the LAB shards.
        root: the project's folder, where `requirements.lock` is.

    Raises:
        ValueError: the architecture is not chosen, or the index, the lock file or the published weights that its
            settings name are missing.
    """
    chosen = settings.architectures.chosen()
    if architecture not in chosen:
        raise ValueError(f"architecture '{architecture}' is not in params.yaml; chosen: {', '.join(chosen) or 'none'}")
    data = read_index(lab)["digest"]
    run = chosen[architecture]
    identity = fingerprint(settings, architecture, data, root)
    training = settings.training_of(architecture)
    published = _published(run, root)
    return RunSpecification(architecture, run.model, run.objective, training, data, identity, published)


def fingerprint(settings: Settings, architecture: str, data: str, root: Path) -> str:
    """Digest of everything that decides a run's weights; workers, hardware and documents are no part of it.

    Args:
        settings: all of `params.yaml`; model, objective and training of the one architecture count.
        architecture: one of the architectures chosen there.
        data: digest of what training sees of the shards, from their `index.json`.
        root: the project's folder, where `requirements.lock` and imported weights are.

    Returns:
        64 hexadecimal digits, the SHA-256 of a canonical JSON text.
    """
    run = settings.architectures.chosen()[architecture]
    decisive = {
        "data": data,
        "architecture": architecture,
        "model": run.model.model_dump(mode="json"),
        "objective": [term.model_dump(mode="json") for term in run.objective],
        "training": settings.training_of(architecture).model_dump(mode="json", exclude=_WITHOUT_EFFECT),
        "published": _published(run, root),
        "code": _digest_of_files(list(source_files()), "the package is incomplete"),
        "lock": _digest_of_files([root / "requirements.lock"], "run from the project's folder"),
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def run_name(architecture: str, identity: str) -> str:
    """Name of a run and of its folder, from its fingerprint."""
    return f"{architecture}-{identity[:12]}"


def source_files() -> Iterator[Path]:
    """The files of the package whose text counts into the fingerprint, in a fixed order."""
    for pattern in _SOURCES:
        found = sorted(_PACKAGE.glob(pattern))
        yield from (path for path in found if path.relative_to(_PACKAGE).as_posix() not in _NOT_COUNTED)


def _published(run: ArchitectureRun[Any], root: Path) -> dict[str, str]:
    return pretrained.digests(root / pretrained.FOLDER, pretrained.wanted(run.model, run.objective))


def _digest_of_files(paths: list[Path], way_out: str) -> str:
    digest = hashlib.sha256()
    for path in paths:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ValueError(f"{path}: cannot be read ({error.strerror}); {way_out}") from error
        # Name and length keep two neighbouring files from being mistaken for one.
        digest.update(f"{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
