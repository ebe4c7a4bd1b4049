"""The charts of the report: learning curves of the models, and what the gallery's pictures show of the artefacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from colorize.report.charts import Line, chart
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
