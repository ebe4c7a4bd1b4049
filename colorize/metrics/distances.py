"""How far apart two sets of photos lie in the features of a network: Fréchet and kernel distance, photo by photo.

FID is the Fréchet distance, KID the kernel distance, in the features of an Inception network; in others' features they
are the same formulas by other names. Both formulas are torchmetrics'.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_mmd

#: Photos in a block of the kernel distance: the subset size of Bińkowski et al. and of torchmetrics.
BLOCK: Final = 1000


class _Given(nn.Identity):
    """Features that are there already, in the place of the network that torchmetrics would call."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features


class SetDistance:
    """Distance between predicted and true photos, from batches of their features; memory does not grow with them.

    Sums are float64, so batches of any size give the same to rounding.

    Attributes:
        photos: how many pairs were seen.
    """

    def __init__(self, num_features: int) -> None:
        """Nothing seen yet.

        Args:
            num_features: numbers that a photo has.
        """
        self.photos = 0
        # Features of all workers come together here, not through torch's process group.
        self._frechet = FrechetInceptionDistance(_Given(num_features), sync_on_compute=False)
        self._frechet.orig_dtype = torch.float64
        self._open = torch.empty((2, 0, num_features), dtype=torch.float64)
        self._kernel_sum = 0.0
        self._kernel_photos = 0

    def update(self, predicted: Tensor, truth: Tensor) -> None:
        """See some more photos.

        Args:
            predicted: N x features.
            truth: the same shape.
        """
        pair = torch.stack([predicted, truth]).to("cpu", torch.float64)
        self.photos += len(predicted)
        self._frechet.update(pair[1], real=True)
        self._frechet.update(pair[0], real=False)
        self._open = torch.cat([self._open, pair], dim=1)
        while self._open.shape[1] >= BLOCK:
            self._kernel_sum += BLOCK * _discrepancy(self._open[:, :BLOCK])
            self._kernel_photos += BLOCK
            self._open = self._open[:, BLOCK:].clone()

    def frechet(self) -> float:
        """Fréchet distance of the normal distributions with the sets' means and covariances (Heusel et al. 2017).

        |m - m'|² + tr(C + C' - 2 (C C')^½), 0 for equal sets; of few photos it comes out too large: compare figures of
        equal numbers only.

        Raises:
            ValueError: fewer than two photos were seen.
        """
        self._require_two()
        return max(0.0, float(self._frechet.compute()))

    def kernel(self) -> float:
        """Unbiased squared maximum mean discrepancy with the kernel (x·y / d + 1)³ (Bińkowski et al. 2018, KID).

        Mean over blocks of 1000 photos in the order seen, the last one shorter, each by its size; a single photo left
        over has none. Where Bińkowski et al. draw subsets at random, blocks need no random numbers and no memory of all
        photos; both are unbiased. Around 0, and a little below, for equal sets.

        Raises:
            ValueError: fewer than two photos were seen.
        """
        self._require_two()
        total, photos = self._kernel_sum, self._kernel_photos
        if (rest := self._open.shape[1]) > 1:
            total, photos = total + rest * _discrepancy(self._open), photos + rest
        return total / photos

    def _require_two(self) -> None:
        if self.photos < 2:
            raise ValueError(f"{self.photos} photos: sets have a distance from two photos on")


def _discrepancy(pair: Tensor) -> float:
    return float(poly_mmd(pair[1], pair[0]))
