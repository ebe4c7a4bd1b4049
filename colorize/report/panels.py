"""What the pictures of the gallery show of the artefacts: hues, borders, frequencies and colours, beside the truth."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from colorize.metrics.artefacts import PROFILE, hue_histogram, profile
from colorize.metrics.spectra import spectrum
from colorize.report.pictures import ab_density

Points = list[tuple[float, float]]

#: Frequencies a spectrum is drawn at, cycles a pixel: multiples of 1/128, so that those of strides 2, 4 and 8 are hit.
_FREQUENCIES = np.arange(1, 65) / 128
_ENERGY_FLOOR = 1e-6  # of colours that are the same everywhere, whose logarithm would be -infinity


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves of one model, or of the true photos, over all pictures of the gallery.

    Attributes:
        label: the model, or "truth".
        hues: share of the chroma, in percent, by hue in degrees.
        border: mean ab error in CIELAB units by the way from the border (0) to the middle (100), in percent; empty for
            the truth.
        spectrum: log10 of the mean energy of ab by frequency in cycles a pixel, the larger of the two directions'.
        density: the ab plane as a picture, a `data:` address.
    """

    label: str
    hues: Points
    border: Points
    spectrum: Points
    density: str


@dataclass(slots=True)
class Accumulator:
    """Adds pictures up, one at a time; sums need not fit more than one in memory."""

    label: str
    pictures: int = 0
    hues: NDArray[np.float64] = field(default_factory=lambda: np.zeros(36))
    border: NDArray[np.float64] = field(default_factory=lambda: np.zeros(PROFILE))
    spectrum: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(_FREQUENCIES)))
    codes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256 * 256, np.int64))

    def add(self, ab: NDArray[np.float64], truth: NDArray[np.float64]) -> None:
        """Count one picture.

        Args:
            ab: CIELAB, H×W×2.
            truth: the true colours, of the same size; the truth itself is its own.
        """
        self.pictures += 1
        self.hues += hue_histogram(ab)
        self.border += profile(np.hypot(*np.moveaxis(ab - truth, -1, 0)))
        self.spectrum += _by_frequency(spectrum(ab))
        codes = np.clip(np.rint(ab) + 128, 0, 255).astype(np.intp)
        self.codes += np.bincount((codes[..., 0] * 256 + codes[..., 1]).ravel(), minlength=256 * 256)

    def panel(self) -> Panel:
        """What the pictures added so far make."""
        hues = 100 * self.hues / (self.hues.sum() or 1.0)
        border = self.border / max(1, self.pictures)
        energy = np.log10(self.spectrum / max(1, self.pictures) + _ENERGY_FLOOR)
        ways = (np.arange(PROFILE) + 0.5) * 100 / PROFILE
        return Panel(
            self.label,
            [(5.0 + 10 * number, float(share)) for number, share in enumerate(hues)],
            [(float(way), float(error)) for way, error in zip(ways, border, strict=True)] if border.any() else [],
            [(float(at), float(value)) for at, value in zip(_FREQUENCIES, energy, strict=True)],
            ab_density(self.codes.reshape(256, 256)),
        )


def _by_frequency(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean energy a pixel where the larger of the horizontal and the vertical frequency is that of `_FREQUENCIES`.

    The larger one, not the distance from zero, since the corners of a checkerboard's spectrum then count where its
    sides do: a stride of p pixels shows at multiples of 1/p only.
    """
    height, width = power.shape
    side = min(height, width)
    larger = np.maximum(np.abs(np.fft.fftfreq(height))[:, None], np.abs(np.fft.fftfreq(width)))
    rings = np.rint(larger * side).astype(np.intp).ravel()
    mean = np.bincount(rings, power.ravel()) / np.bincount(rings) / power.size
    curve: NDArray[np.float64] = np.interp(_FREQUENCIES, np.arange(len(mean)) / side, mean)
    return curve
