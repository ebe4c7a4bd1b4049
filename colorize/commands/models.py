"""`colorize models`: what is in the registry, where it is from, and which version holds which place."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from colorize.commands import lineage_page
from colorize.commands.project import find_root
from colorize.commands.reproduce import reproduce

if TYPE_CHECKING:
    from colorize.registry import Registry
    from colorize.settings import Settings

application = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Registered models: their places, figures and lineage. Without a subcommand: the list.\n\n"
        "A version is called by its number, by an alias (champion, previous, champion-unet) or by its architecture."
    ),
)
application.command("reproduce")(reproduce)

_NAME = Annotated[
    str, typer.Argument(help="An alias such as 'champion', an architecture, or a version's number: see 'models list'.")
]
_ALIAS = Annotated[
    str, typer.Option("--alias", help="The place: 'champion', which 'colorize FILE' uses, or 'champion-ARCHITECTURE'.")
]


@application.callback()
def _default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_models()


@application.command("list")
def list_models() -> None:
    """One line per registered version: architecture, aliases, the primary metric on the test split, and run."""
    settings, registry, _ = _open()
    versions = registry.list()
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
    _print(table)


@application.command()
def show(
    name: _NAME,
    as_json: Annotated[bool, typer.Option("--json", help="All that is known, as JSON on standard output.")] = False,
) -> None:
    """Where a version is from: commit, digests of data, parameters and lock files, seed, hardware, figures, files.

    With its last decisions and the colour statistics (prior) that it was trained with.
    """
    _, registry, _ = _open()
    known = lineage_page.describe(registry, registry.resolve(name))
    print(json.dumps(known, indent=1, ensure_ascii=False) if as_json else lineage_page.render(known))


@application.command()
def promote(name: _NAME, alias: _ALIAS = "champion") -> None:
    """Give a place to a version without asking the gate.

    Its files are checked first. A version that somebody turned back from may come back this way only. The decision is
    written to reports/decisions.jsonl like those of the gate; 'colorize models rollback' takes it back.
    """
    from colorize.registry import promote_by_hand

    _, registry, _ = _open()
    print(f"{alias}: {promote_by_hand(registry, name, alias).reason}")


@application.command()
def rollback(alias: _ALIAS = "champion") -> None:
    """Give a place back to its newest earlier holder whose files are whole.

    It works when the newest version is broken or its files are gone. The version that is left is marked, so that the
    gate does not promote it again; 'colorize models promote NUMBER' does.
    """
    from colorize.registry import roll_back_by_hand

    _, registry, _ = _open()
    print(f"{alias}: {roll_back_by_hand(registry, alias).reason}")


@application.command()
def compare(first: _NAME, second: _NAME) -> None:
    """The figures of two versions on the photos that both were measured on, with 95 % intervals of the differences.

    By paired bootstrap over photos, from the measurements that each version keeps; photos that one of them was
    trained on are left out. Nothing is measured anew: the gate does that, on today's data.
    """
    from colorize.registry.comparing import compare_versions

    _, registry, _ = _open()
    one, other = registry.resolve(first), registry.resolve(second)
    found = compare_versions(registry, one, other)
    names = [f"{version.number} ({version.architecture})" for version in (one, other)]
    table = Table("figure", *names, "difference", "95 % interval", "better", title=f"{found[0].photos} photos")
    for pair in found:
        better = names[0] if pair.first_is_better else names[1] if pair.second_is_better else "not sure"
        figures = (f"{value:.3f}" for value in (pair.first, pair.second))
        table.add_row(pair.metric, *figures, f"{pair.difference:+.3f}", f"{pair.low:+.3f} … {pair.high:+.3f}", better)
    _print(table)


@application.command()
def freeze() -> None:
    """Make today's test split the list of photos that champions and challengers are compared on.

    The list is frozen so that decisions of different days compare like with like. Renew it when the data were replaced
    or grew much; decisions made before keep the digest of their list.
    """
    from colorize.data.state import ids_of
    from colorize.registry import freeze as make_list
    from colorize.registry import frozen

    _, registry, root = _open()
    today = set(ids_of(root / "data" / "lab", "test"))
    if not today:
        raise ValueError("the test split holds no photos; is split.test 0 in params.yaml?")
    before = frozen(registry)
    digest = make_list(registry, today)
    if before is None:
        print(f"frozen: {len(today)} photos ({digest[:12]})")
    elif before == today:
        print(f"unchanged: {len(today)} photos ({digest[:12]})")
    else:
        print(
            f"renewed: {len(today)} photos ({digest[:12]}), {len(today - before)} of them new; "
            f"{len(before - today)} of the {len(before)} before are gone"
        )


def _open() -> tuple[Settings, Registry, Path]:
    from colorize.registry import Registry
    from colorize.settings import load_settings

    root = find_root()
    settings = load_settings(root / "params.yaml")
    return settings, Registry(settings.registry, root), root


def _print(table: Table) -> None:
    # A pipe or a log has no width of its own; the default of 80 would cut names in the middle.
    Console(width=None if sys.stdout.isatty() else 160).print(table)
