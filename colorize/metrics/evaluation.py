"""Measure models and baselines on the test split: one row per photo, a summary, and the pictures the report shows.

Every network is measured with the photo's own L, because that is what `colorize` writes: rows say how good the colour
is, not how well a network redraws what it was given. Networks that predict L too have it measured on the side
(`psnr_own_l`, `ssim_own_l`). PSNR, SSIM and colourfulness are taken on 8-bit sRGB, after what no screen can show was
clipped; ab RMSE, CIEDE2000 and the rebalanced error on CIELAB as predicted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from colorize.color import lab_from_code, lab_to_rgb
from colorize.data.loader import Batch, Loader
from colorize.data.statistics import load_statistics, rebalancing_weights
from colorize.metrics import baselines, quality
from colorize.metrics.artefacts import of_photo, sharpness_of_l
from colorize.metrics.colorizers import Predict, network, true_colors
from colorize.metrics.error_curve import area_under, error_curve, imagenet_weights
from colorize.metrics.gallery import GALLERY, gallery_ids, write_pictures, write_png
from colorize.metrics.references import read_references
from colorize.progress import track
from colorize.report.grid import Column, sample_grid
from colorize.settings.sections import EvaluationSettings
from colorize.storage import atomic_path, write_json

if TYPE_CHECKING:
    import torch

SPLIT = "test"
ROWS = "rows.parquet"
SUMMARY = "summary.json"
GRID = "grid.png"
TRUTH = "truth"

_GRID_PHOTOS = 8
_MEASURES = (
    "psnr",
    "ssim",
    "ab_rmse",
    "ciede2000_mean",
    "ciede2000_p95",
    "colorfulness",
    "colorfulness_truth",
    "colorfulness_absolute",
    "colorfulness_absolute_truth",
    "colorfulness_error",
    "ab_error_rebalanced",
    "auc",
    "auc_rebalanced",
    "bias_a",
    "bias_b",
    "false_blue_rate",
    "hue_divergence",
    "border_ratio",
    "sharpness_ab",
    "sharpness_error",
    "edge_alignment",
    "edge_alignment_truth",
    "checkerboard",
    "psnr_own_l",
    "ssim_own_l",
    "sharpness_own_l",
)
SCHEMA = pa.schema([("id", pa.string()), ("dataset", pa.string()), *((name, pa.float64()) for name in _MEASURES)])


def evaluate(
    predict: Predict,
    batches: Iterable[Batch],
    weights: NDArray[np.float64],
    keep: Collection[str] = (),
    hint_share: float = 0.0,
) -> tuple[pa.Table, dict[str, NDArray[np.uint8]]]:
    """Measure a colorizer on batches.

    Args:
        predict: the colorizer.
        batches: LAB codes of the photos.
        weights: 256×256, the class weight of each code of (a, b).
        keep: ids whose colorized photos are wanted.
        hint_share: of each photo's pixels whose true colours the colorizer is told (`true_colors`). More than 0 is no
            measure of an automatic method.

    Returns:
        One row per photo (`SCHEMA`), and the kept photos by id: H×W×3, uint8.
    """
    rows: list[dict[str, object]] = []
    kept: dict[str, NDArray[np.uint8]] = {}
    for batch in batches:
        lightness, ab = lab_from_code(batch.l, batch.ab)
        if hint_share:
            colors = predict(lightness, true_colors(batch.ids, ab, hint_share))
        else:
            colors = predict(lightness)
        for index, (identity, dataset) in enumerate(zip(batch.ids, batch.datasets, strict=True)):
            truth = _lab(lightness[index], ab[index])
            predicted = _lab(lightness[index], colors.ab[index])
            own = None if colors.lightness is None else _lab(colors.lightness[index], colors.ab[index])
            measures, rgb = _measure(truth, predicted, weights[batch.ab[index, 0], batch.ab[index, 1]], own)
            rows.append({"id": identity, "dataset": dataset, **measures})
            if identity in keep:
                kept[identity] = rgb
    return pa.Table.from_pylist(rows, schema=SCHEMA), kept


def summarise(rows: pa.Table) -> dict[str, float]:
    """Means over the photos, for `dvc metrics show` and the registry.

    Besides each column's mean: `photos`, and `colorfulness_difference`, |mean of the predictions - mean of the true
    photos|. That is the ΔCF of the literature; `colorfulness_error` is the mean over photos of the same difference.
    They are different numbers: too pale here and too loud there cancel in the first one only.

    Args:
        rows: what `evaluate` returned.

    Raises:
        ValueError: there are no rows.
    """
    if not rows.num_rows:
        raise ValueError(f"nothing was measured: the {SPLIT} split holds no photos; is split.{SPLIT} 0 in params.yaml?")
    means = {name: pc.mean(rows[name]).as_py() for name in _MEASURES}
    summary = {name: float(value) for name, value in means.items() if value is not None}
    summary["colorfulness_difference"] = abs(summary["colorfulness"] - summary["colorfulness_truth"])
    return {**summary, "photos": rows.num_rows}


def evaluate_model(
    name: str,
    model: Path,
    folder: Path,
    data: Path,
    settings: EvaluationSettings,
    *,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Measure a trained model on the test split and write what the report and the registry need.

    Written into `folder`: `rows.parquet`, `gallery/<id>.png` (colorized, with the photo's own L), `grid.png` and,
    last, `summary.json`.

    Args:
        name: what the model is called in pictures and summary.
        model: folder with `model.safetensors` and `model.json`.
        folder: where the evaluation goes.
        data: folder with the shards in `lab/`, and `statistics.json` of the training split.
        settings: batch size and size of the gallery.
        device: where the network runs.

    Returns:
        The summary.

    Raises:
        ValueError: the test split is empty.
    """
    from colorize.models import load_model

    predict = network(load_model(model), device)
    return _Evaluation(data / "lab", data / "statistics.json", settings).write(name, predict, folder)


