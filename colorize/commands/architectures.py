"""`colorize architectures`: what can be trained and what tells them apart; of one, a drawing of its stages."""

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
    name: Annotated[str | None, typer.Argument(help="Only this one, with its stages and their shapes.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON on standard output.")] = False,
) -> None:
    """All architectures: parameters as published and as params.yaml sets them, what they predict, objective, paper.

    "Lab" stands for a network that draws a lightness of its own beside ab, "classes" for one that classifies colours.
    With a NAME: the stages of that network as params.yaml sets it (as published where it does not), each with channels,
    rows and columns of what leaves it; the smaller the picture, the further right, and "+ STAGE" is what is joined.
    """
    from colorize.models import names
    from colorize.settings import load_settings

    chosen = load_settings(find_root() / "params.yaml").architectures.chosen()
    if name is not None:
        _one(name, chosen[name].model if name in chosen else None, as_json=as_json)
        return
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


def _one(name: str, here: Section | None, *, as_json: bool) -> None:
    """One architecture's line, and its stages where it has any."""
    from dataclasses import asdict

    from colorize.models import names
    from colorize.models.registry import settings_of
    from colorize.models.stages import draw, stages

    every = (*names(), *names(trained=False))
    if name not in every:
        raise ValueError(f"no architecture '{name}'; there are: {', '.join(every)}")
    row = _row(name, here)
    found = stages(name, here or settings_of(name, {})) if row["objective"] else []
    if as_json:
        print(json.dumps({**row, "stages": [asdict(stage) for stage in found]}, indent=1))
        return
    count = row["parameters"] if here is None else row["parameters_here"]
    origin = "as published" if here is None else f"as params.yaml sets it; {row['parameters']:,} as published"
    print(f"{name}: {row['paper']}\n{count:,} parameters ({origin}), predicts {row['head']}")
    print(f"\n{draw(found)}" if found else "no network: it colours without learning")


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
    from colorize.settings.objectives import title
    from colorize.settings.sections import ArchitecturesSettings

    run = ArchitecturesSettings.model_fields[name].annotation.__args__[0]  # type: ignore[union-attr]
    return title(run.model_fields["objective"].default)
