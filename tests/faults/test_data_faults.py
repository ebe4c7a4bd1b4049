"""Killed writers, full disks and folders that cannot be written: nothing half-written, and a rerun that works."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
PARAMETERS = """datasets:
  mine: {{source: 'file://{folder}/photos', layout: flat}}
ingest: {{shard_bytes: 40000, row_group: 4}}
split: {{validation: 0.0, test: 0.0}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with params.yaml, 60 photos and their listing."""
    (tmp_path / "photos").mkdir()
    for i in range(60):
        coarse = Image.fromarray(np.random.default_rng(i).integers(0, 256, (9, 9, 3), dtype=np.uint8))
        coarse.resize((300, 200), Image.Resampling.BICUBIC).save(tmp_path / "photos" / f"{i}.jpg", quality=90)
    (tmp_path / "params.yaml").write_text(PARAMETERS.format(folder=tmp_path), encoding="utf-8")
    run(tmp_path, "sources", "mine")
    return tmp_path


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


def kill_after(project: Path, seconds: float, workers: int = 1) -> bool:
    """Start to ingest and kill it; whether it was still at work."""
    process = start(project, "ingest", "mine", workers=workers)
    time.sleep(seconds)
    process.kill()
    process.communicate(timeout=60)
    return process.returncode == -signal.SIGKILL


def assert_nothing_half_written(project: Path, clean: dict[str, str]) -> None:
    """The output is whole or absent."""
    output = project / "data" / "raw" / "mine"
    if output.exists():
        assert {f"mine/{name}": digest for name, digest in contents(output).items()} == clean


@pytest.fixture
def clean(project: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a clean run writes to data/raw; the project is left as it was before."""
    assert run(project, "ingest", "mine")[0] == 0
    expected = contents(project / "data" / "raw")
    (project / "data" / "raw").rename(tmp_path_factory.mktemp("clean") / "raw")
    return expected


def test_killed_while_writing_then_rerun_gives_the_same_bytes(project: Path, clean: dict[str, str]) -> None:
    process = start(project, "ingest", "mine")
    building = project / "data" / "raw" / ".tmp-mine"
    deadline = time.monotonic() + 30
    while not (building / "part-00000.parquet").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    process.communicate(timeout=60)
    assert building.is_dir()
    assert not (project / "data" / "raw" / "mine").exists()
    assert run(project, "ingest", "mine", workers=2) == (0, "")
    assert contents(project / "data" / "raw") == clean


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_killed_at_any_moment(project: Path, clean: dict[str, str], seed: int) -> None:
    choice = random.Random(seed)
    for _ in range(3):
        kill_after(project, choice.uniform(0.2, 1.2), workers=1 + seed % 3)
        assert_nothing_half_written(project, clean)
    assert run(project, "ingest", "mine")[0] == 0
    assert contents(project / "data" / "raw") == clean


def test_a_full_disk_while_ingesting(project: Path) -> None:
    code, text = run(project, "ingest", "mine", file_limit=20_000)
    assert code == 1
    assert text.startswith("error: ")
    assert os.strerror(errno.EFBIG) in text
    assert text.count("\n") == 1
    assert list(contents(project / "data")) == ["sources/mine.json"]
    assert not any((project / "data" / "raw").iterdir())
    assert run(project, "ingest", "mine")[0] == 0


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


def test_a_killed_worker_is_one_clear_line(project: Path) -> None:
    process = start(project, "ingest", "mine", workers=2)
    building = project / "data" / "raw" / ".tmp-mine"
    while not building.exists():
        time.sleep(0.001)
    time.sleep(0.05)
    for _ in range(500):
        if victims := workers_of(process.pid):
            os.kill(victims[-1], signal.SIGKILL)
            break
        time.sleep(0.005)
    _, text = process.communicate(timeout=60)
    if process.returncode != 0:  # it may have finished just before
        assert "COLORIZE_WORKERS=1" in text
        assert not (project / "data" / "raw" / "mine").exists()
    assert run(project, "ingest", "mine")[0] == 0


def workers_of(pid: int) -> list[int]:
    """Processes of the same group that the fork server started."""
    import psutil

    server = [child for child in psutil.Process(pid).children() if "forkserver" in " ".join(child.cmdline())]
    return [worker.pid for child in server for worker in child.children()]
