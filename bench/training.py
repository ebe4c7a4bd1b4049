"""What Ray Train costs over the plain loop, and how long training waits for data.

Usage: python bench/training.py [--photos 256] [--size 96] [--epochs 4] [--rounds 3] [--threads 2]

The photos are drawn by the embedded sample. One architecture of params.yaml is trained by the plain loop and as one
worker of Ray Train, with the same threads, in turns, each time in a process of its own.

  images/s     median of the log's records beyond the first epoch, of all rounds
  start-up     seconds of a process that are not in the run's own `seconds`: imports, and with Ray the session, what is
               asked of it beforehand, the rehearsal and the workers; median of the rounds

Then each architecture of params.yaml is trained by the plain loop; `waits for data` is the mean of the records' share
of time, weighed by the time they took. On a GPU a third table follows, which has not been tried on one: the same with
bfloat16 and channels_last, and operations (thrice the forward pass's convolutions and matrix products) over what one
large matrix product of bfloat16 reaches on the same GPU.

Figures of a busy machine mean little: nothing else should run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from colorize.data.shard_file import Row, write_shard
from colorize.data.shard_index import read_entry, write_index
from colorize.data.shard_pixels import make_row
from colorize.data.shard_plan import Photo, ShardPlan
from colorize.data.sources.sample import SampleSource
from colorize.settings import Settings, load_settings
from colorize.settings.sections import ImageSettings, ScalingSettings, ShardSettings
from colorize.training.identity import RunSpecification, specify

ROOT: Final = Path(__file__).parents[1]
HELD_OUT: Final = 16  # photos of the validation split
WAYS: Final = ("plain loop", "Ray Train, one worker")
MATRIX: Final = 8192  # rows and columns of the matrix product
_COLLECTION: Final = "landscape-pictures"
Record = dict[str, Any]


def write_lab(folder: Path, photos: int, size: int) -> Path:
    """LAB shards of so many drawn photos to train on, and a few to validate."""
    source = SampleSource(_COLLECTION, 2 * (photos + HELD_OUT))  # some are flagged, and left out
    rows: list[Row] = []
    for number, entry in enumerate(source.list()):
        row = make_row(f"{number:064x}", source.read(entry), ShardSettings(size=size), ImageSettings())
        if isinstance(row, Row):
            rows.append(row)
        if len(rows) == photos + HELD_OUT:
            break
    settings, entries = ShardSettings(size=size), []
    for split, part in (("train", rows[:photos]), ("validation", rows[photos:])):
        plan = ShardPlan(split, _COLLECTION, 0, tuple(Photo(row.id, row.id) for row in part), settings)
        write_shard(folder / plan.path, plan, part)
        entries.append(read_entry(folder, plan.path)[0])
    write_index(folder, entries, settings)
    return folder


def with_epochs(settings: Settings, epochs: int) -> Settings:
    """The settings with so many epochs for all architectures."""
    plain = settings.model_dump()
    plain["training"]["epochs"] = epochs
    for run in plain["architectures"].values():
        if run is not None:
            run["training"].pop("epochs", None)
    return Settings.model_validate(plain)


def child(options: argparse.Namespace) -> None:
    """Train in this process, or in a Ray of its own."""
    settings = with_epochs(load_settings(ROOT / "params.yaml"), options.epochs)
    run = specify(settings, options.architecture, options.lab, ROOT)
    folder = options.folder / run.name
    if options.child == WAYS[0]:
        from colorize.training.loop import train

        train(run, options.lab, folder, threads=options.threads, weights=ROOT / "weights")
    else:
        train_on_ray(run, options.lab, folder, options.threads)


def train_on_ray(run: RunSpecification, lab: Path, folder: Path, threads: int) -> None:
    """One worker with as many CPUs as the plain loop has threads."""
    from pipelines.environment import prepare

    prepare(folder)
    from pipelines.ray_session import ray_session
    from pipelines.ray_train import launch

    with ray_session():
        launch(run, str(lab), folder, None, ScalingSettings(workers=1, cpus_per_worker=threads))


def trained(way: str, architecture: str, lab: Path, options: argparse.Namespace) -> tuple[list[Record], float]:
    """The log of one training in a process of its own, and the seconds of that process that it does not tell of."""
    with tempfile.TemporaryDirectory(prefix="t") as place:
        command = [sys.executable, __file__, "--child", way, "--architecture", architecture, "--lab", str(lab)]
        command += ["--folder", place, "--epochs", str(options.epochs), "--threads", str(options.threads)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads), "PYTHONPATH": str(ROOT)}
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        seconds = time.monotonic() - began
        if done.returncode:
            sys.exit(f"{way}, {architecture}: failed\n{done.stderr}")
        folder = next(path.parent for path in Path(place).glob("*/done.json"))
        records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        return records, seconds - float(json.loads((folder / "done.json").read_text())["seconds"])


def steady(records: Sequence[Record]) -> list[Record]:
    """Records of training steps beyond the first epoch."""
    return [record for record in records if "loss" in record and record["epoch"] > 1]


def speed(records: Sequence[Record]) -> float:
    """Median photos a second."""
    return statistics.median(float(record["images_per_second"]) for record in records)


def wait_share(records: Sequence[Record]) -> float:
    """Share of the time in which training waited for data; records are of equally many photos."""
    seconds = [1 / record["images_per_second"] for record in records]
    return float(np.average([record["data_wait_share"] for record in records], weights=seconds))


def compare_ways(lab: Path, options: argparse.Namespace) -> str:
    """The first table: rounds in which both ways take turns."""
    records: dict[str, list[Record]] = {way: [] for way in WAYS}
    starts: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(options.rounds):
        for way in WAYS if number % 2 == 0 else reversed(WAYS):
            print(f"round {number + 1} of {options.rounds}: {way}", file=sys.stderr)
            found, start = trained(way, options.architecture, lab, options)
            records[way] += steady(found)
            starts[way].append(start)
    lines = [f"| `{options.architecture}` | images/s | of the plain loop | start-up, s |"]
    lines.append("| --- | ---: | ---: | ---: |")
    speeds = {way: speed(records[way]) for way in WAYS}
    for way in WAYS:
        share = speeds[way] / speeds[WAYS[0]]
        lines.append(f"| {way} | {speeds[way]:.1f} | {share:.3f} | {statistics.median(starts[way]):.1f} |")
    return "\n".join(lines)


def waits(lab: Path, options: argparse.Namespace) -> str:
    """The second table: every architecture of params.yaml."""
    lines = ["| architecture | images/s | waits for data |", "| --- | ---: | ---: |"]
    for name in load_settings(ROOT / "params.yaml").architectures.chosen():
        print(f"waiting: {name}", file=sys.stderr)
        records = steady(trained(WAYS[0], name, lab, options)[0])
        lines.append(f"| `{name}` | {speed(records):.1f} | {wait_share(records):.2%} |")
    return "\n".join(lines)


def on_gpu(lab: Path, options: argparse.Namespace) -> str:
    """The third table, where there is a GPU; empty where there is none."""
    import torch

    if not torch.cuda.is_available():
        return ""
    limit = matrix_rate()
    lines = ["| architecture | images/s | TFLOP/s | of the matrix product |", "| --- | ---: | ---: | ---: |"]
    for name, run in load_settings(ROOT / "params.yaml").architectures.chosen().items():
        images = speed(steady(trained(WAYS[0], name, lab, options)[0]))
        rate = images * 3 * operations(name, run.model, options.size)
        lines.append(f"| `{name}` | {images:.1f} | {rate / 1e12:.2f} | {rate / limit:.1%} |")
    about = f"({torch.cuda.get_device_name()}, matrix product: {limit / 1e12:.0f} TFLOP/s)"
    return "\n".join(["", "", *lines, "", about])


def operations(name: str, model: Any, size: int) -> float:
    """FLOP of one photo's forward pass; a multiply-add counts as two."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from colorize.models import create

    with torch.device("meta"):
        network = create(name, model).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 1, size, size, device="meta"))
    return float(counter.get_total_flops())


