"""One training as one Ray Train job: Ray starts, watches and restarts the workers; the loop is the library's own."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

import ray
import ray.train
from ray.exceptions import RayTaskError
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from colorize.training.identity import RunSpecification
from pipelines.ray_session import Resources

_SECONDS_BETWEEN_LOOKS = 0.5


class TrainingFailedError(RuntimeError):
    """The workers failed more often than `scaling.maximum_failures` allows; the message names run, worker and error."""


def launch(
    specification: RunSpecification, lab: Path, folder: Path, resources: Resources, maximum_failures: int
) -> None:
    """Train until the run is done, resuming whatever the run's folder holds.

    Ray's own files lie in `<folder>/ray/`, so that (storage path, name) is the same for the same run and goes with it.

    Args:
        specification: the run.
        lab: the LAB shards.
        folder: the run's folder, on storage that every worker sees.
        resources: what the training may take; it waits until that is free.
        maximum_failures: how often Ray restarts the workers.

    Raises:
        TrainingFailedError: the budget of restarts is used up.
    """
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={
            "specification": specification.to_dict(),
            "lab": str(lab.resolve()),
            "folder": str(folder.resolve()),
        },
        scaling_config=ScalingConfig(
            num_workers=resources.workers,
            use_gpu=resources.gpu,
            resources_per_worker={"CPU": resources.cpus, **({"GPU": 1} if resources.gpu else {})},
        ),
        run_config=RunConfig(
            name=specification.name,
            storage_path=str(folder.resolve() / "ray"),
            failure_config=FailureConfig(max_failures=maximum_failures),
        ),
    )
    try:
        trainer.fit()
    except ray.train.WorkerGroupError as error:
        rank, cause = min(error.worker_failures.items())
        last = str(cause).strip().splitlines()[-1]
        raise TrainingFailedError(
            f"{specification.name}: worker {rank} failed, {maximum_failures} restarts included: {last}"
        ) from error


def submit(
    specification: RunSpecification, lab: Path, folder: Path, resources: Resources, maximum_failures: int
) -> Any:
    """`launch` as a Ray task; returns the reference to its end.

    `TorchTrainer.fit` waits inside Ray until the training ends. Ray can crash a process in which one thread waits so
    while another ends the session, as after Ctrl-C; whoever waits for a task of its own need only look now and then.
    """
    task: Any = ray.remote(num_cpus=0, max_retries=0)(launch)
    return task.remote(specification, lab, folder, resources, maximum_failures)


def has_ended(task: Any, seconds: float, stopped: Event) -> bool:
    """Wait for the end of what was submitted, so many seconds at most and not when `stopped` is set.

    Raises:
        TrainingFailedError: the budget of restarts is used up.
        Exception: whatever else `launch` raised.
        ray.exceptions.RayError: Ray lost the process that it ran in.
    """
    while not ray.wait([task], timeout=min(max(seconds, 0.0), _SECONDS_BETWEEN_LOOKS))[0]:
        seconds -= _SECONDS_BETWEEN_LOOKS
        if seconds <= 0 or stopped.is_set():
            return False
    try:
        ray.get(task)
    except RayTaskError as error:
        raise (error.cause if isinstance(error.cause, Exception) else error) from error
    return True


def report_epoch(record: dict[str, Any]) -> None:
    """Tell Ray about an epoch. All workers meet here, so it is not done for every record of the log."""
    if "loss" not in record:
        ray.train.report(record)


def train_worker(config: dict[str, Any]) -> None:
    """What every worker runs. Ray sets torch's threads to the worker's CPUs, by OMP_NUM_THREADS."""
    from ray.train.torch import get_device, prepare_model

    from colorize.training.loop import train

    context = ray.train.get_context()
    train(
        RunSpecification.from_dict(config["specification"]),
        Path(config["lab"]),
        Path(config["folder"]),
        rank=context.get_world_rank(),
        world_size=context.get_world_size(),
        device=str(get_device()),
        wrap=prepare_model,
        report=report_epoch,
    )
