"""The training loop: one worker, plain torch. It does not ask which architecture or objective it runs.

Several workers run the same function, each with its rank, inside a torch process group; `wrap` then makes the network
average its gradients (DistributedDataParallel). A finished run returns at once, an interrupted one goes on from its
newest checkpoint.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.optim import AdamW, Optimizer

from colorize.data.loader import Batch, Loader
from colorize.data.prior import histogram_of
from colorize.models import create, save_model
from colorize.objectives import create as create_objective
from colorize.storage import remove_temporaries, write_json
from colorize.training import checkpoint, log, pretrained
from colorize.training.batches import decode, photo_seed, share_of_loss
from colorize.training.identity import RunSpecification
from colorize.training.meters import Meter
from colorize.training.precision import choose_device, choose_precision, reproducible
from colorize.training.schedule import learning_rate

Report = Callable[[dict[str, Any]], None]
Wrap = Callable[[nn.Module], nn.Module]
Keep = Callable[[Path], None]


class TrainingError(RuntimeError):
    """Training cannot go on: a loss or gradient is no number, or the workers begin at different checkpoints."""


def train(
    run: RunSpecification,
    lab: Path | str,
    run_folder: Path,
    *,
    rank: int = 0,
    world_size: int = 1,
    device: str | None = None,
    threads: int | None = None,
    weights: Path | None = None,
    wrap: Wrap = lambda model: model,
    report: Report | None = None,
    keep: Keep | None = None,
) -> dict[str, Any]:
    """Train one network to the end, or take up where an earlier attempt stopped.

    With the same inputs, number of workers and number of threads the weights are the same on the CPU, bit for bit,
    however often the run was interrupted. Global batches and losses do not depend on the number of workers (but for
    rounding, and for BatchNorm, whose averages are each worker's own).

    Args:
        run: what to train.
        lab: folder of the LAB shards, or `s3://bucket/prefix/<digest>` where they are published.
        run_folder: gets `run.json`, `log.jsonl`, `checkpoints/`, `model/` and, last of all, `done.json`; shared by all
            workers, or with the same checkpoints for each.
        rank: of this worker, from 0; worker 0 writes.
        world_size: number of workers; with more than one a torch process group must have been set up.
        device: such as `cpu` or `cuda:0`; None: a GPU where there is one.
        threads: CPU threads for torch; None: as set.
        weights: folder of imported published weights, of which the encoder may begin with some; None: the one of the
            project that `run_folder` lies in, as `runs/<name>`.
        wrap: makes the network one that averages gradients over the workers.
        report: called with every record of the log, equally often on every worker.
        keep: called with `run_folder` after every epoch, whose checkpoint is then written where one is due, and when
            the run is done, by every worker: to copy elsewhere what is new.

    Returns:
        What `done.json` holds.

    Raises:
        ValueError: the folder is another run's, the device or number format is not there, the training split is empty,
            a checkpoint is damaged, or the published weights to begin with are missing, others or do not fit.
        TrainingError: the loss is no number, and the message names the photos; or the workers' folders hold different
            checkpoints.
    """
    _refuse_foreign(run, run_folder)
    finished = run_folder / "done.json"
    if finished.exists():
        return _read(finished)
    chosen = choose_device(device)
    with reproducible(chosen, threads):
        place = _Place(rank, world_size, chosen)
        published = weights or run_folder.absolute().parent.parent / pretrained.FOLDER
        worker = _Worker(run, lab, run_folder, place=place, weights=published, wrap=wrap, report=report, keep=keep)
        for epoch in range(worker.state.epoch, run.training.epochs):
            worker.train_epoch(epoch)
        return worker.finish()


class _Place(NamedTuple):
    """Which of how many workers this is, and on which device."""

    rank: int
    world_size: int
    device: torch.device


class _Worker:
    """One worker's network, optimizers and data, and how far they have come."""

    def __init__(
        self,
        run: RunSpecification,
        lab: Path | str,
        folder: Path,
        *,
        place: _Place,
        weights: Path,
        wrap: Wrap,
        report: Report | None,
        keep: Keep | None,
    ) -> None:
        settings = run.training
        self.run, self.folder, self.report, self.keep = run, folder, report, keep
        self.rank, self.world_size, self.device = place
        self.precision = choose_precision(settings.precision, self.device)
        load = partial(Loader, lab, batch_size=settings.batch_size, seed=settings.seed, rank=self.rank)
        self.photos = load(split="train", world_size=self.world_size, flip=settings.flip)
        self.held_out = load(split="validation", world_size=self.world_size, shuffle=False)
        if not self.photos.photos:
            raise ValueError(f"{lab} has no photos in the training split: nothing to train on")
        self.steps = len(self.photos) * settings.epochs
        self.objective = create_objective(run.objective, run.architecture, partial(histogram_of, lab))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.network = create(run.architecture, run.model)
        self.network.to(device=self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizers: dict[str, Optimizer] = {
            name: AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
            for name, parameters in self.objective.groups(self.network).items()
        }
        self.state = self._resume(weights)
        # The wrapper shares the parameters: what the optimizers move, it sees.
        self.model = wrap(self.network)
        self.started = time.monotonic() - self.state.seconds
        self.unchecked: tuple[Tensor, list[str]] | None = None

    def train_epoch(self, epoch: int) -> None:
        """All steps of an epoch (counted from 0), the validation after it and, when it is due, a checkpoint."""
        settings = self.run.training
        self.model.train()
        every = max(1, min(50, len(self.photos) // 10))
        meter = Meter(self.device, self.world_size)
        batches = self.photos.batches(epoch)
        for index in range(len(self.photos)):
            asked = time.monotonic()
            batch = next(batches)
            waited = time.monotonic() - asked
            meter.add(len(batch.ids), self._step(batch, index), waited=waited)
            if (index + 1) % every == 0 or index + 1 == len(self.photos):
                self._check()
                self._log_steps(epoch, meter)
                meter = Meter(self.device, self.world_size)
        self.state.epoch = epoch + 1
        self.state.validation = self._validate()
        self._log({"step": self.state.step, "epoch": epoch + 1, **self.state.validation})
        self.state.seconds = time.monotonic() - self.started
        due = self.state.epoch % settings.checkpoint_every == 0 or self.state.epoch == settings.epochs
        if self.rank == 0 and due:
            folder = self.folder / "checkpoints"
            checkpoint.save(folder, self.state, self.network, self.optimizers, settings.keep_checkpoints)
        if self.keep:
            self.keep(self.folder)

    def finish(self) -> dict[str, Any]:
        """Write the model and then `done.json`; returns when both are there."""
        state, run = self.state, self.run
        result = {
            "format": 1,
            "run": run.name,
            "fingerprint": run.fingerprint,
            "epochs": state.epoch,
            "steps": state.step,
            "seconds": round(state.seconds, 3),
            "images_per_second": round(self.photos.photos * state.epoch / max(state.training_seconds, 1e-9), 3),
            **state.validation,
            "device": torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type,
            "precision": str(self.precision).removeprefix("torch."),
            "workers": self.world_size,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }
        if self.rank == 0:
            about = {"size": self.photos.size, "run": run.name, "fingerprint": run.fingerprint}
            save_model(self.folder / "model", self.network, run.architecture, run.model, about)
            write_json(self.folder / "done.json", result)
        if self.keep:
            self.keep(self.folder)
        if self.world_size > 1:
            distributed.barrier()
        return result

    def _step(self, batch: Batch, index: int) -> Tensor:
        """One optimizer step for each update of the objective; returns the loss of the first."""
        settings = self.run.training
        self.state.step += 1
        rate = learning_rate(self.state.step, self.steps, settings.learning_rate, settings.warmup_steps)
        seeds = [photo_seed(settings.seed, self.state.step, photo) for photo in batch.ids]
        photos = decode(batch, self.device, seeds)
        everyone = min(settings.batch_size, self.photos.photos - index * settings.batch_size)
        share = share_of_loss(len(batch.ids), everyone, self.world_size)
        losses = []
        updates = self.objective.updates(self.model, photos)
        while True:
            with self._arithmetic():
                update = next(updates, None)
            if update is None:
                break
            optimizer = self.optimizers[update.group]
            optimizer.zero_grad(set_to_none=True)
            (update.loss * share).backward()  # type: ignore[no-untyped-call]
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            norm = nn.utils.clip_grad_norm_(parameters, settings.gradient_clip)
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            losses.append(update.loss.detach())
            self._check()
            self.unchecked = (losses[-1] + norm, batch.ids)
        return losses[0]

    def _check(self) -> None:
        """Stop if the step before was no number: one step late, so that a GPU is never waited for."""
        if self.unchecked is None:
            return
        health, photos = self.unchecked
        self.unchecked = None
        if not math.isfinite(health.item()):
            raise TrainingError(
                f"{self.run.name}: the loss or its gradient is {health.item()} about step {self.state.step}; lower "
                f"training.learning_rate, or look at the photos of this batch: {', '.join(photos)}"
            )

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        """Loss and ab RMSE (over pixels and both channels, CIELAB units) of the validation split."""
        self.model.eval()
        meter = Meter(self.device, self.world_size)
        for batch in self.held_out.batches(0):
            if batch.ids:
                photos = decode(batch, self.device)
                with self._arithmetic():
                    # Not the wrapped network: a worker without photos need not take part.
                    update = next(self.objective.updates(self.network, photos))
                ab = update.prediction.ab.float().clamp(-128.0, 127.0)
                meter.add(len(batch.ids), update.loss, functional.mse_loss(ab, photos.ab))
        loss, squared_error, counted = meter.read()
        return {"validation_loss": loss, "validation_ab_rmse": math.sqrt(squared_error)} if counted else {}

    def _arithmetic(self) -> AbstractContextManager[object]:
        if self.precision == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.precision)

    def _log_steps(self, epoch: int, meter: Meter) -> None:
        settings = self.run.training
        loss, _, photos = meter.read()
        seconds = meter.seconds()
        self.state.training_seconds += seconds
        self._log(
            {
                "step": self.state.step,
                "steps": self.steps,
                "epoch": epoch + 1,
                "loss": loss,
                "learning_rate": learning_rate(
                    self.state.step, self.steps, settings.learning_rate, settings.warmup_steps
                ),
                "images_per_second": round(photos / seconds, 3),
                "data_wait_share": round(meter.wait_share(), 4),
            }
        )

    def _log(self, record: dict[str, Any]) -> None:
        if self.rank == 0:
            log.append(self.folder / "log.jsonl", record)
        if self.report:
            self.report(record)

    def _resume(self, weights: Path) -> checkpoint.State:
        """Go back to the newest checkpoint, or to the start; worker 0 also tidies the folder."""
        state = checkpoint.State()
        folder = self.folder / "checkpoints"
        if whole := checkpoint.checkpoints(folder):
            state = checkpoint.load(whole[-1], self.network, self.optimizers)
        elif (name := pretrained.wanted(self.run.model)) is not None:
            self.network.begin_with(pretrained.read(weights, name, self.run.pretrained_digest or ""))
        self._check_same_start(state.epoch)
        if self.rank == 0:
            write_json(self.folder / "run.json", self.run.to_dict())
            remove_temporaries(folder)
            log.rewind(self.folder / "log.jsonl", state.step)
        return state

    def _check_same_start(self, epoch: int) -> None:
        """Workers that went on from different checkpoints would wait for each other for ever."""
        if self.world_size == 1:
            return
        # Workers tidy nothing and begin nothing before all have read: this is where they meet first.
        ends = torch.tensor([epoch, -epoch], device=self.device)
        distributed.all_reduce(ends, distributed.ReduceOp.MAX)
        last, first = ends[0].item(), -ends[1].item()
        if last != first:
            raise TrainingError(
                f"{self.run.name}: the workers' newest checkpoints are of epochs {first:g} to {last:g}; start it again"
            )


def _refuse_foreign(run: RunSpecification, folder: Path) -> None:
    if not (folder / "run.json").exists():
        return
    other = _read(folder / "run.json")["fingerprint"]
    if other != run.fingerprint:
        raise ValueError(f"{folder} holds a run with fingerprint {other[:12]}…, not {run.name}; choose another folder")


def _read(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values
