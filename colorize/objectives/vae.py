"""Variational training: reconstruction plus the divergence of the latent code from a standard normal."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from colorize.models import Latent, names
from colorize.objectives.base import Objective, PhotoBatch, Update, distance
from colorize.settings.architectures import VAESettings


class VAE(Objective):
    """Distance + kl_weight x divergence (Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014, eq. 10).

    The code is drawn from the seeds of the batch, which depend on (seed, step, photo) alone: the same run draws the
    same codes, on any number of workers.
    """

    name = "vae"

    def __init__(self, settings: VAESettings, architecture: str) -> None:
        super().__init__(architecture)
        self.settings = settings

    @classmethod
    def fitting(cls) -> list[str]:
        """Those with a latent code."""
        return names(variational=True)

    def updates(self, model: nn.Module, batch: PhotoBatch) -> Iterator[Update]:
        """One update; see `Objective.updates`. Without seeds the mean code is used."""
        prediction = model(batch.l, batch.seeds)
        loss = distance(prediction, batch, self.settings) + self.settings.kl_weight * divergence(prediction.latent)
        yield Update("model", loss, prediction)


def divergence(latent: Latent) -> Tensor:
    """Kullback-Leibler divergence of N(mean, variance) from N(0, 1), in nats, the mean over all latent elements.

    Appendix B of Kingma and Welling: (mean**2 + variance - log variance - 1) / 2.
    """
    mean, log_variance = latent.mean.float(), latent.log_variance.float()
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1.0).mean()
