"""One Ray for a whole flow: local or a cluster, and what of it a training may take."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ray

from colorize.data.execution import check_ray_address
from colorize.settings.sections import ScalingSettings

_OBJECT_STORE_BYTES = 200 * 2**20
# Ray puts a Unix socket some 60 characters below its folder, and such a path may have 107.
_LONGEST_FOLDER = 40


@dataclass(frozen=True, slots=True)
class Node:
    """What one machine of a cluster offers."""

    cpus: int
    gpus: int


@dataclass(frozen=True, slots=True)
class Resources:
    """What one training takes: `workers` processes with so many CPUs each, and a GPU each or none."""

    workers: int
    cpus: int
    gpu: bool


@contextmanager
def ray_session() -> Iterator[None]:
    """Join the cluster of RAY_ADDRESS, or start a local Ray that ends, with its files, when the block does."""
    address = check_ray_address(os.environ.get("RAY_ADDRESS"))
    # The workers' progress is read from the run's own log; Ray's loggers would repeat it a hundred times.
    logging.getLogger("ray").setLevel(logging.ERROR)
    if address is not None and address != "local":
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        try:
            yield
        finally:
            ray.shutdown()
        return
    folder = _folder()
    try:
        ray.init(
            address="local",
            num_cpus=len(os.sched_getaffinity(0)),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=_OBJECT_STORE_BYTES,
            _temp_dir=str(folder),
        )
        yield
    finally:
        ray.shutdown()
        # Sessions end with the process id of their driver; others' sessions are left alone.
        for own in folder.glob(f"session_2*_{os.getpid()}"):
            shutil.rmtree(own, ignore_errors=True)
        latest = folder / "session_latest"
        if latest.is_symlink() and not latest.exists():
            latest.unlink(missing_ok=True)


def nodes() -> list[Node]:
    """The machines of the present session."""
    found = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    return [Node(int(node.get("CPU", 0)), int(node.get("GPU", 0))) for node in found]


def share(scaling: ScalingSettings, machines: Sequence[Node]) -> Resources:
    """What one training takes of these machines.

    With a GPU for each worker, a worker takes its GPU's share of the CPUs, so that as many trainings run side by side
    as there are GPUs for; without, the workers of one training share all CPUs evenly.

    Raises:
        ValueError: there are not enough CPUs, or GPUs where they are demanded.
    """
    gpus = sum(node.gpus for node in machines)
    if scaling.gpu == "always" and gpus < scaling.workers:
        raise ValueError(f"scaling.gpu is 'always' and scaling.workers {scaling.workers}, but Ray sees {gpus} GPUs")
    gpu = scaling.gpu != "never" and gpus >= scaling.workers
    offers = [(node.cpus, node.gpus if gpu else node.cpus) for node in machines if node.gpus or not gpu]
    most = max((cpus for cpus, _ in offers), default=0)
    if gpu:
        fair = max(1, min(cpus // slots for cpus, slots in offers))
        most = min(most, fair)
    for cpus in [scaling.cpus_per_worker] if scaling.cpus_per_worker else range(most, 0, -1):
        if sum(min(offered // cpus, slots) for offered, slots in offers) >= scaling.workers:
            return Resources(scaling.workers, cpus, gpu)
    wanted = f"scaling.workers {scaling.workers}" + (
        f" with scaling.cpus_per_worker {scaling.cpus_per_worker}" if scaling.cpus_per_worker else ""
    )
    found = " + ".join(str(node.cpus) for node in machines)
    raise ValueError(f"{wanted} needs more CPUs than there are ({found}); lower it in params.yaml")


def _folder() -> Path:
    folder = Path(tempfile.gettempdir(), "ray")
    return folder if len(str(folder)) <= _LONGEST_FOLDER else Path("/tmp/ray")
