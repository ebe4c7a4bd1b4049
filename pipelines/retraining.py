"""The Prefect flow `retrain`: from the sources to the champion, and nothing twice."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import requests
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from colorize.data.publish import publish
from colorize.data.state import DataState, read_state
from colorize.decisions import PATH, Decision, read, record
from colorize.registry import Registry, lock
from colorize.settings import Settings, load_settings
from pipelines.console import say
from pipelines.decide import Choice, choose
from pipelines.environment import jobs_address
from pipelines.flow import train_flow
from pipelines.plan import Plan, plan

_ALL = "all"
_SECONDS_TO_NOTIFY = 10.0


class DataStoppedError(RuntimeError):
    """The data look wrong, or could not be made; the message says why and what to do."""


class StageFailedError(RuntimeError):
    """A stage of the data failed; the message has what it said."""


@task(task_run_name="look at {dataset}", cache_policy=NO_CACHE, persist_result=False)
def refresh(root: Path, dataset: str) -> None:
    """List a source again, whatever DVC knows of it."""
    _dvc(root, "repro", "--force", "--single-item", f"sources@{dataset}")


@task(task_run_name="stage {stage}", cache_policy=NO_CACHE, persist_result=False)
def run_stage(root: Path, stage: str) -> None:
    """One stage of `dvc repro`; DVC itself knows whether there is anything to do."""
    _dvc(root, "repro", "--single-item", stage)


@task(cache_policy=NO_CACHE, persist_result=False)
def decide(root: str, accept_data: bool) -> Choice:
    """Stop, skip or train, by today's data and the newest model's."""
    folder = Path(root)
    settings = load_settings(folder / "params.yaml")
    registry = Registry(settings.registry, folder)
    registered = {version.run for version in registry.list()}
    plans = [_until_registered(item, registered) for item in plan(settings, folder)]
    now = read_state(folder, settings.datasets)
    return choose(now, newest_state(registry), plans, settings.retraining, accept_data=accept_data)


@flow(name="retrain", persist_result=False)
def retrain_flow(root: str = ".", accept_data: bool = False) -> None:
    """Refresh, reproduce, decide, train, gate, publish, report: see `python -m pipelines.retrain --help`.

    Args:
        root: the project's folder.
        accept_data: train even where the data look wrong: somebody has looked at them.

    Raises:
        LockedError: another retraining is under way.
        DataStoppedError: the data look wrong, or a stage that makes them failed.
        TrainingFailedError: a training failed.
    """
    folder = Path(root).resolve()
    os.chdir(folder)
    settings = load_settings(folder / "params.yaml")
    with lock(Registry(settings.registry, folder), "retrain", "a retraining"):
        decided = len(read(folder / PATH))
        try:
            for dataset in settings.datasets:
                refresh(folder, dataset)
            for stage in stages(folder):
                run_stage(folder, stage)
            choice = decide(str(folder), accept_data)
        except StageFailedError as error:
            choice = Choice("stop", str(error))
        say(f"{choice.action}: {choice.reason}")
        _note(choice, settings, folder)
        if choice.action == "train":
            train_flow(str(folder), [])
            hand_on(folder)
        notify(folder, decided)
    if choice.action == "stop":
        raise DataStoppedError(choice.reason)


@task(name="hand on", cache_policy=NO_CACHE, persist_result=False)
def hand_on(root: Path) -> None:
    """Push the data to the DVC remote and publish the shards, as `retraining` says."""
    settings = load_settings(root / "params.yaml").retraining
    if settings.remote is not None:
        _dvc(root, "push", "--remote", settings.remote)
    if settings.publish is not None:
        publish(root / "data" / "lab", settings.publish)


@task(name="notify", cache_policy=NO_CACHE, persist_result=False)
def notify(root: Path, since: int) -> None:
    """Post the decisions after the first `since` to `retraining.notify`; whoever does not answer is only told of."""
    address = load_settings(root / "params.yaml").retraining.notify
    decisions = [asdict(decision) for decision in read(root / PATH)[since:]]
    if address is None or not decisions:
        return
    try:
        requests.post(address, json={"decisions": decisions}, timeout=_SECONDS_TO_NOTIFY).raise_for_status()
    except requests.RequestException as error:
        say(f"warning: {address} was not notified: {error}")


def stages(root: Path) -> list[str]:
    """Names of the stages of `dvc.yaml` that come after the sources, in its order, which is that of the data."""
    listed = _dvc(root, "stage", "list", "--name-only", quiet=True).split()
    return [name for name in listed if not name.startswith("sources@")]


def newest_state(registry: Registry) -> DataState | None:
    """The data that the newest version was trained on; None where no version tells."""
    for version in reversed(registry.list()):
        if "data.json" in version.files:
            return DataState.from_json(registry.file(version, "data.json").read_bytes())
    return None


def _until_registered(item: Plan, registered: set[str]) -> Plan:
    """A run that was trained but killed before it became a version has to be finished."""
    if item.action != "skip" or item.specification.name in registered:
        return item
    return Plan(item.specification, item.folder, "resume", "trained, but not registered yet")


def _note(choice: Choice, settings: Settings, root: Path) -> None:
    """Write down a stop and a skip; what is trained is decided later, by the gate."""
    if choice.action == "stop":
        record(root / PATH, [Decision(_ALL, "stopped", choice.reason)])
    elif choice.action == "skip":
        record(
            root / PATH,
            [
                Decision(
                    item.specification.architecture,
                    "skipped",
                    choice.reason,
                    fingerprint=item.specification.fingerprint,
                )
                for item in plan(settings, root)
            ],
        )


def _dvc(root: Path, *arguments: str, quiet: bool = False) -> str:
    """Run DVC; what it prints is passed on line by line.

    Raises:
        StageFailedError: it failed.
    """
    # The stages' commands begin with `python`: this one, whether or not its environment is activated.
    environment = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    if jobs_address(os.environ.get("RAY_ADDRESS")):
        del environment["RAY_ADDRESS"]  # a cluster that takes trainings as jobs does not see the data: made here
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: list[str] = []
    assert process.stdout is not None
    with process:
        for line in process.stdout:
            lines.append(line)
            if not quiet:
                say(line.rstrip())
    if process.returncode:
        said = "".join(line for line in lines if line.strip())
        raise StageFailedError(f"dvc {' '.join(arguments)} failed: {_last(said)}")
    return "".join(lines)


def _last(text: str) -> str:
    """The error that a stage printed, or what DVC said last."""
    lines = [line.strip() for line in text.splitlines()]
    errors = [line for line in lines if line.lower().startswith("error:")]
    return errors[-1] if errors else " ".join(lines[-2:])
