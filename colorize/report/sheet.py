"""The sheet of `colorize dedupe`: one HTML file with the pictures that were found more than once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from colorize.storage import write_bytes


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo as the page shows it.

    Attributes:
        path: relative to what was looked at.
        detail: size in pixels, format, size of the file.
        picture: a small copy as a `data:` address.
    """

    path: str
    detail: str
    picture: str


@dataclass(frozen=True, slots=True)
class Group:
    """Photos that are one picture: the one that stays, the first of the others, and how many there are in all."""

    canonical: Photo
    copies: list[Photo]
    size: int


@dataclass(frozen=True, slots=True)
class Reason:
    """Files that were rejected for one reason: how many, and path and detail of the first ones."""

    name: str
    count: int
    files: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Sheet:
    """Everything on the page.

    Attributes:
        name: what was looked at.
        counts: those of `colorize dedupe`; they add up.
        groups: the first ones.
        group_count: of all groups.
        related: the first pairs; `counts["related_pairs"]` is the number of all.
        rejected: by reason.
    """

    name: str
    counts: dict[str, Any]
    groups: list[Group]
    group_count: int
    related: list[tuple[Photo, Photo]]
    rejected: list[Reason]


def render(sheet: Sheet, path: Path) -> None:
    """Write the page, which needs no network and no other file.

    Args:
        sheet: what it shows.
        path: the HTML file; complete or not there at all.

    Raises:
        OSError: it cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("colorize.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = lambda value: f"{value:,}".replace(",", "\u202f")
    write_bytes(path, environment.get_template("sheet.html.j2").render(sheet=sheet).encode())
