"""Line charts as inline SVG: drawn by hand, so that they follow the page's light and dark colours."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

WIDTH, HEIGHT = 420, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 12, 40
#: Points a line is thinned to: more cannot be told apart at this width.
_POINTS = 240


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart; `style` is a class of the stylesheet, `tone` the number of its colour."""

    label: str
    points: Sequence[tuple[float, float]]
    tone: int
    style: str = "line"


@dataclass(frozen=True, slots=True)
class Log:
    """What a run wrote while it trained: x is the epoch, as a fraction for the steps inside it.

    Attributes:
        training: loss of the steps.
        validation: loss on the validation split after each epoch.
        ab_rmse: ab RMSE on the validation split, CIELAB units.
    """

    training: list[tuple[float, float]] = field(default_factory=list)
    validation: list[tuple[float, float]] = field(default_factory=list)
    ab_rmse: list[tuple[float, float]] = field(default_factory=list)


def read_log(path: Path) -> Log:
    """Read `log.jsonl`; lines that a killed writer left half-written, and values that are no numbers, are skipped."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return Log()
    records = [record for line in lines if isinstance(record := _parse(line), dict)]
    steps = [record for record in records if "loss" in record and "step" in record]
    log = Log()
    per_epoch = _steps_per_epoch(steps)
    for record in steps:
        _append(log.training, record["step"] / per_epoch, record["loss"])
    for record in records:
        _append(log.validation, record.get("epoch"), record.get("validation_loss"))
        _append(log.ab_rmse, record.get("epoch"), record.get("validation_ab_rmse"))
    return log


def chart(lines: Sequence[Line], x_label: str, title: str) -> str:
    """An SVG of some lines over a common grid; it scales with the page.

    Args:
        lines: at least one point in all.
        x_label: what the horizontal axis counts.
        title: read out by screen readers.
    """
    x_ticks = [tick for tick in ticks(*_range(lines, 0), 5) if tick == int(tick)]
    low, high = _range(lines, 1)
    y_ticks = ticks(min(low, 0.0) if low < 0.35 * high else low, high, 5)
    x_low, x_high = _range(lines, 0)
    y_low, y_high = min(y_ticks[0], low), max(y_ticks[-1], high)

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            _LEFT + (x - x_low) / ((x_high - x_low) or 1) * (WIDTH - _LEFT - _RIGHT),
            HEIGHT - _BOTTOM - (y - y_low) / ((y_high - y_low) or 1) * (HEIGHT - _TOP - _BOTTOM),
        )

    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">']
    for tick in y_ticks:
        y = at(x_low, tick)[1]
        parts.append(f'<line class="rule" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 7}" y="{y + 3.5:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in x_ticks:
        x = at(tick, y_low)[0]
        parts.append(f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 23}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<text class="tick" x="{WIDTH - _RIGHT}" y="{HEIGHT - 6}" text-anchor="end">{escape(x_label)}</text>')
    for line in lines:
        spots = [at(*point) for point in _thinned(line.points)]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
        parts.append(
            f'<path class="{line.style} tone-{line.tone}" d="{path}"><title>{escape(line.label)}</title></path>'
        )
        if line.style != "faint":
            parts += [f'<circle class="dot tone-{line.tone}" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>' for x, y in spots]
    return "".join([*parts, "</svg>"])


def ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers that span a range: about `count` of them, in steps of 1, 2 or 5 times a power of ten."""
    if not high > low:
        high = low + (abs(low) or 1.0)
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _range(lines: Sequence[Line], axis: int) -> tuple[float, float]:
    values = [point[axis] for line in lines for point in line.points]
    return min(values), max(values)


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Means of neighbouring points, so that a long run draws as one readable line."""
    size = math.ceil(len(points) / _POINTS)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def _steps_per_epoch(steps: Sequence[dict[str, Any]]) -> float:
    """Steps of one epoch, from the last step logged in each; epochs count from 1."""
    last: dict[float, float] = {}
    for record in steps:
        epoch = record.get("epoch")
        if isinstance(epoch, int | float):
            last[epoch] = max(last.get(epoch, 0), record["step"])
    return max((step / epoch for epoch, step in last.items() if epoch > 0), default=1.0) or 1.0


def _append(points: list[tuple[float, float]], x: object, y: object) -> None:
    if isinstance(x, int | float) and isinstance(y, int | float) and math.isfinite(y):
        points.append((float(x), float(y)))


def _parse(line: str) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None