def matrix_rate(calls: int = 50) -> float:
    """FLOP a second of one matrix product of bfloat16 on the GPU."""
    import torch

    one = torch.randn(MATRIX, MATRIX, dtype=torch.bfloat16, device="cuda")
    seconds = 0.0
    for _ in range(2):  # the first is not counted
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(calls):
            one @ one
        torch.cuda.synchronize()
        seconds = time.perf_counter() - began
    return 2.0 * MATRIX**3 * calls / seconds


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=256, help="drawn photos to train on")
    parser.add_argument("--size", type=int, default=96, help="pixels of a side")
    parser.add_argument("--epochs", type=int, default=4, help="two at least: the first is not counted")
    parser.add_argument("--rounds", type=int, default=3, help="of both ways in turns")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="CPU threads of each way")
    parser.add_argument("--architecture", default="unet", help="of params.yaml, for the comparison of ways")
    parser.add_argument("--child", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--lab", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.epochs < 2:
        parser.error("--epochs: two at least, since the first is not counted")
    if options.child:
        child(options)
        return
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        lab = write_lab(Path(place, "lab"), options.photos, options.size)
        tables = f"{compare_ways(lab, options)}\n\n{waits(lab, options)}{on_gpu(lab, options)}"
    print(
        f"{tables}\n\n({datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {options.threads} threads, {options.photos} "
        f"drawn photos of {options.size} × {options.size} pixels, {options.rounds} rounds of {options.epochs} epochs, "
        f"{time.monotonic() - began:.0f} s in all; other programs: load {os.getloadavg()[0]:.1f})"
    )


if __name__ == "__main__":
    main()
