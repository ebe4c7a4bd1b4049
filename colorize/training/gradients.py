"""The gradients of a step: summed over the parts of a batch, for one update of the objective after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from colorize.objectives import Update
from colorize.objectives.base import MODEL


class Part(NamedTuple):
    """A part of a worker's photos of a step.

    Attributes:
        updates: what the objective asks for, one loss after another.
        share: what each loss is multiplied by, so that those of all parts and workers add up to the batch's mean.
        photos: how many there are.
    """

    updates: Iterator[Update]
    share: float
    photos: int


def differentiated(
    parts: Sequence[Part],
    optimizers: Mapping[str, Optimizer],
    figures: dict[str, Tensor],
    arithmetic: Callable[[], AbstractContextManager[object]],
    model: nn.Module,
) -> Iterator[tuple[str, Tensor]]:
    """Group and loss of each update of a step, when its gradients are there; the caller steps before the next one.

    Args:
        parts: of the batch, at least one.
        optimizers: by group; of the group that is updated, gradients begin at zero.
        figures: gets means over this worker's photos, for the log: `loss`, `critic_loss`, and `loss_…` of each term.
        arithmetic: a context for the forward pass.
        model: perhaps wrapped for several workers, who then exchange gradients with the last part only.
    """
    while True:
        group, name = None, ""
        everyone = max(1, sum(part.photos for part in parts))
        for number, (updates, share, photos) in enumerate(parts):
            with _apart(model, number + 1 < len(parts)):
                with arithmetic():
                    update = next(updates, None)
                if update is None:
                    return
                if group is None:
                    group = update.group
                    optimizers[group].zero_grad(set_to_none=True)
                (update.loss * share).backward()  # type: ignore[no-untyped-call]
            name = "loss" if group == MODEL else f"{group}_loss"
            terms = {f"loss_{title.replace(' ', '_')}": value for title, value in update.parts.items()}
            for key, value in {name: update.loss.detach(), **terms}.items():
                figures[key] = figures.get(key, torch.zeros_like(value)) + value * (photos / everyone)
        if group is None:
            return
        yield group, figures[name]


def _apart(model: nn.Module, apart: bool) -> AbstractContextManager[object]:
    """While parts of a step are still to come, workers add up gradients by themselves."""
    no_sync: Callable[[], AbstractContextManager[object]] | None = getattr(model, "no_sync", None)
    return no_sync() if apart and no_sync is not None else nullcontext()
