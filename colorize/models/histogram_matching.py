"""Colour of a reference photo by matching lightness and texture: the oldest automatic method, without learning.

Welsh, Ashikhmin and Mueller, "Transferring Color to Greyscale Images" (SIGGRAPH 2002), the global matching: about 200
pixels of a colour photo are sampled on a jittered grid; each grey pixel takes the colour of the sample that is nearest
in lightness and in the deviation of lightness around it, half each, and keeps its own lightness. The paper works in the
space l-alpha-beta, this in CIELAB, as everything here does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from colorize.models.base import Colorization, Hints, Prediction
from colorize.models.registry import register
from colorize.settings.architectures import HistogramMatchingSettings

_DISTANCES = 2**20  # pixels x samples compared at a time
_ONE_TONE = 1e-4  # deviation of lightness: below lies what rounding leaves of a photo of one tone


class Reference(NamedTuple):
    """A colour photo: `l` 1 x H x W in 0..100, `ab` 2 x H x W in CIELAB units."""

    l: Tensor  # noqa: E741 - the field's name for lightness
    ab: Tensor


@register("histogram_matching", HistogramMatchingSettings)
class HistogramMatching(Colorization):
    """Colours grey photos like one reference photo; has no parameters.

    What is kept of the reference are its samples, as buffers, so the method is saved and loaded like a network.

    Args:
        settings: number of samples, side of the neighbourhood, seed of the jitter.
        reference: the colour photo; without one, photos stay grey.

    Raises:
        ValueError: the reference is no photo of the shape that `Reference` states.
    """

    paper = "Welsh, Ashikhmin and Mueller, SIGGRAPH 2002"
    trained = False
    lightness: Tensor
    deviation: Tensor
    ab: Tensor
    moments: Tensor

    def __init__(self, settings: HistogramMatchingSettings, reference: Reference | None = None) -> None:
        super().__init__()
        self.neighbourhood = settings.neighbourhood
        self.register_buffer("lightness", torch.zeros(settings.samples))
        self.register_buffer("deviation", torch.zeros(settings.samples))
        self.register_buffer("ab", torch.zeros(2, settings.samples))
        self.register_buffer("moments", torch.tensor([0.0, 1.0]))
        if reference is not None:
            self._take(reference, settings.seed)

    def _take(self, reference: Reference, seed: int) -> None:
        l, ab = reference  # noqa: E741
        if l.ndim != 3 or l.shape[0] != 1 or ab.shape != (2, *l.shape[1:]) or not l.numel():
            shapes = f"{tuple(l.shape)} and {tuple(ab.shape)}"
            raise ValueError(f"expected a reference of shape 1 x H x W and 2 x H x W, got {shapes}")
        rows, columns = jittered_grid((l.shape[1], l.shape[2]), len(self.lightness), seed)
        self.lightness.copy_(l[0, rows, columns])
        self.deviation.copy_(local_deviation(l[None], self.neighbourhood)[0, 0, rows, columns])
        self.ab.copy_(ab[:, rows, columns])
        self.moments.copy_(torch.stack(_moments(l[None])).flatten())

    def colors(self, l: Tensor, seeds: Sequence[int] | None = None, hints: Hints | None = None) -> Prediction:  # noqa: E741, ARG002
        """See `Predictor.colors`; there is nothing to take a gradient of."""
        mean, deviation = _moments(l)
        # The paper shifts and scales the reference's lightness to the grey photo's mean and deviation. Here the grey
        # photo goes to the reference's: all distances are scaled alike, so the same sample is the nearest. A photo of
        # one tone has no deviation to scale by.
        scale = self.moments[1] / torch.where(deviation > _ONE_TONE, deviation, torch.inf)
        lightness = (l - mean) * scale + self.moments[0]
        texture = local_deviation(l, self.neighbourhood) * scale
        nearest = self._nearest(torch.stack([lightness.flatten(), texture.flatten()], dim=1))
        photos, _, height, width = l.shape
        return Prediction(ab=self.ab[:, nearest].view(2, photos, height, width).transpose(0, 1).contiguous())

    def _nearest(self, pixels: Tensor) -> Tensor:
        """Of each pixel (M x 2: lightness, deviation) the number of the sample at the least distance, both half."""
        samples = torch.stack([self.lightness, self.deviation], dim=1)
        # One result, made first: small ones kept from between large temporary ones leave the heap full of holes (5 GB).
        nearest = torch.empty(len(pixels), dtype=torch.int64, device=pixels.device)
        # Whole, the distances of a 12-megapixel photo to 200 samples would take 10 GB.
        count = max(1, _DISTANCES // len(samples))
        for start in range(0, len(pixels), count):
            # Half the one plus half the other difference; without the halves the nearest is the same.
            distances = torch.cdist(pixels[start : start + count], samples, p=1.0)
            nearest[start : start + count] = distances.argmin(dim=1)
        return nearest


def jittered_grid(size: tuple[int, int], samples: int, seed: int) -> tuple[Tensor, Tensor]:
    """Places of samples on a photo: a grid of about square cells, one place at random in each.

    Args:
        size: height and width of the photo; where it has fewer pixels than samples, some come more than once.
        samples: their number, exactly: the grid's rows have cells that differ by one at most.
        seed: of the places within their cells.

    Returns:
        Rows and columns, int64, one of each a sample.
    """
    height, width = size
    lines = min(samples, max(1, round((samples * height / width) ** 0.5)))
    number = torch.arange(samples)
    line = number * lines // samples
    # Samples k of line i are those with i <= k * lines / samples < i + 1.
    first, end = (-(-(line + shift) * samples // lines) for shift in (0, 1))
    down, along = torch.rand(2, samples, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    rows = (line + down) / lines * height
    columns = (number - first + along) / (end - first) * width
    return rows.long().clamp(max=height - 1), columns.long().clamp(max=width - 1)


def local_deviation(l: Tensor, side: int) -> Tensor:  # noqa: E741
    """Standard deviation of lightness in the square around each pixel, as far as the square lies in the photo.

    Args:
        l: N x 1 x H x W, 0..100.
        side: of the square, pixels.

    Returns:
        N x 1 x H x W, 0..50.
    """
    # In float64: the difference of two large means would leave noise of 0.02 on even areas.
    mean, square = (_box(values, side) for values in (l.double(), l.double().square()))
    return (square - mean.square()).clamp(min=0).sqrt().to(l.dtype)


def _box(values: Tensor, side: int) -> Tensor:
    """Mean over squares: first of columns, then of rows, which for a large side is far less work."""
    half, (height, width) = side // 2, values.shape[-2:]
    columns = functional.avg_pool2d(values, (side, 1), 1, (half, 0), count_include_pad=False)[..., :height, :]
    return functional.avg_pool2d(columns, (1, side), 1, (0, half), count_include_pad=False)[..., :width]


def _moments(l: Tensor) -> tuple[Tensor, Tensor]:  # noqa: E741
    """Mean and standard deviation of lightness photo by photo, both N x 1 x 1 x 1."""
    deviation, mean = torch.std_mean(l.double(), dim=(1, 2, 3), correction=0, keepdim=True)
    return mean.to(l.dtype), deviation.to(l.dtype)