def evaluate_baselines(
    lab: Path, statistics: Path, folder: Path, settings: EvaluationSettings
) -> dict[str, dict[str, float]]:
    """Measure the baselines, automatic and guided, and keep the gallery's true photos.

    Written: `<folder>/<name>/` as `evaluate_model` does, `<folder>/truth/gallery/<id>.png`. The summary of a guided one
    has `hint_share`, the share of pixels whose true colours it was told.

    Args:
        lab: the LAB shards; two baselines take their colours from those of the training split.
        statistics: `statistics.json` of the training split; its mean colour is the second baseline.
        folder: where the baselines' evaluations go.
        settings: batch size and size of the gallery.

    Returns:
        The summaries by name of the baseline, first the automatic ones.

    Raises:
        ValueError: the test split is empty.
    """
    evaluation = _Evaluation(lab, statistics, settings)
    evaluation.write_truth(folder / TRUTH)
    references = read_references(lab)
    mean_a, mean_b = (float(value) for value in evaluation.statistics.mean_ab)
    automatic = {
        baselines.GREY: baselines.constant((0.0, 0.0)),
        baselines.MEAN_COLOR: baselines.constant((mean_a, mean_b)),
        baselines.ANOTHER_PHOTO: baselines.another_photo(references),
        baselines.HISTOGRAM_MATCHING: baselines.histogram_matching(references),
    }
    summaries = {name: evaluation.write(name, predict, folder / name) for name, predict in automatic.items()}
    name, guided = baselines.COLOR_BY_OPTIMIZATION, baselines.color_by_optimization()
    return {**summaries, name: evaluation.write(name, guided, folder / name, baselines.HINT_SHARE)}


