"""`colorize overfit NAME`: train on eight photos until they are known by heart."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from colorize.commands.project import find_root

if TYPE_CHECKING:
    from colorize.settings import Settings
    from colorize.training.overfit import Step

_BOUND = 0.35
_SECONDS_BETWEEN_LINES = 5.0


def overfit(
    name: Annotated[str, typer.Argument(help="An architecture; 'colorize architectures' lists them.")],
    published: Annotated[
        bool, typer.Option("--published", help="At the published width, whatever params.yaml sets.")
    ] = False,
    bound: Annotated[
        float, typer.Option(min=0.0, help="Share of the error of grey photos (ab RMSE) that may be left.")
    ] = _BOUND,
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps at most.")] = 400,
    device: Annotated[str | None, typer.Option(help="Such as cpu or cuda:0; a GPU if there is one.")] = None,
) -> None:
    """Train an architecture on 8 photos until it knows their colours: the first check of any network.

    The photos are the first of data/lab, or drawn by the embedded sample where there are none; the network, objective
    and learning rate those of params.yaml. The bound is on the error of ab, which all objectives share, beside what
    leaving the photos grey would have. Exit code 1 if it is not reached: something is wrong with the network, its
    objective or its learning rate.
    """
    from colorize.settings import Settings, load_settings

    root = find_root()
    settings = load_settings(root / "params.yaml")
    known = settings.architectures.chosen()
    if published or name not in known:
        from colorize.models import names

        if name not in names():
            raise ValueError(f"no architecture '{name}' can be trained; there are: {', '.join(names())}")
        plain = settings.model_dump()
        kept = {} if name not in known else {**plain["architectures"][name], "model": {}}
        plain["architectures"][name] = kept
        settings = Settings.model_validate(plain)
    if not _learns(settings, name, root, bound=bound, steps=steps, device=device):
        raise typer.Exit(1)


def _learns(settings: Settings, name: str, root: Path, *, bound: float, steps: int, device: str | None) -> bool:
    """Train until the bound or the last step; says how it ends."""
    from colorize.settings.objectives import title
    from colorize.training import pretrained
    from colorize.training.overfit import drawn_photos, grey_error, overfit, photos_of
    from colorize.training.precision import choose_device

    lab = root / "data" / "lab"
    sharded = (lab / "index.json").is_file()
    photos = photos_of(lab) if sharded else drawn_photos(settings.shards.size)
    run = settings.architectures.chosen()[name]
    grey = grey_error(photos)
    print(
        f"{name}: {len(photos.ids)} photos of {lab if sharded else 'the embedded sample'}, "
        f"objective {title(run.objective)}; left grey, ab RMSE is {grey:.2f}; to reach: {bound * grey:.2f} "
        f"({bound:.0%}) within {steps} steps"
    )
    training = settings.training_of(name)
    weights = root / pretrained.FOLDER
    published = partial(
        pretrained.read, weights, pretrained.digests(weights, pretrained.wanted(run.model, run.objective))
    )
    course = overfit(
        name, run.model, run.objective, training, photos, device=choose_device(device), published=published
    )
    with _Live(name, steps) as show:
        for step in islice(course, steps):
            show(step)
            if step.ab_rmse < bound * grey:
                break
    reached = step.ab_rmse < bound * grey
    print(f"{'ok' if reached else 'FAILED'}: step {step.number}, loss {step.loss:.5f}, ab RMSE {step.ab_rmse:.2f}")
    return reached


class _Live:
    """Loss and error as a bar on a terminal; in a file, a line now and then."""

    def __init__(self, name: str, steps: int) -> None:
        self._console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[figures]}"))
        self._progress = Progress(*columns, TimeElapsedColumn(), console=self._console, transient=True)
        self._task = self._progress.add_task(name, total=steps, figures="")
        self._last = time.monotonic()

    def __enter__(self) -> Callable[[Step], None]:
        if self._console.is_terminal:
            self._progress.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def _show(self, step: Step) -> None:
        figures = f"step {step.number}  loss {step.loss:.5f}  ab RMSE {step.ab_rmse:.2f}"
        if self._console.is_terminal:
            self._progress.update(self._task, completed=step.number, figures=figures)
        elif time.monotonic() - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            typer.echo(figures, err=True)
