"""Measures of one colorized photo against its true colours: pure functions of arrays.

Where two definitions share a name in the literature, both are here under names of their own, with their source.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
Floats = NDArray[np.float32] | NDArray[np.float64]

#: What two identical photos score, in dB: the true value is infinite and would make every mean infinite.
PSNR_OF_IDENTICAL = 100.0

_WINDOW = 7  # pixels, of SSIM; `_window_sums` adds up so many


def psnr(truth: Rgb, prediction: Rgb) -> float:
    """Peak signal-to-noise ratio in dB over all RGB samples, peak 255. Larger is better.

    Args:
        truth: H×W×3, uint8.
        prediction: the same shape and type.
    """
    error = float(np.mean((truth.astype(np.float64) - prediction) ** 2))
    return PSNR_OF_IDENTICAL if error == 0 else float(10 * np.log10(255.0**2 / error))


def ssim(truth: Rgb, prediction: Rgb) -> float:
    """Structural similarity, 1 for identical photos. Larger is better.

    The variant: RGB, each channel on its own and then their mean; uniform 7×7 window, sample covariance, K1 = 0.01,
    K2 = 0.03, range 255 (scikit-image's default; the Gaussian window of Wang et al. 2004 gives other figures).

    Args:
        truth: H×W×3, uint8, both sides at least 7.
        prediction: the same shape and type.
    """
    one, other = (photo.astype(np.int32) for photo in (truth, prediction))
    count = _WINDOW**2
    sums = [_window_sums(values) for values in (one, other, one * one, other * other, one * other)]
    # Whole numbers up to the quotients, all of which fit: nothing is rounded away in small differences of large sums.
    sum_1, sum_2, square_1, square_2, product = sums
    of_squares = sum_1 * sum_1 + sum_2 * sum_2
    of_product = sum_1 * sum_2
    scale = count * (count - 1)  # of the sample covariance, whose numerator is Σxy - ΣxΣy / count
    variances = count * (square_1 + square_2) - of_squares
    covariance = count * product - of_product
    limits = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * of_product / count**2 + limits[0]) / (of_squares / count**2 + limits[0])
    structure = (2 * covariance / scale + limits[1]) / (variances / scale + limits[1])
    return float(np.mean(luminance * structure))


def ab_distance(truth: Floats, prediction: Floats) -> NDArray[np.float64]:
    """Distance of each pixel's colours in the ab plane, CIELAB units.

    Args:
        truth: a and b, …×2.
        prediction: the same shape, or one that is broadcast to it.

    Returns:
        Shape without the last axis.
    """
    difference = truth.astype(np.float64) - prediction
    a, b = difference[..., 0], difference[..., 1]
    distance: NDArray[np.float64] = np.sqrt(a * a + b * b)
    return distance


def ab_rmse(truth: Floats, prediction: Floats) -> float:
    """Root of the mean, over pixels and both channels, of the squared difference of a and b, in CIELAB units.

    Args:
        truth: a and b, any shape.
        prediction: the same shape.
    """
    difference = truth.astype(np.float64) - prediction
    return float(np.sqrt(np.mean(difference * difference)))


def ciede2000(truth: Floats, prediction: Floats) -> tuple[float, float]:
    """Perceived colour difference CIEDE2000 (CIE 142-2001): its mean and its 95th percentile over the pixels.

    Args:
        truth: CIELAB, H×W×3.
        prediction: the same shape.
    """
    from skimage.color import deltaE_ciede2000

    difference = deltaE_ciede2000(truth, prediction)  # type: ignore[no-untyped-call]
    return float(difference.mean(dtype=np.float64)), float(np.percentile(difference, 95))


def colorfulness(rgb: Rgb) -> float:
    """Colourfulness after Hasler & Süsstrunk, "Measuring colourfulness in natural images", 2003: signed opponents.

    sqrt(s_rg² + s_yb²) + 0.3 sqrt(m_rg² + m_yb²) with rg = R - G, yb = (R + G)/2 - B; 0 for a grey photo.

    Args:
        rgb: H×W×3, uint8.
    """
    return _colorfulness(*_opponents(rgb))


def colorfulness_absolute(rgb: Rgb) -> float:
    """The variant of DDColor's and CT2's code: absolute values of both opponents before the moments are taken.

    Args:
        rgb: H×W×3, uint8.
    """
    red_green, yellow_blue = _opponents(rgb)
    return _colorfulness(np.abs(red_green), np.abs(yellow_blue))


def ab_error_rebalanced(truth: Floats, prediction: Floats, weights: Floats) -> float:
    """Mean distance in the ab plane with every pixel weighted by how rare its true colour is, in CIELAB units.

    The plain error is smallest for faded output, since most pixels of most photos are nearly grey. The weights are
    those of class rebalancing (Zhang, Isola, Efros, "Colorful Image Colorization", 2016, section 2.2), taken from the
    training split: a rare colour painted grey costs what its rarity says.

    Args:
        truth: a and b, H×W×2.
        prediction: the same shape.
        weights: H×W, positive: the weight of each pixel's true colour.
    """
    return float(np.sum(ab_distance(truth, prediction) * weights) / np.sum(weights, dtype=np.float64))


def _window_sums(values: NDArray[np.int32]) -> NDArray[np.int32]:
    """Sums over every window of 7 by 7 that lies inside; of pairs, then of fours, since 7 = 4 + 2 + 1."""
    for axis in (0, 1):
        line = np.moveaxis(values, axis, 0)
        twos = line[:-1] + line[1:]
        fours = twos[:-2] + twos[2:]
        values = np.moveaxis(fours[:-3] + twos[4:-1] + line[6:], 0, axis)
    return values


def _opponents(rgb: Rgb) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    red, green, blue = (rgb[..., channel].astype(np.float64) for channel in range(3))
    return red - green, (red + green) / 2 - blue


def _colorfulness(red_green: NDArray[np.float64], yellow_blue: NDArray[np.float64]) -> float:
    spread = np.hypot(red_green.std(), yellow_blue.std())
    centre = np.hypot(red_green.mean(), yellow_blue.mean())
    return float(spread + 0.3 * centre)
