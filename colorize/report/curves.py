"""Learning curves, read from the logs of runs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Points a line is thinned to: more cannot be told apart at this width.
_POINTS = 240


@dataclass(frozen=True, slots=True)
class Log:
    """What a run wrote while it trained: x is the epoch, as a fraction for the steps inside it.

    Attributes:
        training: loss of the steps.
        validation: loss on the validation split after each epoch.
        ab_rmse: ab RMSE on the validation split, CIELAB units.
    """

    training: list[tuple[float, float]] = field(default_factory=list)
    validation: list[tuple[float, float]] = field(default_factory=list)
    ab_rmse: list[tuple[float, float]] = field(default_factory=list)


def read_log(path: Path) -> Log:
    """Read `log.jsonl`; lines that a killed writer left half-written, and values that are no numbers, are skipped."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return Log()
    records = [record for line in lines if isinstance(record := _parse(line), dict)]
    steps = [record for record in records if "loss" in record and "step" in record]
    log = Log()
    per_epoch = _steps_per_epoch(steps)
    for record in steps:
        _append(log.training, record["step"] / per_epoch, record["loss"])
    for record in records:
        _append(log.validation, record.get("epoch"), record.get("validation_loss"))
        _append(log.ab_rmse, record.get("epoch"), record.get("validation_ab_rmse"))
    return log


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Means of neighbouring points, so that a long run draws as one readable line."""
    size = math.ceil(len(points) / _POINTS)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def _steps_per_epoch(steps: Sequence[dict[str, Any]]) -> float:
    """Steps of one epoch, from the last step logged in each; epochs count from 1."""
    last: dict[float, float] = {}
    for record in steps:
        epoch = record.get("epoch")
        if isinstance(epoch, int | float):
            last[epoch] = max(last.get(epoch, 0), record["step"])
    return max((step / epoch for epoch, step in last.items() if epoch > 0), default=1.0) or 1.0


def _append(points: list[tuple[float, float]], x: object, y: object) -> None:
    if isinstance(x, int | float) and isinstance(y, int | float) and math.isfinite(y):
        points.append((float(x), float(y)))


def _parse(line: str) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None
