"""Ingest: what looking at a photo costs beside decoding it, how fast the stage is, and what memory it takes.

    python bench/ingest.py [FOLDER_OF_JPEGS] [--photos 4000]
    python bench/ingest.py --memory [1000 10000 100000]

Without a folder, photos of 500x375 and 150x150 are made up. The steps take turns photo by photo, so that all see the
same machine. The stages run as commands in a temporary project; memory and CPU time of all their processes are sampled.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from colorize.data.execution import map_ordered, worker_count
from colorize.data.flags import flag_of
from colorize.data.hashing import describe
from colorize.data.judgement import judge
from colorize.data.sandbox import Sandbox
from colorize.images import decode, read_header
from colorize.settings.sections import ImageSettings

IMAGES = ImageSettings()
MADE_UP = 120
MIB = 2**20


def made_up(width: int, height: int) -> list[bytes]:
    """JPEG photos with about the detail of real ones."""
    generator = np.random.default_rng(1)
    photos = []
    for _ in range(MADE_UP):
        coarse = Image.fromarray(generator.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
        noisy = np.clip(smooth + generator.normal(0, 8, smooth.shape[:2])[..., None], 0, 255)
        stream = io.BytesIO()
        Image.fromarray(noisy.astype(np.uint8)).save(stream, "JPEG", quality=90)
        photos.append(stream.getvalue())
    return photos


def write_distinct(folder: Path, photos: Sequence[bytes], number: int) -> None:
    """So many files, each with a comment of its own behind the first marker: other bytes, the same picture."""
    for index in range(number):
        data = photos[index % len(photos)]
        if index % 1000 == 0:
            part = folder / f"{index // 1000:04d}"
            part.mkdir(parents=True)
        (part / f"{index:07d}.jpg").write_bytes(data[:2] + b"\xff\xfe\x00\x0a" + f"{index:08d}".encode() + data[2:])


def limit(data: bytes) -> object:
    """Decoding alone: the least anybody has to do."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def limit_of_file(path: Path) -> None:
    limit(path.read_bytes())


def steps(photos: Sequence[bytes]) -> None:
    """Print what each step of looking at a photo costs over decoding it."""
    ways: dict[str, Callable[[bytes, np.ndarray], object]] = {
        "limit: Pillow decode": lambda data, rgb: limit(data),
        "header check": lambda data, rgb: read_header(data, IMAGES),
        "SHA-256": lambda data, rgb: hashlib.sha256(data).hexdigest(),
        "decode": lambda data, rgb: decode(data, IMAGES),
        "flags": lambda data, rgb: flag_of(rgb, IMAGES),
        "what finds copies": lambda data, rgb: describe(rgb),
        "all, in this process": lambda data, rgb: judge(IMAGES, data),
    }
    times: dict[str, list[float]] = defaultdict(list)
    with Sandbox(partial(judge, IMAGES), seconds=60, memory=2**31) as sandbox:
        ways["all, in the sandbox"] = lambda data, rgb: sandbox(data)
        for data in [*photos[:3], *photos]:
            rgb = decode(data, IMAGES)
            assert isinstance(rgb, np.ndarray)
            for name, way in ways.items():
                start = time.perf_counter()
                way(data, rgb)
                times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values[3:]) for name, values in times.items()}
    size = statistics.median(len(data) for data in photos) / 1000
    print(f"  {len(photos)} photos, median {size:.0f} kB; seconds per 1,000 photos, one process, wall clock, medians")
    for name, seconds in medians.items():
        print(f"    {name:22}{1000 * seconds:8.3f}{seconds / medians['limit: Pillow decode']:8.2f} x limit")
    beside = medians["header check"] + medians["SHA-256"] + medians["flags"]
    print(f"    header check + SHA-256 + flags: {beside / medians['decode']:.0%} of one decode")
    overhead = statistics.median(
        there - here for there, here in zip(times["all, in the sandbox"], times["all, in this process"], strict=True)
    )
    print(f"    the sandbox itself: {1000 * overhead:.3f} ms per photo")


@dataclass(frozen=True)
class Run:
    """What a command took; bytes and seconds."""

    seconds: float
    cpu: float
    driver: int
    largest: int


