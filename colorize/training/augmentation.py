"""What training does to photos before the network sees them: random parts, random lighting, smaller sizes at first."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from colorize.data.epochs import hashed
from colorize.objectives import PhotoBatch


@torch.no_grad()
def augment(batch: PhotoBatch, crop: float, lighting: float) -> PhotoBatch:
    """Enlarge a random part of each photo, and make it lighter or darker at random.

    What is drawn for a photo follows from its seed alone, whatever else is in the batch. The part is a square whose
    side is a share of the photo's, drawn uniformly from [crop, 1], at a uniformly drawn place. L becomes
    100 (L / 100)**exp(u) with u uniform in [-lighting, lighting]: black and white stay. a and b stay what they are, so
    that the same colours are to be found in lighter and darker photos.

    Args:
        batch: photos with seeds.
        crop: smallest side of the part, above 0, at most 1; 1: the whole photo.
        lighting: largest |u|, 0 or more; 0: L stays too.

    Returns:
        A batch of the same shape; with crop 1 and lighting 0 `batch` itself.
    """
    if crop == 1 and not lighting:
        return batch
    seeds = batch.seeds
    assert seeds is not None, "photos are augmented by their seeds"
    if crop < 1:
        side = crop + (1 - crop) * _uniform(seeds, "side of the part")
        left, top = ((1 - side) * _uniform(seeds, f"{edge} of the part") for edge in ("left", "top"))
        lightness, ab = (enlarged(planes, side, left, top) for planes in (batch.l, batch.ab))
        batch = dataclasses.replace(batch, l=lightness, ab=ab)
    if lighting:
        exponents = np.exp(lighting * (2 * _uniform(seeds, "lighting") - 1))
        lightness = 100 * (batch.l / 100) ** _like(exponents, batch.l)[:, None, None, None]
        batch = dataclasses.replace(batch, l=lightness)
    return batch


def enlarged(planes: Tensor, side: NDArray[np.float64], left: NDArray[np.float64], top: NDArray[np.float64]) -> Tensor:
    """A square part of each photo, enlarged to the whole by bilinear interpolation.

    Args:
        planes: N×C×H×W.
        side: N sides of the parts, shares of the photo's, above 0, at most 1.
        left: N left edges, shares of the width from 0 to 1 - side.
        top: N upper edges, shares of the height.

    Returns:
        N×C×H×W; beyond its middle a pixel at the photo's border goes on as it is.
    """
    height, width = planes.shape[-2:]
    # In the coordinates of grid_sample a photo reaches from -1 to 1. As sums of products, not by affine_grid, whose
    # matrix product autocast would round to 8 bits.
    x, y = (
        _like((2 * edge + side - 1)[:, None] + side[:, None] * ((2 * np.arange(pixels) + 1) / pixels - 1), planes)
        for edge, pixels in ((left, width), (top, height))
    )
    shape = (len(planes), height, width)
    grid = torch.stack([x[:, None, :].expand(shape), y[:, :, None].expand(shape)], dim=-1)
    return functional.grid_sample(planes, grid, mode="bilinear", padding_mode="border", align_corners=False)


def pixels_of(sizes: Mapping[int, int], epoch: int, full: int) -> int:
    """The side of the photos that an epoch trains on.

    Args:
        sizes: pixels: epochs, in their order at the beginning of the training.
        epoch: from 0.
        full: side of the photos in the shards, pixels, which is that of all later epochs.

    Raises:
        ValueError: a size is larger than `full`.
    """
    if max(sizes, default=0) > full:
        raise ValueError(
            f"training.sizes has photos of {max(sizes)} pixels, but the shards have {full} (shards.size): "
            "leave that size out, or raise shards.size and run 'dvc repro'"
        )
    for pixels, epochs in sizes.items():
        if epoch < epochs:
            return pixels
        epoch -= epochs
    return full


@torch.no_grad()
def shrink(batch: PhotoBatch, pixels: int) -> PhotoBatch:
    """Square photos reduced to `pixels` × `pixels`, at most their own: each pixel the mean of the area that it covers.

    Where areas cut through pixels, those count by the part of them that is covered. Means are of L, a and b. Photos
    that have that size are returned as they are.
    """
    side = batch.l.shape[-1]
    if side == pixels:
        return batch
    edges = np.arange(pixels + 1) * (side / pixels)
    first, last = np.maximum(edges[:-1, None], np.arange(side)), np.minimum(edges[1:, None], np.arange(1, side + 1))
    weights = _like(np.maximum(last - first, 0) * (pixels / side), batch.l)
    lightness, ab = (weights @ planes @ weights.T for planes in (batch.l, batch.ab))
    return dataclasses.replace(batch, l=lightness, ab=ab)


def _uniform(seeds: Sequence[int], purpose: str) -> NDArray[np.float64]:
    """A number for each seed, uniform in [0, 1)."""
    return (hashed(np.array(seeds, np.uint64), purpose) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _like(values: NDArray[np.float64], photos: Tensor) -> Tensor:
    return torch.from_numpy(values).to(photos)
