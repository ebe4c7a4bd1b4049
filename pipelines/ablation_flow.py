"""The Prefect flow `ablation`: trainings side by side on Ray, each measured once, then the table of what moved."""

from __future__ import annotations

import contextvars
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from threading import Event, Lock
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from colorize import ablation
from colorize.data.shard_index import read_index
from colorize.metrics import evaluation
from colorize.metrics.evaluation import EvaluationData
from colorize.settings import load_settings
from colorize.settings.sections import ScalingSettings
from colorize.storage import write_bytes, write_json
from pipelines import results
from pipelines.ablation import FIGURES, REPORT, Item, Request, items
from pipelines.console import say
from pipelines.plan import Plan
from pipelines.ray_session import Node, Resources, nodes, ray_session
from pipelines.ray_train import Submitted, TrainingFailedError, resources_of, submit
from pipelines.training_task import train_one


@task(task_run_name="measure {item.title}", cache_policy=NO_CACHE, persist_result=False)
def measure(item: Item, photos: EvaluationData) -> pa.Table:
    """Rows of the test photos, measured unless the same measurement is there already."""
    folder = item.plan.folder / "evaluation"
    results.measure(item.title, item.plan.folder / "model", folder, photos)
    return pq.read_table(folder / evaluation.ROWS)


@flow(name="ablation", persist_result=False)
def ablation_flow(root: str, size: ablation.Size, seeds: int, lab: str, cures: list[str]) -> None:
    """Train what has to be, measure all, and write which cure moves which figure to `reports/`.

    Args:
        root: the project's folder; `params.yaml` there says how is trained and measured.
        size: of networks and trainings, small or full.
        seeds: each network is trained with the seeds 1 to this.
        lab: the LAB shards.
        cures: only these; empty: all.

    Raises:
        TrainingFailedError: some training failed; the message has a line for each.
        ValueError: a setting cannot be had on this machine.
    """
    folder = Path(root).resolve()
    settings = load_settings(folder / "params.yaml")
    request = Request(size, seeds, Path(lab).resolve(), tuple(cures))
    chosen = items(request, settings, folder)
    photos = results.photos_of(settings, folder, request.lab.parent)
    tables = _run_all(chosen, photos, settings.scaling)
    measured: dict[str, list[pa.Table]] = {}
    for item, table in zip(chosen, tables, strict=True):
        measured.setdefault(item.variant.name, []).append(table)
    found = ablation.effects(measured)
    standing = ablation.standings(measured)
    text = ablation.markdown(found, standing, _about(request, chosen[0]))
    write_bytes(folder / REPORT, text.encode())
    write_json(
        folder / FIGURES,
        {
            "size": size,
            "seeds": seeds,
            "effects": ablation.records(found),
            "standings": [asdict(one) for one in standing],
        },
    )
    create_table_artifact(table=ablation.rows_of(found), key="ablation", description="Which cure moves which figure")
    say(text)
    say(f"written to {REPORT} and {FIGURES}")


def _run_all(chosen: Sequence[Item], photos: EvaluationData, scaling: ScalingSettings) -> list[pa.Table]:
    """Train and measure, as many at once as there is room for; rows in the order of the items."""
    scaling = _one_worker(scaling)
    stopped, turn = Event(), Lock()
    ended: list[Item] = []

    def submit_here(item: Plan) -> Submitted:
        return submit(item.specification, str(photos.lab), item.folder, scaling.storage, scaling)

    def run(item: Item) -> pa.Table:
        if item.plan.action != "skip":
            train_one(item.title, item.plan, submit_here, stopped)
        with turn:  # it takes all cores
            table = measure(item, photos)
            ended.append(item)
            say(f"{len(ended)} of {len(chosen)}: {item.title}: measured")
        return table

    trains = any(item.plan.action != "skip" for item in chosen)
    if trains:
        say("starting Ray")
    with ray_session() if trains else nullcontext():
        together = side_by_side(resources_of(scaling), nodes()) if trains else 1
        say(f"{len(chosen)} networks, {together} at a time")
        with ThreadPoolExecutor(together) as pool:
            # In a copy of the context each: so Prefect knows whose part they are.
            runs = [pool.submit(contextvars.copy_context().run, run, item) for item in chosen]
            try:
                errors = [run.exception() for run in runs]
            finally:
                # After Ctrl-C: when the session ends, no thread may be in Ray any more.
                stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
    if failures := [f"{item.title}: {error}" for item, error in zip(chosen, errors, strict=True) if error is not None]:
        raise TrainingFailedError("\n".join(failures))
    return [run.result() for run in runs]


def side_by_side(resources: Resources, machines: Sequence[Node]) -> int:
    """How many trainings of one worker fit at once, at least 1.

    Each waits in processes of its own even while it waits for its turn: more would only take memory.
    """
    fits = [
        min(node.cpus // resources.cpus, node.gpus) if resources.gpu else node.cpus // resources.cpus
        for node in machines
    ]
    return max(1, sum(fits))


def _one_worker(scaling: ScalingSettings) -> ScalingSettings:
    """Small networks, and many: side by side with a worker each they are done sooner than one after another."""
    changes: dict[str, Any] = {"workers": 1, "minimum_workers": None, "cpus_per_worker": scaling.cpus_per_worker or 1}
    return scaling.model_copy(update=changes)


def _about(request: Request, item: Item) -> str:
    index, training = read_index(request.lab), item.plan.specification.training
    width = item.plan.specification.model.model_dump()["width"]
    photos = min(training.photos_per_epoch or index["photos"]["train"], index["photos"]["train"])
    return (
        f"size {request.size}: {ablation.ARCHITECTURE} of width {width:g}, "
        f"{training.epochs} epochs of {photos:,} photos of {index['width']} × {index['height']} pixels, "
        f"learning rate {training.learning_rate:g}; {request.seeds} seed(s), {index['photos']['test']:,} test photos; "
        f"data {index['digest'][:12]}"
    )
