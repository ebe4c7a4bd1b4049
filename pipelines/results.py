"""What follows a training: measure it, register it, and write what people and `dvc metrics` read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from colorize.data.shard_index import read_index
from colorize.data.state import ids_of, read_state
from colorize.metrics import evaluation
from colorize.metrics.baselines import NAMES
from colorize.metrics.evaluation import EvaluationData
from colorize.registry import TRAINING_IDS, Registry, Version, lineage, model_card, training_ids_file
from colorize.report.columns import ARTEFACTS, Metric
from colorize.report.columns import METRICS as FIGURES
from colorize.report.entries import Entry, read_baseline, read_model
from colorize.report.gather import BASELINES_FOLDER, PRIMARY, gather
from colorize.report.render import render
from colorize.settings import Settings
from colorize.storage import sha256_file, write_json
from colorize.training import pretrained
from colorize.training.log import read_log
from pipelines.environment import jobs_address
from pipelines.plan import Plan

METRICS = Path("reports/metrics/models")
LOSSES = Path("reports/plots/loss")
COMPARISON = Path("reports/plots/comparison.json")
REPORT = Path("reports/index.html")

_INPUTS = "inputs.json"
_MODELS_THAT_MEASURE = ("blocks", "color_by_optimization", "histogram_matching", "vgg")


def evaluate(item: Plan, settings: Settings, root: Path) -> dict[str, float]:
    """Measure a finished run on the test split, unless the same measurement is there already; returns the summary."""
    name, folder = item.specification.architecture, item.folder / "evaluation"
    measure(name, item.folder / "model", folder, photos_of(settings, root))
    summary = read_summary(folder)
    write_json(root / METRICS / f"{name}.json", summary)
    return summary


def measure(name: str, model: Path, folder: Path, photos: EvaluationData) -> None:
    """Measure a model into `folder`, unless the same measurement is there already; see `evaluate_model`."""
    inputs = measurement(photos)
    if _json(folder / _INPUTS) != inputs:
        evaluation.evaluate_model(name, model, folder, photos)
        write_json(folder / _INPUTS, inputs)


def rows_of(version: Version, settings: Settings, root: Path) -> pa.Table:
    """What a version scores on today's test split, photo by photo; measured anew where that has not been done yet."""
    photos = photos_of(settings, root)
    own, compared = root / "runs" / version.run / "evaluation", root / "runs" / "compared" / version.run
    if _json(own / _INPUTS) == measurement(photos):
        return pq.read_table(own / evaluation.ROWS)
    model = Registry(settings.registry, root).model_folder(version.number)
    measure(f"version {version.number}", model, compared, photos)
    return pq.read_table(compared / evaluation.ROWS)


def evaluate_baselines(settings: Settings, root: Path) -> dict[str, dict[str, float]]:
    """Measure the baselines, unless the same measurement is there already; returns the summaries by name."""
    folder, photos = root / BASELINES_FOLDER, photos_of(settings, root)
    inputs = measurement(photos)
    if _json(folder / _INPUTS) != inputs:
        evaluation.evaluate_baselines(folder, photos)
        write_json(folder / _INPUTS, inputs)
    summaries = {name: read_summary(folder / name) for name in NAMES}
    write_json(root / METRICS / "baselines.json", summaries)
    return summaries


def read_summary(folder: Path) -> dict[str, float]:
    """The figures of an evaluation, without the words beside them."""
    values = _json(folder / evaluation.SUMMARY)
    return {name: value for name, value in values.items() if isinstance(value, int | float)}


def register(  # noqa: PLR0917
    item: Plan,
    summary: Mapping[str, float],
    baselines: Mapping[str, Mapping[str, float]],
    registry: Registry,
    settings: Settings,
    root: Path,
) -> Version:
    """Make a version of a measured run, with its model card and lineage; a run that has one keeps its number."""
    specification = item.specification
    done = _json(item.folder / "done.json")
    tags = {
        "architecture": specification.architecture,
        "fingerprint": specification.fingerprint,
        "data_digest": specification.data_digest,
        "seed": str(specification.training.seed),
        **{name: str(done[name]) for name in ("device", "precision", "workers", "threads", "torch")},
        **lineage(root),
    }
    measured = (evaluation.GRID, evaluation.ROWS, evaluation.SUMMARY)
    kept: dict[str, bytes | Path] = {name: item.folder / "evaluation" / name for name in measured}
    kept["statistics.json"] = root / "data" / "statistics.json"
    kept["data.json"] = read_state(root, settings.datasets).to_json()
    kept[TRAINING_IDS] = training_ids_file(ids_of(root / "data" / "lab", "train"))
    for name in ("params.yaml", "dvc.lock", "requirements.lock"):
        if (root / name).is_file():
            kept[name] = root / name
    card = model_card(item.folder, summary, baselines, read_index(root / "data/lab")["photos"], tags)
    return registry.register(item.folder, summary, tags, {"README.md": card.encode(), **kept})


