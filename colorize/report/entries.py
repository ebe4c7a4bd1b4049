"""The rows of the report's tables: models and baselines with their figures, read from their evaluations' files."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from colorize.metrics.comparison import best, interval
from colorize.metrics.evaluation import COST, NETWORKS, ROWS, SPEED, SUMMARY
from colorize.metrics.rows import summarise
from colorize.report.curves import Log, read_log


@dataclass(frozen=True, slots=True)
class Entry:
    """A model or a baseline with its figures.

    Attributes:
        name: the architecture, or the baseline.
        run: the run's name; empty for a baseline.
        rows: per-photo rows.
        summary: means over the photos, and figures of the whole set.
        low: lower end of the 95 % interval of the primary metric's mean.
        high: its upper end.
        log: what training wrote.
        facts: what `model.json` says: parameters, settings.
        training: what `run.json` and `done.json` say of how it was trained; empty where nothing is known.
        cost: what `cost.json` says, with `seconds_per_photo`; empty where it was not measured, and of baselines.
        hint_share: of a guided baseline, the share of pixels whose true colours it was told; 0 of what is automatic.
    """

    name: str
    run: str
    rows: pa.Table
    summary: dict[str, float]
    low: float
    high: float
    log: Log = field(default_factory=Log)
    facts: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, float] = field(default_factory=dict)
    hint_share: float = 0.0

    def by_photo(self, column: str) -> dict[str, Any]:
        """A column's values by the photos' ids; empty where there is no such column."""
        if column not in self.rows.column_names:
            return {}
        return dict(zip(self.rows["id"].to_pylist(), self.rows[column].to_pylist(), strict=True))

    def margin(self, column: str) -> float | None:
        """Half the width of the 95 % interval of a column's mean, 1.96 standard errors.

        None where fewer than two photos have a value, or the figure is one of the whole set, that no photo has.
        """
        if column not in self.rows.column_names:
            return None
        values = self.rows[column].to_numpy(zero_copy_only=False).astype(np.float64)
        values = values[~np.isnan(values)]
        return 1.96 * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else None


def read_model(folder: Path, primary: str) -> Entry | None:
    """A run's model, as it was evaluated last.

    Args:
        folder: the run's.
        primary: the metric whose interval is wanted.

    Returns:
        None where it has not been evaluated.
    """
    if not (folder / "evaluation" / ROWS).is_file():
        return None
    facts = read_json(folder / "model" / "model.json")
    name = str(facts.get("architecture") or folder.name.rpartition("-")[0])
    rows, summary, (low, high) = _measured(folder / "evaluation", primary)
    training = {**read_json(folder / "run.json"), **read_json(folder / "done.json")}
    cost, speed = (read_json(folder / "evaluation" / file) for file in (COST, SPEED))
    if cost and "seconds_per_photo" in speed:
        cost["seconds_per_photo"] = speed["seconds_per_photo"]
    log = read_log(folder / "log.jsonl")
    return Entry(name, folder.name, rows, summary, low, high, log, facts, training, cost)


def read_baseline(folder: Path, primary: str) -> Entry | None:
    """A baseline's evaluation; None where there is none.

    Args:
        folder: where `evaluate_baselines` wrote it.
        primary: the metric whose interval is wanted.
    """
    if not (folder / ROWS).is_file():
        return None
    rows, summary, (low, high) = _measured(folder, primary)
    hint_share = read_json(folder / SUMMARY).get("hint_share", 0.0)
    return Entry(folder.name, "", rows, summary, low, high, hint_share=hint_share)


def ranked(entries: list[Entry], primary: str) -> list[Entry]:
    """Best first."""
    found, left = [], {entry.name: entry for entry in entries}
    while left:
        found.append(left.pop(best({name: entry.summary[primary] for name, entry in left.items()}, primary)))
    return found


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty where the file is missing or holds none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _measured(evaluation: Path, primary: str) -> tuple[pa.Table, dict[str, float], tuple[float, float]]:
    rows = pq.read_table(evaluation / ROWS)
    figures = read_json(evaluation / NETWORKS).get("figures", {})
    summary = summarise(rows) | {name: float(figure["value"]) for name, figure in figures.items()}
    return rows, summary, interval(rows[primary].to_numpy())
