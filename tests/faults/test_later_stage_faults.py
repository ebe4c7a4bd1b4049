"""`dedupe`, `split` and `shard` killed at seeded moments: nothing half-written, and a rerun gives the same bytes."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]
DATASETS = ("landscape-pictures", "mirflickr25k")
PARAMETERS = """datasets:
  landscape-pictures: {source: "sample://landscape-pictures?photos=40", layout: flat}
  mirflickr25k: {source: "sample://mirflickr25k?photos=40", layout: mirflickr25k}
ingest: {shard_photos: 16, maximum_refused: 1.0}
shards: {size: 32, rows: 4, row_group: 2}
"""
# What the stages left when the shares and the shards were others: it has to make way, and every photo moves or stays.
OLDER = PARAMETERS.replace("row_group: 2", "row_group: 2, compression: lz4") + (
    "split: {salt: another, validation: 0.3, test: 0.3}\n"
)
# Names below the project's folder of what a stage writes.
WRITTEN = {
    "dedupe": ("data/groups.parquet", "reports/metrics/data/dedupe.json"),
    "split": ("data/splits.parquet", "reports/metrics/data/split.json", "data/moves.jsonl"),
    "shard": ("data/lab", "reports/metrics/data/shard.json"),
}
STAGES = tuple(WRITTEN)

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Projects:
    """Folders with a sample of photos: only ingested; taken through all stages; the same with other settings."""

    ingested: Path
    clean: Path
    older: Path


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Projects:
    folder = tmp_path_factory.mktemp("projects")
    found = Projects(folder / "ingested", folder / "clean", folder / "older")
    found.ingested.mkdir()
    (found.ingested / "params.yaml").write_text(PARAMETERS, encoding="utf-8")
    (found.ingested / "removed.jsonl").touch()
    for dataset in DATASETS:
        for stage in ("sources", "ingest"):
            assert run(found.ingested, stage, dataset)[0] == 0
    for path, parameters in ((found.clean, PARAMETERS), (found.older, OLDER)):
        shutil.copytree(found.ingested, path)
        (path / "params.yaml").write_text(parameters, encoding="utf-8")
        for stage in STAGES:
            assert run(path, stage)[0] == 0
    return found


def start(project: Path, *arguments: str, workers: int = 1, before: str = "") -> subprocess.Popen[str]:
    """A stage as a process of its own; `before` is what that process does first."""
    module = f"runpy.run_module('stages.{arguments[0]}', run_name='__main__', alter_sys=True)"
    return subprocess.Popen(
        [sys.executable, "-c", f"import runpy\n{before}\n{module}", *arguments[1:]],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLORIZE_WORKERS": str(workers)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(project: Path, *arguments: str, workers: int = 1) -> tuple[int, str]:
    """Exit code and all that a stage said."""
    process = start(project, *arguments, workers=workers)
    out, text = process.communicate(timeout=120)
    return process.returncode, out + text


def contents(project: Path, stage: str) -> dict[str, str]:
    """Digests of what a stage has written under final names."""
    places = [project / name for name in WRITTEN[stage]]
    files = [path for place in places for path in (place, *place.rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(project)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if not path.name.startswith(".tmp-")
    }


def put_in_place(stage: str, source: Path, project: Path) -> None:
    """Give a project what another one's stage has written, and nothing else of that stage."""
    for name in WRITTEN[stage]:
        if (project / name).is_dir():
            shutil.rmtree(project / name)
        (project / name).unlink(missing_ok=True)
        if (source / name).is_dir():
            shutil.copytree(source / name, project / name)
        elif (source / name).is_file():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, project / name)


def killed_after(process: subprocess.Popen[str], seconds: float) -> bool:
    """Kill a stage, see to it that everything it started ends, and say whether it was still at work."""
    time.sleep(seconds)
    return killed(process)


def killed_at_shard(process: subprocess.Popen[str], lab: Path, number: int) -> bool:
    """The same, as soon as the stage has written so many shards."""
    began = time.time()
    while process.poll() is None:
        with suppress(FileNotFoundError):
            if sum(path.stat().st_mtime > began for path in lab.rglob("part-*.parquet")) >= number:
                break
        time.sleep(0.002)
    return killed(process)


def killed(process: subprocess.Popen[str]) -> bool:
    """Kill a stage now, see to it that everything it started ends, and say whether it was still at work."""
    everyone: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        everyone = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate(timeout=60)
    _, alive = psutil.wait_procs(everyone, timeout=20)
    assert not alive, [one.cmdline() for one in alive]
    return process.returncode == -signal.SIGKILL


def ready_for(stage: str, projects: Projects, tmp_path: Path) -> Path:
    """A project whose next stage is this one."""
    project = tmp_path / "project"
    shutil.copytree(projects.ingested, project)
    for earlier in STAGES[: STAGES.index(stage)]:
        put_in_place(earlier, projects.clean, project)
    return project


def expected_after(stage: str, projects: Projects, project: Path, before: Path) -> dict[str, str]:
    """What a run that nobody disturbs leaves, begun with what `before` has."""
    put_in_place(stage, before, project)
    code, text = run(project, stage)
    assert code == 0, text
    found = contents(project, stage)
    # The history of moves aside, what was there before makes no difference.
    assert {**found, "data/moves.jsonl": None} == {**contents(projects.clean, stage), "data/moves.jsonl": None}
    return found


