"""`colorize architectures`: every architecture that can be trained, with what tells them apart."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from colorize.commands.project import find_root

if TYPE_CHECKING:
    from colorize.models import Colorization
    from colorize.settings import Section

_SIDE = 64


def architectures(
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON on standard output.")] = False,
) -> None:
    """All architectures: parameters as published and as params.yaml sets them, what they predict, objective, paper.

    "Lab" stands for a network that draws a lightness of its own beside ab, "classes" for one that classifies colours.
    """
    from colorize.models import names
    from colorize.settings import load_settings

    chosen = load_settings(find_root() / "params.yaml").architectures.chosen()
    rows = [_row(name, chosen[name].model if name in chosen else None) for name in (*names(), *names(trained=False))]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    table = Table("architecture", "published", "params.yaml", "predicts", "hints", "objective", "paper")
    for row in rows:
        table.add_row(
            row["name"],
            f"{row['parameters']:,}",
            "" if row["parameters_here"] is None else f"{row['parameters_here']:,}",
            row["head"],
            "yes" if row["hints"] else "",
            row["objective"] or "no training",
            row["paper"],
        )
    # A pipe or a log has no width of its own; the default of 80 would cut names in the middle.
    Console(width=None if sys.stdout.isatty() else 220).print(table)


def _row(name: str, here: Section | None) -> dict[str, Any]:
    from colorize.models.registry import settings_of

    network = _without_memory(name, settings_of(name, {}))
    return {
        "name": name,
        "parameters": _parameters(network),
        "parameters_here": None if here is None else _parameters(_without_memory(name, here)),
        "head": _head(network),
        "hints": network.takes_hints,
        "objective": _default_objective(name) if network.trained else None,
        "paper": network.paper,
    }


def _without_memory(name: str, settings: Section) -> Colorization:
    """The network as a mere description of its tensors: the largest would take a gigabyte, and seconds to fill."""
    import torch

    from colorize.models import create

    with torch.device("meta"):
        return create(name, settings).eval()


def _parameters(network: Colorization) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _head(network: Colorization) -> str:
    """What the network predicts, from what it does: shapes alone are computed."""
    import torch

    if not network.trained:
        return "ab"
    with torch.no_grad():
        prediction = network(torch.empty(1, 1, _SIDE, _SIDE, device="meta"))
    if prediction.logits is not None:
        return "classes"
    return "ab" if prediction.l is None else "Lab"


def _default_objective(name: str) -> str:
    """Name of the objective that an architecture has where params.yaml names none."""
    from colorize.settings.sections import ArchitecturesSettings

    run = ArchitecturesSettings.model_fields[name].annotation.__args__[0]  # type: ignore[union-attr]
    objective: str = run.model_fields["objective"].default.name
    return objective
