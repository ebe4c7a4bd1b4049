"""Pictures of an evaluation: which test photos are shown, and their colorized copies as files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from colorize.storage import atomic_path

#: Folder of the pictures inside an evaluation's, one `<id>.png` a photo.
GALLERY = "gallery"


def gallery_ids(datasets: Mapping[str, str], count: int) -> list[str]:
    """Photos to show: the same ones for every model, taken from the datasets in turn, in the order of a hash.

    Args:
        datasets: dataset of each id.
        count: how many; fewer where there are fewer.
    """
    queues: dict[str, list[str]] = {}
    for identity in sorted(datasets, key=lambda identity: hashlib.sha256(f"gallery:{identity}".encode()).digest()):
        queues.setdefault(datasets[identity], []).append(identity)
    # A photo's turn is its rank in its own dataset, so an added photo changes the choice by one at most.
    turns = [(rank, name, identity) for name, queue in queues.items() for rank, identity in enumerate(queue)]
    return [identity for _, _, identity in sorted(turns)[:count]]


def write_pictures(pictures: Mapping[str, NDArray[np.uint8]], folder: Path) -> None:
    """Make a folder hold `<id>.png` of exactly these photos.

    Args:
        pictures: H×W×3, uint8, by id.
        folder: made if it does not exist; pictures of other photos in it are removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.png"):
        if stale.stem not in pictures:
            stale.unlink()
    for identity, picture in pictures.items():
        write_png(Image.fromarray(picture), folder / f"{identity}.png")


def write_png(picture: Image.Image, path: Path) -> None:
    """Write a picture, complete or not at all."""
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG")
