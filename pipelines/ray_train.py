"""One training as one Ray Train job: Ray starts, watches and restarts the workers; the loop is the library's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ray.train
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from colorize.training.identity import RunSpecification
from pipelines.ray_session import Resources


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
