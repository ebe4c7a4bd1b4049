"""The command line: `colorize FILE…` colorizes photos; everything else is a subcommand.

Modules here import only what `--help` needs; the rest is imported by the command that runs.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from colorize import __version__
from colorize.commands import (
    architectures,
    dedupe,
    doctor,
    gc,
    inspect,
    measures,
    models,
    overfit,
    photos,
    publish,
    remove,
    verify,
    watch,
    weights,
)

DEFAULT = "photos"


class _PhotosByDefault(TyperGroup):
    """Reads `colorize a.jpg` as `colorize photos a.jpg`; a subcommand's name wins, `./verify` means the file."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts the default command in front, unless the first word is a command or a question about all of them."""
        own = {*self.commands, "--help", "-h", "--version", "--install-completion", "--show-completion"}
        if args and args[0] not in own:
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_PhotosByDefault,
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    help=(
        "Photo collections in; trained, compared, registered image-colorization models out.\n\n"
        "[bold]colorize FILE…[/bold] colorizes photos with the champion: photo.jpg becomes photo.colorized.png, "
        "at full resolution, with its own lightness kept."
    ),
    epilog="The pipeline: 'make run', or 'dvc repro' and then 'python -m pipelines.train'. 'make help' lists more.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"colorize {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command("photos", help="Colorize photos (the default command).")(photos.photos)
app.command("inspect", help="What ingest would do with each file of a folder or an archive, and why.")(inspect.inspect)
app.command("dedupe")(dedupe.dedupe)
app.command("remove", help="Take photos out for good, whatever their source still holds.")(remove.remove)
app.command("compare")(measures.compare)
app.command("artefacts")(measures.artefacts)
app.add_typer(models.application, name="models")
app.command("architectures")(architectures.architectures)
app.command("overfit")(overfit.overfit)
app.add_typer(weights.application, name="weights")
app.command("watch", help="Follow the loss of a training run live.")(watch.watch)
app.command("verify", help="Check LAB shards against their index: finds any flipped bit.")(verify.verify)
app.command("publish", help="Put the LAB shards into a bucket or folder as a version that never changes.")(
    publish.publish
)
app.command("doctor", help="What is installed, found and reachable, and how much disk this profile takes.")(
    doctor.doctor
)
app.command("gc", help="Remove runs that nothing refers to, leftovers of killed writers and dead Ray sessions.")(gc.gc)


def main() -> None:
    """Entry point of the console script: errors meant for people are one line, not a traceback."""
    try:
        app()
    except (ValueError, OSError) as error:
        print(f"error: {_said(error)}", file=sys.stderr)
        sys.exit(1)


def _said(error: ValueError | OSError) -> str:
    """What a person is told; the system's own errors come with a number, which says nothing to them."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror[:1].lower()}{error.strerror[1:]}"
    return str(error)
