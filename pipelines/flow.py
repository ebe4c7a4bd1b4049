"""The Prefect flow `train`: for each architecture a flow run that trains on Ray, measures and registers; then the gate.

Who retries what: `pipelines.training_task`.
"""

from __future__ import annotations

import contextvars
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from threading import Event, Lock

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from colorize.metrics.evaluation import GRID
from colorize.metrics.rows import SCHEMA
from colorize.registry import CHAMPION, Registry, Version
from colorize.settings import Settings, load_settings
from pipelines import artifacts, promotion, results
from pipelines.console import say
from pipelines.environment import jobs_address
from pipelines.job import submit_job
from pipelines.plan import Plan, plan
from pipelines.ray_session import ray_session
from pipelines.ray_train import Training, TrainingFailedError, resources_of, submit
from pipelines.training_task import Submit, train_one


@task(task_run_name="measure {item.specification.name}", cache_policy=NO_CACHE, persist_result=False)
def measure(item: Plan, settings: Settings, root: Path) -> dict[str, float]:
    """Figures on the test split."""
    return results.evaluate(item, settings, root)


@task(task_run_name="register {item.specification.name}", cache_policy=NO_CACHE, persist_result=False)
def register(item: Plan, summary: dict[str, float], settings: Settings, root: Path) -> Version:
    """A version of the registry, with its files and lineage."""
    registry = Registry(settings.registry, root)
    return results.register(item, summary, results.evaluate_baselines(settings, root), registry, settings, root)


class _Shared:
    """What the flow runs of all architectures share: where trainings go, when to stop, whose turn it is to measure."""

    def __init__(self, settings: Settings, root: Path, submit: Submit) -> None:
        self.settings, self.root, self.submit = settings, root, submit
        self.stopped, self.turn = Event(), Lock()


@flow(name="architecture", flow_run_name="{item.specification.name}", persist_result=False, validate_parameters=False)
def architecture_flow(item: Plan, shared: _Shared) -> Version:
    """Train one architecture where that has not been done, measure it and register it."""
    if item.action != "skip":
        train_one(item.specification.architecture, item, shared.submit, shared.stopped)
    settings, root = shared.settings, shared.root
    with shared.turn:  # each takes all cores, and writes to the registry
        summary = measure(item, settings, root)
        version = register(item, summary, settings, root)
    architecture = item.specification.architecture
    artifacts.show_samples(architecture, item.folder / "evaluation" / GRID)
    artifacts.show_learning(architecture, results.losses(item))
    say(
        f"{architecture}: {settings.evaluation.primary} {summary[settings.evaluation.primary]:.3f}, "
        f"version {version.number}"
    )
    return version


@flow(name="train", persist_result=False)
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
    folder = Path(root).resolve()
    settings = load_settings(folder / "params.yaml")
    chosen = {item.specification.name for item in plan(settings, folder, architectures)}
    # Also what earlier flows have trained: the comparison and the report show all that params.yaml asks for.
    items = [item for item in plan(settings, folder) if item.specification.name in chosen or item.action == "skip"]
    primary = settings.evaluation.primary
    if primary not in SCHEMA.names:
        raise ValueError(f"evaluation.primary is '{primary}'; metrics are: {', '.join(SCHEMA.names[2:])}")
    results.evaluate_baselines(settings, folder)
    versions, failures = _run_all(items, settings, folder)
    if versions:
        _finish([item for item in items if item.specification.name in versions], versions, settings, folder)
    if failures:
        raise TrainingFailedError("\n".join(failures))


def _run_all(items: Sequence[Plan], settings: Settings, root: Path) -> tuple[dict[str, Version], list[str]]:
    """One flow run for each architecture, all at once: Ray trains as many side by side as there is room for.

    Returns:
        Versions by the name of the run, and a message for each that failed.
    """
    lab, scaling = str(root / "data" / "lab"), settings.scaling
    address = jobs_address(os.environ.get("RAY_ADDRESS"))
    trains = any(item.action != "skip" for item in items)

    def submit_here(item: Plan) -> Training:
        return submit(item.specification, lab, item.folder, scaling.storage, scaling)

    def submit_there(item: Plan) -> Training:
        assert address is not None
        job, known = submit_job(address, item.specification, lab, item.folder, scaling)
        say(f"{item.specification.architecture}: job {job.name}" + (", which is there already" if known else ""))
        return job

    shared = _Shared(settings, root, submit_there if address else submit_here)
    if trains:
        say(f"handing trainings to the Ray Jobs of {address}" if address else "starting Ray")
    with ray_session() if trains and not address else nullcontext(), ThreadPoolExecutor(max(1, len(items))) as pool:
        if trains and not address:
            resources = resources_of(scaling)
            say(
                f"each training takes {resources.workers} worker(s) with {resources.cpus} CPU(s)"
                + (" and a GPU each" if resources.gpu else " each")
            )
        # In a copy of the context each: so Prefect knows whose part they are.
        runs = {
            item.specification.name: pool.submit(contextvars.copy_context().run, architecture_flow, item, shared)
            for item in items
        }
        try:
            errors = {name: run.exception() for name, run in runs.items()}
        finally:
            # After Ctrl-C: when the session ends, no thread may be in Ray any more.
            shared.stopped.set()
    versions = {name: runs[name].result() for name, error in errors.items() if error is None}
    return versions, [str(error) for error in errors.values() if error is not None]


def _finish(items: Sequence[Plan], versions: dict[str, Version], settings: Settings, root: Path) -> None:
    registry = Registry(settings.registry, root)
    decisions = promotion.promote_all([versions[item.specification.name] for item in items], registry, settings, root)
    for decision in decisions:
        say(f"{decision.alias}: {decision.decision}, {decision.reason}")
    reasons = promotion.reasons(registry, decisions)
    say(f"champion: {reasons[CHAMPION]}")
    results.write_plots(items, root)
    results.forget_others(items, root)
    report = results.write_report(items, settings, registry.resolve(CHAMPION).run, root)
    summaries = {item.specification.architecture: results.read_summary(item.folder / "evaluation") for item in items}
    artifacts.show_comparison({**summaries, **results.evaluate_baselines(settings, root)})
    artifacts.show_champion(reasons)
    artifacts.link_report(report)
