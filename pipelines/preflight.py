"""Before anything is trained: does every node see storage and data and have the same code, and would the run learn?"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import ray
from ray.exceptions import RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from colorize.data.shard_index import read_index
from colorize.storage import sha256_file, write_bytes
from colorize.stores import S3, open_store
from colorize.training import pretrained
from colorize.training.identity import RunSpecification
from colorize.training.mirror import Mirror
from pipelines.ray_session import Resources, nodes

SECONDS: Final = 60.0
"""How long all nodes together may take to answer; a node that does not is named."""
FREE_BYTES: Final = 2**30
"""What a node must have free for checkpoints on their way."""
REHEARSAL: Final = "workers/rehearsal.log"
"""File of a run that says what its rehearsal found."""
_PROJECT: Final = Path(__file__).parents[1]


class PreflightError(RuntimeError):
    """Nodes on which the training could not run; the message has a line for each problem, naming the node."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a node is asked to see.

    Attributes:
        storage: the place to look into, a folder or `s3://…`.
        marker: name of a file that was put there a moment ago.
        sha256: of that file.
        lab: the LAB shards, a folder or the address of a published version.
        data: their digest.
        code: of the project's Python files.
        torch: version, without what follows a plus: builds for other devices are the same version.
    """

    storage: str
    marker: str
    sha256: str
    lab: str
    data: str
    code: str
    torch: str


def preflight(lab: str, data: str, storage: str, seconds: float = SECONDS) -> None:
    """Ask every node that is alive, all at once, to see what the training needs. Runs inside a Ray session.

    Args:
        lab: the LAB shards, a folder or the address of a published version.
        data: the digest that they must have.
        storage: where the run is kept: a folder that every node must see, or `s3://…`.
        seconds: to wait for all answers.

    Raises:
        PreflightError: some node cannot; the message names node, problem and way out.
        ValueError: the storage cannot be written to from here.
        OSError: the same, of a folder.
    """
    with _marker(storage) as (marker, sha256):
        expected = Expected(storage, marker, sha256, lab, data, code_digest(), torch_version())
        task: Any = ray.remote(num_cpus=0, max_retries=0)(problems)
        alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
        asked = {
            task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
                expected
            ): f"node {node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
            for node in alive
        }
        answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=seconds)
        found = [f"{asked[answer]}: {problem}" for answer in answered for problem in _answer(answer)]
        for answer in silent:
            with suppress(Exception):
                ray.cancel(answer, force=True)
            found.append(
                f"{asked[answer]}: does not answer within {seconds:g} s; look whether it is alive, and whether "
                f"{storage} hangs there"
            )
    if found:
        raise PreflightError("nothing was trained:\n" + "\n".join(sorted(found)))


def is_fresh(run: str, folder: Path, storage: str | None) -> bool:
    """Whether a run has nothing to go on from; raises as `Mirror.fetch` does.

    Args:
        run: its name.
        folder: of the run.
        storage: where it is kept instead; None: in `folder`.
    """
    if storage is None:
        return not (folder / "done.json").exists() and not any((folder / "checkpoints").glob("epoch-*"))
    mirror = Mirror(storage, run)
    return not mirror.is_done() and not open_store(mirror.address).names("checkpoints/")


def rehearse(run: RunSpecification, lab: str, folder: Path, storage: str | None, resources: Resources) -> None:
    """Rehearse a run where its workers are going to run, and put what was found beside what they write.

    Args:
        run: what is going to be trained.
        lab: as `preflight` has it.
        folder: of the run.
        storage: where it is kept instead; None: in `folder`.
        resources: of the training; one worker's are waited for.

    Raises:
        TrainingError: it would not learn, or there is no room for it.
        ValueError: a setting does not fit network or machine, or published weights are missing.
    """
    # Ray Train fills one node with workers before it takes the next.
    together = min(resources.workers, max(machine.cpus // resources.cpus for machine in nodes()))
    task: Any = ray.remote(num_cpus=resources.cpus, num_gpus=int(resources.gpu), max_retries=0)(_rehearse)
    try:
        found: str = ray.get(task.remote(run.to_dict(), lab, folder, storage, (resources.workers, together)))
    except RayTaskError as error:
        raise (error.cause if isinstance(error.cause, Exception) else error) from error
    write_bytes(folder / REHEARSAL, f"{found}\n".encode())
    if storage is not None:
        Mirror(storage, run.name).push_logs(folder, REHEARSAL)


def problems(expected: Expected) -> list[str]:
    """What keeps the node that this runs on from training, one sentence each; empty if nothing does."""
    found = [*_of_storage(expected), *_of_data(expected)]
    if (code := code_digest()) != expected.code:
        found.append(
            f"its code in {_PROJECT} is not the same as where the training was started ({code[:12]}, not "
            f"{expected.code[:12]}); update it there"
        )
    if (torch := torch_version()) != expected.torch:
        found.append(f"has torch {torch}, not {expected.torch}; run 'pip install -r requirements.lock' there")
    place = tempfile.gettempdir()
    if (free := shutil.disk_usage(place).free) < FREE_BYTES:
        found.append(f"only {free / 2**20:,.0f} MiB are free in {place}; make room for {FREE_BYTES / 2**20:,.0f} MiB")
    return found


def code_digest() -> str:
    """Of the project's Python files that run in workers, by name and content: 64 digits."""
    digest = hashlib.sha256()
    for path in sorted((*_PROJECT.glob("colorize/**/*.py"), *_PROJECT.glob("pipelines/*.py"))):
        digest.update(f"{path.relative_to(_PROJECT).as_posix()}\0{sha256_file(path)}\n".encode())
    return digest.hexdigest()


