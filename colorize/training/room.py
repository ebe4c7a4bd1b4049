"""How much memory and disk a run is going to need, estimated before it begins."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import psutil
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from colorize.data.loader import Batch
from colorize.models import create
from colorize.objectives import Objective, TrainingData
from colorize.objectives import create as create_objective
from colorize.settings.sections import TrainingSettings
from colorize.training.batches import decode, photo_seed
from colorize.training.identity import RunSpecification
from colorize.training.precision import choose_precision

_ADAM: Final = 2  # averages that it keeps of each weight
_COPIES: Final = 3  # of the optimizer's tensors while they are written: in order, as bytes, as a file's content


class Needs(NamedTuple):
    """What one worker takes, bytes.

    Attributes:
        weights: networks of model and objective, with what optimizer and averages keep of each weight.
        gradients: of the weights, twice where several workers exchange them.
        photos: what those that it works on at a time leave for the backward pass.
        writing: copies while a checkpoint is written, when the photos' memory is free.
        disk: checkpoints, one more than is kept since the oldest is removed last, and the model.
    """

    weights: int
    gradients: int
    photos: int
    writing: int
    disk: int

    @property
    def memory(self) -> int:
        """At its highest."""
        return self.weights + self.gradients + max(self.photos, self.writing)


def needs(run: RunSpecification, photos: Batch, data: TrainingData, *, device: torch.device, world_size: int) -> Needs:
    """What a run is going to take, from its network and a forward pass of one or two photos.

    Args:
        run: what is going to be trained.
        photos: one at least, of the size that is trained on.
        data: what the objective's terms ask for.
        device: where.
        world_size: number of workers.
    """
    settings = run.training
    network = create(run.architecture, run.model).to(device).train()
    objective = create_objective(run.objective, run.architecture, data)
    objective.to(device)
    part = math.ceil(math.ceil(settings.batch_size / world_size) / settings.accumulate)
    # Two where there are two: a normalization over a batch has no answer for a single pixel.
    some = chosen(photos, min(2, part))
    kept = _kept_for_backward(network, objective, some, device=device, settings=settings)
    moved = {id(one): one for group in objective.groups(network).values() for one in group.parameters}
    trained = _size(one for one in moved.values() if one.requires_grad)
    judges = [one for term in objective.terms for one in vars(term.term).values() if isinstance(one, nn.Module)]
    model = _size(network.state_dict().values())
    copies = model * ((settings.average > 0) + (settings.patience is not None))  # the average, and the best so far
    weights = _held([network, *judges]) + _ADAM * trained + copies
    gradients = trained * (2 if world_size > 1 else 1)
    writing = _COPIES * _ADAM * trained if device.type == "cpu" else 0
    critics = sum(_size(critic.state_dict().values()) for critic in objective.modules().values())
    checkpoint = model + critics + _ADAM * trained + copies
    disk = (settings.keep_checkpoints + 1) * checkpoint + model
    return Needs(weights, gradients, kept * part // len(some.ids), writing, disk)


def chosen(photos: Batch, count: int) -> Batch:
    """So many photos from the first on; where there are fewer, they come again."""
    at = [number % len(photos.ids) for number in range(count)]
    return Batch([photos.ids[one] for one in at], [photos.datasets[one] for one in at], photos.l[at], photos.ab[at])


def memory_for_one(device: torch.device, base: int, together: int) -> int:
    """Bytes for one worker: of a GPU the free ones; on the CPU its share of them, what this process has included.

    Args:
        device: of the worker.
        base: bytes that this process holds, which is one of them.
        together: workers that share this machine's memory.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return (psutil.virtual_memory().available + base) // together


def memory_fault(run: RunSpecification, found: Needs, needed: int, available: int) -> str | None:
    """Why a worker cannot have its memory; None if it can.

    Args:
        run: what is going to be trained.
        found: what of it takes how much.
        needed: bytes, with what Python and its libraries take.
        available: bytes.
    """
    if needed <= available:
        return None
    return (
        f"a worker needs about {_gib(needed)} GiB of memory and has {_gib(available)} GiB ({_gib(found.weights)} for "
        f"weights and what the optimizer keeps, {_gib(found.gradients)} for gradients, {_gib(found.photos)} for "
        f"photos); lower training.batch_size ({run.training.batch_size}) or the network's width, raise "
        f"training.accumulate ({run.training.accumulate}), or have more workers on more machines (scaling.workers)"
    )


def disk_fault(run: RunSpecification, found: Needs, folder: Path) -> str | None:
    """Why a folder, which need not be there yet, cannot take a run; None if it can."""
    there = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    if (free := shutil.disk_usage(there).free) >= found.disk:
        return None
    keep = run.training.keep_checkpoints
    return (
        f"{keep + 1} checkpoints and the model take about {found.disk / 2**20:,.0f} MiB, and {free / 2**20:,.0f} MiB "
        f"are free in {there}; make room, lower training.keep_checkpoints ({keep}), or set scaling.storage to another "
        "place"
    )


def _kept_for_backward(
    network: nn.Module, objective: Objective, photos: Batch, *, device: torch.device, settings: TrainingSettings
) -> int:
    """Bytes that the forward pass keeps for the backward pass, of the update that keeps most; weights do not count."""
    batch = decode(photos, device, [photo_seed(settings.seed, 1, photo) for photo in photos.ids])
    batch.step, batch.epoch = 1, objective.settled
    fixed = {one.untyped_storage().data_ptr() for one in (*network.parameters(), *network.buffers())}
    found: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if not isinstance(tensor, nn.Parameter) and storage.data_ptr() not in fixed:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    precision = choose_precision(settings.precision, device)
    arithmetic = torch.autocast(device.type, precision, enabled=precision != torch.float32)
    updates, most = objective.updates(network, batch), 0
    while True:
        found.clear()
        with saved_tensors_hooks(note, lambda tensor: tensor), arithmetic:
            update = next(updates, None)
        if update is None:
            return most
        most = max(most, sum(found.values()))


def _held(modules: Iterable[nn.Module]) -> int:
    tensors = (one for module in modules for one in (*module.parameters(), *module.buffers()))
    return _size({id(one): one for one in tensors}.values())


def _size(tensors: Iterable[Tensor]) -> int:
    return sum(one.numel() * one.element_size() for one in tensors)


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f}"
