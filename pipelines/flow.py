"""The Prefect flow `train`: Ray Train for what is not trained yet, then measure, register, compare, report.

The budget of retries, in one place: Ray restarts the workers of a run `scaling.maximum_failures` times; Prefect
resubmits a run once, under the same name, when Ray lost the process that controls it. Nobody else retries.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import Any

import ray.exceptions
import ray.train
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import wait
from prefect.task_runners import ThreadPoolTaskRunner

from colorize.metrics.evaluation import GRID, SCHEMA
from colorize.registry import CHAMPION, Registry
from colorize.settings import Settings, load_settings
from colorize.settings.sections import ScalingSettings
from colorize.training.log import read_log
from pipelines import artifacts, follow, promotion, results
from pipelines.console import say
from pipelines.plan import Plan, plan
from pipelines.ray_session import ray_session
from pipelines.ray_train import TrainingFailedError, resources_of, submit

_SECONDS_BETWEEN_LINES = 15.0
_MOST_TRAININGS_SUBMITTED = 16


class StoppedError(RuntimeError):
    """The flow was interrupted while this training ran."""


def lost_controller(_task: Any, _run: Any, state: Any) -> bool:
    """Whether Ray itself failed, not what runs on it: then the same run may go on elsewhere."""
    error = state.result(raise_on_failure=False)
    lost = ray.exceptions.RayActorError | ray.exceptions.WorkerCrashedError | ray.exceptions.NodeDiedError
    return isinstance(error, lost | ray.train.ControllerError)


@task(
    task_run_name="train {item.specification.name}",
    retries=1,
    retry_delay_seconds=5,
    retry_condition_fn=lost_controller,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def train_one(item: Plan, lab: Path, scaling: ScalingSettings, stopped: Event) -> None:
    """One training on Ray, followed by its log until it ends or `stopped` is set."""
    name, architecture = item.specification.name, item.specification.architecture
    artifact = artifacts.start_progress(architecture, name)
    training = submit(item.specification, str(lab), item.folder, scaling.storage, scaling)
    shown = None
    while not training.ended(_SECONDS_BETWEEN_LINES, stopped):
        if stopped.is_set():
            raise StoppedError(f"{name}: stopped")
        state = follow.progress(read_log(item.folder / "log.jsonl"), item.specification.training.batch_size)
        if state is not None and state != shown:
            shown = state
            line = follow.sentence(architecture, state, item.specification.training.epochs)
            say(line)
            artifacts.update_progress(artifact, state.percent, line)
    artifacts.update_progress(artifact, 100.0, f"{name}: done")
    say(f"{architecture}: trained")


_RUNNER: Any = ThreadPoolTaskRunner(max_workers=_MOST_TRAININGS_SUBMITTED)


@flow(name="train", task_runner=_RUNNER, persist_result=False)
def train_flow(root: str, architectures: list[str]) -> None:
    """Train what has to be, then measure, register, compare and report all that is trained.

    A training that fails does not keep the others from being registered; the flow fails in the end.

    Args:
        root: the project's folder.
        architectures: only these of `params.yaml`; empty: all.

    Raises:
        TrainingFailedError: some training failed; the message has a line for each.
        ValueError: a setting cannot be had on this machine.
    """
    folder = Path(root)
    settings = load_settings(folder / "params.yaml")
    plans = plan(settings, folder, architectures)
    primary = settings.evaluation.primary
    if primary not in SCHEMA.names:
        raise ValueError(f"evaluation.primary is '{primary}'; metrics are: {', '.join(SCHEMA.names[2:])}")
    failures = _train_all([item for item in plans if item.action != "skip"], settings, folder)
    # Also what earlier flows have trained: the comparison and the report show all that params.yaml asks for.
    finished = [item for item in plan(settings, folder) if item.action == "skip"]
    if finished:
        _finish(finished, settings, folder)
    if failures:
        raise TrainingFailedError("\n".join(failures.values()))


def _train_all(plans: Sequence[Plan], settings: Settings, root: Path) -> dict[str, str]:
    """Hand all trainings to Ray at once: it runs as many side by side as there is room for. Returns errors by run."""
    if not plans:
        return {}
    say("starting Ray")
    with ray_session():
        resources = resources_of(settings.scaling)
        say(
            f"each training takes {resources.workers} worker(s) with {resources.cpus} CPU(s)"
            + (" and a GPU each" if resources.gpu else " each")
        )
        lab, stopped = root / "data" / "lab", Event()
        jobs = {item.specification.name: train_one.submit(item, lab, settings.scaling, stopped) for item in plans}
        try:
            errors = {name: job.result(raise_on_failure=False) for name, job in jobs.items()}
        finally:
            # After Ctrl-C: when the session ends, no thread may be in Ray any more.
            stopped.set()
            wait(list(jobs.values()))
    return {name: str(error) for name, error in errors.items() if isinstance(error, BaseException)}


def _finish(plans: Sequence[Plan], settings: Settings, root: Path) -> None:
    registry = Registry(settings.registry, root)
    baselines = results.evaluate_baselines(settings, root)
    summaries, versions = {}, []
    for item in plans:
        architecture = item.specification.architecture
        summaries[architecture] = results.evaluate(item, settings, root)
        version = results.register(item, summaries[architecture], baselines, registry, settings, root)
        versions.append(version)
        artifacts.show_samples(architecture, item.folder / "evaluation" / GRID)
        artifacts.show_learning(architecture, results.losses(item))
        score = summaries[architecture][settings.evaluation.primary]
        say(f"{architecture}: {settings.evaluation.primary} {score:.3f}, version {version.number}")
    decisions = promotion.promote_all(versions, registry, settings, root)
    for decision in decisions:
        say(f"{decision.alias}: {decision.decision}, {decision.reason}")
    reasons = promotion.reasons(registry, decisions)
    say(f"champion: {reasons[CHAMPION]}")
    results.write_plots(plans, root)
    results.forget_others(plans, root)
    report = results.write_report(plans, settings, registry.resolve(CHAMPION).run, root)
    artifacts.show_comparison({**summaries, **baselines})
    artifacts.show_champion(reasons)
    artifacts.link_report(report)
