"""The contract between what is minimised and the training loop: terms, their weighted sum, and updates in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from colorize.models import Prediction, names

MODEL = "model"
CRITIC = "critic"


@dataclass(slots=True)
class PhotoBatch:
    """Photos on the device of the network.

    Attributes:
        l: float32 N x 1 x H x W, 0..100.
        ab: float32 N x 2 x H x W, CIELAB units.
        seeds: one a photo, for what is drawn at random; None while measuring: nothing is drawn, no critic asked.
        step: optimizer steps that were begun, this one included.
        epoch: that it is part of, from 0.
        photos: how many of them are real: a worker without any gets a black one, which counts nothing.
    """

    l: Tensor  # noqa: E741 - the field's name for lightness
    ab: Tensor
    seeds: list[int] | None = None
    step: int = 0
    epoch: int = 0
    photos: int = 1


class TrainingData(NamedTuple):
    """What terms may ask for when they are made, each only where it is needed.

    Attributes:
        histogram: the colours of the photos to train on, int64, 256 x 256, pixels by code of a and of b.
        published: tensors of a published network, by its name and theirs; raises a ValueError where it is not there.
    """

    histogram: Callable[[], NDArray[np.int64]]
    published: Callable[[str], Mapping[str, Tensor]]


class Update(NamedTuple):
    """One step of one optimizer.

    Attributes:
        group: name of the parameters to move, a key of `Objective.groups`.
        loss: a scalar, the mean over the photos of the batch, so that slices of a batch can be put together.
        prediction: what the network said, where the loss was computed from.
        parts: the terms that the loss is the weighted sum of, without their weights, no gradients.
    """

    group: str
    loss: Tensor
    prediction: Prediction
    parts: dict[str, Tensor]


class Group(NamedTuple):
    """Parameters with an optimizer of their own.

    Attributes:
        parameters: of one network.
        rate: their learning rate over the training's.
        betas: of Adam.
    """

    parameters: list[nn.Parameter]
    rate: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)


class Term:
    """One part of an objective.

    Attributes:
        name: as `params.yaml` calls it.
        compares: ties each colour to the true one; without any such term there would be nothing to learn from a photo.
    """

    name: ClassVar[str]
    compares: ClassVar[bool] = False

    @classmethod
    def fitting(cls) -> list[str]:
        """Names of the architectures that it can train."""
        return names()

    def loss(self, prediction: Prediction, batch: PhotoBatch) -> Tensor:
        """A scalar, the mean over the photos of the batch."""
        raise NotImplementedError

    def to(self, device: torch.device) -> None:
        """Move what it computes with to a device."""


def refuse_unfit(term: type[Term], architecture: str) -> None:
    """Raise a ValueError that names what fits, if a term cannot train an architecture."""
    if architecture not in (fitting := term.fitting()):
        raise ValueError(
            f"objective '{term.name}' does not train '{architecture}': it fits {', '.join(fitting)}; "
            f"for '{architecture}' set objective: {{name: {main_term(architecture)}}}"
        )


def main_term(architecture: str) -> str:
    """The name of a term that trains an architecture by itself."""
    return "vae" if architecture in names(variational=True) else "regression"


class Critic(Protocol):
    """A term with a network of its own that is trained along.

    Attributes:
        network: its parameters are the group `critic`.
        rate: its learning rate over the model's.
        generator_epochs: without it, at the beginning.
        critic_epochs: after those, in which it trains alone.
    """

    network: nn.Module
    rate: float
    generator_epochs: int
    critic_epochs: int

    def critic_loss(self, prediction: Prediction, batch: PhotoBatch) -> Tensor:
        """What the critic minimises, a scalar; no gradient reaches the prediction."""
        ...


class WeightedTerm(NamedTuple):
    """A term of a sum; `title` is its name, with a number where another has the same."""

    title: str
    weight: float
    term: Term


class Objective:
    """The weighted sum of terms that a network minimises, and what a critic does, if there is one.

    Attributes:
        terms: of the sum.
        critic: trained in turn with the network; None for most.
        adversary: the critic as a term of the sum.
    """

    # Adam remembers gradients for a shorter while than usual: Radford et al. (DCGAN, ICLR 2016), section 4.
    _CRITIC_BETAS = (0.5, 0.999)

    def __init__(self, architecture: str, terms: Sequence[WeightedTerm], critic: Critic | None = None) -> None:
        """Check that the terms are enough.

        Args:
            architecture: the network that is going to be trained.
            terms: of the sum, each fitting the architecture.
            critic: the one of them that has a network of its own.

        Raises:
            ValueError: no term compares the prediction with the photo, or none shapes the latent code.
        """
        self.terms, self.critic = list(terms), critic
        self.adversary = next((one for one in self.terms if id(one.term) == id(critic)), None)
        main = main_term(architecture)
        if not any(term.compares for _, _, term in self.terms):
            raise ValueError(
                f"objective '{' + '.join(title for title, _, _ in self.terms)}' never compares a colour with the "
                f"true one; add {{name: {main}}} to it"
            )
        if main == "vae" and not any(term.name == "vae" for _, _, term in self.terms):
            raise ValueError(f"'{architecture}' has a latent code: add {{name: vae}} to its objective, which shapes it")

    @property
    def settled(self) -> int:
        """Epochs at the beginning after which a network can be told better or worse: all before are preparation."""
        return self.critic.generator_epochs + self.critic.critic_epochs if self.critic else 0

    def to(self, device: torch.device) -> None:
        """Move everything to a device."""
        for _, _, term in self.terms:
            term.to(device)

    def modules(self) -> dict[str, nn.Module]:
        """Networks that are trained along, by the name of their group."""
        return {CRITIC: self.critic.network} if self.critic else {}

    def groups(self, model: nn.Module) -> dict[str, Group]:
        """The parameters of each optimizer, by the name that `updates` calls it by."""
        groups = {MODEL: Group(list(model.parameters()))}
        if self.critic:
            groups[CRITIC] = Group(list(self.critic.network.parameters()), self.critic.rate, self._CRITIC_BETAS)
        return groups

    def updates(self, model: nn.Module, batch: PhotoBatch) -> Iterator[Update]:
        """The losses of one batch in their order; the loop takes a step before it asks for the next.

        While measuring (a batch without seeds) there is one, the model's, without the critic's opinion: it changes from
        step to step, and so could tell nothing about two networks.

        Args:
            model: the network, perhaps wrapped: it is only called, never asked for anything else.
            batch: at least one photo.
        """
        epoch = None if batch.seeds is None else batch.epoch
        model_trains, critic_trains = turns(self.critic, epoch)
        # Not around a `yield`: the caller would compute without gradients, too.
        with torch.set_grad_enabled(torch.is_grad_enabled() and model_trains):
            prediction = model(batch.l, batch.seeds)
        if model_trains:
            asked = [one for one in self.terms if critic_trains or one is not self.adversary]
            losses = [one.term.loss(prediction, batch) for one in asked]
            total = torch.stack([one.weight * loss for one, loss in zip(asked, losses, strict=True)]).sum()
            yield Update(
                MODEL, total, prediction, {one.title: loss.detach() for one, loss in zip(asked, losses, strict=True)}
            )
        if critic_trains:
            assert self.critic is not None
            yield Update(CRITIC, self.critic.critic_loss(prediction, batch), prediction, {})


def turns(critic: Critic | None, epoch: int | None) -> tuple[bool, bool]:
    """Whether model and critic train in an epoch, counted from 0; None: while measuring."""
    if critic is None or epoch is None or epoch < critic.generator_epochs:
        return True, False
    return epoch >= critic.generator_epochs + critic.critic_epochs, True
