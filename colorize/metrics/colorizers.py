"""What an evaluation measures: anything that makes colours of lightness, and of true colours where it is told some."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from colorize.models import Colorization


@dataclass(frozen=True, slots=True)
class Colors:
    """What a colorizer makes of a batch.

    Attributes:
        ab: N×2×H×W, CIELAB units.
        lightness: N×1×H×W, 0…100, where it makes its own.
        scores: N×313×h×w, of the bins in their order, where it classifies colours.
        draws: makes two more answers like `ab`, where it draws them at random; asked for later, so that the time which
            colours take is that of one answer.
    """

    ab: NDArray[np.float32]
    lightness: NDArray[np.float32] | None = None
    scores: NDArray[np.float32] | None = None
    draws: Callable[[], list[NDArray[np.float32]]] | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """True colours that a colorizer is told.

    Attributes:
        ab: N×2×H×W, CIELAB units; 0 where nothing is known.
        mask: N×1×H×W, 1 where `ab` is known, else 0.
    """

    ab: NDArray[np.float32]
    mask: NDArray[np.float32]


class Predict(Protocol):
    """From L (N×1×H×W, float32, 0…100) to colours; what is automatic is told nothing."""

    def __call__(self, lightness: NDArray[np.float32], known: Known | None = None, /) -> Colors: ...


class Colorizer(Protocol):
    """What is measured, before it is loaded: small, equal to an equal one, and every process can load it."""

    def load(self) -> Predict:
        """Make it ready to predict, on this process's device."""
        ...


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model as a colorizer, on a GPU where the process has one.

    Attributes:
        model: folder with `model.safetensors` and `model.json`.
    """

    model: Path

    def load(self) -> Predict:
        """Read the model."""
        from colorize.models import load_model
        from colorize.training.precision import choose_device

        return network(load_model(self.model), choose_device())


def network(model: Colorization, device: torch.device | str = "cpu") -> Predict:
    """A network, or a method without learning, as a colorizer of arrays.

    Args:
        model: a `Colorization` in evaluation mode.
        device: where it runs; it is moved there.
    """
    import torch

    from colorize.metrics.predictions import draw
    from colorize.models import Hints

    model = model.to(device)

    def predict(lightness: NDArray[np.float32], known: Known | None = None, /) -> Colors:
        hints = None
        if known is not None:
            hints = Hints(torch.from_numpy(known.ab).to(device), torch.from_numpy(known.mask).to(device))
        with torch.inference_mode():
            prediction = model.predict(torch.from_numpy(lightness).to(device), hints)
        own = None if prediction.l is None else prediction.l.float().cpu().numpy()
        scores = None if prediction.logits is None else prediction.logits.float().cpu().numpy()

        def draws() -> list[NDArray[np.float32]]:
            names = [hashlib.sha256(photo.tobytes()).hexdigest() for photo in lightness]
            return [draw(model, lightness, names, number) for number in (0, 1)]

        return Colors(prediction.ab.float().cpu().numpy(), own, scores, draws if model.variational else None)

    return predict


def true_colors(ids: Sequence[str], ab: NDArray[np.float32], share: float) -> Known:
    """The true colours of some pixels, drawn at random with the photo's id as seed: the same ones every time.

    Args:
        ids: N ids.
        ab: N×2×H×W, CIELAB units.
        share: of each photo's pixels that are told, 0…1; at least one is.
    """
    photos, _, height, width = ab.shape
    count = max(1, round(share * height * width))
    mask = np.zeros((photos, 1, height * width), np.float32)
    for index, identity in enumerate(ids):
        seed = int.from_bytes(hashlib.sha256(f"hints:{identity}".encode()).digest())
        mask[index, 0, np.random.default_rng(seed).permutation(height * width)[:count]] = 1
    mask = mask.reshape(photos, 1, height, width)
    return Known(ab * mask, mask)
