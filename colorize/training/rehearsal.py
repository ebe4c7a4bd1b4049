"""Before a fresh run: would it learn, and is there room for it? A broken set-up fails in a minute, not in a day."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import numpy as np
import psutil
import torch
from annotated_types import Ge
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from colorize.data.loader import Batch, Loader
from colorize.data.prior import histogram_of
from colorize.objectives import TrainingData
from colorize.settings import Section
from colorize.training import pretrained
from colorize.training.identity import RunSpecification
from colorize.training.loop import TrainingError
from colorize.training.overfit import PHOTOS, Step, overfit
from colorize.training.precision import choose_device, reproducible
from colorize.training.room import chosen, disk_fault, memory_fault, memory_for_one, needs

SIDE: Final = 64  # pixels, of the photos that a slim network learns
STEPS: Final = 30  # at most
# Adam's learning rate goes with 1 / width (Yang et al., "Tensor Programs V", 2022): that a slim network learns nothing
# at a small rate, which suits a wide one, would prove nothing.
RATE: Final = 2e-3
WARM_UP: Final = 5  # steps
LEARNT: Final = 0.93  # of the first loss or error: see `fault_of`
LEARNT_WELL: Final = 0.5  # no need to go on
EXPLODED: Final = 100.0  # times the first loss
LAST: Final = 5  # steps whose mean counts
# Measured on the CPU: without it the estimate is 0.82 to 0.98 of the peak of a process that trains for an epoch (unet,
# unet_vae and simple_unet as in the sample profile 0.98, 0.88 and 0.89; lowest: eccv16). What is missing is above all
# what the backward pass holds for a moment.
MARGIN: Final = 1.1
FARTHEST: Final = 1e-4  # weights begin as 0.01 and more
_LIMITS: Final[Mapping[str, float]] = {
    "width": 0.125,
    "encoder_width": 0.125,
    "factor": 0.125,
    "channels": 8,
    "embedding": 32,
    "queries": 16,
    "layers": 3,
    "depth": 4,
}
_Figure = Literal["loss", "ab_rmse"]
_Settings = TypeVar("_Settings", bound=Section)


def rehearse(
    run: RunSpecification,
    lab: Path | str,
    folders: Sequence[Path],
    *,
    weights: Path,
    world_size: int = 1,
    together: int = 1,
    device: str | None = None,
    threads: int | None = None,
) -> str:
    """Train a slim version of a run's network for some steps, and compare what the run needs with what there is.

    Args:
        run: what is going to be trained.
        lab: folder of the LAB shards, or the address of a published version.
        folders: where checkpoints are going to lie on this machine.
        weights: folder of imported published weights.
        world_size: number of workers.
        together: as many of them share this machine's memory.
        device: such as `cpu` or `cuda:0`; None: a GPU where there is one.
        threads: CPU threads for torch; None: as set.

    Returns:
        What was found, one line.

    Raises:
        TrainingError: it would not learn, or memory or disk are too small; with figures and the way out.
        ValueError: a setting does not fit network or machine, or shards or published weights are missing or damaged.
    """
    place = choose_device(device)
    loader = Loader(lab, "train", PHOTOS, run.training.seed, shuffle=False, workers=0)
    if not loader.photos:
        raise ValueError(f"{lab} has no photos in the training split: nothing to train on")
    photos = next(loader.batches(0))
    published = partial(pretrained.read, weights, run.published)
    _refuse(run, rate_fault(run, min(run.training.photos_per_epoch or loader.photos, loader.photos)))
    with reproducible(place, threads), torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
        torch.manual_seed(run.training.seed)
        try:
            steps = _learn(run, slim_photos(photos), place, published)
            _refuse(run, fault_of(steps))
            base = psutil.Process().memory_info().rss  # now libraries hold what they hold in a worker
            available = memory_for_one(place, base, together)
            data = TrainingData(partial(histogram_of, lab), published)
            found = needs(run, photos, data, device=place, world_size=world_size)
        except TrainingError:
            raise
        except RuntimeError as error:  # what torch raises where no gradient arrives, shapes do not fit, or memory ends
            raise TrainingError(f"{run.architecture}: a training step fails: {error}") from error
    needed = round(MARGIN * (found.memory + (base if place.type == "cpu" else 0)))
    _refuse(run, memory_fault(run, found, needed, available))
    for folder in folders:
        _refuse(run, disk_fault(run, found, folder))
    return (
        f"{run.architecture}: learns ({_progress(steps)}), needs about {needed / 2**30:.1f} GiB of "
        f"{available / 2**30:.1f} GiB and {found.disk / 2**20:,.0f} MiB of disk"
    )


def slim(settings: _Settings) -> _Settings:
    """The same architecture, or term of an objective, with few channels and layers and no published weights."""
    values: dict[str, Any] = settings.model_dump()
    for name, limit in _LIMITS.items():
        if isinstance(value := values.get(name), (int, float)):
            constraints = type(settings).model_fields[name].metadata
            lowest = next((float(str(one.ge)) for one in constraints if isinstance(one, Ge)), 0.0)
            values[name] = min(value, type(value)(max(limit, lowest)))
    if "pretrained" in values:
        values["pretrained"] = None
    return type(settings).model_validate(values)


def slim_photos(photos: Batch) -> Batch:
    """Eight photos, of 64 pixels at most; where there are fewer, some come again."""
    some = chosen(photos, PHOTOS)
    return Batch(some.ids, some.datasets, _shrunk(some.l), _shrunk(some.ab))


def rate_fault(run: RunSpecification, photos: int) -> str | None:
    """Why a learning rate is too small for any learning; None if it is not.

    In a step AdamW moves a weight by about the learning rate, so in a whole run by no more than the sum of these.

    Args:
        run: what is going to be trained.
        photos: in an epoch.
    """
    training = run.training
    steps = math.ceil(photos / training.batch_size) * training.epochs
    farthest = training.learning_rate * steps
    if farthest >= FARTHEST:
        return None
    return (
        f"in {steps} steps at training.learning_rate {training.learning_rate:g} no weight moves by more than about "
        f"{farthest:.1g}: nothing would be learnt; raise it, 0.001 is usual"
    )


def fault_of(steps: Sequence[Step]) -> str | None:
    """Why these steps are no learning; None if they are.

    The mean of the last five losses, or of their ab errors, has to be at most 0.93 of the first, and no loss 100 times
    the first. Measured with all twelve architectures: at rates of 0.002 to 0.01 it is 0.80 or less, and no loss is
    above 6 times the first; at a rate of 10 it is above 0.98, or does not change any more, or some loss is above
    1e6 times the first. Without learning it gets to 0.97 where spectral norms settle.
    """
    first = steps[0]
    way_out = "lower or raise training.learning_rate, or change the objective; 'colorize overfit NAME' shows more"
    said = f"a slim version does not learn {PHOTOS} photos by heart: "
    if (broken := next((step for step in steps if not math.isfinite(step.loss)), None)) is not None:
        return f"{said}the loss is {broken.loss} in step {broken.number}; {way_out}"
    worst = max(steps, key=lambda step: step.loss)
    if worst.loss > EXPLODED * abs(first.loss):
        return f"{said}the loss is {first.loss:.4g} in step 1 and {worst.loss:.4g} in step {worst.number}; {way_out}"
    if _left(steps) > LEARNT:
        return f"{said}{_course(steps, 'loss')}, {_course(steps, 'ab_rmse')} in {len(steps)} steps; {way_out}"
    losses = [step.loss for step in steps[-LAST:]]
    if max(losses) - min(losses) <= 1e-6 * abs(losses[-1]):
        return f"{said}the loss stays {losses[-1]:.4g}, whatever becomes of the weights; {way_out}"
    return None


def _learn(
    run: RunSpecification,
    photos: Batch,
    device: torch.device,
    published: Callable[[str], Mapping[str, Tensor]],
) -> list[Step]:
    """The steps of a slim network, until it has learnt well or they are used up."""
    rate = max(run.training.learning_rate, RATE)
    training = run.training.model_copy(update={"learning_rate": rate, "warmup_steps": WARM_UP})
    terms = tuple(slim(term) for term in run.objective)
    model = slim(run.model)
    steps: list[Step] = []
    course = overfit(run.architecture, model, terms, training, photos, device=device, published=published)
    for step in islice(course, STEPS):
        steps.append(step)
        if not math.isfinite(step.loss) or (len(steps) > LAST and _left(steps) < LEARNT_WELL):
            break
    return steps


def _left(steps: Sequence[Step]) -> float:
    """Share of the first loss, or of the first ab error, that is left in the last steps: the smaller of both."""
    return min(_mean(steps[-LAST:], name) / max(_mean(steps[:1], name), 1e-12) for name in ("loss", "ab_rmse"))


def _mean(steps: Sequence[Step], name: _Figure) -> float:
    return sum(step.loss if name == "loss" else step.ab_rmse for step in steps) / len(steps)


def _course(steps: Sequence[Step], name: _Figure) -> str:
    title = {"loss": "loss", "ab_rmse": "ab error"}[name]
    return f"{title} from {_mean(steps[:1], name):.3g} to {_mean(steps[-LAST:], name):.3g}"


def _progress(steps: Sequence[Step]) -> str:
    """The figure that fell: the ab error where it did, since all objectives share it."""
    fell = _mean(steps[-LAST:], "ab_rmse") <= LEARNT * steps[0].ab_rmse
    return f"{_course(steps, 'ab_rmse' if fell else 'loss')} in {len(steps)} steps"


def _shrunk(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if codes.shape[-1] <= SIDE:
        return codes
    small = functional.interpolate(torch.from_numpy(codes).float(), size=(SIDE, SIDE), mode="area")
    return small.round().byte().numpy()


def _refuse(run: RunSpecification, fault: str | None) -> None:
    if fault is not None:
        raise TrainingError(f"{run.architecture}: {fault.replace('NAME', run.architecture)}")
