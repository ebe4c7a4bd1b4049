"""Adversarial training: a critic learns to tell photos from colorizations, and the network to deceive it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from colorize.models import Prediction
from colorize.models.base import AB_SCALE, LIGHTNESS_SCALE
from colorize.models.blocks import at_least
from colorize.models.deoldify import Critic as DeOldifyCritic
from colorize.models.pix2pix import PatchGAN
from colorize.objectives.base import PhotoBatch, Term, TrainingData
from colorize.objectives.rgb import imagenet, predicted_rgb, true_rgb
from colorize.settings.objectives import AdversarialSettings

_MINIMUM_SIDES = {"patchgan": 24, "deoldify": 64}


class Adversarial(Term):
    """Goodfellow et al., "Generative Adversarial Nets" (NeurIPS 2014), conditioned on the lightness, which both see.

    Critics: `patchgan`, the 70 x 70 PatchGAN of Isola et al., "Image-to-Image Translation" (CVPR 2017), which looks at
    L and ab; `deoldify`, the critic of DeOldify, which looks at RGB.

    With c the critic's scores, the network minimises and the critic minimises:

    - `vanilla`: -log s(c(made)), and -log s(c(true)) - log(1 - s(c(made))), s being the logistic function;
    - `lsgan`: (c(made) - 1)**2, and (c(true) - 1)**2 + c(made)**2 (Mao et al., ICCV 2017);
    - `hinge`: -c(made), and max(0, 1 - c(true)) + max(0, 1 + c(made)) (Lim and Ye, "Geometric GAN", 2017).

    The critic's is halved, as in pix2pix, which slows it down beside the network.

    DeOldify's NoGAN (Antic, 2018) is the schedule `generator_epochs`, `critic_epochs`: the network trains without the
    critic, then the critic alone on what the network makes, then both for as short a while as possible. DeOldify stops
    by eye; here `patience` and `early_stop: validation_color_divergence` of the training do it.
    """

    name = "adversarial"

    def __init__(self, settings: AdversarialSettings, data: TrainingData) -> None:
        """A critic with fresh weights, drawn from torch's global random state."""
        del data
        self.settings = settings
        self.rate = settings.critic_rate
        self.generator_epochs, self.critic_epochs = settings.generator_epochs, settings.critic_epochs
        critic = PatchGAN if settings.critic == "patchgan" else DeOldifyCritic
        self.network: nn.Module = critic(channels=settings.channels)

    def loss(self, prediction: Prediction, batch: PhotoBatch) -> Tensor:
        """What the network minimises; the critic's own parameters get no gradients."""
        with _constant(self.network):
            scores = self.network(self._seen(prediction, batch)).float()
        if self.settings.loss == "hinge":
            return torch.neg(scores.mean())
        return self._distance(scores, real=True)

    def critic_loss(self, prediction: Prediction, batch: PhotoBatch) -> Tensor:
        """What the critic minimises; no gradient reaches the network."""
        with torch.no_grad():
            made, true = self._seen(prediction, batch), self._seen(None, batch)
        # One after the other, so that a batch normalization sees either the true photos or what was made.
        on_true, on_made = self.network(true).float(), self.network(made).float()
        if self.settings.loss == "hinge":
            return (functional.relu(1.0 - on_true).mean() + functional.relu(1.0 + on_made).mean()) / 2
        return (self._distance(on_true, real=True) + self._distance(on_made, real=False)) / 2

    def to(self, device: torch.device) -> None:
        """See `Term.to`."""
        self.network.to(device)

    def _distance(self, scores: Tensor, *, real: bool) -> Tensor:
        wanted = torch.full_like(scores, float(real))
        if self.settings.loss == "lsgan":
            return functional.mse_loss(scores, wanted)
        return functional.binary_cross_entropy_with_logits(scores, wanted)

    def _seen(self, prediction: Prediction | None, batch: PhotoBatch) -> Tensor:
        """The picture as the critic takes it: what the network made, or the photo."""
        if self.settings.critic == "deoldify":
            picture = imagenet(true_rgb(batch) if prediction is None else predicted_rgb(prediction, batch))
        else:
            ab = batch.ab if prediction is None else prediction.ab.float()
            lightness = batch.l if prediction is None or prediction.l is None else prediction.l.float()
            picture = torch.cat([lightness / LIGHTNESS_SCALE - 1.0, ab / AB_SCALE], dim=1)
        return at_least(picture, _MINIMUM_SIDES[self.settings.critic])


@contextmanager
def _constant(network: nn.Module) -> Iterator[None]:
    """What is computed inside has no gradients with respect to the network's parameters."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)
