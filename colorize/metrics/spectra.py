"""The frequencies of a picture: how much of it is fine, and what repeats with the strides of a decoder."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_HIGH = (0.125, 0.5)  # cycles a pixel
_AROUND = 6  # bins of the spectrum around a peak that tell what is usual there


def spectrum(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Power by frequency, H×W, summed over channels; without the mean, and with the borders faded out (Hann).

    Args:
        values: H×W×channels.
    """
    height, width = values.shape[:2]
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[None, 1:-1]
    power = np.zeros((height, width))
    for channel in np.moveaxis(values, -1, 0):
        amplitude = np.fft.fft2((channel - channel.mean()) * window)
        power += amplitude.real**2 + amplitude.imag**2
    return power


def energies(values: NDArray[np.float64]) -> tuple[float, float]:
    """Energy at high frequencies, 1/8 to 1/2 cycles a pixel, and at all but the mean.

    Args:
        values: H×W×channels.
    """
    power = spectrum(values)
    height, width = power.shape
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    high = (radius >= _HIGH[0]) & (radius <= _HIGH[1])
    return float(power[high].sum()), float(power.sum() - power[0, 0])


def peaks(spectrum: NDArray[np.float64], periods: tuple[int, ...]) -> list[float]:
    """Energy at the frequencies of each period over that around them, log10; 0 where there is no structure at all.

    At each frequency the mean within one bin, over the median of what lies around; then the mean over frequencies.

    Args:
        spectrum: of a picture, H×W, from the function of that name.
        periods: pixels; divisors of the longest, whose frequencies are then those of all.
    """
    height, width = spectrum.shape
    reach = min(_AROUND, height // 8, width // 8)
    offsets = np.arange(-reach, reach + 1)
    middle = np.maximum(np.abs(offsets)[:, None], np.abs(offsets)) <= 1
    # What rounding leaves of a flat picture is no structure.
    nothing = 1e-12 * spectrum.size**2
    longest = max(periods)
    places = np.array([divmod(place, longest) for place in range(1, longest**2)])
    rows, columns = (
        np.array([round(place * side / longest) for place in places[:, axis].tolist()])[:, None] + offsets
        for axis, side in ((0, height), (1, width))
    )
    around = spectrum[rows[:, :, None] % height, columns[:, None, :] % width]
    ratios = (around[:, middle].mean(axis=1) + nothing) / (np.median(around[:, ~middle], axis=1) + nothing)
    of_period = [(places % (longest // period) == 0).all(axis=1) for period in periods]
    return [float(np.log10(ratios[chosen].mean())) for chosen in of_period]


def phases(values: NDArray[np.float64], period: int) -> float:
    """How much the means of the positions of a period differ, after what changes slowly was taken off.

    Args:
        values: H×W×channels.
        period: pixels.
    """
    from scipy.ndimage import uniform_filter  # type: ignore[import-untyped]

    fine = values - uniform_filter(values, size=(period, period, 1), mode="reflect")
    height, width = (side // period * period for side in values.shape[:2])
    tiles = fine[:height, :width].reshape(height // period, period, width // period, period, -1)
    means = tiles.mean(axis=(0, 2))
    return float(np.sqrt((means.std(axis=(0, 1)) ** 2).sum()))
