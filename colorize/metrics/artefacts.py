"""The four artefacts of colorization networks as figures of one photo: bias, borders, resolution, checkerboards.

All work on finished pictures, so on any system's; with the true photo beside it they say how much of what is there is
the colorizer's doing. Photos that were enlarged or compressed afterwards hide checkerboards: measure what a network
itself puts out. Sources of each measure stand with it.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from colorize.color import rgb_to_lab
from colorize.divergence import divergence
from colorize.metrics.error_curve import bins, nearest_bin
from colorize.metrics.quality import Floats, Rgb, ab_distance
from colorize.metrics.spectra import energies, peaks, phases, spectrum

#: A hue counts for a pixel from this chroma on, CIELAB units: below it, noise decides.
COLOURED: Final = 10.0
#: Blue, degrees of CIELAB hue.
BLUE: Final = (200.0, 300.0)
#: Width of the outer ring, as a share of each side.
RING: Final = 0.08
#: Periods of the strides of decoders, pixels.
PERIODS: Final = (2, 4, 8)

_HUES = 36  # bins of 10 degrees
PROFILE = 16  # steps from the border to the middle
_ERROR_FLOOR = 0.5  # CIELAB units: below what 8 bits a channel can show, so that no error means a ratio of 1
_SHARE_FLOOR = 0.05  # the same for errors as shares of another
_SMALLEST = 16  # pixels a side

Figures = dict[str, Any]


def artefacts(rgb: Rgb, truth: Rgb | None = None) -> dict[str, Figures]:
    """All four, by name: `colour_bias`, `border`, `resolution`, `checkerboard`.

    Args:
        rgb: the colorized photo, H×W×3, uint8, both sides at least 16.
        truth: the true photo, of the same size; without it only what a picture tells by itself is measured.

    Raises:
        ValueError: the photo is too small, or the two have different sizes.
    """
    if min(rgb.shape[:2]) < _SMALLEST:
        raise ValueError(f"{rgb.shape[1]} x {rgb.shape[0]} pixels: artefacts need at least {_SMALLEST} on each side")
    if truth is not None and truth.shape != rgb.shape:
        raise ValueError(
            f"{rgb.shape[1]} x {rgb.shape[0]} pixels beside {truth.shape[1]} x {truth.shape[0]}: bring both to one size"
        )
    lab, true_lab = rgb_to_lab(rgb), None if truth is None else rgb_to_lab(truth)
    return {
        "colour_bias": colour_bias(lab, true_lab),
        "border": border(lab, true_lab),
        "resolution": resolution(lab, true_lab),
        "checkerboard": checkerboard(lab, true_lab),
    }


def colour_bias(lab: Floats, truth: Floats | None = None) -> Figures:
    """Which colours there are too many of.

    Blue is what networks trained on landscapes paint where they do not know: the "safe bet" of users' reports.

    Args:
        lab: CIELAB, H×W×3.
        truth: the true one.

    Returns:
        mean_a, mean_b: CIELAB units, from grey, or with the truth `shift_a`, `shift_b` from the true colours, too;
        blue_share: 0…1, pixels with a chroma above 10 and a hue of 200 to 300 degrees; with the truth also
        blue_excess (-1…1, share minus the true share), false_blue_rate (0…1, of the pixels that are not blue in truth,
        those that were painted blue), hue_divergence and bin_divergence: Jensen-Shannon divergences in bits, 0…1, of
        the histograms of hue (36 bins, weighted by chroma) and of ab (the 313 bins of Zhang et al. 2016).
    """
    ab = lab[..., 1:].astype(np.float64)
    colors = _polar(ab)
    blue = _is_blue(*colors)
    figures: Figures = {
        "mean_a": float(ab[..., 0].mean()),
        "mean_b": float(ab[..., 1].mean()),
        "blue_share": float(blue.mean()),
    }
    if truth is None:
        return figures
    true_ab = truth[..., 1:].astype(np.float64)
    true_colors = _polar(true_ab)
    true_blue = _is_blue(*true_colors)
    shift = (ab - true_ab).mean(axis=(0, 1))
    others = ~true_blue
    return figures | {
        "shift_a": float(shift[0]),
        "shift_b": float(shift[1]),
        "blue_excess": float(blue.mean() - true_blue.mean()),
        "false_blue_rate": float(blue[others].mean()) if others.any() else 0.0,
        "hue_divergence": divergence(_hues(*colors), _hues(*true_colors)),
        "bin_divergence": divergence(_bin_histogram(ab), _bin_histogram(true_ab)),
    }


def border(lab: Floats, truth: Floats | None = None) -> Figures:
    """Whether colours are worse near the border, or the picture is shifted: what padding with zeros or none does.

    Args:
        lab: CIELAB, H×W×3.
        truth: the true one.

    Returns:
        chroma_ratio: mean chroma in the outer 8 % of each side over that of the rest. With the truth also error_ratio,
        corner_ratio (mean ab error of the ring, and of its four corners, over that of the rest; half a unit is added to
        each, so that no error gives 1), scene_ratio (the same ratio for the photo's mean colour everywhere: how much
        easier or harder this photo's border is), profile (mean ab error in 16 steps from the border to the middle,
        CIELAB units), and shift_x, shift_y: pixels by which the lightness lies off, by phase correlation
        (Guizar-Sicairos et al. 2008).
    """
    height, width = lab.shape[:2]
    ring, corners = _ring(height, width)
    chroma = np.hypot(lab[..., 1], lab[..., 2]).astype(np.float64)
    figures: Figures = {"chroma_ratio": float((chroma[ring].mean() + 0.5) / (chroma[~ring].mean() + 0.5))}
    if truth is None:
        return figures
    true_ab = truth[..., 1:].astype(np.float64)
    error = ab_distance(lab[..., 1:], true_ab)
    constant = ab_distance(true_ab.mean(axis=(0, 1)), true_ab)
    shift = _shift(lab[..., 0], truth[..., 0])
    return figures | {
        "error_ratio": _ratio(error, ring, ~ring),
        "corner_ratio": _ratio(error, corners, ~ring),
        "scene_ratio": _ratio(constant, ring, ~ring),
        "profile": profile(error),
        "shift_x": shift[1],
        "shift_y": shift[0],
    }


def resolution(lab: Floats, truth: Floats | None = None) -> Figures:
    """How much fine detail there is, of lightness (where a network makes its own) and of colour.

    Args:
        lab: CIELAB, H×W×3.
        truth: the true one.

    Returns:
        high_share_l, high_share_ab: share of the spectral energy, without the mean, at 1/8 to 1/2 cycles a pixel, 0…1;
        edge_alignment: correlation of the strength of the edges of ab and of L, -1…1: colour that bleeds over edges
        lowers it. With the truth also high_ratio_l, high_ratio_ab (high-frequency energy over the true one's),
        gradient_ratio_l, gradient_ratio_ab (the same of the 95th percentile of the gradients), where 1 means as sharp
        as the truth and None that the truth has nothing to compare with, and edge_alignment_truth.
    """
    l, ab = lab[..., :1].astype(np.float64), lab[..., 1:].astype(np.float64)  # noqa: E741
    figures: Figures = {
        "high_share_l": _share(*energies(l)),
        "high_share_ab": _share(*energies(ab)),
        "edge_alignment": _alignment(l, ab),
    }
    if truth is None:
        return figures
    true_l, true_ab = truth[..., :1].astype(np.float64), truth[..., 1:].astype(np.float64)
    return figures | {
        "high_ratio_l": _quotient(energies(l)[0], energies(true_l)[0]),
        "high_ratio_ab": _quotient(energies(ab)[0], energies(true_ab)[0]),
        "gradient_ratio_l": _quotient(_steepest(l), _steepest(true_l)),
        "gradient_ratio_ab": _quotient(_steepest(ab), _steepest(true_ab)),
        "edge_alignment_truth": _alignment(true_l, true_ab),
    }


def checkerboard(lab: Floats, truth: Floats | None = None) -> Figures:
    """The pattern that transposed convolutions leave (Odena et al., "Deconvolution and Checkerboard Artifacts", 2016).

    Args:
        lab: CIELAB, H×W×3.
        truth: the true one.

    Returns:
        peak_2, peak_4, peak_8: log10 of the energy of ab at the frequencies (k/p, l/p) of a period of p pixels over the
        usual energy around them; natural colours have 0 to 0.4, random transposed convolutions 4. phase_2, phase_4,
        phase_8: over the p×p positions of a period, the standard deviation of the mean of ab's fine structure, in
        CIELAB units; it also sees patterns on flat pictures. With the truth, phases are those of the difference to it,
        and peak_excess_2 … the peak minus the true photo's.
    """
    ab = lab[..., 1:].astype(np.float64)
    names = [f"peak_{period}" for period in PERIODS]
    figures: Figures = dict(zip(names, peaks(spectrum(ab), PERIODS), strict=True))
    pattern = ab if truth is None else ab - truth[..., 1:].astype(np.float64)
    figures |= {f"phase_{period}": phases(pattern, period) for period in PERIODS}
    if truth is not None:
        true_ab = truth[..., 1:].astype(np.float64)
        true_peaks = peaks(spectrum(true_ab), PERIODS)
        figures |= {
            f"peak_excess_{period}": figures[f"peak_{period}"] - true
            for period, true in zip(PERIODS, true_peaks, strict=True)
        }
    return figures


def of_photo(lab: Floats, truth: Floats) -> dict[str, float | None]:
    """The figures that an evaluation keeps of each photo; all are 0, or 1 for ratios, where colours are the true ones.

    Args:
        lab: CIELAB as predicted, H×W×3.
        truth: the true one.

    Returns:
        bias_a, bias_b (`shift_…` of `colour_bias`), false_blue_rate, hue_divergence; border_ratio: the ab error of the
        outer ring over that of the rest, each as a share of what the photo's mean colour gets there, so that a photo's
        easy or hard border does not count; sharpness_ab (`gradient_ratio_ab` of `resolution`) and sharpness_error, its
        distance to 1; edge_alignment, edge_alignment_truth; and checkerboard, the largest `peak_excess_…`, at least 0.
    """
    l, ab, true_ab = (values.astype(np.float64) for values in (truth[..., :1], lab[..., 1:], truth[..., 1:]))  # noqa: E741
    ring, _ = _ring(*ab.shape[:2])
    colors, true_colors = _polar(ab), _polar(true_ab)
    others = ~_is_blue(*true_colors)
    shift = (ab - true_ab).mean(axis=(0, 1))
    edges, colour_edges, true_edges = _gradient(l), _gradient(ab), _gradient(true_ab)
    sharpness = _quotient(float(np.percentile(colour_edges, 95)), float(np.percentile(true_edges, 95)))
    error, plain = ab_distance(ab, true_ab), ab_distance(true_ab.mean(axis=(0, 1)), true_ab)
    at_border, inside = (float(error[part].mean() / (plain[part].mean() + _ERROR_FLOOR)) for part in (ring, ~ring))
    excess = np.subtract(peaks(spectrum(ab), PERIODS), peaks(spectrum(true_ab), PERIODS))
    return {
        "bias_a": float(shift[0]),
        "bias_b": float(shift[1]),
        "false_blue_rate": float(_is_blue(*colors)[others].mean()) if others.any() else 0.0,
        "hue_divergence": divergence(_hues(*colors), _hues(*true_colors)),
        "border_ratio": (at_border + _SHARE_FLOOR) / (inside + _SHARE_FLOOR),
        "sharpness_ab": sharpness,
        "sharpness_error": None if sharpness is None else abs(sharpness - 1.0),
        "edge_alignment": _correlation(edges, colour_edges),
        "edge_alignment_truth": _correlation(edges, true_edges),
        "checkerboard": float(max(0.0, excess.max())),
    }


def sharpness_of_l(lab: Floats, truth: Floats) -> float | None:
    """`gradient_ratio_l` of `resolution`: how steep the steepest edges are that a network draws itself; 1 as in truth.

    Args:
        lab: CIELAB with the network's own lightness, H×W×3.
        truth: the true one.
    """
    l, true_l = (values[..., :1].astype(np.float64) for values in (lab, truth))  # noqa: E741
    return _quotient(_steepest(l), _steepest(true_l))


def hue_histogram(ab: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of chroma by hue, in 36 bins of 10 degrees."""
    return _hues(*_polar(ab))


def _polar(ab: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Chroma, and hue from 0 to 360 degrees."""
    hue = np.degrees(np.arctan2(ab[..., 1], ab[..., 0]))
    return np.hypot(ab[..., 0], ab[..., 1]), np.where(hue < 0, hue + 360.0, hue)


def _hues(chroma: NDArray[np.float64], hue: NDArray[np.float64]) -> NDArray[np.float64]:
    numbers = np.minimum((hue / (360 / _HUES)).astype(np.intp), _HUES - 1)
    return np.bincount(numbers.ravel(), chroma.ravel(), minlength=_HUES).astype(np.float64)


def _bin_histogram(ab: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.bincount(nearest_bin(ab).ravel(), minlength=len(bins())).astype(np.float64)


def _is_blue(chroma: NDArray[np.float64], hue: NDArray[np.float64]) -> NDArray[np.bool_]:
    blue: NDArray[np.bool_] = (chroma > COLOURED) & (hue >= BLUE[0]) & (hue <= BLUE[1])
    return blue


def _ring(height: int, width: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The outer ring, and its four corners."""
    rows, columns = (max(1, round(RING * side)) for side in (height, width))
    outer_row = np.zeros(height, np.bool_)
    outer_row[:rows] = outer_row[-rows:] = True
    outer_column = np.zeros(width, np.bool_)
    outer_column[:columns] = outer_column[-columns:] = True
    return outer_row[:, None] | outer_column, outer_row[:, None] & outer_column


def _ratio(error: NDArray[np.float64], there: NDArray[np.bool_], elsewhere: NDArray[np.bool_]) -> float:
    return float((error[there].mean() + _ERROR_FLOOR) / (error[elsewhere].mean() + _ERROR_FLOOR))


def profile(error: NDArray[np.float64]) -> list[float]:
    """Mean error by distance to the border, as a share of the way to the middle."""
    height, width = error.shape
    rows, columns = (
        np.minimum(np.arange(side), np.arange(side)[::-1]) / max(1, (side - 1) // 2) for side in (height, width)
    )
    steps = np.minimum((np.minimum(rows[:, None], columns) * PROFILE).astype(np.intp), PROFILE - 1).ravel()
    counts = np.bincount(steps, minlength=PROFILE)
    sums = np.bincount(steps, error.ravel(), minlength=PROFILE)
    return [float(total / count) if count else 0.0 for total, count in zip(sums, counts, strict=True)]


def _shift(moved: Floats, reference: Floats) -> tuple[float, float]:
    """By how many pixels, down and to the right, a picture lies off; 0 where one of them is flat."""
    if np.ptp(moved) == 0 or np.ptp(reference) == 0:
        return 0.0, 0.0
    from skimage.registration import phase_cross_correlation

    back, *_ = phase_cross_correlation(reference, moved, upsample_factor=10)  # type: ignore[no-untyped-call]
    return float(-back[0] + 0.0), float(-back[1] + 0.0)


def _share(high: float, everything: float) -> float:
    return high / everything if everything > 0 else 0.0


def _quotient(value: float, true: float) -> float | None:
    return value / true if true > 1e-9 else None


def _gradient(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Strength of the edges, over all channels."""
    squares = np.zeros(values.shape[:2])
    for channel in np.moveaxis(values, -1, 0):
        for slope in np.gradient(channel):
            squares += slope * slope
    return np.sqrt(squares)


def _steepest(values: NDArray[np.float64]) -> float:
    return float(np.percentile(_gradient(values), 95))


def _alignment(l: NDArray[np.float64], ab: NDArray[np.float64]) -> float:  # noqa: E741
    return _correlation(_gradient(l), _gradient(ab))


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    one, other = (first - first.mean()).ravel(), (second - second.mean()).ravel()
    variances = float(one @ one) / len(one), float(other @ other) / len(other)
    if min(variances) < 1e-18:
        return 0.0
    return float(one @ other) / len(one) / math.sqrt(variances[0] * variances[1])
