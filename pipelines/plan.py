"""What a training flow would do and why: decided from files alone, before anything heavy is imported."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from colorize.data.shard_index import read_index
from colorize.settings import Settings
from colorize.training.identity import RunSpecification, specify

Action = Literal["train", "resume", "skip"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to one architecture.

    Attributes:
        specification: the run that data and parameters ask for.
        folder: the run's folder.
        action: what is done.
        reason: why, in a few words.
    """

    specification: RunSpecification
    folder: Path
    action: Action
    reason: str


def plan(settings: Settings, root: Path, architectures: Sequence[str] = ()) -> list[Plan]:
    """Decide for each chosen architecture, in the order of `params.yaml`.

    Args:
        settings: all of `params.yaml`.
        root: the project's folder.
        architectures: only these; empty: all of `params.yaml`.

    Raises:
        ValueError: an architecture is not in `params.yaml`, or the data stages have not run, or for other parameters.
    """
    chosen = settings.architectures.chosen()
    if unknown := [name for name in architectures if name not in chosen]:
        raise ValueError(
            f"architecture '{unknown[0]}' is not in params.yaml; chosen there: {', '.join(chosen) or 'none'}"
        )
    wanted = [name for name in chosen if not architectures or name in architectures]
    if not wanted:
        raise ValueError("params.yaml chooses no architecture: there is nothing to train")
    lab = root / "data" / "lab"
    _check_data(settings, lab)
    plans = []
    for name in wanted:
        specification = specify(settings, name, lab, root)
        folder = root / "runs" / specification.name
        action, reason = decide(specification.fingerprint, _done(folder), _last_checkpoint(folder))
        plans.append(Plan(specification, folder, action, reason))
    return plans


def decide(fingerprint: str, done: dict[str, Any] | None, checkpoint: str | None) -> tuple[Action, str]:
    """Train, resume or skip?

    Args:
        fingerprint: of the run that is asked for.
        done: content of the `done.json` in the run's folder, None where there is none.
        checkpoint: name of the newest whole checkpoint there, None where there is none.

    Raises:
        ValueError: the folder belongs to another run.
    """
    if done is not None and done.get("fingerprint") != fingerprint:
        raise ValueError(
            f"the run's folder says that it belongs to fingerprint {done.get('fingerprint')}, expected {fingerprint}; "
            "move it away and run again"
        )
    if done is not None:
        return "skip", "already trained with the same data, parameters, code and lock file"
    if checkpoint is not None:
        return "resume", f"stopped after {checkpoint}"
    return "train", "no run with this data, parameters, code and lock file yet"


def sentence(item: Plan) -> str:
    """One line about one architecture, for the console."""
    verb = {"train": "train ", "resume": "resume", "skip": "skip  "}[item.action]
    return f"{verb} {item.specification.name}: {item.reason}"


def _check_data(settings: Settings, lab: Path) -> None:
    height = read_index(lab)["height"]
    if height != settings.shards.size:
        raise ValueError(
            f"{lab} holds photos of {height} pixels, but params.yaml asks for "
            f"shards.size {settings.shards.size}; run `dvc repro` first"
        )


def _done(folder: Path) -> dict[str, Any] | None:
    path = folder / "done.json"
    if not path.is_file():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _last_checkpoint(folder: Path) -> str | None:
    names = sorted(path.name for path in (folder / "checkpoints").glob("epoch-*"))
    return names[-1] if names else None
