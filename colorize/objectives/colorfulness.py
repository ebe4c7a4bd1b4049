"""Penalty on pale colours: what makes a prediction colourful, whatever the photo."""

from __future__ import annotations

from torch import Tensor

from colorize.models import Prediction
from colorize.objectives.base import PhotoBatch, Term, TrainingData
from colorize.objectives.rgb import predicted_rgb
from colorize.settings.objectives import ColorfulnessSettings


class Colorfulness(Term):
    """1 - colourfulness / 100, the mean over photos (Kang et al., "DDColor", ICCV 2023, section 3.4).

    The authors warn that it can draw red blotches: it knows nothing of the photo. The colourfulness is the variant of
    their code, of absolute opponents (`colorize.metrics.quality` has both).
    """

    name = "colorfulness"

    def __init__(self, settings: ColorfulnessSettings, data: TrainingData) -> None:
        del settings, data

    def loss(self, prediction: Prediction, batch: PhotoBatch) -> Tensor:
        """See the class."""
        return (1.0 - colorfulness_absolute(predicted_rgb(prediction, batch)) / 100.0).mean()


def colorfulness_absolute(rgb: Tensor) -> Tensor:
    """Colourfulness of N x 3 x H x W sRGB in 0..1, by absolute opponents: N values, with gradients.

    Hasler and Suesstrunk, "Measuring colourfulness in natural images" (2003), but for the absolute values, which are
    DDColor's: with rg = |R - G| and yb = |(R + G) / 2 - B| of 0..255, the root of the sum of their variances plus 0.3
    times the root of the sum of their squared means.
    """
    red, green, blue = (255.0 * rgb).unbind(dim=1)
    opponents = ((red - green).abs(), ((red + green) / 2 - blue).abs())
    variance = sum(one.var(dim=(1, 2), correction=0) for one in opponents)
    square = sum(one.mean(dim=(1, 2)).square() for one in opponents)
    assert not isinstance(variance, int)
    assert not isinstance(square, int)
    tiny = 1e-6  # the slope of a root is infinite at 0, which is a grey photo
    return (variance + tiny).sqrt() + 0.3 * (square + tiny).sqrt()
