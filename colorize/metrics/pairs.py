"""Any colorized picture beside its truth: all figures of one pair, and of a folder of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from colorize.color import rgb_to_lab
from colorize.metrics import quality
from colorize.metrics.error_curve import area_under, error_curve, imagenet_weights
from colorize.metrics.quality import Rgb

#: Which of the figures called SSIM it is.
SSIM_VARIANT: Final = "RGB, uniform 7x7 window, sample covariance (scikit-image's default)"
#: What the class-rebalanced figures weigh by.
PRIOR: Final = "ImageNet, 313 bins (Zhang et al. 2016)"


def measure(truth: Rgb, prediction: Rgb) -> dict[str, float]:
    """All figures of a colorized picture.

    Args:
        truth: H×W×3, uint8, sRGB, both sides at least 7.
        prediction: the same shape.

    Returns:
        psnr (dB), ssim, ab_rmse, ciede2000_mean and _p95 (CIELAB units), colorfulness and colorfulness_absolute with
        those of the truth and the distances `…_error`, auc and auc_rebalanced (0…1): see `colorize.metrics.quality` and
        `colorize.metrics.error_curve`.

    Raises:
        ValueError: the two have different sizes, or are too small.
    """
    if truth.shape != prediction.shape:
        raise ValueError(
            f"{prediction.shape[1]} x {prediction.shape[0]} pixels beside {truth.shape[1]} x {truth.shape[0]}: bring "
            "both to one size"
        )
    if min(truth.shape[:2]) < 7:
        raise ValueError(f"{truth.shape[1]} x {truth.shape[0]} pixels: SSIM needs at least 7 on each side")
    lab, true_lab = rgb_to_lab(prediction), rgb_to_lab(truth)
    ab, true_ab = lab[..., 1:], true_lab[..., 1:]
    mean, p95 = quality.ciede2000(true_lab, lab)
    colorful, true_colorful = quality.colorfulness(prediction), quality.colorfulness(truth)
    absolute, true_absolute = quality.colorfulness_absolute(prediction), quality.colorfulness_absolute(truth)
    return {
        "psnr": quality.psnr(truth, prediction),
        "ssim": quality.ssim(truth, prediction),
        "ab_rmse": quality.ab_rmse(true_ab, ab),
        "ciede2000_mean": mean,
        "ciede2000_p95": p95,
        "colorfulness": colorful,
        "colorfulness_truth": true_colorful,
        "colorfulness_error": abs(colorful - true_colorful),
        "colorfulness_absolute": absolute,
        "colorfulness_absolute_truth": true_absolute,
        "colorfulness_absolute_error": abs(absolute - true_absolute),
        "auc": area_under(error_curve(true_ab, ab)),
        "auc_rebalanced": area_under(error_curve(true_ab, ab, imagenet_weights(true_ab))),
    }


def means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Figures of a set: the mean of each, and the two that only a set has.

    `colorfulness_difference` and `colorfulness_absolute_difference` are the distances of the means, which papers call
    ΔCF; the means of the distances, `…_error`, are never smaller.

    Args:
        rows: of `measure`, at least one.
    """
    figures = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    for name in ("colorfulness", "colorfulness_absolute"):
        figures[f"{name}_difference"] = abs(figures[name] - figures[f"{name}_truth"])
    return figures


def matched(predicted: Iterable[Path], truths: Iterable[Path]) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Pairs of pictures of one name, and the names that have no partner.

    The ending does not matter, and neither does `.colorized` before it, which this project's own outputs have.

    Args:
        predicted: files of one folder.
        truths: files of the other.

    Raises:
        ValueError: two files of one folder have the same name but for their endings.
    """
    ours, theirs = _by_name(predicted), _by_name(truths)
    pairs = [(ours[name], theirs[name]) for name in sorted(ours.keys() & theirs.keys())]
    return pairs, sorted(ours.keys() ^ theirs.keys())


def _by_name(paths: Iterable[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        name = path.stem.removesuffix(".colorized")
        if name in found:
            raise ValueError(f"{found[name]} and {path} have the same name but for their endings; keep one of them")
        found[name] = path
    return found


def described(figures: dict[str, float]) -> dict[str, Any]:
    """The figures with what has to be said of them."""
    return {**figures, "ssim_variant": SSIM_VARIANT, "auc_prior": PRIOR}
