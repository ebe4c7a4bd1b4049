"""`colorize FILE…`: colorize photos with a registered model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from colorize.commands.project import find_root


def photos(
    files: Annotated[list[Path], typer.Argument(help="Photos to colorize; a folder stands for the photos in it.")],
    model: Annotated[
        str, typer.Option("--model", "-m", help="An alias, an architecture, a version number or a model folder.")
    ] = "champion",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the results (default: beside each photo).")
    ] = None,
) -> None:
    """Write NAME.colorized.png for each photo; one that cannot be read is named, the others are still done."""
    found = [photo for file in files for photo in _photos_of(file)]
    if not found:
        raise ValueError(f"no photos in {', '.join(map(str, files))}; give image files or a folder with some")

    from colorize.inference import Colorizer
    from colorize.progress import track

    colorizer = Colorizer.load(model, root=find_root())
    failures = 0
    for photo in track(found, "colorize") if len(found) > 1 else found:
        target = (output or photo.parent) / f"{photo.stem}.colorized.png"
        try:
            print(colorizer.colorize_file(photo, target))
        except (ValueError, OSError) as error:
            failures += 1
            typer.echo(f"error: {error}", err=True)
    if len(found) > 1:
        typer.echo(f"{len(found) - failures} of {len(found)} photos colorized with {colorizer.name}", err=True)
    if failures:
        raise typer.Exit(1)


def _photos_of(path: Path) -> list[Path]:
    """The file itself, or the images directly inside a folder, without results of an earlier run."""
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    if not path.is_dir():
        return [path]
    from colorize.data.sources.layouts import PHOTO_SUFFIXES

    return sorted(
        file
        for file in path.iterdir()
        if file.suffix.lower() in PHOTO_SUFFIXES and not file.name.endswith(".colorized.png")
    )
