"""What every colorization network offers: from lightness to a prediction in CIELAB units, at any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

# Scales of the networks' numbers: (L - 50) / 50 lies in -1..1 and ab / 110 in about -1..1 for all sRGB colours.
LIGHTNESS_CENTER = 50.0
LIGHTNESS_SCALE = 50.0
AB_SCALE = 110.0


@dataclass(slots=True)
class Latent:
    """Normal distribution of a latent code: `mean` and `log_variance`, both N x C x h x w, natural logarithm."""

    mean: Tensor
    log_variance: Tensor


@dataclass(slots=True)
class Prediction:
    """What a network says about N photos.

    Attributes:
        ab: N x 2 x H x W, CIELAB units.
        l: N x 1 x H x W, 0..100, only where the network makes its own lightness.
        logits: N x bins x h x w, only where the network classifies colours.
        latent: the distribution of the latent code, only where the network has one.
    """

    ab: Tensor
    l: Tensor | None = None  # noqa: E741 - the field's name for lightness
    logits: Tensor | None = None
    latent: Latent | None = None


class Colorization(nn.Module):
    """Base of all networks. A family implements `forward`; users call `predict`."""

    variational: ClassVar[bool] = False

    def forward(self, l: Tensor, seeds: Sequence[int] | None = None) -> Prediction:  # noqa: E741
        """The training pass: values are not clipped.

        Args:
            l: float32 N x 1 x H x W in 0..100, any H and W.
            seeds: one integer a photo, from which a variational network draws its latent code; None: the mean code.
                Networks without a latent code take no notice of it.
        """
        raise NotImplementedError

    @torch.no_grad()
    def predict(self, l: Tensor, hints: None = None, generator: torch.Generator | None = None) -> Prediction:  # noqa: E741
        """Colours for photos of any size, without gradients; ab clipped to -128..127 and own L to 0..100.

        Args:
            l: float32 N x 1 x H x W in 0..100.
            hints: known colours; no network here takes any yet.
            generator: draws a latent code where the network has one; None: the mean, always the same answer.

        Raises:
            ValueError: `l` has another shape, or hints were given.
        """
        if l.ndim != 4 or l.shape[1] != 1:
            raise ValueError(f"expected lightness of shape N x 1 x H x W, got {tuple(l.shape)}")
        if hints is not None:
            raise ValueError(f"{type(self).__name__} takes no colour hints; leave `hints` out")
        seeds = None
        if generator is not None and self.variational:
            seeds = torch.randint(2**62, (len(l),), generator=generator, device=generator.device).tolist()
        prediction = self(l, seeds)
        prediction.ab = prediction.ab.float().clamp(-128.0, 127.0)
        if prediction.l is not None:
            prediction.l = prediction.l.float().clamp(0.0, 100.0)
        assert isinstance(prediction, Prediction)
        return prediction

    def predict_ab(self, l: Tensor) -> Tensor:  # noqa: E741
        """The `ab` of `predict`: N x 2 x H x W, CIELAB units."""
        return self.predict(l).ab


def normalised(l: Tensor) -> Tensor:  # noqa: E741
    """Lightness 0..100 as -1..1, the input of every network."""
    return (l - LIGHTNESS_CENTER) / LIGHTNESS_SCALE
