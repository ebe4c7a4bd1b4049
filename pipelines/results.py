"""What follows a training: measure it, register it, and write what people and `dvc metrics` read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from colorize.data.shard_index import read_index
from colorize.data.state import ids_of, read_state
from colorize.metrics import evaluation
from colorize.registry import TRAINING_IDS, Registry, Version, lineage, model_card, training_ids_file
from colorize.report.gather import BASELINES_FOLDER, gather
from colorize.report.render import render
from colorize.settings import Settings
from colorize.storage import sha256_file, write_json
from colorize.training.log import read_log
from pipelines.plan import Plan

METRICS = Path("reports/metrics/models")
LOSSES = Path("reports/plots/loss")
REPORT = Path("reports/index.html")

_INPUTS = "inputs.json"


def evaluate(item: Plan, settings: Settings, root: Path) -> dict[str, float]:
    """Measure a finished run on the test split, unless the same measurement is there already; returns the summary."""
    from colorize.training.precision import choose_device

    folder = item.folder / "evaluation"
    inputs = measurement(settings, root)
    if _json(folder / _INPUTS) != inputs:
        name = item.specification.architecture
        evaluation.evaluate_model(
            name, item.folder / "model", folder, root / "data", settings.evaluation, device=choose_device()
        )
        write_json(folder / _INPUTS, inputs)
    summary = read_summary(folder)
    write_json(root / METRICS / f"{item.specification.architecture}.json", summary)
    return summary


def rows_of(version: Version, settings: Settings, root: Path) -> pa.Table:
    """What a version scores on today's test split, photo by photo; measured anew where that has not been done yet."""
    from colorize.training.precision import choose_device

    inputs = measurement(settings, root)
    own, compared = root / "runs" / version.run / "evaluation", root / "runs" / "compared" / version.run
    for folder in (own, compared):
        if _json(folder / _INPUTS) == inputs:
            return pq.read_table(folder / evaluation.ROWS)
    name, model = f"version {version.number}", Registry(settings.registry, root).model_folder(version.number)
    evaluation.evaluate_model(name, model, compared, root / "data", settings.evaluation, device=choose_device())
    write_json(compared / _INPUTS, inputs)
    return pq.read_table(compared / evaluation.ROWS)


def evaluate_baselines(settings: Settings, root: Path) -> dict[str, dict[str, float]]:
    """Measure the baselines, unless the same measurement is there already; returns the summaries by name."""
    from colorize.metrics.baselines import NAMES

    folder = root / BASELINES_FOLDER
    inputs = measurement(settings, root)
    if _json(folder / _INPUTS) != inputs:
        lab, statistics = root / "data/lab", root / "data/statistics.json"
        evaluation.evaluate_baselines(lab, statistics, folder, settings.evaluation)
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
    """Losses of each run, one point an epoch, as `dvc plots` reads them."""
    for item in items:
        write_json(root / LOSSES / f"{item.specification.architecture}.json", losses(item))


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


def measurement(settings: Settings, root: Path) -> dict[str, Any]:
    """What a measurement depends on beside the model: the data, what is measured and how, and the gallery's size."""
    code = hashlib.sha256()
    package = Path(evaluation.__file__).parents[1]
    others = ("color.py", "data/statistics.py", "models/histogram_matching.py", "models/color_by_optimization.py")
    for path in (*sorted(package.glob("metrics/*.py")), *(package / name for name in others)):
        code.update(path.read_bytes())
    data = {name: sha256_file(root / "data" / name) for name in ("lab/index.json", "statistics.json")}
    return {**data, "code": code.hexdigest(), **settings.evaluation.model_dump(exclude={"primary"})}


def _json(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return value
