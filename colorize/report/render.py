"""The report as one HTML file that needs nothing else: no network, no other file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from colorize.decisions import Decision
from colorize.metrics.comparison import Comparison
from colorize.report import curves
from colorize.report.data_page import OUTCOMES
from colorize.report.gather import Entry, Report
from colorize.report.pictures import AB_RANGE
from colorize.storage import write_bytes


@dataclass(frozen=True, slots=True)
class Metric:
    """A column of a table: `goal` is "less", "more", "zero", "one", or "truth" where the true photos' value is it."""

    key: str
    title: str
    goal: str
    digits: int
    meaning: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The first lines of the page."""

    headline: str
    sentence: str
    note: str


METRICS = (
    Metric("ab_error_rebalanced", "rebalanced ab error", "less", 2, "distance in ab, rare colours weigh more"),
    Metric("ab_rmse", "ab RMSE", "less", 2, "root mean square over pixels and both channels, CIELAB units"),
    Metric("ciede2000_mean", "ΔE2000", "less", 2, "perceived difference CIEDE2000, mean over pixels"),
    Metric("ciede2000_p95", "ΔE2000 p95", "less", 2, "perceived difference CIEDE2000, 95th percentile of the pixels"),
    Metric("psnr", "PSNR", "more", 2, "dB, on RGB, with the photo's own L"),
    Metric("ssim", "SSIM", "more", 4, "7×7 uniform window on RGB, with the photo's own L"),
    Metric("colorfulness_error", "CF error", "less", 2, "mean over photos of |colourfulness - true colourfulness|"),
    Metric("colorfulness_difference", "ΔCF", "less", 2, "|mean colourfulness - mean true colourfulness|"),
    Metric("colorfulness", "CF", "truth", 1, "colourfulness after Hasler & Süsstrunk; best is nearest the truth"),
    Metric("colorfulness_absolute", "CF abs", "truth", 1, "the variant with absolute opponents (DDColor, CT2)"),
    Metric("auc", "AuC", "more", 3, "area under the curve of pixels within 0…150 units of ab, plain"),
    Metric(
        "auc_rebalanced", "AuC, rebalanced", "more", 3, "the same, pixels weighed by ImageNet's rarity of their colour"
    ),
    Metric("psnr_own_l", "PSNR, own L", "more", 2, "dB, with the L the network draws itself"),
    Metric("ssim_own_l", "SSIM, own L", "more", 4, "with the L the network draws itself"),
)

ARTEFACTS = (
    Metric("bias_a", "bias a", "zero", 2, "mean shift towards red (+) or green (-), CIELAB units"),
    Metric("bias_b", "bias b", "zero", 2, "mean shift towards yellow (+) or blue (-), CIELAB units"),
    Metric(
        "false_blue_rate", "false blue", "less", 3, "share of the pixels that are not blue in truth and were painted so"
    ),
    Metric(
        "hue_divergence", "hue divergence", "less", 3, "Jensen-Shannon divergence of the hues, bits, mean over photos"
    ),
    Metric(
        "border_ratio", "border", "one", 2, "ab error of the outer 8 % over the rest, as shares of the mean colour's"
    ),
    Metric("sharpness_ab", "sharpness, ab", "one", 2, "steepest edges of colour (95th percentile) over the true ones"),
    Metric(
        "edge_alignment", "edge alignment", "truth", 2, "correlation of the edges of colour and lightness: bleeding"
    ),
    Metric("checkerboard", "checkerboard", "less", 2, "decades by which the frequencies of strides stick out of ab"),
    Metric("sharpness_own_l", "sharpness, own L", "one", 2, "the same of the L the network draws itself"),
)

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
    page = environment.get_template("index.html.j2").render(
        report=report,
        metrics=_metrics(report),
        artefacts=_there(report, ARTEFACTS),
        entries=_entries(report),
        winners={metric.key: _winners(report, metric) for metric in (*METRICS, *ARTEFACTS)},
        verdict=verdict_of(report),
        primary=_primary(report),
        truth=_truth(report),
        tones={entry.name: number for number, entry in enumerate(_by_name(report), start=1)},
        intervals=_intervals(report),
        charts=_charts(report),
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
        headline = f"{model} colours best."
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
    return {name for name, value in values.items() if value == min(values.values())} if len(values) > 1 else set()


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


def _charts(report: Report) -> list[tuple[str, Markup]]:
    """Validation ab RMSE of all models in one chart, then each model's loss in one of its own: losses differ."""
    models = [(tone, entry) for tone, entry in enumerate(_by_name(report), start=1)]
    charts = []
    shared = [curves.Line(entry.name, entry.log.ab_rmse, tone) for tone, entry in models if entry.log.ab_rmse]
    if shared:
        charts.append(("Validation ab RMSE, all models", curves.chart(shared, "epoch", "Validation ab RMSE by epoch")))
    for tone, entry in models:
        lines = [
            curves.Line("training loss", entry.log.training, tone, "faint"),
            curves.Line("validation loss", entry.log.validation, tone),
        ]
        if drawn := [line for line in lines if line.points]:
            heading = f"Loss of {entry.name}"
            charts.append((heading, curves.chart(drawn, "epoch", f"{heading}: training and validation by epoch")))
    return [(heading, Markup(svg)) for heading, svg in charts]
