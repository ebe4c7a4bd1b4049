"""The gallery: the same test photos for every model, what each scores on them, and what they show together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from colorize.color import rgb_to_lab
from colorize.metrics.comparison import LARGER_IS_BETTER
from colorize.metrics.gallery import gallery_ids
from colorize.report.entries import Entry
from colorize.report.panels import Accumulator, Panel
from colorize.report.pictures import data_uri

GREY, TRUTH = "grey", "truth"


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture of the gallery: grey, truth, or a model's, with its figures on the photo by metric."""

    label: str
    picture: str
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GalleryPhoto:
    """One test photo side by side.

    Attributes:
        id: the photo's.
        dataset: where it is from.
        shots: grey, truth, and the models by name.
        disagreement: how far the models' colours lie from their mean, root mean square over models and pixels, CIELAB
            units; 0 with a single model.
    """

    id: str
    dataset: str
    shots: list[Shot]
    disagreement: float = 0.0

    def picture(self, label: str) -> str:
        """The picture under a label; empty where there is none."""
        return next((shot.picture for shot in self.shots if shot.label == label), "")

    def badness(self, label: str, metric: str) -> float | None:
        """A figure such that more is worse; None of what was not measured."""
        value = next((shot.figures.get(metric) for shot in self.shots if shot.label == label), None)
        return None if value is None else -value if metric in LARGER_IS_BETTER else value


@dataclass(frozen=True, slots=True)
class Column:
    """Where the pictures of one column lie, and whose figures stand below them."""

    label: str
    folder: Path
    entry: Entry | None = None


def gather_gallery(
    columns: Sequence[Column], datasets: Mapping[str, str], metrics: Sequence[str], photos: int
) -> tuple[list[GalleryPhoto], list[Panel]]:
    """Read the pictures of the test photos that the truth and every model have, one photo at a time.

    Args:
        columns: grey, truth, and the models.
        datasets: the dataset of each photo's id.
        metrics: the columns of the evaluations' rows that are kept.
        photos: how many to show at most, in an order that mixes the datasets.

    Returns:
        The photos, and the panels of truth and models over them all.
    """
    needed = [column for column in columns if column.label != GREY]
    ids = set.intersection(*({path.stem for path in column.folder.glob("*.png")} for column in needed))
    figures = {column.label: _figures(column.entry, metrics) for column in columns}
    sums = {column.label: Accumulator(column.label) for column in needed}
    gallery = []
    for identity in gallery_ids({identity: datasets.get(identity, "") for identity in ids}, photos):
        pictures = {
            column.label: picture
            for column in columns
            if (picture := _open(column.folder / f"{identity}.png")) is not None
        }
        shots = [
            Shot(label, data_uri(picture), figures[label].get(identity, {})) for label, picture in pictures.items()
        ]
        colours = {label: _ab(picture) for label, picture in pictures.items() if label != GREY}
        for label, ab in colours.items():
            if TRUTH in colours and ab.shape == colours[TRUTH].shape:
                sums[label].add(ab, colours[TRUTH])
        models = [ab for label, ab in colours.items() if label != TRUTH]
        gallery.append(GalleryPhoto(identity, datasets.get(identity, ""), shots, disagreement(models)))
    return gallery, [added.panel() for added in sums.values() if added.pictures]


def disagreement(models: Sequence[NDArray[np.float64]]) -> float:
    """How far colours lie from their mean over the models: root mean square over models and pixels, CIELAB units.

    Args:
        models: H×W×2 each, of one photo; those of another size than the first are left out.
    """
    alike = [ab for ab in models if ab.shape == models[0].shape]
    if len(alike) < 2:
        return 0.0
    stacked = np.stack(alike)
    return float(np.sqrt(((stacked - stacked.mean(axis=0)) ** 2).sum(axis=-1).mean()))


def _figures(entry: Entry | None, metrics: Sequence[str]) -> dict[str, dict[str, float]]:
    """By photo and metric, what was measured."""
    found: dict[str, dict[str, float]] = {}
    if entry is None:
        return found
    for metric in metrics:
        for identity, value in entry.by_photo(metric).items():
            if value is not None:
                found.setdefault(identity, {})[metric] = value
    return found


def _open(path: Path) -> Image.Image | None:
    try:
        with Image.open(path) as opened:
            return opened.convert("RGB")
    except OSError:
        return None


def _ab(picture: Image.Image) -> NDArray[np.float64]:
    return rgb_to_lab(np.asarray(picture))[..., 1:].astype(np.float64)
