"""Killed writers, full disks and folders that cannot be written: nothing half-written, and a rerun that works."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
PARAMETERS = """datasets:
  mine: {{source: 'file://{folder}/photos', layout: flat}}
ingest: {{shard_photos: 8, row_group: 4, maximum_refused: 1.0}}
split: {{validation: 0.0, test: 0.0}}
"""
PHOTOS = 60


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos`: usable ones and a few that are not."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "photos").mkdir()
    for i in range(PHOTOS):
        coarse = Image.fromarray(np.random.default_rng(i).integers(0, 256, (9, 9, 3), dtype=np.uint8))
        coarse.resize((300, 200), Image.Resampling.BICUBIC).save(folder / "photos" / f"{i}.jpg", quality=90)
    (folder / "photos" / "7.jpg").write_bytes(b"no picture")
    (folder / "photos" / "31.jpg").write_bytes((folder / "photos" / "32.jpg").read_bytes()[:3000])
    return folder


@pytest.fixture
def project(photos: Path, tmp_path: Path) -> Path:
    """A folder with params.yaml and the listing of the photos."""
    (tmp_path / "params.yaml").write_text(PARAMETERS.format(folder=photos), encoding="utf-8")
    (tmp_path / "removed.jsonl").touch()
    assert run(tmp_path, "sources", "mine")[0] == 0
    return tmp_path


@pytest.fixture(scope="module")
def clean(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What an undisturbed run writes to data/raw."""
    project = tmp_path_factory.mktemp("clean")
    (project / "params.yaml").write_text(PARAMETERS.format(folder=photos), encoding="utf-8")
    (project / "removed.jsonl").touch()
    assert run(project, "sources", "mine")[0] == 0
    assert run(project, "ingest", "mine")[0] == 0
    return contents(project / "data" / "raw")


def start(project: Path, *arguments: str, workers: int = 1, file_limit: int | None = None) -> subprocess.Popen[str]:
    command = ["-m", f"stages.{arguments[0]}", *arguments[1:]]
    if file_limit is not None:
        # Writing past the limit fails, as it would on a full disk.
        limit = f"resource.setrlimit(resource.RLIMIT_FSIZE, ({file_limit}, {file_limit}))"
        module = f"runpy.run_module('stages.{arguments[0]}', run_name='__main__', alter_sys=True)"
        command = ["-c", f"import resource, runpy; {limit}; {module}", *arguments[1:]]
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLORIZE_WORKERS": str(workers)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(project: Path, *arguments: str, workers: int = 1, file_limit: int | None = None) -> tuple[int, str]:
    """Exit code and standard error of a stage."""
    process = start(project, *arguments, workers=workers, file_limit=file_limit)
    _, text = process.communicate(timeout=60)
    return process.returncode, text


