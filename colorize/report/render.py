"""The report as one HTML file that needs nothing else: no network, no other file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from colorize.decisions import Decision
from colorize.metrics.comparison import Comparison
from colorize.report.cards import card_of
from colorize.report.charts import TONES
from colorize.report.columns import ARTEFACTS, METRICS, Metric
from colorize.report.data_page import OUTCOMES
from colorize.report.drawings import COSTS, artefact_panels, fronts, learning_curves, quality_by_cost
from colorize.report.entries import Entry
from colorize.report.gallery import TRUTH, GalleryPhoto
from colorize.report.gather import PER_PHOTO, Report
from colorize.report.pictures import AB_RANGE
from colorize.storage import write_bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """The first lines of the page."""

    headline: str
    sentence: str
    note: str


OUTCOME_TITLES = {
    "train": "training",
    "validation": "validation",
    "test": "test",
    "accepted": "accepted",
    "duplicate": "copy of another",
    "flagged": "flagged",
    "rejected": "refused",
}


def render(report: Report, path: Path) -> None:
    """Write the page.

    Args:
        report: what `gather` read.
        path: the HTML file; complete or not there at all.
    """
    environment = Environment(
        loader=PackageLoader("colorize.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = lambda value: f"{value:,}".replace(",", "\u202f")
    environment.filters["name"] = title
    # Names of models are long words: lines may end after an underscore.
    environment.filters["breakable"] = lambda name: Markup("_<wbr>").join(name.split("_"))
    page = environment.get_template("index.html.j2").render(
        report=report,
        metrics=_metrics(report),
        artefacts=_there(report, ARTEFACTS),
        entries=_entries(report),
        winners={metric.key: _winners(report, metric) for metric in (*METRICS, *ARTEFACTS)},
        verdict=verdict_of(report),
        primary=_primary(report),
        truth=_truth(report),
        tones=_tones(report),
        champion=_champion(report),
        shown=_shown(report),
        blind=bool(report.gallery and report.models),
        intervals=_intervals(report),
        fronts=fronts(report.models, report.primary),
        costs=COSTS,
        by_cost=quality_by_cost(report.models, _tones(report), report.primary, _primary(report).title),
        charts=learning_curves(_by_name(report), _tones(report)),
        panels=artefact_panels(report.panels, _tones(report)),
        cards=[(entry, card_of(entry, report.baselines)) for entry in _by_name(report)],
        by_dataset=_by_dataset(report),
        outcomes=[(outcome, OUTCOME_TITLES[outcome]) for outcome in OUTCOMES if report.data.total[outcome]],
        ab_range=AB_RANGE,
        decisions=[(decision, _figures(decision)) for decision in report.decisions],
    )
    write_bytes(path, page.encode())


def verdict_of(report: Report) -> Verdict | None:
    """Which model is best and by how much, against the best baseline and the second-best model."""
    comparison = report.verdict
    if comparison is None:
        return None
    model, baseline = (title(entries[0].name) for entries in (report.models, report.baselines))
    metric = _primary(report).title
    figures = f"{comparison.first:.2f} against {comparison.second:.2f} for the {baseline} baseline"
    photos = f"measured on {comparison.photos} test photos"
    if comparison.first_is_better:
        sure = report.runner_up is None or report.runner_up.first_is_better
        headline = f"{model} colours best." if sure else f"{model} is ahead, but not for sure."
        sentence = f"Best by {metric}: {figures}, {_difference(comparison)}, {photos}."
    elif comparison.second_is_better:
        headline = f"No model beats the {baseline} baseline."
        sentence = f"The best one, {model}, has a {metric} of {figures}, {_difference(comparison)}, {photos}."
    else:
        headline = f"No model is measurably better than the {baseline} baseline."
        sentence = f"The best one, {model}, has a {metric} of {figures}; the 95 % interval of the difference, "
        sentence += f"{comparison.low:+.2f} to {comparison.high:+.2f}, includes zero ({photos})."
    notes = [note for note in (_runner_up(report), _absent_champion(report)) if note]
    return Verdict(headline, sentence, " ".join(notes))


def _runner_up(report: Report) -> str | None:
    comparison = report.runner_up
    if comparison is None:
        return None
    second = title(report.models[1].name)
    if comparison.first_is_better:
        return f"Next: {second}, {comparison.second:.2f}. The best one's error is {_difference(comparison)}."
    return (
        f"Next: {second}, {comparison.second:.2f}, which these photos cannot tell apart from the best "
        f"(95 % interval of the difference {comparison.low:+.2f} to {comparison.high:+.2f})."
    )


def _absent_champion(report: Report) -> str | None:
    if not report.champion or report.champion in {model.run for model in report.models}:
        return None
    return f"The registry's champion is still {report.champion}, of other data, parameters or code: not shown here."


def _difference(comparison: Comparison) -> str:
    """The difference in words: "1.23 less (12 %; 95 % interval 1.01 to 1.45)"."""
    sign = -1 if comparison.difference < 0 else 1
    low, high = sorted((sign * comparison.low, sign * comparison.high))
    share = 100 * abs(comparison.difference) / abs(comparison.second) if comparison.second else 0.0
    word = "less" if sign < 0 else "more"
    return f"{abs(comparison.difference):.2f} {word} ({share:.0f} %; 95 % interval {low:.2f} to {high:.2f})"


def title(name: str) -> str:
    """What the page calls a model or a baseline; models go by the name one types."""
    return {"mean_color": "mean colour", "another_photo": "another photo's"}.get(name, name)


def _primary(report: Report) -> Metric:
    return next((metric for metric in METRICS if metric.key == report.primary), METRICS[0])


def _by_name(report: Report) -> list[Entry]:
    return sorted(report.models, key=lambda entry: entry.name)


def _entries(report: Report) -> list[Entry]:
    """The rows of the comparison; what is told true colours comes last, apart from what is ranked."""
    return [*report.models, *report.baselines, *report.guided]


def _metrics(report: Report) -> list[Metric]:
    """Those that some model or baseline has a value for; the primary one first."""
    return sorted(_there(report, METRICS), key=lambda metric: metric.key != report.primary)


def _there(report: Report, metrics: Sequence[Metric]) -> list[Metric]:
    """Those that some model or baseline has a value for."""
    return [metric for metric in metrics if any(metric.key in entry.summary for entry in _entries(report))]


def _truth(report: Report) -> dict[str, float]:
    """Figures of the true photos, the same for every model."""
    summary = next((entry.summary for entry in _entries(report)), {})
    return {
        metric.key: summary[f"{metric.key}_truth"]
        for metric in (*METRICS, *ARTEFACTS)
        if metric.goal == "truth" and f"{metric.key}_truth" in summary
    }


def _winners(report: Report, metric: Metric) -> set[str]:
    """Names with the best value as it is printed: equal figures share the mark. Whoever is told colours gets none."""
    truth = _truth(report).get(metric.key, 0.0)
    values = {
        entry.name: round(_badness(metric, entry.summary[metric.key], truth), metric.digits)
        for entry in [*report.models, *report.baselines]
        if metric.key in entry.summary
    }
    if not metric.goal or len(values) < 2:
        return set()
    return {name for name, value in values.items() if value == min(values.values())}


def _badness(metric: Metric, value: float, truth: float) -> float:
    if metric.goal in ("truth", "zero", "one"):
        return abs(value - {"truth": truth, "zero": 0.0, "one": 1.0}[metric.goal])
    return value if metric.goal == "less" else -value


def _intervals(report: Report) -> list[tuple[Entry, float, float, float]]:
    """Mean and ends of the interval of the primary metric, in percent of the widest bar's end."""
    entries = _entries(report)
    end = max((entry.high for entry in entries), default=1.0) * 1.02 or 1.0
    return [
        (entry, 100 * entry.summary[report.primary] / end, 100 * entry.low / end, 100 * entry.high / end)
        for entry in entries
    ]


