"""Which files of a dataset are photos of their own, and which tell something about another one, by their paths."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Literal

from colorize.settings.sections import Layout

Kind = Literal["photo", "grey-twin", "sidecar", "hidden"]

PHOTO_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif"}
# Most of these are TIFF files inside, whose first picture is a small preview: the content would mislead.
CAMERA_RAW_SUFFIXES = {".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"}

_MIRFLICKR_NOTE = re.compile(r"(?P<folder>(?:.*/)?)meta/(?P<kind>tags|licen[sc]e)/[a-z]+(?P<number>[0-9]+)\.txt")


def is_photo(layout: Layout, path: str) -> Kind:
    """Whether a file may be a photo of its own, judged by its place alone; whether it is one, its content decides.

    Args:
        layout: `flat`: every file that is not hidden. `landscape-image-colorization`: those below `gray/` are grey
            twins of the ones below `color/`. `mirflickr25k`: those below `meta/`, `doc/` or an annotations folder
            describe other photos.
        path: POSIX path inside the dataset.

    Returns:
        "photo", or why the file is none.
    """
    pure = PurePosixPath(path)
    folders = [part.lower() for part in pure.parts[:-1]]
    # __MACOSX holds what macOS adds to a zip: a shadow of every file.
    if any(part.startswith(".") and part != ".." for part in pure.parts) or "__macosx" in folders:
        return "hidden"
    if layout == "mirflickr25k" and any(part in ("meta", "doc") or "annotations" in part for part in folders):
        return "sidecar"
    if layout == "landscape-image-colorization" and ("gray" in folders or "grey" in folders):
        return "grey-twin"
    return "photo"


def note_of(layout: Layout, path: str) -> tuple[Literal["tags", "licence"], str] | None:
    """What a side-car tells about which photo: its kind and the photo's path; None for all other files.

    MIRFLICKR-25k keeps the tags of `im12.jpg` in `meta/tags/tags12.txt`, its licence in `meta/license/license12.txt`.
    """
    if layout != "mirflickr25k" or (match := _MIRFLICKR_NOTE.fullmatch(path)) is None:
        return None
    return "tags" if match["kind"] == "tags" else "licence", f"{match['folder']}im{match['number']}.jpg"


def is_named_like_a_photo(path: str) -> bool:
    """Whether the name promises a picture that the pipeline can read."""
    return PurePosixPath(path).suffix.lower() in PHOTO_SUFFIXES


def is_camera_raw(path: str) -> bool:
    """Whether the name is that of a camera's raw file, which is not read."""
    return PurePosixPath(path).suffix.lower() in CAMERA_RAW_SUFFIXES