def contents(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def finished(project: Path) -> dict[str, str]:
    """What is in data/raw under a final name."""
    return {name: digest for name, digest in contents(project / "data" / "raw").items() if ".tmp-" not in name}


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """A process and everything it started."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    return []


def assert_all_end(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert not alive, [process.cmdline() for process in alive]


def wait_for_shards(process: subprocess.Popen[str], project: Path, number: int) -> None:
    deadline = time.monotonic() + 60
    while len(list((project / "data" / "raw" / "mine").glob("part-*"))) < number:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.001)


def test_killed_while_writing_then_rerun_gives_the_same_bytes(project: Path, clean: dict[str, str]) -> None:
    process = start(project, "ingest", "mine", workers=2)
    wait_for_shards(process, project, 2)
    everyone = family(process)
    process.kill()
    process.communicate(timeout=60)
    assert_all_end(everyone)
    assert 2 <= len(finished(project)) < len(clean)
    assert finished(project).items() <= clean.items()
    assert run(project, "ingest", "mine", workers=2) == (0, "")
    assert contents(project / "data" / "raw") == clean


@pytest.mark.slow
def test_killed_at_thirty_moments(
    project: Path, clean: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    began = time.monotonic()
    assert run(project, "ingest", "mine")[0] == 0
    whole = time.monotonic() - began
    shutil.rmtree(project / "data" / "raw")
    choice = random.Random(20)
    at_work = in_the_middle = 0
    for number in range(30):
        process = start(project, "ingest", "mine", workers=1 + number % 2)
        time.sleep(whole * choice.uniform(0.1, 0.9))
        everyone = family(process)
        process.kill()
        process.communicate(timeout=60)
        assert_all_end(everyone)
        at_work += process.returncode == -signal.SIGKILL
        left = finished(project)
        in_the_middle += 0 < len(left) < len(clean)
        assert left.items() <= clean.items(), f"kill {number}"
        assert run(project, "ingest", "mine", workers=2 - number % 2) == (0, ""), f"kill {number}"
        assert contents(project / "data" / "raw") == clean, f"kill {number}"
        shutil.rmtree(project / "data" / "raw")
    assert at_work >= 20
    assert in_the_middle >= 3


@pytest.mark.slow
def test_killing_those_who_look_at_photos_changes_nothing(project: Path, clean: dict[str, str]) -> None:
    process = start(project, "ingest", "mine", workers=2)
    wait_for_shards(process, project, 1)
    # One kill for each who starts them: a photo over which two of them die is refused, and should be.
    killed: set[int] = set()
    # driver -> fork server -> worker -> fork server -> the one that decodes
    deep = len(psutil.Process().parents()) + 5
    while process.poll() is None and len(killed) < 2:
        for child in family(process):
            with suppress(psutil.NoSuchProcess):  # they come and go while they are looked at
                if len(child.parents()) >= deep and child.ppid() not in killed:
                    killed.add(child.ppid())
                    child.kill()
        time.sleep(0.05)
    _, text = process.communicate(timeout=60)
    assert killed
    assert (process.returncode, text) == (0, "")
    assert contents(project / "data" / "raw") == clean


def test_a_full_disk_while_ingesting(project: Path, clean: dict[str, str]) -> None:
    code, text = run(project, "ingest", "mine", file_limit=70_000)
    assert code == 1
    assert text.startswith("error: ")
    assert os.strerror(errno.EFBIG) in text
    assert text.count("\n") == 1
    assert contents(project / "data" / "raw").items() < clean.items()
    assert run(project, "ingest", "mine")[0] == 0
    assert contents(project / "data" / "raw") == clean


def test_a_full_disk_in_the_small_stages(project: Path) -> None:
    assert run(project, "ingest", "mine")[0] == 0
    before = contents(project / "data")
    for stage in (("sources", "mine"), ("dedupe",)):
        code, text = run(project, *stage, file_limit=500)
        assert code == 1
        assert text.startswith("error: ")
        assert contents(project / "data") == before
    assert run(project, "dedupe")[0] == 0
    assert run(project, "split", file_limit=500)[0] == 1
    assert not (project / "data" / "splits.parquet").exists()
    assert run(project, "split")[0] == 0
    assert not list(project.rglob(".tmp-*"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(project: Path) -> None:
    (project / "data").chmod(0o500)
    try:
        code, text = run(project, "ingest", "mine")
    finally:
        (project / "data").chmod(0o700)
    assert code == 1
    assert "Permission denied; make the folder writable and run again" in text


def test_a_killed_worker_is_one_clear_line(project: Path, clean: dict[str, str]) -> None:
    process = start(project, "ingest", "mine", workers=2)
    wait_for_shards(process, project, 1)
    servers = [child for child in psutil.Process(process.pid).children() if "forkserver" in " ".join(child.cmdline())]
    victims = [worker for server in servers for worker in server.children()]
    assert victims
    victims[-1].kill()
    _, text = process.communicate(timeout=60)
    assert process.returncode == 1
    assert text.count("\n") == 1
    assert "COLORIZE_WORKERS=1" in text
    assert finished(project).items() < clean.items()
    assert run(project, "ingest", "mine")[0] == 0
    assert contents(project / "data" / "raw") == clean
