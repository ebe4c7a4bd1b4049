"""The charts of the report: learning curves, quality against cost, and the artefacts of the gallery's pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from colorize.metrics.comparison import pareto_front
from colorize.report.charts import Dot, Line, chart, scatter
from colorize.report.entries import Entry
from colorize.report.panels import Panel

#: A chart under its heading.
Drawing = tuple[str, Markup]


def learning_curves(models: Sequence[Entry], tones: Mapping[str, int]) -> list[Drawing]:
    """Validation ab RMSE of all models in one chart, then each model's loss in one of its own: losses differ.

    Args:
        models: in the order of the charts.
        tones: the colour of each model by name.
    """
    shared = [
        Line(entry.name, entry.log.ab_rmse, tones[entry.name], dots=True) for entry in models if entry.log.ab_rmse
    ]
    drawings = [_drawing("Validation ab RMSE, all models", shared, "epoch")] if shared else []
    for entry in models:
        lines = [
            Line("training loss", entry.log.training, tones[entry.name], faint=True),
            Line("validation loss", entry.log.validation, tones[entry.name], dots=True),
        ]
        if drawn := [line for line in lines if line.points]:
            drawings.append(_drawing(f"Loss of {entry.name}", drawn, "epoch"))
    return drawings


#: What a model costs: the key in `Entry.cost`, a title, what one counts, and in how many of the key's units.
COSTS = (
    ("parameters", "parameters", "million", 1e6),
    ("operations", "operations a photo", "billion", 1e9),
    ("memory", "memory for one photo", "MiB", 2**20),
    ("seconds_per_photo", "time a photo, one thread", "ms", 1e-3),
)


def fronts(models: Sequence[Entry], primary: str) -> dict[str, set[str]]:
    """For each kind of cost the models that no other beats in it and in the primary metric; none where one is unknown.

    Args:
        models: all of them.
        primary: the metric.
    """
    scores = {entry.name: entry.summary[primary] for entry in models}
    found = {}
    for key, *_ in COSTS:
        costs = {entry.name: entry.cost[key] for entry in models if key in entry.cost}
        if len(costs) == len(models) > 1:
            found[key] = pareto_front(costs, scores, primary)
    return found


def quality_by_cost(models: Sequence[Entry], tones: Mapping[str, int], primary: str, title: str) -> list[Drawing]:
    """The primary metric over each kind of cost, with the front of those that no other model beats in both.

    Args:
        models: all of them.
        tones: the colour of each model by name.
        primary: the metric.
        title: of the metric.
    """
    on_front, drawings = fronts(models, primary), []
    for key, what, unit, size in COSTS:
        if key in on_front:
            dots = [
                Dot(
                    entry.name,
                    entry.cost[key] / size,
                    entry.summary[primary],
                    tones[entry.name],
                    entry.name in on_front[key],
                )
                for entry in models
            ]
            heading = f"{title[:1].upper()}{title[1:]} by {what}"
            drawings.append((heading, Markup(scatter(dots, heading, x_label=f"{unit}, logarithmic"))))
    return drawings


def artefact_panels(panels: Sequence[Panel], tones: Mapping[str, int]) -> list[Drawing]:
    """Hues, borders and frequencies of the gallery's pictures, all models and the truth in each chart.

    Args:
        panels: the truth's and the models'.
        tones: the colour of each model by name; what has none is drawn in the colour of the text.
    """
    asked: tuple[tuple[str, str, str, Sequence[float]], ...] = (
        ("Hues: share of the chroma, %", "hues", "degrees: 0 red, 90 yellow, 180 green, 270 blue", range(0, 361, 90)),
        ("Error by distance to the border, ab units", "border", "% of the way to the middle", range(0, 101, 25)),
        ("Spectrum of ab: log10 of the energy", "spectrum", "cycles a pixel", (0.125, 0.25, 0.375, 0.5)),
    )
    drawings = []
    for heading, which, x_label, x_ticks in asked:
        lines = [Line(panel.label, getattr(panel, which), tones.get(panel.label)) for panel in panels]
        if drawn := [line for line in lines if line.points]:
            drawings.append(_drawing(heading, drawn, x_label, x_ticks))
    return drawings


def _drawing(heading: str, lines: Sequence[Line], x_label: str, x_ticks: Sequence[float] = ()) -> Drawing:
    return heading, Markup(chart(lines, heading, x_label=x_label, x_ticks=x_ticks))
