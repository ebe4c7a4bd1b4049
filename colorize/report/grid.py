"""Photos side by side under headings, as one picture: the sample grid of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_GAP = 6
_HEADING = 26
_BACKGROUND = (250, 250, 249)
_INK = (40, 40, 38)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a grid.

    Attributes:
        title: its heading.
        photos: H×W×3, uint8, one per row.
    """

    title: str
    photos: Sequence[NDArray[np.uint8]]


def sample_grid(columns: Sequence[Column]) -> Image.Image:
    """Lay photos out: a column per title, a row per photo.

    Args:
        columns: at least one; each with the same number of photos, all of one size.

    Raises:
        ValueError: the columns have different lengths, or there is nothing to show.
    """
    rows = {len(column.photos) for column in columns}
    if len(rows) != 1 or rows == {0}:
        lengths = ", ".join(f"{column.title}: {len(column.photos)}" for column in columns)
        raise ValueError(f"a grid needs the same number of photos, at least one, in every column; got {lengths or '-'}")
    height, width = columns[0].photos[0].shape[:2]
    size = (_GAP + len(columns) * (width + _GAP), _HEADING + rows.pop() * (height + _GAP))
    canvas = Image.new("RGB", size, _BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    for index, column in enumerate(columns):
        left = _GAP + index * (width + _GAP)
        draw.text((left, _HEADING / 2), _fitted(draw, column.title, width), fill=_INK, font=_font(), anchor="lm")
        for row, photo in enumerate(column.photos):
            canvas.paste(Image.fromarray(photo), (left, _HEADING + row * (height + _GAP)))
    return canvas


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=13)


def _fitted(draw: ImageDraw.ImageDraw, title: str, width: int) -> str:
    """The title, cut with an ellipsis where it would run into the next column."""
    if draw.textlength(title, font=_font()) <= width:
        return title
    while title and draw.textlength(title + "…", font=_font()) > width:
        title = title[:-1]
    return title + "…"
