"""What every colorization network offers: from lightness to a prediction in CIELAB units, at any size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


@dataclass(slots=True)
class Hints:
    """Colours that are known at some pixels of N photos.

    Attributes:
        ab: float32 N x 2 x H x W, CIELAB units; 0 where nothing is known.
        mask: float32 N x 1 x H x W, 1 where `ab` is known, else 0.
    """

    ab: Tensor
    mask: Tensor


# torch.export hands on only types that it knows.
torch.export.register_dataclass(Latent, serialized_type_name="colorize.Latent")
torch.export.register_dataclass(Prediction, serialized_type_name="colorize.Prediction")


class Predictor(nn.Module):
    """What all networks offer beside their own `forward`: colours of photos of any size. A family implements `colors`.

    Attributes:
        variational: draws a latent code.
        classifies: scores the 313 colours of `colorize.bins`; its predictions have `logits`.
        takes_hints: makes use of `hints`.
    """

    variational: ClassVar[bool] = False
    classifies: ClassVar[bool] = False
    takes_hints: ClassVar[bool] = False

    def colors(self, l: Tensor, seeds: Sequence[int] | None = None, hints: Hints | None = None) -> Prediction:  # noqa: E741
        """Colours with gradients, not clipped.

        Args:
            l: float32 N x 1 x H x W in 0..100, any H and W.
            seeds: one integer a photo, from which a variational network draws its latent code; None: the mean code.
                Networks without a latent code take no notice of it.
            hints: known colours; networks without `takes_hints` take no notice of them.
        """
        raise NotImplementedError

    @torch.no_grad()
    def predict(self, l: Tensor, hints: Hints | None = None, generator: torch.Generator | None = None) -> Prediction:  # noqa: E741
        """Colours for photos of any size, without gradients; ab clipped to -128..127 and own L to 0..100.

        Args:
            l: float32 N x 1 x H x W in 0..100.
            hints: known colours.
            generator: draws a latent code where the network has one; None: the mean, always the same answer.

        Raises:
            ValueError: `l` has another shape, or hints were given to a network that takes none, or of another shape.
        """
        if l.ndim != 4 or l.shape[1] != 1:
            raise ValueError(f"expected lightness of shape N x 1 x H x W, got {tuple(l.shape)}")
        if hints is not None:
            self._check(hints, l)
        seeds = None
        if generator is not None and self.variational:
            seeds = torch.randint(2**62, (len(l),), generator=generator, device=generator.device).tolist()
        prediction = self.colors(l, seeds, hints)
        prediction.ab = prediction.ab.float().clamp(-128.0, 127.0)
        if prediction.l is not None:
            prediction.l = prediction.l.float().clamp(0.0, 100.0)
        return prediction

    def _check(self, hints: Hints, l: Tensor) -> None:  # noqa: E741
        if not self.takes_hints:
            raise ValueError(f"{type(self).__name__} takes no colour hints; leave `hints` out")
        photos, _, height, width = l.shape
        expected = ((photos, 2, height, width), (photos, 1, height, width))
        if (found := (tuple(hints.ab.shape), tuple(hints.mask.shape))) != expected:
            raise ValueError(f"hints must have the photos' size, ab {expected[0]} and mask {expected[1]}; got {found}")

    def predict_ab(self, l: Tensor) -> Tensor:  # noqa: E741
        """The `ab` of `predict`: N x 2 x H x W, CIELAB units."""
        return self.predict(l).ab


class Colorization(Predictor):
    """Base of the networks that the registry knows: trained by `forward`, which is `colors`.

    Training wraps networks for several workers, and what is wrapped can only be called.

    Attributes:
        paper: where the architecture was published, for lists of architectures.
        trained: false for methods that colour without learning: they have no parameters.
    """

    paper: ClassVar[str] = ""
    trained: ClassVar[bool] = True

    def forward(self, l: Tensor, seeds: Sequence[int] | None = None) -> Prediction:  # noqa: E741
        """See `Predictor.colors`."""
        return self.colors(l, seeds)

    def encoder_part(self) -> nn.Module | None:
        """The part that may begin with published weights, and then learn later or more slowly; None: there is none."""
        return None

    def begin_with(self, weights: Mapping[str, Tensor]) -> None:  # noqa: ARG002
        """Put published weights into the encoder, before training: `pretrained` of the settings names them.

        Args:
            weights: tensors by their published names.

        Raises:
            ValueError: they do not fit, or the network has no encoder that could take them.
        """
        raise ValueError(f"{type(self).__name__} has no encoder that takes published weights; leave 'pretrained' out")


class Adapted(Colorization):
    """A published network for training: its `forward` stays its own, its weights are called `network.…`."""

    def __init__(self, network: Predictor) -> None:
        super().__init__()
        self.network = network

    def colors(self, l: Tensor, seeds: Sequence[int] | None = None, hints: Hints | None = None) -> Prediction:  # noqa: E741
        """See `Predictor.colors`."""
        return self.network.colors(l, seeds, hints)


def normalised(l: Tensor) -> Tensor:  # noqa: E741
    """Lightness 0..100 as -1..1, as most networks here take it."""
    return (l - LIGHTNESS_CENTER) / LIGHTNESS_SCALE
