"""The course of a training as an MLflow run, so that its curves can be looked at beside those of other runs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

_METRICS_PER_BATCH = 1000
_LONGEST_PARAMETER = 6000


def log_run(
    client: MlflowClient, experiment: str, run: Path, metrics: Mapping[str, float], tags: Mapping[str, str]
) -> str:
    """Log parameters, curves and results of a finished training; a complete log of the same run is kept.

    Args:
        client: where to log.
        experiment: name of MLflow's experiment.
        run: folder of the run, with `run.json` and `log.jsonl`.
        metrics: summary on the test split.
        tags: lineage.

    Returns:
        MLflow's identifier of the run.
    """
    from mlflow.entities import Metric, Param, RunTag

    found = client.get_experiment_by_name(experiment)
    identifier = found.experiment_id if found else client.create_experiment(experiment)
    for known in client.search_runs([identifier], f"tags.run = '{run.name}'"):
        if known.info.status == "FINISHED":
            return str(known.info.run_id)
        client.delete_run(known.info.run_id)
    created = client.create_run(identifier, run_name=run.name).info.run_id
    client.set_tag(created, "run", run.name)
    specification = json.loads((run / "run.json").read_text(encoding="utf-8"))
    parameters = [Param(name, value[:_LONGEST_PARAMETER]) for name, value in _flat(specification)]
    client.log_batch(created, params=parameters[:100], tags=[RunTag(*tag) for tag in tags.items()])
    ended = int((run / "done.json").stat().st_mtime * 1000)
    points = list(_curves(run / "log.jsonl", ended))
    points += [Metric(f"test_{name}", float(value), ended, 0) for name, value in metrics.items()]
    for start in range(0, len(points), _METRICS_PER_BATCH):
        client.log_batch(created, metrics=points[start : start + _METRICS_PER_BATCH])
    client.set_terminated(created, end_time=ended)
    return str(created)


def _curves(log: Path, timestamp: int) -> Iterator[Metric]:
    """Every finite number of the log as a point over the optimizer step (or, without one, the epoch)."""
    from mlflow.entities import Metric

    for line in log.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        step = int(record.get("step", record.get("epoch", 0)))
        for name, value in record.items():
            if name not in ("step", "epoch") and isinstance(value, int | float) and math.isfinite(value):
                yield Metric(name, float(value), timestamp, step)


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested mappings as `section.name`, value."""
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flat(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(inner)
