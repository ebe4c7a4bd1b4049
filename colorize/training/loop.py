"""The training loop: one worker, plain torch. It does not ask which architecture or objective it runs.

Several workers run the same function, each with its rank, inside a torch process group; `wrap` then makes the network
average its gradients (DistributedDataParallel). A finished run returns at once, an interrupted one goes on from its
newest checkpoint.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed, nn

from colorize.data.loader import Batch, Loader
from colorize.data.prior import histogram_of
from colorize.models import create, save_model
from colorize.objectives import TrainingData
from colorize.objectives import create as create_objective
from colorize.objectives.base import CRITIC, MODEL
from colorize.storage import remove_temporaries, write_json
from colorize.training import checkpoint, log, optimizers, pretrained
from colorize.training.augmentation import augment, pixels_of, shrink
from colorize.training.averaging import MovingAverage, average_over_workers
from colorize.training.batches import cut, decode, photo_seed, share_of_loss
from colorize.training.compiling import compiled
from colorize.training.gradients import Part, differentiated
from colorize.training.identity import RunSpecification
from colorize.training.meters import Meter
from colorize.training.precision import choose_device, choose_precision, reproducible
from colorize.training.schedule import learning_rate
from colorize.training.stopping import best_epoch, is_over
from colorize.training.validation import validate

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
    # What layers draw, such as dropout, is seeded for each step: the caller's random state stays as it is.
    with reproducible(chosen, threads), torch.random.fork_rng(devices=[chosen] if chosen.type == "cuda" else []):
        place = _Place(rank, world_size, chosen)
        published = weights or run_folder.absolute().parent.parent / pretrained.FOLDER
        worker = _Worker(run, lab, run_folder, place=place, weights=published, wrap=wrap, report=report, keep=keep)
        while not worker.is_over:
            worker.train_epoch(worker.state.epoch)
        return worker.finish()


# Files of a checkpoint beside the networks': the moving average, and the best weights so far.
_AVERAGE, _BEST = "average", "best"


class _Place(NamedTuple):
    """Which of how many workers this is, and on which device."""

    rank: int
    world_size: int
    device: torch.device


class _Worker:
    """One worker's networks, optimizers and data, and how far they have come."""

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
        self.photos = load(
            split="train",
            world_size=self.world_size,
            flip=settings.flip,
            photos_per_epoch=settings.photos_per_epoch,
            balance=settings.balance,
        )
        self.held_out = load(split="validation", world_size=self.world_size, shuffle=False)
        if not self.photos.photos:
            raise ValueError(f"{lab} has no photos in the training split: nothing to train on")
        if settings.patience and not self.held_out.photos:
            raise ValueError(f"training.patience is {settings.patience}, but {lab} has no validation split to look at")
        pixels_of(settings.sizes, 0, self.photos.size)  # refuses sizes that the shards do not have
        self.steps = len(self.photos) * settings.epochs
        published = partial(pretrained.read, weights, run.published)
        torch.manual_seed(settings.seed)
        self.network = create(run.architecture, run.model)
        self.objective = create_objective(
            run.objective, run.architecture, TrainingData(partial(histogram_of, lab), published)
        )
        self.network.to(device=self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.objective.to(self.device)
        self.encoder = optimizers.encoder_of(self.network, settings)
        self.trained = checkpoint.Trained(
            {MODEL: self.network, **self.objective.modules()}, optimizers.build(self.objective, self.network, settings)
        )
        self.average = MovingAverage(self.network, settings.average) if settings.average else None
        self.state = self._resume(published)
        # The wrapper shares the parameters: what the optimizers move, it sees.
        self.model = wrap(self.network)
        if settings.compile:
            self.model = self._compiled()
        self.started = time.monotonic() - self.state.seconds
        self.unchecked: tuple[Tensor, list[str]] | None = None

    @property
    def is_over(self) -> bool:
        """Whether there is no epoch left to train."""
        settings = self.run.training
        stopped = is_over(self.state.history, settings.patience, self._first_judged)
        return self.state.epoch >= settings.epochs or stopped

    @property
    def _first_judged(self) -> int:
        """Finished epochs that early stopping leaves out: all of a preparation but its last."""
        return max(0, self.objective.settled - 1)

    def train_epoch(self, epoch: int) -> None:
        """All steps of an epoch (counted from 0), the validation after it and, when it is due, a checkpoint."""
        settings = self.run.training
        self._set_modes(epoch)
        every = max(1, min(50, len(self.photos) // 10))
        meter: Meter | None = None
        batches = self.photos.batches(epoch)
        for index in range(len(self.photos)):
            started = time.monotonic()
            batch = next(batches)
            waited = time.monotonic() - started
            figures = self._step(batch, epoch, index)
            meter = meter or Meter(list(figures), self.device, self.world_size, started)
            meter.add(len(batch.ids), figures, waited=waited)
            if (index + 1) % every == 0 or index + 1 == len(self.photos):
                self._check()
                self._log_steps(epoch, meter)
                meter = None
        self.state.epoch = epoch + 1
        self._measure()
        self._log({"step": self.state.step, "epoch": epoch + 1, **self.state.validation})
        self.state.seconds = time.monotonic() - self.started
        due = self.state.epoch % settings.checkpoint_every == 0 or self.is_over
        if self.rank == 0 and due:
            checkpoint.save(self.folder / "checkpoints", self.state, self.trained, settings.keep_checkpoints)
        if self.keep:
            self.keep(self.folder)

    def finish(self) -> dict[str, Any]:
        """Write the model and then `done.json`; returns when both are there."""
        state, run = self.state, self.run
        best = best_epoch(state.history, self._first_judged)
        if best is not None:
            self.network.load_state_dict(self.trained.kept[_BEST])
        elif self.average:
            self.average.swap()
        result = {
            "format": 1,
            "run": run.name,
            "fingerprint": run.fingerprint,
            "epochs": state.epoch,
            "steps": state.step,
            "seconds": round(state.seconds, 3),
            "images_per_second": round(self.photos.epoch_photos * state.epoch / max(state.training_seconds, 1e-9), 3),
            **({} if best is None else {"best_epoch": best}),
            **(state.validation if best is None else state.best),
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

    def _compiled(self) -> nn.Module:
        batch = next(self.photos.batches(0))
        photos = decode(batch, self.device, [photo_seed(0, 0, photo) for photo in batch.ids])
        return compiled(self.model, photos.l, photos.seeds or [])

    def _set_modes(self, epoch: int) -> None:
        """Training mode; a frozen encoder neither learns nor draws nor counts, as if it were applied."""
        self.model.train()
        if self.encoder is not None:
            frozen = epoch < self.run.training.frozen_epochs
            self.encoder.requires_grad_(not frozen)
            self.encoder.train(not frozen)

    def _step(self, batch: Batch, epoch: int, index: int) -> dict[str, Tensor]:
        """One optimizer step for each update of the objective; returns the figures to log, means over the photos."""
        settings, state = self.run.training, self.state
        state.step += 1
        torch.manual_seed(photo_seed(settings.seed, state.step, f"worker {self.rank}"))
        rate = self._rate()
        everyone = min(settings.batch_size, self.photos.epoch_photos - index * settings.batch_size)
        pixels = pixels_of(settings.sizes, epoch, self.photos.size)
        parts = []
        for part in cut(batch, settings.accumulate):
            photos = decode(part, self.device, [photo_seed(settings.seed, state.step, photo) for photo in part.ids])
            photos.step, photos.epoch = state.step, epoch
            photos = shrink(augment(photos, settings.crop, settings.lighting), pixels)
            share = share_of_loss(len(part.ids), everyone, self.world_size)
            parts.append(Part(self.objective.updates(self.model, photos), share, len(part.ids)))
        figures: dict[str, Tensor] = {}
        for group, loss in differentiated(parts, self.trained.optimizers, figures, self._arithmetic, self.model):
            optimizer = self.trained.optimizers[group]
            if group != MODEL and self.world_size > 1:
                average_over_workers(self.trained.networks[group])
            norm = nn.utils.clip_grad_norm_(optimizers.parameters_of(optimizer), settings.gradient_clip)
            optimizers.set_rates(optimizer, rate)
            optimizer.step()
            if group == MODEL and self.average:
                self.average.update(state.step)
            self._check()
            self.unchecked = (loss + norm, batch.ids)
        if len(self.objective.terms) == 1:  # it is the loss
            figures = {name: value for name, value in figures.items() if not name.startswith("loss_")}
        # Where only the critic trains, its loss is all there is.
        figures.setdefault("loss", figures.get(f"{CRITIC}_loss", torch.zeros((), device=self.device)))
        return figures

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

    def _measure(self) -> None:
        """The figures of the validation split, and whether they are the best so far."""
        settings, state = self.run.training, self.state
        with self._averaged():
            state.validation = validate(
                self.network,
                self.objective,
                self.held_out,
                device=self.device,
                world_size=self.world_size,
                arithmetic=self._arithmetic,
            )
            if settings.patience:
                state.history.append(state.validation[settings.early_stop])
                if best_epoch(state.history, self._first_judged) == state.epoch:
                    state.best = state.validation
                    self.trained.kept[_BEST] = {n: t.detach().clone() for n, t in self.network.state_dict().items()}

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Inside, the network has its averaged weights, if they are averaged."""
        if self.average is None:
            yield
            return
        self.average.swap()
        try:
            yield
        finally:
            self.average.swap()

    def _arithmetic(self) -> AbstractContextManager[object]:
        if self.precision == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.precision)

    def _rate(self) -> float:
        settings = self.run.training
        return learning_rate(self.state.step, self.steps, settings.learning_rate, settings.warmup_steps)

    def _log_steps(self, epoch: int, meter: Meter) -> None:
        figures, photos = meter.read()
        seconds = meter.seconds()
        self.state.training_seconds += seconds
        self._log(
            {
                "step": self.state.step,
                "steps": self.steps,
                "epoch": epoch + 1,
                **figures,
                "learning_rate": self._rate(),
                "images_per_second": round(photos / seconds, 3),
                "data_wait_share": round(meter.wait_share(), 4),
            }
        )

    def _log(self, record: dict[str, Any]) -> None:
        if self.rank == 0:
            log.append(self.folder / "log.jsonl", record)
        if self.report:
            self.report(record)

    def _resume(self, published: Callable[[str], dict[str, Tensor]]) -> checkpoint.State:
        """Go back to the newest checkpoint, or to the start; worker 0 also tidies the folder."""
        state = checkpoint.State()
        folder = self.folder / "checkpoints"
        if self.run.training.patience:
            self.trained.kept[_BEST] = {}
        if self.average:
            self.trained.kept[_AVERAGE] = self.average.parameters
        if whole := checkpoint.checkpoints(folder):
            state = checkpoint.load(whole[-1], self.trained)
            if self.average:
                self.average.take(self.trained.kept[_AVERAGE])
                self.trained.kept[_AVERAGE] = self.average.parameters
        elif (name := pretrained.encoder(self.run.model)) is not None:
            self.network.begin_with(published(name))
            if self.average:
                self.average.take(dict(self.network.named_parameters()))
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