class _Evaluation:
    """The test split, ready to measure one colorizer after another on it."""

    def __init__(self, lab: Path, statistics: Path, settings: EvaluationSettings) -> None:
        self.loader = Loader(lab, SPLIT, settings.batch_size, seed=0, shuffle=False)
        self.statistics = load_statistics(statistics)
        self.weights = rebalancing_weights(self.statistics.histogram)
        datasets: dict[str, str] = {}
        for batch in self.batches():
            datasets.update(zip(batch.ids, batch.datasets, strict=True))
        self.gallery = gallery_ids(datasets, settings.gallery)
        self.originals = self._read_originals()

    def batches(self) -> Iterator[Batch]:
        return self.loader.batches(epoch=0)

    def write(self, name: str, predict: Predict, folder: Path, hint_share: float = 0.0) -> dict[str, float]:
        batches = track(self.batches(), f"evaluate {name}", len(self.loader))
        rows, pictures = evaluate(predict, batches, self.weights, set(self.gallery), hint_share)
        summary = summarise(rows) | ({"hint_share": hint_share} if hint_share else {})
        with atomic_path(folder / ROWS) as temporary:
            pq.write_table(rows, temporary)
        write_pictures(pictures, folder / GALLERY)
        write_png(self._grid(name, pictures), folder / GRID)
        write_json(folder / SUMMARY, {"name": name, "evaluation_digest": _digest(rows), **summary})
        return summary

    def write_truth(self, folder: Path) -> None:
        write_pictures({identity: lab_to_rgb(lab) for identity, lab in self.originals.items()}, folder / GALLERY)

    def _read_originals(self) -> dict[str, NDArray[np.float32]]:
        wanted = set(self.gallery)
        originals = {}
        for batch in self.batches():
            for index, identity in enumerate(batch.ids):
                if identity in wanted:
                    originals[identity] = _lab(*lab_from_code(batch.l[index], batch.ab[index]))
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


def _measure(
    truth: NDArray[np.float32],
    predicted: NDArray[np.float32],
    weights: NDArray[np.float64],
    own: NDArray[np.float32] | None,
) -> tuple[dict[str, float | None], NDArray[np.uint8]]:
    """All measures of one photo (CIELAB, H×W×3), and its colorized sRGB."""
    true_rgb, rgb = lab_to_rgb(truth), lab_to_rgb(predicted)
    own_rgb = None if own is None else lab_to_rgb(own)
    mean, p95 = quality.ciede2000(truth, predicted)
    colorfulness, colorfulness_truth = quality.colorfulness(rgb), quality.colorfulness(true_rgb)
    measures = {
        "psnr": quality.psnr(true_rgb, rgb),
        "ssim": quality.ssim(true_rgb, rgb),
        "ab_rmse": quality.ab_rmse(truth[..., 1:], predicted[..., 1:]),
        "ciede2000_mean": mean,
        "ciede2000_p95": p95,
        "colorfulness": colorfulness,
        "colorfulness_truth": colorfulness_truth,
        "colorfulness_absolute": quality.colorfulness_absolute(rgb),
        "colorfulness_absolute_truth": quality.colorfulness_absolute(true_rgb),
        "colorfulness_error": abs(colorfulness - colorfulness_truth),
        "ab_error_rebalanced": quality.ab_error_rebalanced(truth[..., 1:], predicted[..., 1:], weights),
        "auc": area_under(error_curve(truth[..., 1:], predicted[..., 1:])),
        "auc_rebalanced": area_under(error_curve(truth[..., 1:], predicted[..., 1:], imagenet_weights(truth[..., 1:]))),
        **of_photo(predicted, truth),
        "psnr_own_l": None if own_rgb is None else quality.psnr(true_rgb, own_rgb),
        "ssim_own_l": None if own_rgb is None else quality.ssim(true_rgb, own_rgb),
        "sharpness_own_l": None if own is None else sharpness_of_l(own, truth),
    }
    return measures, rgb


def _lab(lightness: NDArray[np.float32], ab: NDArray[np.float32]) -> NDArray[np.float32]:
    """1×H×W and 2×H×W to H×W×3."""
    return np.ascontiguousarray(np.concatenate([lightness, ab]).transpose(1, 2, 0))


def _digest(rows: pa.Table) -> str:
    """Which photos were measured: two evaluations with the same digest can be compared photo by photo."""
    return hashlib.sha256(json.dumps(sorted(rows["id"].to_pylist())).encode()).hexdigest()