def _figures(decision: Decision) -> list[tuple[str, dict[str, Any]]]:
    """What the gate compared, under the titles of the page: the primary metric first, then the guards."""
    titles = {metric.key: metric.title for metric in (*METRICS, *ARTEFACTS)}
    compared = ((name, value) for name, value in decision.figures.items() if isinstance(value, dict))
    return [(titles.get(name, name), figure) for name, figure in compared]


def _tones(report: Report) -> dict[str, int]:
    """The colour of each model, the same all over the page."""
    return {entry.name: 1 + number % TONES for number, entry in enumerate(_by_name(report))}


def _champion(report: Report) -> str:
    """The model that the gallery's photos are sorted by: the registry's champion, else the best one here."""
    names = [entry.name for entry in report.models if entry.run == report.champion]
    return next(iter([*names, *(entry.name for entry in report.models)]), "")


def _shown(report: Report) -> dict[str, Any]:
    """What the scripts of the page know of the gallery; figures in the order of the metrics."""
    keys = (report.primary, *(key for key in PER_PHOTO if key != report.primary))
    metrics = [metric for key in keys for metric in (*METRICS, *ARTEFACTS) if metric.key == key]
    described = [{"title": metric.title, "digits": metric.digits, "goal": metric.goal} for metric in metrics]
    return {
        "metrics": described,
        "models": [entry.name for entry in _by_name(report)],
        "champion": _champion(report),
        "photos": [_figures_of(photo, metrics) for photo in report.gallery],
    }


def _figures_of(photo: GalleryPhoto, metrics: Sequence[Metric]) -> dict[str, Any]:
    figures = {
        shot.label: [_rounded(shot.figures.get(metric.key), metric) for metric in metrics] for shot in photo.shots
    }
    known = next((shot.figures for shot in photo.shots if shot.figures), {})
    fixed = {"one": 1.0, "zero": 0.0}
    true = [known.get(f"{metric.key}_truth", fixed.get(metric.goal)) for metric in metrics]
    figures[TRUTH] = [_rounded(value, metric) for value, metric in zip(true, metrics, strict=True)]
    return {"id": photo.id, "dataset": photo.dataset, "figures": figures}


def _rounded(value: float | None, metric: Metric) -> float | None:
    return None if value is None else round(value, metric.digits)


def _by_dataset(report: Report) -> list[tuple[str, int, float, dict[str, float]]]:
    """Of the test photos of each dataset: how many, their mean colourfulness, and each model's primary figure."""
    known = [*report.models, *report.baselines][:1]
    datasets = sorted({name for entry in known for name in entry.rows["dataset"].to_pylist()})
    found = []
    for dataset in datasets:
        photos = {entry.name: entry.rows.filter(pc.field("dataset") == dataset) for entry in [*known, *report.models]}
        true = photos[known[0].name]
        means = {entry.name: pc.mean(photos[entry.name][report.primary]).as_py() or 0.0 for entry in report.models}
        found.append((dataset, true.num_rows, pc.mean(true["colorfulness_truth"]).as_py() or 0.0, means))
    return found
