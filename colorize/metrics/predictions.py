"""Figures of what a network says beside one colour a pixel: the class it chose, and how much its draws differ."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from colorize.metrics.error_curve import nearest_bin
from colorize.metrics.quality import Floats

if TYPE_CHECKING:
    from colorize.models import Colorization


def top_bin_accuracy(logits: Floats, ab: Floats) -> NDArray[np.float64]:
    """Share of the positions whose highest score is that of the bin nearest to the true colour, for each of N photos.

    A position speaks of one pixel, the first of its square, as in training (`colorize.objectives.classification`).

    Args:
        logits: N×313×h×w, scores of the bins in their order (`colorize.bins`).
        ab: true a and b, N×2×H×W, CIELAB units; h and w are H and W over some stride, rounded up.

    Raises:
        ValueError: the two do not fit.
    """
    photos, bins, *size = logits.shape
    stride = -(-ab.shape[-2] // size[0])
    pixels = np.moveaxis(ab[:, :, ::stride, ::stride], 1, -1)
    if bins != 313 or pixels.shape != (photos, *size, 2):
        raise ValueError(f"scores of shape {logits.shape} are not those of 313 bins for colours of shape {ab.shape}")
    hits = logits.argmax(axis=1) == nearest_bin(pixels)
    return np.asarray(hits.mean(axis=(1, 2)), np.float64)


def diversity(draws: Sequence[Floats]) -> NDArray[np.float64]:
    """Mean distance in the ab plane between two draws, over all pairs of draws and all pixels, for each of N photos.

    0 for a network that always says the same. It tells nothing about quality: noise is diverse.

    Args:
        draws: at least two, each N×2×H×W, CIELAB units.

    Raises:
        ValueError: there are fewer.
    """
    if len(draws) < 2:
        raise ValueError(f"diversity is measured between draws; got {len(draws)}, give two or more")
    distances = [
        np.hypot(one[:, 0] - other[:, 0], one[:, 1] - other[:, 1], dtype=np.float64).mean(axis=(1, 2))
        for one, other in itertools.combinations([np.asarray(draw, np.float64) for draw in draws], 2)
    ]
    return np.asarray(np.mean(distances, axis=0), np.float64)


def draw(model: Colorization, lightness: NDArray[np.float32], ids: Sequence[str], number: int) -> NDArray[np.float32]:
    """One draw of a stochastic network's colours; it follows from a photo's name and the draw's number alone.

    Args:
        model: with a latent code, in evaluation mode.
        lightness: N×1×H×W, 0…100.
        ids: N names; equal ones draw the same.
        number: of the draw.

    Returns:
        a and b, N×2×H×W, CIELAB units.

    Raises:
        ValueError: the network draws nothing.
    """
    import torch

    if not model.variational:
        raise ValueError(f"{type(model).__name__} draws nothing at random: its diversity is 0")
    digests = [hashlib.sha256(f"draw {number}:{identity}".encode()).digest() for identity in ids]
    seeds = [int.from_bytes(digest[:7]) for digest in digests]
    device = next(model.parameters()).device
    with torch.inference_mode():
        ab = model.colors(torch.from_numpy(lightness).to(device), seeds).ab.float().clamp(-128.0, 127.0)
    return np.asarray(ab.cpu().numpy(), np.float32)
