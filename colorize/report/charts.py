"""Charts by Matplotlib as inline SVG: nothing runs in the page, and they follow its light and dark colours."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

from colorize.report.curves import thinned

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Tones of the stylesheet; of more lines than these, some share one.
TONES: Final = 12
_WIDTH, _HEIGHT = 5.0, 3.1  # inches of 72 units of the SVG
_DOT = 5.0  # pixels from the middle of a dot to where a label may begin
# Matplotlib knows no CSS variables: it draws in stand-ins, which are exchanged in what it wrote.
_VARIABLES: Final = {
    "#010203": "var(--ink)",
    "#010204": "var(--muted)",
    "#010205": "var(--rule)",
    **{f"#0102{16 + tone:02x}": f"var(--tone-{tone})" for tone in range(TONES + 1)},
}
_COLOURS: Final = {variable: colour for colour, variable in _VARIABLES.items()}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart.

    Attributes:
        label: what it is of.
        points: x and y.
        tone: the number of its colour in the stylesheet, 1 to `TONES`; None for the colour of the text: the truth.
        faint: thin and pale, such as single steps behind a mean.
        dots: whether each point is marked.
    """

    label: str
    points: Sequence[tuple[float, float]]
    tone: int | None
    faint: bool = False
    dots: bool = False


def chart(lines: Sequence[Line], title: str, *, x_label: str, y_label: str = "", x_ticks: Sequence[float] = ()) -> str:
    """An SVG of some lines over a common grid; it scales with the page.

    Args:
        lines: at least one point in all.
        title: read out by screen readers, with what the lines are.
        x_label: what the horizontal axis counts.
        y_label: what the vertical one counts.
        x_ticks: where the horizontal axis has its numbers; empty: at round ones, whole ones where x counts epochs.
    """
    from matplotlib.ticker import MaxNLocator

    with _axes(title, x_label, y_label) as (figure, axes):
        for line in lines:
            xs, ys = zip(*thinned(line.points), strict=True)
            colour = _COLOURS["var(--ink)" if line.tone is None else f"var(--tone-{line.tone})"]
            drawn = axes.plot(xs, ys, color=colour, linewidth=0.8 if line.faint else 1.7, clip_on=False)[0]
            drawn.set(alpha=0.5 if line.faint else None, marker="o" if line.dots else "", markersize=4)
        values = [y for line in lines for _, y in line.points]
        # An axis that starts at zero where that costs little room.
        if 0 <= min(values) < 0.35 * max(values):
            axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        if x_ticks:
            axes.set_xticks(x_ticks)
            axes.grid(axis="x", color=_COLOURS["var(--rule)"], linewidth=0.8)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
        return _svg(figure, f"{title}: {', '.join(line.label for line in lines)}")


@dataclass(frozen=True, slots=True)
class Dot:
    """One point of a scatter chart.

    Attributes:
        label: stands beside it.
        x: above 0.
        y: any number.
        tone: as a `Line`'s.
        front: whether the line of the best goes through it.
    """

    label: str
    x: float
    y: float
    tone: int
    front: bool


def scatter(dots: Sequence[Dot], title: str, *, x_label: str) -> str:
    """An SVG of labelled points over a logarithmic x axis, with a line through those of the front.

    A label for which there is no room is left out, of those of the front last of all: the page's table has all names.

    Args:
        dots: at least one.
        title: read out by screen readers, with what the points are.
        x_label: what the horizontal axis counts.
    """
    with _axes(title, x_label, "", (1.5 * _WIDTH, 1.4 * _HEIGHT)) as (figure, axes):
        axes.set_xscale("log")
        axes.margins(x=0.22, y=0.15)
        front = sorted((dot.x, dot.y) for dot in dots if dot.front)
        axes.plot(*zip(*front, strict=True), color=_COLOURS["var(--rule)"], linewidth=1.7, zorder=1)
        for dot in dots:
            colour = _COLOURS[f"var(--tone-{dot.tone})"]
            axes.plot([dot.x], [dot.y], marker="o", markersize=6, color=colour if dot.front else "none", mec=colour)
        # Powers of ten may all lie outside: numbers at both ends and in the middle always say where one is.
        ends = min(dot.x for dot in dots), max(dot.x for dot in dots)
        ticks = sorted({ends[0], math.sqrt(ends[0] * ends[1]), ends[1]})
        axes.set_xticks(ticks, [f"{tick:.2g}" for tick in ticks])
        axes.minorticks_off()
        _label(figure, axes, sorted(dots, key=lambda dot: (not dot.front, dot.x, dot.y)))
        return _svg(figure, f"{title}: {', '.join(dot.label for dot in dots)}")


def _label(figure: Figure, axes: Axes, dots: Sequence[Dot]) -> None:
    """Write the dots' labels above, below or beside them, where nothing else is; first come, first served."""
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()  # only now it is known where everything is
    places = [axes.transData.transform((dot.x, dot.y)) for dot in dots]
    taken = [Bbox([place - _DOT, place + _DOT]) for place in places]
    for dot in dots:
        for offset, side in (((0, 7), "center"), ((0, -14), "center"), ((8, -3), "left"), ((-8, -3), "right")):
            label = axes.annotate(
                dot.label,
                (dot.x, dot.y),
                offset,
                textcoords="offset points",
                ha=side,
                size=9,
                color=_COLOURS[f"var(--tone-{dot.tone})"],
            )
            box = label.get_window_extent()
            inside = figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            label.remove()


@contextmanager
def _axes(
    title: str, x_label: str, y_label: str, size: tuple[float, float] = (_WIDTH, _HEIGHT)
) -> Iterator[tuple[Figure, Axes]]:
    """An empty chart as all of the page are."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # Ids inside the SVG follow from the title: the same bytes each time, and no two charts of a page share one.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": title, "font.family": "sans-serif", "font.size": 10.5}):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        figure.patch.set_visible(False)
        axes.patch.set_visible(False)
        axes.set_xlabel(x_label, loc="right", color=_COLOURS["var(--muted)"])
        axes.set_ylabel(y_label, loc="top", color=_COLOURS["var(--muted)"])
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelcolor=_COLOURS["var(--muted)"])
        axes.grid(axis="y", color=_COLOURS["var(--rule)"], linewidth=0.8)
        yield figure, axes


def _svg(figure: Figure, title: str) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _inline(buffer.getvalue(), title)


def _inline(svg: str, title: str) -> str:
    """What Matplotlib wrote, without what only a file of its own needs, and with the page's colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(metadata|style|clipPath).*?</\1>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"#0102[0-9a-f]{2}", lambda found: _VARIABLES[found[0]], svg)
    # Fonts are the page's; ids of groups occur in every chart, and nothing refers to them.
    svg = re.sub(r'font-family: [^;"]*;? ?| clip-path="[^"]*"|(?<=<g) id="[^"]*"', "", svg)
    svg = re.sub(r"\s+", " ", svg)
    view = re.search(r'viewBox="([^"]*)"', svg)
    head = f'<svg class="chart" viewBox="{view[1] if view else ""}" role="img" aria-label="{escape(title)}">'
    return head + svg[svg.index(">") + 1 :].strip()