def run(command: Sequence[str], project: Path) -> Run:
    """Run a stage and sample all its processes."""
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=project,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    root = psutil.Process(process.pid)
    cpu: dict[int, float] = {}
    largest = 0
    while True:
        try:
            others = root.children(recursive=True)
        except psutil.NoSuchProcess:
            others = []
        for one in others:
            try:
                user, system = one.cpu_times()[:2]
                cpu[one.pid] = user + system
                largest = max(largest, one.memory_info().rss)
            except psutil.Error:
                continue
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        time.sleep(0.1)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.stderr is not None
    if process.returncode:
        sys.exit(f"{' '.join(command)}: {process.stderr.read().decode()}")
    process.stderr.close()
    driver = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Run(seconds, usage.ru_utime + usage.ru_stime + sum(cpu.values()), driver, largest)


def new_project(project: Path, photos: Path) -> None:
    """A project with one dataset."""
    project.mkdir()
    source = photos.resolve().as_uri()
    parameters = f'datasets: {{photos: {{source: "{source}"}}}}\nshards: {{size: 64}}\n'
    (project / "params.yaml").write_text(parameters, encoding="utf-8")
    (project / "removed.jsonl").touch()


def whole_stage(photos: Path, project: Path) -> None:
    """Print how fast the stages are over the files of a folder, and the limit."""
    new_project(project, photos)
    listing = run(["stages.sources", "photos"], project)
    paths = [path for path in sorted(photos.rglob("*")) if path.is_file()]
    number = len(paths)
    start = time.perf_counter()
    for _ in map_ordered(limit_of_file, paths, worker_count(), chunk=64):
        pass
    least = time.perf_counter() - start
    first = run(["stages.ingest", "photos"], project)
    again = run(["stages.ingest", "photos"], project)
    print(f"  {number} photos as files, {worker_count()} processes, start of the command included")
    print(f"    limit: read and decode alone{number / least:10.0f} photos/s{least:8.1f} s")
    ratio = first.seconds / least
    cpu = 1000 * first.cpu / number
    print(f"    ingest{number / first.seconds:32.0f} photos/s{first.seconds:8.1f} s{ratio:6.2f} x limit; ", end="")
    print(f"{cpu:.2f} s of CPU per 1,000 photos")
    print(f"    listing{listing.seconds:50.1f} s\n    ingest again, nothing to do{again.seconds:30.1f} s")


def write_different(folder: Path, number: int) -> None:
    """So many small photos, no two alike."""
    generator = np.random.default_rng(2)
    for index in range(number):
        if index % 1000 == 0:
            part = folder / f"{index // 1000:04d}"
            part.mkdir(parents=True)
        coarse = Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        coarse.resize((64, 64), Image.Resampling.BICUBIC).save(part / f"{index:07d}.jpg", quality=85)


def memory(numbers: Sequence[int], folder: Path) -> None:
    """Print the peak memory of the stages over the number of photos."""
    print(f"peak resident MiB: the stage's own process / its largest other one; {worker_count()} workers, 64x64 photos")
    stages = ("sources", "ingest", "dedupe", "split", "shard", "statistics")
    print("   photos" + "".join(f"{stage:>14}" for stage in stages))
    for number in numbers:
        here = folder / str(number)
        write_different(here / "photos", number)
        new_project(here / "project", here / "photos")
        print(f"{number:9}", end="", flush=True)
        for stage in stages:
            command = [f"stages.{stage}", *(["photos"] if stage in ("sources", "ingest") else [])]
            taken = run(command, here / "project")
            print(f"{f'{taken.driver / MIB:.0f} / {taken.largest / MIB:.0f}':>14}", end="", flush=True)
        print(flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="real photos instead of made-up ones")
    parser.add_argument("--photos", type=int, default=4000, help="made-up photos for the whole stage")
    parser.add_argument("--memory", nargs="*", type=int, metavar="NUMBER", help="peak memory for so many photos")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        if given.memory is not None:
            memory(given.memory or [1000, 10_000, 100_000], temporary)
        elif given.folder is not None:
            print(given.folder)
            some = islice(sorted(given.folder.rglob("*.jp*g")), MADE_UP)
            steps([path.read_bytes() for path in some])
            whole_stage(given.folder, temporary / "project")
        else:
            for width, height in ((500, 375), (150, 150)):
                print(f"{width}x{height}")
                photos = made_up(width, height)
                steps(photos)
                write_distinct(temporary / str(width), photos, given.photos)
                whole_stage(temporary / str(width), temporary / f"project-{width}")


if __name__ == "__main__":
    main()