def write_plots(items: Sequence[Plan], root: Path) -> None:
    """As `dvc plots` reads them: losses of each run, one point an epoch, and the comparison with its intervals."""
    for item in items:
        write_json(root / LOSSES / f"{item.specification.architecture}.json", losses(item))
    entries = [read_model(item.folder, PRIMARY) for item in items]
    entries += [read_baseline(root / BASELINES_FOLDER / name, PRIMARY) for name in NAMES]
    there = [entry for entry in entries if entry is not None]
    write_json(root / COMPARISON, [point for metric in (*FIGURES, *ARTEFACTS) for point in points(metric, there)])


def points(metric: Metric, entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """One figure of all models and baselines that have it, with its 95 % interval where it is a mean over photos."""
    found = []
    for entry in entries:
        if metric.key in entry.summary:
            mean, margin = entry.summary[metric.key], entry.margin(metric.key) or 0.0
            ends = {"low": mean - margin, "high": mean + margin}
            found.append({"figure": metric.title, "model": entry.name, "mean": mean, **ends})
    return found


def forget_others(items: Sequence[Plan], root: Path) -> None:
    """Remove the figures of architectures that are not among these: they are of other parameters, data or code."""
    known = {"baselines", *(item.specification.architecture for item in items)}
    for folder in (METRICS, LOSSES):
        for path in (root / folder).glob("*.json"):
            if path.stem not in known:
                path.unlink()


def write_report(items: Sequence[Plan], settings: Settings, champion: str, root: Path) -> Path:
    """Render the page that shows these runs and which of them is champion; returns where it is."""
    runs = [item.specification.name for item in items]
    report = gather(root, runs, settings.evaluation.primary, settings.evaluation.gallery, champion)
    render(report, root / REPORT)
    return root / REPORT


def losses(item: Plan) -> list[dict[str, Any]]:
    """Mean training loss and validation loss of each epoch."""
    points: list[dict[str, Any]] = []
    epoch: list[float] = []
    for record in read_log(item.folder / "log.jsonl"):
        if "loss" in record:
            epoch.append(record["loss"])
        elif epoch:
            points.append(
                {
                    "epoch": record["epoch"],
                    "step": record["step"],
                    "loss": sum(epoch) / len(epoch),
                    "validation": record.get("validation_loss"),
                }
            )
            epoch = []
    return points


def photos_of(settings: Settings, root: Path, data: Path | None = None) -> EvaluationData:
    """What is measured on: `data` of a project, or another; by a cluster only where its nodes see these folders."""
    data = data or root / "data"
    # Where the address is one for jobs, this process is on no cluster.
    shared = settings.scaling.storage is None and jobs_address(os.environ.get("RAY_ADDRESS")) is None
    weights = root / pretrained.FOLDER
    return EvaluationData(data / "lab", data / "statistics.json", weights, settings.evaluation, cluster=shared)


def measurement(photos: EvaluationData) -> dict[str, Any]:
    """What a measurement depends on beside the model: data, what is measured and how, through which networks."""
    from colorize.metrics.networks import NEEDS

    code = hashlib.sha256()
    package = Path(evaluation.__file__).parents[1]
    others = ("color.py", "data/statistics.py", *(f"models/{name}.py" for name in _MODELS_THAT_MEASURE))
    for path in (*sorted(package.glob("metrics/*.py")), *(package / name for name in others)):
        code.update(path.read_bytes())
    return {
        "lab/index.json": sha256_file(photos.lab / "index.json"),
        "statistics.json": sha256_file(photos.statistics),
        "code": code.hexdigest(),
        "weights": {name: _digest_of_weights(photos.weights, name) for name in sorted(set(NEEDS.values()))},
        **photos.settings.model_dump(exclude={"primary"}),
    }


def _digest_of_weights(weights: Path, name: str) -> str | None:
    try:
        return pretrained.recorded_digest(weights, name)
    except ValueError:
        return None


def _json(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return value
