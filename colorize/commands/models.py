"""`colorize models`: what is in the registry."""

from __future__ import annotations

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
    Console().print(table)
