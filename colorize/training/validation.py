"""Figures of the validation split, after each epoch: what early stopping and the curves look at."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from colorize.data.loader import Loader
from colorize.divergence import divergence
from colorize.objectives import Objective
from colorize.training.batches import decode
from colorize.training.meters import Meter

_STEP = 10.0  # CIELAB units, side of the cells in which colours are counted
_CELLS = 23  # of them, -110 to 110


@torch.no_grad()
def validate(
    network: nn.Module,
    objective: Objective,
    photos: Loader,
    *,
    device: torch.device,
    world_size: int,
    arithmetic: Callable[[], AbstractContextManager[object]],
) -> dict[str, float]:
    """Measure a network on held-out photos; all workers together, each on its share.

    Args:
        network: not wrapped: a worker without photos need not take part.
        objective: whose loss is taken, without what a critic says.
        photos: this worker's share.
        device: of the network.
        world_size: number of workers.
        arithmetic: makes the context in which the network computes.

    Returns:
        `validation_loss`; `validation_ab_rmse`, the root mean square over pixels and both channels, CIELAB units;
        `validation_color_divergence`, the Jensen-Shannon divergence in bits between all predicted and all true colours,
        counted in cells of 10 units of a and b: 0 for a network that uses colours as often as they occur, whether
        at the right places or not. Empty without photos.
    """
    network.eval()
    meter = Meter(("loss", "squared_error"), device, world_size)
    counts = torch.zeros(2, _CELLS * _CELLS, dtype=torch.int64, device=device)
    for batch in photos.batches(0):
        if batch.ids:
            truth = decode(batch, device)
            with arithmetic():
                update = next(objective.updates(network, truth))
            ab = update.prediction.ab.float().clamp(-128.0, 127.0)
            meter.add(len(batch.ids), {"loss": update.loss, "squared_error": functional.mse_loss(ab, truth.ab)})
            counts += torch.stack([_counted(ab), _counted(truth.ab)])
    if world_size > 1:
        distributed.all_reduce(counts)
    means, counted = meter.read()
    if not counted:
        return {}
    predicted, true = counts.cpu().numpy()
    return {
        "validation_loss": means["loss"],
        "validation_ab_rmse": math.sqrt(means["squared_error"]),
        "validation_color_divergence": divergence(predicted, true),
    }


def _counted(ab: Tensor) -> Tensor:
    """How many pixels have each colour, int64, one number a cell."""
    half = _CELLS // 2
    a, b = ((ab / _STEP).round().long().clamp(-half, half) + half).unbind(dim=1)
    return torch.bincount((a * _CELLS + b).flatten(), minlength=_CELLS * _CELLS)
