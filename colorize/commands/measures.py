"""`colorize compare` and `colorize artefacts`: figures of any colorized pictures, of whatever system."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
_JSON = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")]
_UNITS = {"psnr": "dB", "ab_rmse": "CIELAB", "ciede2000_mean": "CIELAB", "ciede2000_p95": "CIELAB"}


def compare(
    predicted: Annotated[Path, typer.Argument(help="The colorized picture, or a folder of them.")],
    truth: Annotated[Path, typer.Argument(help="The true picture, or a folder with pictures of the same names.")],
    protocol: Annotated[
        Literal["as-is", "center-crop", "resize"],
        typer.Option("--protocol", help="Measure both as they are, the middle square resized, or the whole squeezed."),
    ] = "as-is",
    size: Annotated[int, typer.Option("--size", min=7, help="Pixels that a protocol resizes to.")] = 256,
    as_json: _JSON = False,
) -> None:
    """How good colorized pictures are, beside the true ones: PSNR, SSIM, CIEDE2000, colourfulness, AuC and others.

    Two files of one size (of any with a --protocol), or two folders, whose pictures are matched by name (endings do not
    matter). Of folders the means are shown; --json also has every picture. Pictures that cannot be read, have no
    partner or another size are named and left out; the exit code is then 1.
    """
    from colorize.metrics.pairs import described, matched, means, measure
    from colorize.metrics.protocols import prepared
    from colorize.progress import track

    def measured(ours: Path, theirs: Path) -> dict[str, float]:
        return measure(*(prepared(_read(path), protocol, size) for path in (theirs, ours)))

    shown_protocol = {"protocol": protocol if protocol == "as-is" else f"{protocol} {size}"}
    if predicted.is_dir() != truth.is_dir():
        raise ValueError(f"{predicted} and {truth}: give two pictures or two folders")
    if not predicted.is_dir():
        figures = described(measured(predicted, truth)) | shown_protocol
        print(json.dumps(figures) if as_json else _table({predicted.name: figures}))
        return
    pairs, alone = matched(_pictures(predicted), _pictures(truth))
    left_out = dict.fromkeys(alone, "has no partner")
    rows: dict[str, dict[str, float]] = {}
    for ours, theirs in track(pairs, "compare"):
        try:
            rows[ours.name] = measured(ours, theirs)
        except (ValueError, OSError) as error:
            left_out[ours.name] = str(error)
    for name, reason in left_out.items():
        typer.echo(f"left out: {name}: {reason}", err=True)
    if not rows:
        raise ValueError(f"{predicted} and {truth}: no picture of the one has a readable partner in the other")
    figures = described(means(list(rows.values()))) | shown_protocol
    if as_json:
        photos = [{"name": name, **row} for name, row in rows.items()]
        print(json.dumps({**figures, "photos": len(rows), "left_out": left_out, "each": photos}))
    else:
        print(_table({f"mean of {len(rows)} pictures": figures}))
    if left_out:
        raise typer.Exit(1)


def artefacts(
    image: Annotated[Path, typer.Argument(help="The colorized picture, as the network put it out.")],
    truth: Annotated[Path | None, typer.Option("--truth", help="The true picture, of the same size.")] = None,
    as_json: _JSON = False,
) -> None:
    """The four artefacts of colorization networks: colour bias, borders, lost resolution, checkerboards.

    With --truth the figures say what the colorizer did; without, only what one picture tells. What each figure is, and
    what natural photos have, is in docs/metrics.md. Pictures that were enlarged or saved as JPEG hide checkerboards.
    """
    from colorize.metrics.artefacts import artefacts as measure

    figures = measure(_read(image), None if truth is None else _read(truth))
    print(json.dumps(figures) if as_json else _table(figures))


def _read(path: Path) -> NDArray[np.uint8]:
    from colorize.images import Rejection, decode
    from colorize.settings.sections import ImageSettings

    photo = decode(path.read_bytes(), ImageSettings(minimum_side=1, maximum_aspect=1e6))
    if isinstance(photo, Rejection):
        raise ValueError(f"{path} cannot be read: {photo.reason}" + f" ({photo.detail})" * bool(photo.detail))
    return photo


def _pictures(folder: Path) -> list[Path]:
    from colorize.data.sources.layouts import PHOTO_SUFFIXES

    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PHOTO_SUFFIXES)


def _table(groups: dict[str, dict[str, Any]]) -> str:
    lines: list[str] = []
    for title, figures in groups.items():
        width = max(len(name) for name in figures)
        lines += ["", title] if lines else [title]
        lines += [
            f"  {name:{width}}  {_value(value)} {_UNITS.get(name, '')}".rstrip() for name, value in figures.items()
        ]
    return "\n".join(lines)


def _value(value: Any) -> str:
    shown: dict[type, Callable[[Any], str]] = {
        float: lambda number: f"{number:.4f}",
        list: lambda numbers: " ".join(f"{number:.2f}" for number in numbers),
        type(None): lambda _: "nothing to compare with",
    }
    return shown.get(type(value), str)(value)
