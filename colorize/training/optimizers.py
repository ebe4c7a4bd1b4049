"""Optimizers: one for each group of parameters of an objective, with rates relative to the training's."""

from __future__ import annotations

from torch import nn
from torch.optim import AdamW, Optimizer

from colorize.models import Colorization
from colorize.objectives import Group, Objective
from colorize.objectives.base import MODEL
from colorize.settings.sections import TrainingSettings

_RATE = "rate"  # entry of a parameter group: its learning rate over the training's


def build(objective: Objective, network: Colorization, settings: TrainingSettings) -> dict[str, Optimizer]:
    """AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019) for each group.

    Raises:
        ValueError: the encoder is to have a rate of its own, or to be frozen, and the network has none.
    """
    optimizers: dict[str, Optimizer] = {}
    for name, group in objective.groups(network).items():
        parts = _with_encoder_rate(group, network, settings) if name == MODEL else [_part(group.parameters, group.rate)]
        optimizers[name] = AdamW(
            parts, lr=settings.learning_rate, betas=group.betas, weight_decay=settings.weight_decay
        )
    return optimizers


def encoder_of(network: Colorization, settings: TrainingSettings) -> nn.Module | None:
    """The part that `encoder_rate` and `frozen_epochs` speak of; None where they say nothing.

    Raises:
        ValueError: they do, and the network has no encoder that is trained.
    """
    if settings.encoder_rate == 1.0 and not settings.frozen_epochs:
        return None
    encoder = network.encoder_part()
    if encoder is None:
        asked = "frozen_epochs" if settings.frozen_epochs else "encoder_rate"
        raise ValueError(
            f"training.{asked} is {getattr(settings, asked)}, but {type(network).__name__} has no encoder of its own "
            "that is trained; leave it out"
        )
    return encoder


def set_rates(optimizer: Optimizer, rate: float) -> None:
    """Give each parameter group the training's rate times its own factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group[_RATE]


def parameters_of(optimizer: Optimizer) -> list[nn.Parameter]:
    """All that an optimizer moves."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _with_encoder_rate(group: Group, network: Colorization, settings: TrainingSettings) -> list[dict[str, object]]:
    encoder = encoder_of(network, settings)
    if encoder is None or settings.encoder_rate == 1.0:
        return [_part(group.parameters, group.rate)]
    inside = {id(parameter) for parameter in encoder.parameters()}
    rest = [parameter for parameter in group.parameters if id(parameter) not in inside]
    return [_part(rest, group.rate), _part(list(encoder.parameters()), group.rate * settings.encoder_rate)]


def _part(parameters: list[nn.Parameter], rate: float) -> dict[str, object]:
    return {"params": parameters, _RATE: rate}
