"""Draws docs/results.jpg, the README's picture, from what `make run` left: python docs/results.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from colorize.report.grid import Column, sample_grid

ROWS = 6
SIDE = 150


def read(path: Path) -> np.ndarray:
    """A gallery picture, enlarged a little."""
    return np.asarray(Image.open(path).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def main() -> None:
    """The first photos of the gallery, which are chosen by a hash, for every model."""
    runs = Path("runs")
    truth = runs / "baselines/truth/gallery"
    photos = sorted(path.name for path in truth.glob("*.png"))[:ROWS]
    folders = {"grey": runs / "baselines/grey/gallery", "truth": truth}
    for name in ("simple_unet", "unet_vae", "unet"):
        newest = max(runs.glob(f"{name}-*/evaluation/gallery"), key=lambda folder: folder.stat().st_mtime)
        folders[name] = newest
    columns = [Column(title, [read(folder / photo) for photo in photos]) for title, folder in folders.items()]
    sample_grid(columns).save("docs/results.jpg", quality=88)


if __name__ == "__main__":
    main()
