"""Everything the page shows, read from the plain files that the pipeline left; what is missing stays empty."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from colorize import decisions
from colorize.data.statistics import load_statistics
from colorize.metrics import baselines
from colorize.metrics.comparison import Comparison, best, compare, interval
from colorize.metrics.evaluation import ROWS, SUMMARY, TRUTH, summarise
from colorize.metrics.gallery import GALLERY, gallery_ids
from colorize.report.curves import Log, read_log
from colorize.report.data_page import DataPage, gather_data
from colorize.report.pictures import ab_density, thumbnail_of_file

#: Where `evaluate_baselines` writes, below the project's folder.
BASELINES_FOLDER = Path("runs/baselines")
PRIMARY = "ab_error_rebalanced"

_DECISIONS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Entry:
    """A model or a baseline with its figures.

    Attributes:
        name: the architecture, or the baseline.
        run: the run's name; empty for a baseline.
        rows: per-photo rows.
        summary: means over the photos.
        low: lower end of the 95 % interval of the primary metric's mean.
        high: its upper end.
        log: what training wrote.
        facts: what `model.json` says: parameters, settings.
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
    hint_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture of the gallery: grey, truth, or a model's, with that model's ab RMSE on the photo."""

    label: str
    picture: str
    ab_rmse: float | None = None


@dataclass(frozen=True, slots=True)
class GalleryPhoto:
    """One test photo side by side."""

    id: str
    dataset: str
    shots: list[Shot]

    def picture(self, label: str) -> str:
        """The picture under a label; empty where there is none."""
        return next((shot.picture for shot in self.shots if shot.label == label), "")


@dataclass(frozen=True, slots=True)
class Colors:
    """The colour statistics of the training split."""

    photos: int
    pixels: int
    mean_ab: tuple[float, float]
    near_grey: float
    density: str


@dataclass(slots=True)
class Report:
    """The page as data.

    Attributes:
        models: trained models, best first.
        baselines: those that are told nothing, best first.
        guided: those that are told true colours: for comparison, never for a verdict.
        champion: the run that the registry's alias points to; empty where nobody was asked.
        verdict: the best model against the best baseline, on the primary metric.
        runner_up: the best model against the second-best.
        decisions: about champions, the newest first; the newest of them, where there are many.
        decided: how many there are in all.
        lineage: facts on where the figures come from, in order.
        parameters: text of `params.yaml`.
    """

    primary: str = PRIMARY
    champion: str = ""
    models: list[Entry] = field(default_factory=list)
    baselines: list[Entry] = field(default_factory=list)
    guided: list[Entry] = field(default_factory=list)
    verdict: Comparison | None = None
    runner_up: Comparison | None = None
    gallery: list[GalleryPhoto] = field(default_factory=list)
    colors: Colors | None = None
    data: DataPage = field(default_factory=DataPage)
    decisions: list[decisions.Decision] = field(default_factory=list)
    decided: int = 0
    lineage: dict[str, str] = field(default_factory=dict)
    parameters: str = ""


def gather(
    root: Path, runs: Sequence[str] | None = None, primary: str = PRIMARY, photos: int = 24, champion: str = ""
) -> Report:
    """Read what there is below the project's folder.

    Args:
        root: the project's folder.
        runs: names of the runs to show; None takes the run of each architecture that was evaluated last.
        primary: the metric that models are ranked by.
        photos: how many photos the gallery shows.
        champion: the run that the registry's alias points to, for its mark on the page.

    Raises:
        ValueError: a line of the decisions is none; the message has its number.
    """
    folders = _newest_runs(root / "runs") if runs is None else [root / "runs" / run for run in runs]
    report = Report(primary, champion)
    report.models = _ranked([entry for folder in folders if (entry := _model(folder, primary))], primary)
    report.baselines, report.guided = (
        _ranked([entry for name in names if (entry := _baseline(root / BASELINES_FOLDER / name, primary))], primary)
        for names in (baselines.NAMES, baselines.GUIDED)
    )
    if report.models and report.baselines:
        report.verdict = compare(report.models[0].rows, report.baselines[0].rows, primary)
    if len(report.models) > 1:
        report.runner_up = compare(report.models[0].rows, report.models[1].rows, primary)
    report.gallery = _gallery(root, report, photos)
    report.colors = _colors(root / "data" / "statistics.json")
    report.data = gather_data(root / "data")
    decided = decisions.read(root / decisions.PATH)
    report.decisions, report.decided = decided[::-1][:_DECISIONS_SHOWN], len(decided)
    report.lineage = _lineage(root, report)
    report.parameters = _text(root / "params.yaml")
    return report


def _newest_runs(runs: Path) -> list[Path]:
    """Of each architecture the run that was evaluated last. A run's name is `<architecture>-<fingerprint>`."""
    newest: dict[str, Path] = {}
    evaluated = [rows.parent.parent for rows in runs.glob(f"*/evaluation/{ROWS}")]
    for folder in sorted(evaluated, key=lambda folder: (folder / "evaluation" / ROWS).stat().st_mtime_ns):
        newest[folder.name.rpartition("-")[0]] = folder
    return [newest[name] for name in sorted(newest)]


