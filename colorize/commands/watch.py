"""`colorize watch`: follow training live, from the log that every run writes."""

from __future__ import annotations

import itertools
import json
import math
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from colorize.commands.project import find_root
from colorize.run_progress import Progress, progress

_BARS = "▁▂▃▄▅▆▇█"
_REFRESH_SECONDS = 1.0


def watch(
    run: Annotated[str | None, typer.Argument(help="Name (or its beginning) of a run; default: the newest.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Print the present state and stop.")] = False,
) -> None:
    """Show step, loss, learning rate, speed, time left and the curve of the loss until the run is done."""
    runs = find_root() / "runs"
    folder = _find_run(runs, run)
    console = Console()
    if once:
        console.print(_view(folder))
        return
    with Live(_view(folder), console=console, refresh_per_second=4) as live:
        while not (folder / "done.json").exists():
            time.sleep(_REFRESH_SECONDS)
            live.update(_view(folder))
        live.update(_view(folder))


def _find_run(runs: Path, name: str | None) -> Path:
    logs = sorted(runs.glob(f"{name or ''}*/log.jsonl"), key=lambda log: log.stat().st_mtime)
    if not logs:
        raise ValueError(
            f"no run '{name or '*'}' with a log in {runs}; 'make run' or 'python -m colorize.training' makes one"
        )
    return logs[-1].parent


def _view(folder: Path) -> Group:
    records = _read_log(folder / "log.jsonl")
    steps = [record for record in records if "loss" in record]
    epochs = [record for record in records if "validation_loss" in record]
    table = Table(title=folder.name + (" (done)" if (folder / "done.json").exists() else ""), title_justify="left")
    state = progress(records, _batch_size(folder))
    for column in ("epoch", "step", "loss", "learning rate", "images/s", "validation loss", "validation ab RMSE"):
        table.add_column(column, justify="right")
    if state is not None:
        validated = epochs[-1] if epochs else {}
        table.add_row(
            str(state.epoch),
            f"{state.step}/{state.steps}",
            f"{state.loss:.4f}",
            f"{steps[-1].get('learning_rate', float('nan')):.2e}",
            f"{state.images_per_second:.1f}",
            f"{validated['validation_loss']:.4f}" if validated else "",
            f"{validated['validation_ab_rmse']:.2f}" if "validation_ab_rmse" in validated else "",
        )
    lines = [Text(", ".join(_outlook(state)))] if state is not None and _outlook(state) else []
    lines += [Text(f"training loss    {sparkline([record['loss'] for record in steps])}")]
    lines += [Text(f"validation loss  {sparkline([record['validation_loss'] for record in epochs])}")] if epochs else []
    return Group(table, *lines)


def _outlook(state: Progress) -> list[str]:
    """Time left and, where it counts, time lost."""
    left = state.time_left
    return [*([] if left is None else [f"{left} left"]), *([] if state.waiting is None else [state.waiting])]


def _batch_size(folder: Path) -> int:
    """Photos per step of a run."""
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return int(run["training"]["batch_size"])


def _read_log(path: Path) -> list[dict[str, Any]]:
    """Complete lines only: the writer may be in the middle of the last one."""
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def sparkline(values: list[float], width: int = 60) -> str:
    """A curve of block characters, `width` wide at most, each the mean of the values it stands for."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return ""
    width = min(width, len(finite))
    edges = [len(finite) * place // width for place in range(width + 1)]
    means = [sum(finite[a:b]) / (b - a) for a, b in itertools.pairwise(edges)]
    low, high = min(means), max(means)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((mean - low) * scale)] for mean in means)
