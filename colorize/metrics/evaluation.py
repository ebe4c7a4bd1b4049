"""Measure models and baselines on the test split: one row per photo, a summary, and the pictures the report shows.

Parts of the split are measured side by side, by processes of this machine or of a Ray cluster (`colorize.metrics.parts`
says why that changes no figure).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from colorize.color import lab_from_code, lab_to_rgb
from colorize.data.execution import map_ordered, worker_count
from colorize.metrics import baselines
from colorize.metrics.baselines import Baseline
from colorize.metrics.colorizers import Colorizer, Trained
from colorize.metrics.gallery import GALLERY, gallery_ids, write_pictures, write_png
from colorize.metrics.rows import lab_of, summarise, table
from colorize.progress import track
from colorize.report.grid import Column, sample_grid
from colorize.settings.sections import EvaluationSettings
from colorize.storage import atomic_path, write_json

ROWS = "rows.parquet"
SUMMARY = "summary.json"
NETWORKS = "networks.json"
COST = "cost.json"
SPEED = "speed.json"
GRID = "grid.png"
TRUTH = "truth"

_GRID_PHOTOS = 8
_GPU_PROCESSES = 4  # that share a GPU: each takes half a GiB of it for itself


@dataclass(frozen=True, slots=True)
class EvaluationData:
    """The photos to measure on, and what else measuring needs.

    Attributes:
        lab: folder of the LAB shards.
        statistics: `statistics.json` of the training split.
        weights: folder of imported published weights; figures through networks that are not there are left out.
        settings: batch size and size of the gallery.
        cluster: whether parts may be measured by the Ray cluster at RAY_ADDRESS; its nodes have to see these folders.
    """

    lab: Path
    statistics: Path
    weights: Path
    settings: EvaluationSettings
    cluster: bool = True


def evaluate_model(name: str, model: Path, folder: Path, photos: EvaluationData) -> dict[str, float]:
    """Measure a trained model on the test split and write what the report and the registry need.

    Written into `folder`: `rows.parquet`, `gallery/<id>.png` (colorized, with the photo's own L), `grid.png`,
    `networks.json` (figures through networks, with the digest of each network, and what could not be had), `cost.json`
    (parameters, and operations and memory for one photo), `speed.json` (how long it took) and, last, `summary.json`.

    Args:
        name: what the model is called in pictures and summary.
        model: folder with `model.safetensors` and `model.json`.
        folder: where the evaluation goes.
        photos: what to measure on.

    Returns:
        The summary.

    Raises:
        ValueError: the test split is empty.
    """
    from colorize.metrics.cost import cost_of
    from colorize.models import load_model

    evaluation = _Evaluation(photos)
    write_json(folder / COST, asdict(cost_of(load_model(model), evaluation.loader.size)))
    return evaluation.write(name, Trained(model.resolve()), folder)


def evaluate_baselines(folder: Path, photos: EvaluationData) -> dict[str, dict[str, float]]:
    """Measure the baselines, automatic and guided, and keep the gallery's true photos.

    Written: `<folder>/<name>/` as `evaluate_model` does, `<folder>/truth/gallery/<id>.png`. The summary of a guided one
    has `hint_share`, the share of pixels whose true colours it was told.

    Args:
        folder: where the baselines' evaluations go.
        photos: what to measure on.

    Returns:
        The summaries by name of the baseline, first the automatic ones.

    Raises:
        ValueError: the test split is empty.
    """
    evaluation = _Evaluation(photos)
    evaluation.write_truth(folder / TRUTH)
    shares = dict.fromkeys(baselines.NAMES, 0.0) | dict.fromkeys(baselines.GUIDED, baselines.HINT_SHARE)
    return {
        name: evaluation.write(name, Baseline(name, photos.lab, photos.statistics), folder / name, share)
        for name, share in shares.items()
    }


class _Evaluation:
    """The test split, ready to measure one colorizer after another on it."""

    def __init__(self, photos: EvaluationData) -> None:
        # Here, because they import torch.
        from colorize.metrics.parts import photos_in_order

        self.photos = photos
        self.loader = photos_in_order(photos.lab, photos.settings.batch_size)
        datasets: dict[str, str] = {}
        for batch in self.loader.batches(epoch=0):
            datasets.update(zip(batch.ids, batch.datasets, strict=True))
        self.gallery = gallery_ids(datasets, photos.settings.gallery)
        self.originals = self._read_originals()

    def write(self, name: str, colorizer: Colorizer, folder: Path, hint_share: float = 0.0) -> dict[str, float]:
        rows, pictures, through_networks, speed = self._measure(name, colorizer, hint_share)
        measured = {figure: values["value"] for figure, values in through_networks["figures"].items()}
        summary = summarise(rows) | measured | ({"hint_share": hint_share} if hint_share else {})
        with atomic_path(folder / ROWS) as temporary:
            pq.write_table(rows, temporary)
        write_pictures(pictures, folder / GALLERY)
        write_png(self._grid(name, pictures), folder / GRID)
        write_json(folder / NETWORKS, through_networks)
        write_json(folder / SPEED, speed)
        write_json(folder / SUMMARY, {"name": name, "evaluation_digest": _digest(rows), **summary})
        return summary

    def _measure(
        self, name: str, colorizer: Colorizer, hint_share: float
    ) -> tuple[pa.Table, dict[str, NDArray[np.uint8]], dict[str, dict[str, Any]], dict[str, float]]:
        """Rows, the gallery's photos, and the contents of `networks.json` and `speed.json`."""
        from colorize.metrics.networks import Networks
        from colorize.metrics.parts import Evaluation, Seconds, forget, measure_part

        photos = self.photos
        evaluation = Evaluation(
            colorizer,
            photos.lab.resolve(),
            photos.statistics.resolve(),
            photos.weights.resolve(),
            photos.settings.batch_size,
            frozenset(self.gallery),
            hint_share,
            uuid4().hex,
        )
        numbers = range(len(self.loader))
        work = partial(measure_part, evaluation)
        parts = map_ordered(work, numbers, _workers(len(numbers)), chunk=1, cluster=photos.cluster)
        networks = Networks(photos.weights)
        seconds = Seconds()
        rows: list[dict[str, object]] = []
        pictures: dict[str, NDArray[np.uint8]] = {}
        try:
            for part in track(parts, f"evaluate {name}", len(numbers)):
                rows += part.rows
                pictures |= part.pictures
                networks.add(part.seen)
                seconds.add(part.seconds)
        finally:
            forget()
        figures = networks.figures() if len(rows) > 1 else {}
        through_networks: dict[str, dict[str, Any]] = {
            "figures": {figure: asdict(found) for figure, found in figures.items()},
            "missing": dict(networks.missing),
        }
        speed = {
            "photos": len(rows),
            "seconds_per_photo": seconds.colorizing / max(1, len(rows)),
            "all_seconds_per_photo": seconds.all / max(1, len(rows)),
            "share_outside_networks": 1 - (seconds.colorizing + seconds.beside) / (seconds.all or 1.0),
        }
        return table(rows), pictures, through_networks, speed

    def write_truth(self, folder: Path) -> None:
        write_pictures({identity: lab_to_rgb(lab) for identity, lab in self.originals.items()}, folder / GALLERY)

    def _read_originals(self) -> dict[str, NDArray[np.float32]]:
        wanted = set(self.gallery)
        originals = {}
        for batch in self.loader.batches(epoch=0):
            for index, identity in enumerate(batch.ids):
                if identity in wanted:
                    originals[identity] = lab_of(*lab_from_code(batch.l[index], batch.ab[index]))
        return originals

    def _grid(self, name: str, pictures: Mapping[str, NDArray[np.uint8]]) -> Image.Image:
        shown = self.gallery[:_GRID_PHOTOS]
        without_ab = np.array([1, 0, 0], dtype=np.float32)
        columns = [
            Column("grey", [lab_to_rgb(self.originals[identity] * without_ab) for identity in shown]),
            Column("truth", [lab_to_rgb(self.originals[identity]) for identity in shown]),
            Column(name, [pictures[identity] for identity in shown]),
        ]
        return sample_grid(columns)


def _workers(parts: int) -> int | None:
    """How many processes: one for one part, few where they share a GPU, None for as many as there is room for."""
    from colorize.training.precision import choose_device

    if parts <= 1:
        return 1
    return min(worker_count(), _GPU_PROCESSES) if choose_device().type == "cuda" else None


def _digest(rows: pa.Table) -> str:
    """Which photos were measured: two evaluations with the same digest can be compared photo by photo."""
    return hashlib.sha256(json.dumps(sorted(rows["id"].to_pylist())).encode()).hexdigest()
