"""The contract between an objective and the training loop, and the distances that several objectives use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from colorize.models import Prediction, names
from colorize.models.base import AB_SCALE
from colorize.settings.architectures import RegressionSettings, VAESettings


@dataclass(slots=True)
class PhotoBatch:
    """Photos on the device of the network.

    Attributes:
        l: float32 N x 1 x H x W, 0..100.
        ab: float32 N x 2 x H x W, CIELAB units.
        seeds: one a photo, for what an objective draws at random; None while measuring, where nothing is drawn.
    """

    l: Tensor  # noqa: E741 - the field's name for lightness
    ab: Tensor
    seeds: list[int] | None = None


class Update(NamedTuple):
    """One step of one optimizer.

    Attributes:
        group: name of the parameters to move, a key of `Objective.groups`.
        loss: a scalar, the mean over the photos of the batch, so that slices of a batch can be put together.
        prediction: what the network said, where the loss was computed from.
    """

    group: str
    loss: Tensor
    prediction: Prediction


class Objective:
    """Base of all objectives: `groups` once before training, then `updates` for each batch."""

    name: ClassVar[str]

    def __init__(self, architecture: str) -> None:
        fitting = self.fitting()
        if architecture not in fitting:
            other = "vae" if architecture in names(variational=True) else "regression"
            raise ValueError(
                f"objective '{self.name}' does not train '{architecture}': it fits {', '.join(fitting)}; "
                f"for '{architecture}' set objective: {{name: {other}}}"
            )

    @classmethod
    def fitting(cls) -> list[str]:
        """Names of the architectures that it trains."""
        raise NotImplementedError

    def groups(self, model: nn.Module) -> dict[str, list[nn.Parameter]]:
        """The parameters of each optimizer, by the name that `updates` calls it by."""
        return {"model": list(model.parameters())}

    def updates(self, model: nn.Module, batch: PhotoBatch) -> Iterator[Update]:
        """The losses of one batch in their order; the loop takes a step before it asks for the next.

        Args:
            model: the network, perhaps wrapped: it is only called, never asked for anything else.
            batch: at least one photo.
        """
        raise NotImplementedError


def distance(prediction: Prediction, batch: PhotoBatch, settings: RegressionSettings | VAESettings) -> Tensor:
    """Mean distance over photos, pixels and the channels that the network makes itself (ab; with own lightness Lab).

    All channels are in CIELAB units over 110, so lightness and ab weigh as CIELAB weighs them. With d the difference
    in these units: mse d**2, l1 |d|, huber d**2 / 2 delta below delta and |d| - delta / 2 above (the smooth L1 of
    Girshick, "Fast R-CNN", ICCV 2015), delta being `huber_delta` over 110.
    """
    predicted, truth = prediction.ab, batch.ab
    if prediction.l is not None:
        predicted, truth = torch.cat([prediction.l, predicted], dim=1), torch.cat([batch.l, truth], dim=1)
    predicted, truth = predicted.float() / AB_SCALE, truth / AB_SCALE
    if settings.loss == "mse":
        return functional.mse_loss(predicted, truth)
    if settings.loss == "l1":
        return functional.l1_loss(predicted, truth)
    return functional.smooth_l1_loss(predicted, truth, beta=settings.huber_delta / AB_SCALE)