def torch_version() -> str:
    """The installed one, without its build; "none" where there is none. Costs no import of torch."""
    try:
        return version("torch").partition("+")[0]
    except PackageNotFoundError:
        return "none"


def _rehearse(
    specification: dict[str, Any], lab: str, folder: Path, storage: str | None, workers: tuple[int, int]
) -> str:
    """One worker's part of `rehearse`; `workers`: all of them, and those that share a node."""
    from colorize.training import rehearsal

    run = RunSpecification.from_dict(specification)
    with tempfile.TemporaryDirectory() as place:
        weights, folders = folder.parent.parent / pretrained.FOLDER, [folder]
        if storage is not None:
            weights = Mirror(storage, run.name).fetch_weights(list(run.published), Path(place))
            folders = [Path(tempfile.gettempdir()), *([] if storage.startswith(S3) else [Path(storage)])]
        return rehearsal.rehearse(
            run,
            lab,
            folders,
            weights=weights,
            world_size=workers[0],
            together=workers[1],
            device="cuda:0" if ray.get_gpu_ids() else "cpu",
        )


@contextmanager
def _marker(storage: str) -> Iterator[tuple[str, str]]:
    """A file in the storage for as long as nodes look for it: its name and SHA-256."""
    store, name = open_store(storage), f"preflight-{secrets.token_hex(8)}"
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, name)
        path.write_text(name)
        sha256 = sha256_file(path)
        store.create(name, path, sha256)
    try:
        yield name, sha256
    finally:
        with suppress(Exception):  # what is wrong with the storage, the nodes have said by now
            store.remove(name)


def _of_storage(expected: Expected) -> list[str]:
    try:
        with tempfile.TemporaryDirectory() as place:
            open_store(expected.storage).fetch(expected.marker, Path(place, "marker"), expected.sha256)
    except (ValueError, OSError) as error:
        return [
            f"cannot see {expected.storage} as the others do ({error}); mount it there under that path, or set "
            "scaling.storage to a place that every node sees"
        ]
    if "://" not in expected.storage and not os.access(expected.storage, os.W_OK):
        return [f"cannot write to {expected.storage}; correct the rights there"]
    return []


def _of_data(expected: Expected) -> list[str]:
    try:
        digest = read_index(expected.lab)["digest"]
    except (ValueError, OSError, KeyError) as error:
        return [f"cannot read the shards in {expected.lab} ({error})"]
    if digest != expected.data:
        return [f"{expected.lab} holds other data there ({digest[:12]}, not {expected.data[:12]}); copy them again"]
    return []


def _answer(answer: Any) -> list[str]:
    try:
        found: list[str] = ray.get(answer)
    except Exception as error:  # whatever keeps the node from running this keeps it from training
        last = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        return [f"cannot run this project's code ({last}); install the same version of it there"]
    return found
