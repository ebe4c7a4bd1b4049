"""`colorize models`: what is in the registry."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

from colorize.commands.project import find_root


def models() -> None:
    """One line per registered version: architecture, aliases, run and the primary metric."""
    from colorize.registry import Registry
    from colorize.settings import load_settings

    root = find_root()
    settings = load_settings(root / "params.yaml")
    versions = Registry(settings.registry, root).list()
    if not versions:
        print("no model is registered yet; 'make run' trains and registers some")
        return
    table = Table("version", "architecture", "aliases", settings.evaluation.primary, "run")
    for version in versions:
        figure = version.metrics.get(settings.evaluation.primary)
        table.add_row(
            str(version.number),
            version.architecture,
            ", ".join(sorted(version.aliases)),
            "" if figure is None else f"{figure:.3f}",
            version.run,
        )
    # A pipe or a log has no width of its own; the default of 80 would cut names in the middle.
    Console(width=None if sys.stdout.isatty() else 160).print(table)
