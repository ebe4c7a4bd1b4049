"""`colorize weights`: published weights, listed, imported from a file or fetched from where they are published."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from colorize.commands.project import find_root
from colorize.weights.catalogue import find, names

if TYPE_CHECKING:
    from colorize.weights.importing import Imported

application = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Published weights: list, import or fetch them; generators become versions that 'colorize models' lists.",
)
_NAME = Annotated[str, typer.Argument(help="Name of a published network; 'colorize weights list' has them all.")]


@application.command("list")
def list_weights(
    as_json: Annotated[bool, typer.Option("--json", help="All that is known, as JSON on standard output.")] = False,
) -> None:
    """What is published, under what licence, and what of it is in this project."""
    rows = [_row(name, find_root()) for name in names()]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    table = Table("name", "what", "parameters", "licence", "fetch", "in this project")
    for row in rows:
        variants = ", ".join(file["variant"] for file in row["files"]) or "no file published"
        there = "" if row["imported"] is None else f"{row['imported']['file']} ({row['imported']['sha256'][:12]})"
        table.add_row(row["name"], row["kind"], f"{row['parameters']:,}", row["licence"], variants, there)
    # A pipe or a log has no width of its own; the default of 80 would cut names in the middle.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


@application.command("import")
def import_weights(
    name: _NAME,
    file: Annotated[Path, typer.Argument(help="The file as published (.pth, .pt, .bin), or as .safetensors.")],
) -> None:
    """Check a file of published weights and put it, as safetensors, into weights/NAME of the project.

    Names and shapes must be those of the network, and the hash the published one where the file's name carries it. No
    code in the file is run. A generator is registered too, as a baseline to compare with.
    """
    from colorize.weights.importing import import_file

    root = find_root()
    _report(import_file(name, file, root), root)


@application.command("fetch")
def fetch_weights(
    name: _NAME,
    variant: Annotated[
        str | None, typer.Option("--variant", help="Another training of the same network; default: the first listed.")
    ] = None,
) -> None:
    """Download published weights and import them; an interrupted download goes on where it stopped."""
    from colorize.weights.importing import fetch

    root = find_root()
    _report(fetch(name, root, variant), root)


def _report(done: Imported, root: Path) -> None:
    description = done.description
    print(f"{done.folder}: {description['parameters']:,} parameters, as published; source: {description['source']}")
    if description["variant"] is None and done.published.files:
        typer.echo(f"note: {description['file']} is none of the published files of '{done.published.name}'", err=True)
    elif not description["hash_checked"]:
        typer.echo(f"note: no hash is published; the file's SHA-256 is {description['file_sha256']}", err=True)
    if done.published.kind == "generator":
        from colorize.weights.baseline import register

        number = register(done, root).number
        print(f"registered as version {number}; try: colorize photo.jpg --model {number}")
    elif done.published.kind == "encoder":
        print(f"networks with such an encoder begin with it: set 'pretrained: {done.published.name}' in their model")


def _row(name: str, root: Path) -> dict[str, Any]:
    from colorize.weights.importing import imported

    published, there = find(name), imported(name, root)
    values = asdict(published)
    for internal in ("builder", "arguments"):
        del values[internal]
    return {**values, "imported": None if there is None else there.description}
