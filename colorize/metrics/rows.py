"""One row a photo: everything that is measured of a colorizer on batches of photos, and the means over them.

Every network is measured with the photo's own L, because that is what `colorize` writes: rows say how good the colour
is, not how well a network redraws what it was given. Networks that predict L too have it measured on the side
(`psnr_own_l`, `ssim_own_l`). PSNR, SSIM and colourfulness are taken on 8-bit sRGB, after what no screen can show was
clipped; ab RMSE, CIEDE2000 and the rebalanced error on CIELAB as predicted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from colorize.color import lab_from_code, lab_to_rgb
from colorize.data.loader import Batch
from colorize.metrics import quality
from colorize.metrics.artefacts import of_photo, sharpness_of_l
from colorize.metrics.colorizers import Predict, true_colors
from colorize.metrics.error_curve import area_under, error_curve, imagenet_weights
from colorize.metrics.predictions import diversity, top_bin_accuracy

Rgb = NDArray[np.uint8]

SPLIT = "test"
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
    "top_bin_accuracy",
    "diversity",
)
SCHEMA = pa.schema([("id", pa.string()), ("dataset", pa.string()), *((name, pa.float64()) for name in _MEASURES)])


@dataclass(frozen=True, slots=True)
class Measured:
    """A batch that was colorized and measured.

    Attributes:
        rows: one a photo, by `SCHEMA`.
        predicted: N×H×W×3, uint8: the colorized photos, with the photos' own L.
        truth: the true ones.
    """

    rows: list[dict[str, object]]
    predicted: Rgb
    truth: Rgb


def measure(predict: Predict, batch: Batch, weights: NDArray[np.float64], hint_share: float = 0.0) -> Measured:
    """Measure a colorizer on a batch.

    Args:
        predict: the colorizer.
        batch: LAB codes of the photos.
        weights: 256×256, the class weight of each code of (a, b).
        hint_share: of each photo's pixels whose true colours the colorizer is told (`true_colors`). More than 0 is no
            measure of an automatic method.
    """
    lightness, ab = lab_from_code(batch.l, batch.ab)
    colors = predict(lightness, true_colors(batch.ids, ab, hint_share)) if hint_share else predict(lightness)
    rows: list[dict[str, object]] = []
    photos = []
    right = None if colors.scores is None else top_bin_accuracy(colors.scores, ab).tolist()
    apart = None if colors.draws is None else diversity(colors.draws()).tolist()
    for index, (identity, dataset) in enumerate(zip(batch.ids, batch.datasets, strict=True)):
        photo = _Photo(
            lab_of(lightness[index], ab[index]),
            lab_of(lightness[index], colors.ab[index]),
            None if colors.lightness is None else lab_of(colors.lightness[index], colors.ab[index]),
        )
        code = batch.ab[index, 0], batch.ab[index, 1]
        said = {
            "top_bin_accuracy": None if right is None else right[index],
            "diversity": None if apart is None else apart[index],
        }
        measures = _measures(photo, weights[code], _weights_of_codes()[code])
        rows.append({"id": identity, "dataset": dataset, **measures, **said})
        photos.append(photo)
    return Measured(rows, np.stack([photo.rgb for photo in photos]), np.stack([photo.true_rgb for photo in photos]))


def evaluate(predict: Predict, batches: Iterable[Batch], weights: NDArray[np.float64]) -> pa.Table:
    """One row a photo (`SCHEMA`) of some batches, measured in this process, one after another; see `measure`."""
    return table(row for batch in batches for row in measure(predict, batch, weights).rows)


def table(rows: Iterable[dict[str, object]]) -> pa.Table:
    """Rows as a table."""
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


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


class _Photo:
    """A photo in CIELAB (H×W×3): as it is, as predicted, and with the network's own L; the first two in sRGB too."""

    def __init__(
        self, truth: NDArray[np.float32], predicted: NDArray[np.float32], own: NDArray[np.float32] | None
    ) -> None:
        self.truth, self.predicted, self.own = truth, predicted, own
        self.true_rgb, self.rgb = lab_to_rgb(truth), lab_to_rgb(predicted)


def _measures(
    photo: _Photo, weights: NDArray[np.float64], curve_weights: NDArray[np.float64]
) -> dict[str, float | None]:
    truth, predicted, own, true_rgb, rgb = photo.truth, photo.predicted, photo.own, photo.true_rgb, photo.rgb
    own_rgb = None if own is None else lab_to_rgb(own)
    mean, p95 = quality.ciede2000(truth, predicted)
    colorfulness, colorfulness_truth = quality.colorfulness(rgb), quality.colorfulness(true_rgb)
    return {
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
        "auc_rebalanced": area_under(error_curve(truth[..., 1:], predicted[..., 1:], curve_weights)),
        **of_photo(predicted, truth),
        "psnr_own_l": None if own_rgb is None else quality.psnr(true_rgb, own_rgb),
        "ssim_own_l": None if own_rgb is None else quality.ssim(true_rgb, own_rgb),
        "sharpness_own_l": None if own is None else sharpness_of_l(own, truth),
    }


@lru_cache(maxsize=1)
def _weights_of_codes() -> NDArray[np.float64]:
    """256×256: what `imagenet_weights` gives the colour of each code of (a, b)."""
    codes = np.stack(np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8), indexing="ij"))
    _, ab = lab_from_code(codes[:1], codes)
    return imagenet_weights(np.moveaxis(ab, 0, -1))


def lab_of(lightness: NDArray[np.float32], ab: NDArray[np.float32]) -> NDArray[np.float32]:
    """L (1×H×W) and ab (2×H×W) of a photo as H×W×3."""
    return np.ascontiguousarray(np.concatenate([lightness, ab]).transpose(1, 2, 0))
