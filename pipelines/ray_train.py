"""One training as one Ray Train job: Ray starts, watches and restarts the workers; the loop is the library's own.

Without `scaling.storage` all workers share the run's folder. With it each has a folder of its own that is thrown away:
what counts lies in the storage (see `colorize.training.mirror`), and comes home when the run is done.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, Protocol

import ray
import ray.train
from ray.exceptions import RayTaskError
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from colorize.data.publish import publish
from colorize.data.shard_index import remote_address
from colorize.data.sources import SourceUnavailableError
from colorize.settings.sections import ScalingSettings
from colorize.stores import S3
from colorize.training import pretrained
from colorize.training.identity import RunSpecification
from colorize.training.mirror import Mirror
from pipelines.gauges import Gauges
from pipelines.preflight import is_fresh, preflight, rehearse
from pipelines.ray_session import Resources, nodes, share
from pipelines.worker_output import worker_output

_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_BETWEEN_RESIZINGS = 10.0  # how often Ray looks whether lost workers can be had again
_RAY_ATTEMPTS = 10  # of each of Ray's own requests to the storage


class TrainingFailedError(RuntimeError):
    """The workers failed more often than `scaling.maximum_failures` allows; the message names run, worker and error."""


class Training(Protocol):
    """A training under way."""

    def ended(self, seconds: float, stopped: Event) -> bool:
        """Wait for the end, so many seconds at most and not when `stopped` is set; raises what made it fail."""
        ...


@dataclass(frozen=True, slots=True)
class Submitted:
    """A training that the Ray of this process has been given.

    Attributes:
        task: Ray's reference to its end.
        folder: the run's folder here.
        mirror: its place in the storage; None where all workers share the folder.
    """

    task: Any
    folder: Path
    mirror: Mirror | None

    def ended(self, seconds: float, stopped: Event) -> bool:
        """Wait for the end, so many seconds at most and not when `stopped` is set; the logs here are then up to date.

        After the end the folder holds the whole run.

        Raises:
            TrainingFailedError: the budget of restarts is used up.
            PreflightError: a node cannot see what it needs.
            Exception: whatever else `launch` raised.
            ray.exceptions.RayError: Ray lost the process that it ran in.
        """
        while not ray.wait([self.task], timeout=min(max(seconds, 0.0), _SECONDS_BETWEEN_LOOKS))[0]:
            seconds -= _SECONDS_BETWEEN_LOOKS
            if seconds <= 0 or stopped.is_set():
                self._follow()
                return False
        try:
            ray.get(self.task)
        except RayTaskError as error:
            self._follow()
            raise (error.cause if isinstance(error.cause, Exception) else error) from error
        if self.mirror:
            self.mirror.fetch(self.folder)
        return True

    def _follow(self) -> None:
        if self.mirror:
            with suppress(SourceUnavailableError):  # the run itself says so if it cannot go on
                self.mirror.follow(self.folder)


def launch(
    specification: RunSpecification, lab: str, folder: Path, storage: str | None, scaling: ScalingSettings
) -> None:
    """Train until the run is done, resuming whatever the run's folder or the storage holds. Runs inside the cluster.

    Ray's own files lie in `ray/` beside the run's, so that (storage path, name) is the same for the same run.

    Args:
        specification: the run.
        lab: the LAB shards, a folder that every node sees or the address of a published version.
        folder: the run's folder; without `storage`, every node must see it.
        storage: where the run is kept, `s3://bucket/prefix` or a folder that every node sees; None: in `folder`.
        scaling: what the training may take; it waits until that is free.

    Raises:
        PreflightError: a node cannot see what it needs; nothing was trained.
        TrainingError: the rehearsal says that it would not learn, or that there is no room for it.
        TrainingFailedError: the budget of restarts is used up.
        ValueError: the cluster has too few CPUs or GPUs, or a setting does not fit network or machine.
    """
    folder = folder.absolute()
    if storage is None:
        folder.mkdir(parents=True, exist_ok=True)
    preflight(lab, specification.data_digest, storage or str(folder))
    resources = resources_of(scaling)
    config = {"specification": specification.to_dict(), "lab": lab, "folder": str(folder), "storage": storage}
    if is_fresh(specification.name, folder, storage):
        rehearse(specification, lab, folder, storage, resources)
    # Any: mypy knows the class of this name that Ray had before.
    wanted: dict[str, Any] = {"num_workers": scaling.workers}
    if scaling.minimum_workers is not None:
        wanted["num_workers"] = (scaling.minimum_workers, scaling.workers)
        wanted["elastic_resize_monitor_interval_s"] = _SECONDS_BETWEEN_RESIZINGS
    place = f"{storage.rstrip('/')}/runs/{specification.name}" if storage else str(folder)
    trainer = TorchTrainer(
        train_worker,
        train_loop_config=config,
        scaling_config=ScalingConfig(
            use_gpu=resources.gpu,
            resources_per_worker={"CPU": resources.cpus, **({"GPU": 1} if resources.gpu else {})},
            **wanted,
        ),
        run_config=RunConfig(
            name=specification.name,
            failure_config=FailureConfig(max_failures=scaling.maximum_failures),
            **_ray_storage(f"{place}/ray"),
        ),
    )
    try:
        trainer.fit()
    except ray.train.WorkerGroupError as error:
        rank, cause = min(error.worker_failures.items())
        last = str(cause).strip().splitlines()[-1]
        raise TrainingFailedError(
            f"{specification.name}: worker {rank} failed, {scaling.maximum_failures} restarts included: {last}"
        ) from error


def submit(
    specification: RunSpecification, lab: str, folder: Path, storage: str | None, scaling: ScalingSettings
) -> Submitted:
    """`launch` as a Ray task on this node. With `storage`, the data and weights that nodes need are put there before.

    `TorchTrainer.fit` waits inside Ray until the training ends. Ray can crash a process in which one thread waits so
    while another ends the session, as after Ctrl-C; whoever waits for a task of its own need only look now and then.

    Raises:
        ValueError: the storage refuses, cannot be reached, or holds other bytes of the same data.
        OSError: a file cannot be read.
    """
    folder = folder.absolute()
    lab = supply(specification, lab, folder, storage)
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    task: Any = ray.remote(num_cpus=0, max_retries=0)(launch).options(scheduling_strategy=here)
    mirror = Mirror(storage, specification.name) if storage else None
    return Submitted(task.remote(specification, lab, folder, storage, scaling), folder, mirror)


def supply(specification: RunSpecification, lab: str, folder: Path, storage: str | None) -> str:
    """Put what a run begins with into the storage: shards that lie here, and published weights where it wants some.

    Args:
        specification: the run.
        lab: the LAB shards, here or the address of a published version.
        folder: the run's folder, `runs/<name>` of the project.
        storage: as `launch` has it.

    Returns:
        The address from which the nodes read the shards.

    Raises:
        ValueError: the storage refuses, cannot be reached, or holds other bytes of the same data.
        OSError: a file cannot be read.
    """
    if remote_address(lab) is not None:
        return str(remote_address(lab))
    here = Path(lab).absolute()
    if storage is None:
        return str(here)
    for name in specification.published:
        Mirror(storage, specification.name).push_weights(folder.parent.parent / pretrained.FOLDER / name)
    if str(here).startswith(f"{storage.rstrip('/')}/"):
        return str(here)  # a version that is there already
    return publish(here, f"{storage.rstrip('/')}/lab").address


def resources_of(scaling: ScalingSettings) -> Resources:
    """What one training takes; where not all workers fit now, as much as for the fewest that may go on.

    Raises:
        ValueError: there are not enough CPUs or GPUs for those.
    """
    machines = nodes()
    try:
        return share(scaling, machines)
    except ValueError:
        if scaling.minimum_workers is None:
            raise
        return share(scaling.model_copy(update={"workers": scaling.minimum_workers}), machines)


def _ray_storage(place: str) -> dict[str, Any]:
    """Where Ray keeps its own few files of a run, as arguments of RunConfig."""
    if not place.startswith(S3):
        return {"storage_path": place}
    from colorize.stores.s3 import filesystem

    path = place.removeprefix(S3)
    system = filesystem(os.getpid(), path.partition("/")[0], attempts=_RAY_ATTEMPTS)
    return {"storage_path": path, "storage_filesystem": system}


def report(record: dict[str, Any], gauges: Gauges) -> None:
    """Show a record of the log; tell Ray about epochs alone, since all workers meet there."""
    gauges.show(record)
    if "loss" not in record:
        ray.train.report(record)


def train_worker(config: dict[str, Any]) -> None:
    """What every worker runs. Ray sets torch's threads to the worker's CPUs, by OMP_NUM_THREADS."""
    context = ray.train.get_context()
    rank = context.get_world_rank()
    specification = RunSpecification.from_dict(config["specification"])
    with _folder(config, specification.name, rank) as (folder, mirror):
        title = f"{specification.name}: worker {rank} of {context.get_world_size()}"
        log = f"workers/rank-{rank}.log"
        try:
            with worker_output(folder / log, title):
                _train(specification, config, folder, mirror)
        finally:
            if mirror:
                mirror.push_logs(folder, log)


def _train(specification: RunSpecification, config: dict[str, Any], folder: Path, mirror: Mirror | None) -> None:
    from ray.train.torch import get_device, prepare_model

    from colorize.training.loop import train

    context = ray.train.get_context()
    rank = context.get_world_rank()
    weights = None
    keep: Callable[[Path], None] | None = None
    if mirror:
        weights = mirror.fetch_weights(list(specification.published), folder / pretrained.FOLDER)
        keep = mirror.push if rank == 0 else partial(mirror.push_logs, name=f"workers/rank-{rank}.log")
    gauges = Gauges(specification.name, specification.architecture, rank, specification.training.batch_size)
    train(
        specification,
        config["lab"],
        folder,
        rank=rank,
        world_size=context.get_world_size(),
        device=str(get_device()),
        weights=weights,
        wrap=partial(prepare_model, parallel_strategy_kwargs=_of_wrapper(specification)),
        report=partial(report, gauges=gauges),
        keep=keep,
    )


def _of_wrapper(specification: RunSpecification) -> dict[str, Any]:
    """What DistributedDataParallel is told: a frozen encoder has no gradients that it could wait for."""
    return {"find_unused_parameters": True} if specification.training.frozen_epochs else {}


@contextmanager
def _folder(config: dict[str, Any], run: str, rank: int) -> Iterator[tuple[Path, Mirror | None]]:
    """The folder a worker trains in: the shared one, or its own, filled from the storage and removed at the end.

    Nothing of a former attempt is taken from its own folder: all workers must begin with what the storage has.
    """
    if config["storage"] is None:
        yield Path(config["folder"]), None
        return
    folder = Path(tempfile.gettempdir(), f"colorize-{os.getuid()}", run, f"rank-{rank}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    try:
        mirror = Mirror(config["storage"], run)
        mirror.fetch(folder)
        yield folder, mirror
    finally:
        shutil.rmtree(folder, ignore_errors=True)
