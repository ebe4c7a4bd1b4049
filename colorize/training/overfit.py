"""The first check of any network: can it learn eight photos by heart? What cannot do that will learn nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from colorize.data.loader import Batch, Loader
from colorize.models import create
from colorize.objectives import PhotoBatch, TrainingData
from colorize.objectives import create as create_objective
from colorize.settings import Section
from colorize.settings.objectives import Objective
from colorize.settings.sections import ImageSettings, ShardSettings, TrainingSettings
from colorize.training import optimizers
from colorize.training.batches import decode, photo_seed
from colorize.training.precision import reproducible

PHOTOS = 8
_COLLECTION = "landscape-pictures"


class Step(NamedTuple):
    """What one training step found, before it moved the weights.

    Attributes:
        number: from 1.
        loss: of the objective.
        ab_rmse: root of the mean squared error of ab over all pixels, CIELAB units.
    """

    number: int
    loss: float
    ab_rmse: float


def photos_of(lab: Path) -> Batch:
    """The first eight photos of the training split, or fewer where it has fewer.

    Raises:
        ValueError: the shards are missing or damaged, or there are no photos to train on.
    """
    loader = Loader(lab, "train", PHOTOS, 0, shuffle=False, workers=0)
    if not loader.photos:
        raise ValueError(f"{lab} has no photos in the training split: nothing to train on")
    return next(loader.batches(0))


def drawn_photos(size: int) -> Batch:
    """Eight photos of the embedded sample, drawn by code, as a batch of squares of `size` pixels."""
    from colorize.data.shard_file import Row
    from colorize.data.shard_pixels import make_row
    from colorize.data.sources.sample import SampleSource

    source = SampleSource(_COLLECTION, PHOTOS)
    rows = [
        make_row(entry.path, source.read(entry), ShardSettings(size=size), ImageSettings()) for entry in source.list()
    ]
    usable = [row for row in rows if isinstance(row, Row)][:PHOTOS]
    l, ab = (  # noqa: E741
        np.stack([np.frombuffer(values, np.uint8).reshape(-1, size, size) for values in part])
        for part in ([row.l for row in usable], [row.ab for row in usable])
    )
    return Batch([row.id for row in usable], [_COLLECTION] * len(usable), l, ab)


def grey_error(photos: Batch) -> float:
    """ab RMSE of leaving the photos grey: what a network that learnt nothing has."""
    return float(np.sqrt(np.mean((photos.ab.astype(np.float64) - 128.0) ** 2)))


def overfit(
    architecture: str,
    model: Section,
    objective: Objective,
    training: TrainingSettings,
    photos: Batch,
    *,
    device: torch.device,
    published: Callable[[str], Mapping[str, torch.Tensor]],
) -> Iterator[Step]:
    """Train a fresh network on a few photos, all of them in every step, for as long as steps are asked for.

    Learning rate (constant after the warm-up), weight decay, gradient clipping and seed are the training's. A critic
    trains along from the first step.

    Args:
        architecture: of the network.
        model: its settings.
        objective: its terms.
        training: see above.
        photos: a few.
        device: where.
        published: see `TrainingData`.

    Raises:
        ValueError: the objective does not train that architecture, or published weights that it needs are missing.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        network = create(architecture, model)
        goal = create_objective(objective, architecture, TrainingData(lambda: _histogram(photos), published))
    network.to(device=device).train()
    goal.to(device)
    moving = optimizers.build(goal, network, training)
    number = 0
    while True:
        number += 1
        # Threads as they are: the check is of the network, not of the machine.
        with reproducible(device, None):
            seeds = [photo_seed(training.seed, number, photo) for photo in photos.ids]
            batch = decode(photos, device, seeds)
            batch.step, batch.epoch = number, goal.settled
            rate = training.learning_rate * min(1.0, number / max(1, training.warmup_steps))
            step = None
            for update in goal.updates(network, batch):
                step = step or Step(number, update.loss.item(), _ab_rmse(update.prediction.ab, batch))
                optimizer = moving[update.group]
                optimizer.zero_grad(set_to_none=True)
                update.loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(optimizers.parameters_of(optimizer), training.gradient_clip)
                optimizers.set_rates(optimizer, rate)
                optimizer.step()
        assert step is not None, "an objective yields an update"
        yield step


def _histogram(photos: Batch) -> NDArray[np.int64]:
    codes = (photos.ab[:, 0].astype(np.intp) << 8) | photos.ab[:, 1]
    return np.bincount(codes.ravel(), minlength=256 * 256).reshape(256, 256)


def _ab_rmse(ab: torch.Tensor, batch: PhotoBatch) -> float:
    return float(functional.mse_loss(ab.detach().float(), batch.ab).sqrt())
