"""What follows a training: measure it, register it, crown the best, and write what people and `dvc metrics` read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from colorize.data.shard_index import read_index
from colorize.metrics import evaluation
from colorize.registry import Registry, Version, lineage, model_card
from colorize.report.gather import BASELINES_FOLDER, gather
from colorize.report.render import render
from colorize.settings import Settings
from colorize.storage import sha256_file, write_json
from colorize.training.log import read_log
from pipelines.crown import Decision, crown
from pipelines.plan import Plan

METRICS = Path("reports/metrics/models")
LOSSES = Path("reports/plots/loss")
REPORT = Path("reports/index.html")

_INPUTS = "inputs.json"


def evaluate(item: Plan, settings: Settings, root: Path) -> dict[str, float]:
    """Measure a finished run on the test split, unless the same measurement is there already; returns the summary."""
    from colorize.training.precision import choose_device

    folder = item.folder / "evaluation"
    inputs = _inputs(settings, root)
    if _json(folder / _INPUTS) != inputs:
        lab, statistics = root / "data/lab", root / "data/statistics.json"
        evaluation.evaluate_run(item.folder, lab, statistics, settings.evaluation, choose_device())
        write_json(folder / _INPUTS, inputs)
    summary = read_summary(folder)
    write_json(root / METRICS / f"{item.specification.architecture}.json", summary)
    return summary


def evaluate_baselines(settings: Settings, root: Path) -> dict[str, dict[str, float]]:
    """Measure the baselines, unless the same measurement is there already; returns the summaries by name."""
    from colorize.metrics.baselines import NAMES

    folder = root / BASELINES_FOLDER
    inputs = _inputs(settings, root)
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


def register(
    item: Plan,
    summary: Mapping[str, float],
    baselines: Mapping[str, Mapping[str, float]],
    registry: Registry,
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
        **{name: str(done[name]) for name in ("device", "precision", "workers", "torch")},
        **lineage(root),
    }
    card = model_card(item.folder, summary, baselines, read_index(root / "data/lab")["photos"], tags)
    kept = {name: item.folder / "evaluation" / name for name in (evaluation.GRID, evaluation.ROWS, evaluation.SUMMARY)}
    project = {name: root / name for name in ("params.yaml", "dvc.lock") if (root / name).is_file()}
    return registry.register(item.folder, summary, tags, {"README.md": card.encode(), **kept, **project})


def promote(versions: Sequence[Version], registry: Registry, metric: str) -> dict[str, Decision]:
    """Point `champion-<architecture>` and `champion` to the best; returns what was decided by alias."""
    decisions = {
        f"champion-{version.architecture}": _crown([version], registry, version.architecture, metric)
        for version in versions
    }
    decisions["champion"] = _crown(versions, registry, None, metric)
    for alias, decision in decisions.items():
        if decision.changed:
            registry.promote(decision.version, alias)
    return decisions


def _crown(contenders: Sequence[Version], registry: Registry, architecture: str | None, metric: str) -> Decision:
    alias = f"champion-{architecture}" if architecture else "champion"
    holder = next((version for version in registry.list() if alias in version.aliases), None)
    present = None if holder is None else (holder.number, _rows(holder))
    return crown({version.number: _rows(version) for version in contenders}, present, metric)


def write_plots(items: Sequence[Plan], root: Path) -> None:
    """Losses of each run, one point an epoch, as `dvc plots` reads them."""
    for item in items:
        write_json(root / LOSSES / f"{item.specification.architecture}.json", _losses(item))


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


def _losses(item: Plan) -> list[dict[str, Any]]:
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


def _rows(version: Version) -> pa.Table:
    return pq.read_table(version.folder / evaluation.ROWS)


def _inputs(settings: Settings, root: Path) -> dict[str, Any]:
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
