"""`python -m colorize.training unet`: train one architecture here and now, without Ray, and watch it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from colorize.settings import Settings, SettingsError, load_settings
from colorize.training.identity import specify
from colorize.training.pretrained import FOLDER

application = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@application.command()
def main(
    architecture: Annotated[
        str, typer.Argument(help="One of the architectures of the parameter file, such as `unet`.")
    ],
    *,
    lab: Annotated[Path, typer.Option(help="Folder of the LAB shards.")] = Path("data/lab"),
    runs: Annotated[Path, typer.Option(help="Folder that gets a folder for the run.")] = Path("runs"),
    params: Annotated[Path, typer.Option(help="The parameter file.")] = Path("params.yaml"),
    epochs: Annotated[int | None, typer.Option(min=1, help="Train for so many, whatever the file says.")] = None,
    device: Annotated[str | None, typer.Option(help="Such as `cpu` or `cuda:0`; a GPU if there is one.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all that torch sees fit.")] = None,
) -> None:
    """Train one architecture on the LAB shards, without Ray.

    The run's name is its identity: data, parameters, code and lock file. So the same command **goes on** after an
    interruption from the newest checkpoint, does **nothing** when the run is finished, and starts **another** run when
    one of these has changed. The trained network is in `<runs>/<name>/model`, the figures in `log.jsonl` beside it:

        python -m colorize.training unet --epochs 1

        colorize photo.jpg --model runs/<name>/model
    """
    console = Console(stderr=True)
    try:
        settings = load_settings(params)
        if epochs is not None:
            settings = _with_epochs(settings, architecture, epochs)
        run = specify(settings, architecture, lab, params.parent)
        folder = runs / run.name
        if (folder / "done.json").exists():
            console.print(f"{folder} is finished already: nothing to do")
            return
        from colorize.training.loop import TrainingError, train

        weights = params.parent / FOLDER
        try:
            if not any((folder / "checkpoints").glob("epoch-*")):
                from colorize.training.rehearsal import rehearse

                found = rehearse(run, lab, [folder], weights=weights, device=device, threads=threads)
                console.print(found, markup=False)
            with _Live(console, run.name) as live:
                done = train(run, lab, folder, device=device, threads=threads, weights=weights, report=live)
        except TrainingError as error:
            raise typer.Exit(_failed(console, error)) from error
    except (SettingsError, ValueError) as error:
        raise typer.Exit(_failed(console, error)) from error
    error_left = done.get("validation_ab_rmse", float("nan"))
    console.print(
        f"{folder / 'model'}: {done['epochs']} epochs in {done['seconds']:.0f} s, "
        f"{done['images_per_second']:.1f} images/s, validation ab RMSE {error_left:.2f}"
    )


class _Live:
    """The log as a bar on a terminal; in a file, a line per epoch."""

    def __init__(self, console: Console, name: str) -> None:
        self._console = console
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[figures]}"))
        self._progress = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console)
        self._task = self._progress.add_task(name, total=None, figures="starting")

    def __enter__(self) -> _Live:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, record: dict[str, Any]) -> None:
        if "loss" in record:
            figures = (
                f"epoch {record['epoch']}  step {record['step']} of {record['steps']}  loss {record['loss']:.4f}  "
                f"{record['images_per_second']:.1f} images/s"
            )
            self._progress.update(self._task, total=record["steps"], completed=record["step"], figures=figures)
        elif "validation_loss" in record:
            self._console.print(
                f"epoch {record['epoch']}: validation loss {record['validation_loss']:.4f}, "
                f"ab RMSE {record['validation_ab_rmse']:.2f}"
            )


def _with_epochs(settings: Settings, architecture: str, epochs: int) -> Settings:
    values = settings.model_dump()
    if values["architectures"].get(architecture):
        values["architectures"][architecture]["training"]["epochs"] = epochs
    return Settings.model_validate(values)


def _failed(console: Console, error: Exception) -> int:
    console.print(f"error: {error}", style="red", markup=False)
    return 1


if __name__ == "__main__":
    application(prog_name="python -m colorize.training")