def assert_nothing_is_half_written(left: dict[str, str], *whole: dict[str, str]) -> None:
    for name, digest in left.items():
        assert digest in {one.get(name) for one in whole}, name


@pytest.mark.parametrize(
    ("stage", "before", "points"),
    [
        ("dedupe", "ingested", 15),
        ("split", "ingested", 7),
        ("split", "older", 8),
        ("shard", "ingested", 20),
        ("shard", "older", 20),
    ],
)
def test_killed_at_seeded_moments(stage: str, before: str, points: int, projects: Projects, tmp_path: Path) -> None:
    project, source = ready_for(stage, projects, tmp_path), getattr(projects, before)
    expected = expected_after(stage, projects, project, source)
    whole = {}
    for workers in (1, 2):
        put_in_place(stage, source, project)
        began = time.monotonic()
        assert run(project, stage, workers=workers)[0] == 0
        whole[workers] = time.monotonic() - began
    choice = random.Random(f"{stage} {before}")
    at_work = partly = 0
    for number in range(points):
        workers = 1 + number % 2
        put_in_place(stage, source, project)
        old = contents(project, stage)
        process = start(project, stage, workers=workers)
        if stage == "shard" and number % 4:
            # Of what it does, only a moment is writing.
            at_work += killed_at_shard(process, project / "data" / "lab", choice.randint(1, 4))
        elif killed_after(process, whole[workers] * choice.uniform(0.3, 1.0)):
            at_work += 1
        else:
            whole[workers] *= 0.8  # the machine has less to do than when the time was taken
        left = contents(project, stage)
        assert_nothing_is_half_written(left, old, expected)
        partly += left not in (old, expected)
        code, text = run(project, stage, workers=3 - workers)
        assert code == 0, f"kill {number}: {text}"
        assert contents(project, stage) == expected, f"kill {number}"
    assert at_work >= points * 2 // 3
    assert partly >= 2 or stage != "shard"


# In a stage's own process: the kernel ends it when it opens or renames its n-th file below data or reports.
AT_STEP = """
import os, signal, sys
left = [{step}]
def count(event, arguments):
    if event in ("open", "os.rename") and str(arguments[0]).startswith(("data", "reports")):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
"""


@pytest.mark.parametrize(("stage", "before"), [("dedupe", "ingested"), ("split", "older")])
def test_killed_at_every_step_of_writing(stage: str, before: str, projects: Projects, tmp_path: Path) -> None:
    project, source = ready_for(stage, projects, tmp_path), getattr(projects, before)
    expected = expected_after(stage, projects, project, source)
    states = set()
    for step in range(1, 100):
        put_in_place(stage, source, project)
        old = contents(project, stage)
        process = start(project, stage, before=AT_STEP.format(step=step))
        _, text = process.communicate(timeout=60)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, text
        left = contents(project, stage)
        assert_nothing_is_half_written(left, old, expected)
        states.add(tuple(sorted(left.items())))
        assert run(project, stage)[0] == 0
        assert contents(project, stage) == expected, f"step {step}"
    # Each file that changes was in place before the next one at some step.
    assert len(states) >= sum(old.get(name) != digest for name, digest in expected.items())


def test_moves_are_on_record_once_whenever_a_run_was_killed(projects: Projects, tmp_path: Path) -> None:
    project = ready_for("split", projects, tmp_path)
    put_in_place("split", projects.older, project)
    old, new = (
        {row["id"]: row["split"] for row in pq.read_table(path / "data/splits.parquet").to_pylist()}
        for path in (projects.older, projects.clean)
    )
    moved = {(identity, split, new[identity]) for identity, split in old.items() if new[identity] != split}
    assert moved
    for step in (3, 4, 5, 6):
        process = start(project, "split", before=AT_STEP.format(step=step))
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
    assert run(project, "split")[0] == 0
    lines = [json.loads(line) for line in (project / "data/moves.jsonl").read_text().splitlines()]
    assert len(lines) == len(moved)
    assert {(line["id"], line["from"], line["to"]) for line in lines} == moved


def test_shards_that_are_complete_outlive_a_kill(projects: Projects, tmp_path: Path) -> None:
    project = ready_for("shard", projects, tmp_path)
    process = start(project, "shard")
    deadline = time.monotonic() + 60
    while len(contents(project, "shard")) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert killed_after(process, 0)
    complete = len(contents(project, "shard"))
    code, text = run(project, "shard")
    assert code == 0
    assert f"kept {complete}," in text
    assert contents(project, "shard") == contents(projects.clean, "shard")


def test_no_group_of_the_sample_straddles_splits(projects: Projects) -> None:
    for project in (projects.clean, projects.older):
        groups = pq.read_table(project / "data/groups.parquet").to_pylist()
        group_of = {row["id"]: row["split_group"] for row in groups}
        assert len(set(group_of.values())) < len(group_of)
        found: defaultdict[str, set[str]] = defaultdict(set)
        for row in pq.read_table(project / "data/splits.parquet").to_pylist():
            found[group_of[row["id"]]].add(row["split"])
        for path in (project / "data/lab").rglob("*.parquet"):
            split = next(part for part in path.parts if part.startswith("split=")).removeprefix("split=")
            for identity in pq.read_table(path, columns=["id"], partitioning=None)["id"].to_pylist():
                found[group_of[identity]].add(split)
        assert {len(splits) for splits in found.values()} == {1}
        assert {split for splits in found.values() for split in splits} == {"train", "validation", "test"}
