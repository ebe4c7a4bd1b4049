"""The Prefect task that a training is: handed to Ray, followed by its logs, and once more if Ray lost it.

Workers of a run are restarted by Ray (`scaling.maximum_failures`); this task hands the run over a second time, under
the same name, when Ray lost the process that controls it. Nobody else retries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event
from typing import Any

import ray.exceptions
import ray.train
from prefect import task
from prefect.cache_policies import NO_CACHE

from colorize.training.log import read_log
from pipelines import artifacts, follow
from pipelines.console import keep, say
from pipelines.plan import Plan
from pipelines.ray_train import Training

_SECONDS_BETWEEN_LINES = 15.0

Submit = Callable[[Plan], Training]


class StoppedError(RuntimeError):
    """The flow was interrupted while this training ran."""


def lost_controller(_task: Any, _run: Any, state: Any) -> bool:
    """Whether Ray itself failed, not what runs on it: then the same run may go on elsewhere."""
    error = state.result(raise_on_failure=False)
    lost = ray.exceptions.RayActorError | ray.exceptions.WorkerCrashedError | ray.exceptions.NodeDiedError
    return isinstance(error, lost | ray.train.ControllerError)


@task(
    task_run_name="train {title}",
    retries=1,
    retry_delay_seconds=5,
    retry_condition_fn=lost_controller,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def train_one(title: str, item: Plan, submit: Submit, stopped: Event) -> None:
    """One training on Ray, followed by its logs until it ends.

    Args:
        title: what people call it.
        item: which run it is, and its folder.
        submit: hands it to a Ray.
        stopped: set when the flow ends early.

    Raises:
        StoppedError: `stopped` was set before it ended.
        Exception: what made the training fail.
    """
    artifact = artifacts.start_progress(title, item.specification.name)
    training = submit(item)
    workers, shown = follow.Workers(item.folder), None
    while not training.ended(_SECONDS_BETWEEN_LINES, stopped):
        _tell(workers.news())
        if stopped.is_set():
            raise StoppedError(f"{title}: stopped")
        state = follow.progress(read_log(item.folder / "log.jsonl"), item.specification.training.batch_size)
        if state is not None and state != shown:
            shown = state
            line = follow.sentence(title, state, item.specification.training.epochs)
            say(line)
            artifacts.update_progress(artifact, state.percent, line)
    _tell(workers.news())
    artifacts.update_progress(artifact, 100.0, f"{title}: done")
    say(f"{title}: trained")


def _tell(lines: Sequence[str]) -> None:
    """What the rehearsal found is for everybody, what workers write for Prefect."""
    for line in lines:
        if line.startswith("rehearsal: "):
            say(line)
        else:
            keep([line])
