"""Which files of a dataset's folder are photos of their own, for each of the known layouts."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal

from colorize.settings.sections import Layout

Kind = Literal["photo", "grey-twin", "sidecar", "hidden", "unsupported-photo"]

PHOTO_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif"}
# Named apart from text files and the like, so that a folder of phone or camera originals is not a riddle.
_PHONE_SUFFIXES = {".heic", ".heif", ".avif", ".jxl", ".jp2", ".j2k", ".psd"}
_CAMERA_SUFFIXES = {".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"}
UNSUPPORTED_SUFFIXES = _PHONE_SUFFIXES | _CAMERA_SUFFIXES


def is_photo(layout: Layout, path: str) -> Kind:
    """What one file is, judged by its path alone.

    Args:
        layout: `flat`: every picture file is a photo. `landscape-image-colorization`: those below `gray/` are grey
            twins of the ones below `color/`. `mirflickr25k`: those below `meta/` or an annotations folder describe
            other photos.
        path: POSIX path inside the dataset.

    Returns:
        "photo", or why the file is none.
    """
    pure = PurePosixPath(path)
    folders = [part.lower() for part in pure.parts[:-1]]
    suffix = pure.suffix.lower()
    if any(part.startswith(".") for part in pure.parts):
        return "hidden"
    if layout == "mirflickr25k" and any(folder == "meta" or "annotations" in folder for folder in folders):
        return "sidecar"
    if suffix in UNSUPPORTED_SUFFIXES:
        return "unsupported-photo"
    if suffix not in PHOTO_SUFFIXES:
        return "sidecar"
    if layout == "landscape-image-colorization" and ("gray" in folders or "grey" in folders):
        return "grey-twin"
    return "photo"
