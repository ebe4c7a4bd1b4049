"""Everything the page shows, read from the plain files that the pipeline left; what is missing stays empty."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from colorize import decisions
from colorize.data.statistics import load_statistics
from colorize.metrics import baselines, evaluation
from colorize.metrics.comparison import Comparison, compare, wins
from colorize.metrics.evaluation import ROWS
from colorize.metrics.gallery import GALLERY
from colorize.report.data_page import DataPage, gather_data
from colorize.report.entries import Entry, ranked, read_baseline, read_json, read_model
from colorize.report.gallery import GREY, TRUTH, Column, GalleryPhoto, gather_gallery
from colorize.report.panels import Panel
from colorize.report.pictures import ab_density

#: Where `evaluate_baselines` writes, below the project's folder.
BASELINES_FOLDER = Path("runs/baselines")
PRIMARY = "ab_error_rebalanced"
#: Figures that the page shows of each photo of the gallery, besides the primary one.
PER_PHOTO = (
    "ab_rmse",
    "ciede2000_mean",
    "psnr",
    "ssim",
    "colorfulness",
    "colorfulness_truth",
    "hue_divergence",
    "border_ratio",
    "checkerboard",
)

_DECISIONS_SHOWN = 50


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
        panels: what the gallery's pictures show of the artefacts: the truth first, then the models by name.
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
    panels: list[Panel] = field(default_factory=list)
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
    report.models = ranked([entry for folder in folders if (entry := read_model(folder, primary))], primary)
    report.baselines, report.guided = (
        ranked([entry for name in names if (entry := read_baseline(root / BASELINES_FOLDER / name, primary))], primary)
        for names in (baselines.NAMES, baselines.GUIDED)
    )
    compared = {entry.name: entry for entry in [*report.models, *report.baselines]}
    if len(compared) > 1:
        for name, share in wins({name: entry.rows for name, entry in compared.items()}, primary).items():
            compared[name].summary["wins"] = share
    if report.models and report.baselines:
        report.verdict = compare(report.models[0].rows, report.baselines[0].rows, primary)
    if len(report.models) > 1:
        report.runner_up = compare(report.models[0].rows, report.models[1].rows, primary)
    report.gallery, report.panels = _gallery(root, report, photos)
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


def _gallery(root: Path, report: Report, photos: int) -> tuple[list[GalleryPhoto], list[Panel]]:
    """The test photos that every model has a picture of, and the panels over them."""
    greys = next((entry for entry in report.baselines if entry.name == baselines.GREY), None)
    # By name, not by rank: a reader learns where a model stands, and the next report does not shuffle them.
    columns = [
        Column(GREY, root / BASELINES_FOLDER / baselines.GREY / GALLERY, greys),
        Column(TRUTH, root / BASELINES_FOLDER / evaluation.TRUTH / GALLERY),
        *(
            Column(entry.name, root / "runs" / entry.run / "evaluation" / GALLERY, entry)
            for entry in sorted(report.models, key=lambda entry: entry.name)
        ),
    ]
    known = next(iter([*report.baselines, *report.models]), None)
    return gather_gallery(columns, known.by_photo("dataset") if known else {}, (report.primary, *PER_PHOTO), photos)


def _colors(path: Path) -> Colors | None:
    if not path.is_file():
        return None
    statistics = load_statistics(path)
    histogram = statistics.histogram
    near = histogram[118:139, 118:139].sum() / max(1, histogram.sum())
    mean_a, mean_b = (float(value) for value in statistics.mean_ab)
    return Colors(statistics.photos, int(histogram.sum()), (mean_a, mean_b), float(near), ab_density(histogram))


def _lineage(root: Path, report: Report) -> dict[str, str]:
    index = read_json(root / "data" / "lab" / "index.json")
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


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
