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
    from skimage.metrics import structural_similarity

    similarity = structural_similarity(truth, prediction, channel_axis=-1, data_range=255, win_size=7)  # type: ignore[no-untyped-call]
    return float(similarity)


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

    difference = deltaE_ciede2000(truth.astype(np.float64), prediction.astype(np.float64))  # type: ignore[no-untyped-call]
    return float(difference.mean()), float(np.percentile(difference, 95))


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
    distance = np.sqrt(np.sum((truth.astype(np.float64) - prediction) ** 2, axis=-1))
    return float(np.sum(distance * weights) / np.sum(weights, dtype=np.float64))


def _opponents(rgb: Rgb) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    red, green, blue = (rgb[..., channel].astype(np.float64) for channel in range(3))
    return red - green, (red + green) / 2 - blue


def _colorfulness(red_green: NDArray[np.float64], yellow_blue: NDArray[np.float64]) -> float:
    spread = np.hypot(red_green.std(), yellow_blue.std())
    centre = np.hypot(red_green.mean(), yellow_blue.mean())
    return float(spread + 0.3 * centre)