def _model(folder: Path, primary: str) -> Entry | None:
    if not (folder / "evaluation" / ROWS).is_file():
        return None
    facts = _json(folder / "model" / "model.json")
    name = str(facts.get("architecture") or folder.name.rpartition("-")[0])
    rows, summary, (low, high) = _measured(folder / "evaluation", primary)
    return Entry(name, folder.name, rows, summary, low, high, read_log(folder / "log.jsonl"), facts)


def _baseline(folder: Path, primary: str) -> Entry | None:
    if not (folder / ROWS).is_file():
        return None
    rows, summary, (low, high) = _measured(folder, primary)
    return Entry(folder.name, "", rows, summary, low, high, hint_share=_json(folder / SUMMARY).get("hint_share", 0.0))


def _measured(evaluation: Path, primary: str) -> tuple[pa.Table, dict[str, float], tuple[float, float]]:
    rows = pq.read_table(evaluation / ROWS)
    return rows, summarise(rows), interval(rows[primary].to_numpy())


def _ranked(entries: list[Entry], primary: str) -> list[Entry]:
    """Best first."""
    ranked, left = [], {entry.name: entry for entry in entries}
    while left:
        ranked.append(left.pop(best({name: entry.summary[primary] for name, entry in left.items()}, primary)))
    return ranked


def _gallery(root: Path, report: Report, photos: int) -> list[GalleryPhoto]:
    """The test photos that every model has a picture of, in an order that mixes the datasets."""
    truth = root / BASELINES_FOLDER / TRUTH / GALLERY
    grey = root / BASELINES_FOLDER / baselines.GREY / GALLERY
    # By name, not by rank: a reader learns where a model stands, and the next report does not shuffle them.
    models = sorted(report.models, key=lambda entry: entry.name)
    folders = [root / "runs" / entry.run / "evaluation" / GALLERY for entry in models]
    ids = {path.stem for path in truth.glob("*.png")}
    for folder in folders:
        ids &= {path.stem for path in folder.glob("*.png")}
    known = report.baselines[:1] or report.models[:1]
    datasets = _by_photo(known[0], "dataset") if known else {}
    errors = [_by_photo(entry, "ab_rmse") for entry in models]
    greys = next((_by_photo(entry, "ab_rmse") for entry in report.baselines if entry.name == baselines.GREY), {})
    shown = gallery_ids({identity: datasets.get(identity, "") for identity in ids}, photos)
    gallery = []
    for identity in shown:
        columns = [("grey", grey, greys.get(identity)), ("truth", truth, None)]
        columns += [
            (entry.name, folder, error.get(identity))
            for entry, folder, error in zip(models, folders, errors, strict=True)
        ]
        shots = [
            Shot(label, picture, error)
            for label, folder, error in columns
            if (picture := thumbnail_of_file(folder / f"{identity}.png"))
        ]
        gallery.append(GalleryPhoto(identity, datasets.get(identity, ""), shots))
    return gallery


def _by_photo(entry: Entry, column: str) -> dict[str, Any]:
    return dict(zip(entry.rows["id"].to_pylist(), entry.rows[column].to_pylist(), strict=True))


def _colors(path: Path) -> Colors | None:
    if not path.is_file():
        return None
    statistics = load_statistics(path)
    histogram = statistics.histogram
    near = histogram[118:139, 118:139].sum() / max(1, histogram.sum())
    mean_a, mean_b = (float(value) for value in statistics.mean_ab)
    return Colors(statistics.photos, int(histogram.sum()), (mean_a, mean_b), float(near), ab_density(histogram))


def _lineage(root: Path, report: Report) -> dict[str, str]:
    index = _json(root / "data" / "lab" / "index.json")
    facts = {
        "git commit": _commit(root),
        "data digest": str(index.get("digest", "")),
        **{f"run of {entry.name}": entry.run for entry in sorted(report.models, key=lambda entry: entry.name)},
    }
    return {name: value for name, value in facts.items() if value}


def _commit(root: Path) -> str:
    """The commit that is checked out, and whether files differ from it; empty outside Git."""
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return commit + (", with local changes" if _git(root, "status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
