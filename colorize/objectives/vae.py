"""Variational training: reconstruction plus the divergence of the latent code from a standard normal."""

from __future__ import annotations

import torch
from torch import Tensor

from colorize.models import Latent, Prediction, names
from colorize.objectives.base import PhotoBatch, Term, TrainingData
from colorize.objectives.distance import Distance
from colorize.settings.objectives import VAESettings


class VAE(Term):
    """Distance + kl_weight x divergence (Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014, eq. 10).

    The code is drawn from the seeds of the batch, which depend on (seed, step, photo) alone: the same run draws the
    same codes, on any number of workers.

    Two cures for a code that says nothing because saying anything costs more than it brings at first: `kl_weight` rises
    from 0 over `kl_warmup_steps` (Bowman et al., "Generating Sentences from a Continuous Space", CoNLL 2016), and each
    channel of a photo's code may have `free_bits` nats an element at no cost (Kingma et al., "Improved Variational
    Inference with Inverse Autoregressive Flow", NeurIPS 2016, section C.8).
    """

    name = "vae"
    compares = True

    def __init__(self, settings: VAESettings, data: TrainingData) -> None:
        self.settings = settings
        self.distance = Distance(settings, data.histogram)

    @classmethod
    def fitting(cls) -> list[str]:
        """Those with a latent code."""
        return names(variational=True)

    def loss(self, prediction: Prediction, batch: PhotoBatch) -> Tensor:
        """While measuring, the weight of the divergence is the one after the warm-up."""
        assert prediction.latent is not None, "a variational network has a latent code"
        weight = self.settings.kl_weight
        if batch.seeds is not None and self.settings.kl_warmup_steps:
            weight *= min(1.0, batch.step / self.settings.kl_warmup_steps)
        return self.distance(prediction, batch) + weight * divergence(prediction.latent, self.settings.free_bits)

    def to(self, device: torch.device) -> None:
        """See `Term.to`."""
        self.distance.to(device)


def divergence(latent: Latent, free: float = 0.0) -> Tensor:
    """Kullback-Leibler divergence of N(mean, variance) from N(0, 1), in nats, the mean over all latent elements.

    Appendix B of Kingma and Welling: (mean**2 + variance - log variance - 1) / 2.

    Args:
        latent: N x C x h x w.
        free: what the mean of a photo's channel counts at least.
    """
    mean, log_variance = latent.mean.float(), latent.log_variance.float()
    of_elements = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1.0)
    return of_elements.mean(dim=(2, 3)).clamp(min=free).mean() if free else of_elements.mean()
