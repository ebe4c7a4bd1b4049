"""Every architecture side by side: parameters, operations, images a second, memory; in one run of one command.

Usage: python bench/architectures.py [NAME …] [--device cuda] [--json FILE]

Each network is built as published and, where params.yaml trains a slim one, as it stands there, each in a process of
its own. Photos are random numbers of 256 x 256 pixels, 2 at a time on a CPU and 16 on a GPU: what is measured depends
on sizes alone.

  parameters   all that the network holds, frozen ones included
  GFLOP        of one photo's forward pass, convolutions and matrix products alone, a multiply-add counted as two
  colorize     photos a second through `predict`
  train        photos a second through whole training steps, of the objective that the architecture has by default
               (params.yaml's where it trains the architecture): forward, backward, clipping, AdamW
  memory       the most that was taken while colorizing and while training, beyond what the process had with its
               imports: resident pages on a CPU, torch's allocations on a GPU

Rates are medians of rounds of at least half a second or one call, after one call that is not counted. They mean
little where other programs run as well: a row during which those took more than a tenth of the CPUs' time is measured
again, up to three times in all, and the quietest counts. What they took stands below the table, and for each row in
the JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch.utils.flop_counter import FlopCounterMode

from colorize.data.loader import Batch
from colorize.models import Hints, create, names
from colorize.models.histogram_matching import HistogramMatching, Reference
from colorize.models.registry import settings_of
from colorize.settings import Section, Settings, load_settings
from colorize.training.overfit import overfit

ROOT = Path(__file__).parents[1]
SIDE = 256
PHOTOS = {"cpu": 2, "cuda": 16}
ROUNDS = 5
SECONDS = 30.0  # no more rounds when a measurement has taken so long
HINT_SHARE = 0.02
QUIET = 0.1  # share of the CPUs' time that other programs may take
ATTEMPTS = 3


def photos(count: int) -> Batch:
    """Random photos, as a loader gives them."""
    generator = np.random.default_rng(0)
    lightness, ab = (generator.integers(0, 256, (count, channels, SIDE, SIDE), dtype=np.uint8) for channels in (1, 2))
    return Batch([f"{number:064x}" for number in range(count)], ["made-up"] * count, lightness, ab)


def rate(call: Callable[[], object], count: int, device: torch.device) -> float:
    """Photos a second, `count` of them a call."""

    def timed() -> float:
        began = time.perf_counter()
        calls = 0
        while not calls or time.perf_counter() - began < 0.5:
            call()
            calls += 1
            if device.type == "cuda":
                torch.cuda.synchronize()
        return (time.perf_counter() - began) / calls

    call()
    began, seconds = time.perf_counter(), []
    while len(seconds) < ROUNDS and (not seconds or time.perf_counter() - began < SECONDS):
        seconds.append(timed())
    return count / statistics.median(seconds)


class Peak:
    """The most memory taken since it was made, MiB."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        else:
            Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts again from what is resident now

    def read(self, before: int) -> float:
        """Beyond `before` bytes; on a GPU beyond nothing."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 2**20
        status = Path("/proc/self/status").read_text()
        peak = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
        return (peak - before) / 2**20


def operations(name: str, settings: Section) -> float:
    """GFLOP of one photo's forward pass."""
    with torch.device("meta"):
        network = create(name, settings).eval().requires_grad_(False)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 1, SIDE, SIDE, device="meta"))
    return counter.get_total_flops() / 1e9


def measure(name: str, settings: Settings, model: Section, device: torch.device) -> dict[str, Any]:
    """All figures of one network, in this process."""
    batch = photos(PHOTOS[device.type])
    before = psutil.Process().memory_info().rss
    found = measure_colorizing(name, model, batch, device, before)
    if name not in names():
        return found
    found["gflop"] = operations(name, model)
    peak = Peak(device)
    run = settings.architectures.chosen()[name]
    training = settings.training_of(name)
    steps = overfit(name, model, run.objective, training, batch, device=device, published=lambda _: {})
    found["train"] = rate(lambda: next(steps), len(batch.ids), device)
    found["train_mib"] = peak.read(before)
    return found


def measure_colorizing(name: str, model: Section, batch: Batch, device: torch.device, before: int) -> dict[str, Any]:
    """Parameters, rate and memory of `predict`; `before` bytes were resident without the network."""
    peak = Peak(device)
    network = create(name, model)
    if isinstance(network, HistogramMatching):
        ab = torch.from_numpy(batch.ab[0].astype(np.float32) - 128)
        network = HistogramMatching(model, Reference(torch.from_numpy(batch.l[0] / np.float32(2.55)), ab))
    network = network.to(device).eval()
    lightness = torch.from_numpy(batch.l).to(device).float() * (100 / 255)
    hints = None
    if network.takes_hints:
        mask = (torch.rand(lightness.shape, generator=torch.Generator().manual_seed(0)) < HINT_SHARE).float().to(device)
        hints = Hints((torch.from_numpy(batch.ab).to(device).float() - 128) * mask, mask)
    found: dict[str, Any] = {"parameters": sum(parameter.numel() for parameter in network.parameters())}
    found["colorize"] = rate(lambda: network.predict(lightness, hints), len(lightness), device)
    found["colorize_mib"] = peak.read(before)
    return found


def with_run(settings: Settings, name: str) -> Settings:
    """The settings with that architecture among those to train, by default as published."""
    if name not in names() or name in settings.architectures.chosen():
        return settings
    plain = settings.model_dump()
    plain["architectures"][name] = {"model": {}}
    return Settings.model_validate(plain)


def child(name: str, variant: str, device: str) -> None:
    """Measure one network and print it as JSON."""
    settings = with_run(load_settings(ROOT / "params.yaml"), name)
    slim = variant == "slim"
    model = settings.architectures.chosen()[name].model if slim else settings_of(name, {})
    print(json.dumps(measure(name, settings, model, torch.device(device))))


def table(rows: list[dict[str, Any]]) -> str:
    """The figures as Markdown."""
    lines = [
        "| architecture | | parameters | GFLOP | colorize, images/s | train, images/s | colorize, MiB | train, MiB |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        cells = [f"{row['parameters']:,}" if row["parameters"] else "none"]
        cells += [_short(row.get(key)) for key in ("gflop", "colorize", "train", "colorize_mib", "train_mib")]
        lines.append(f"| `{row['name']}` | {row['variant']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _short(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


class Others:
    """What programs other than the children of this one take of the CPUs, from when it was made."""

    def __init__(self) -> None:
        self._began = self._now()

    def share(self) -> float:
        """Of the time of all CPUs, 0 to 1; children count as own once they have ended."""
        seconds, busy, own = (now - then for now, then in zip(self._now(), self._began, strict=True))
        return max(0.0, busy - own) / (seconds * (psutil.cpu_count() or 1))

    @staticmethod
    def _now() -> tuple[float, float, float]:
        times, own = psutil.cpu_times(), resource.getrusage(resource.RUSAGE_CHILDREN)
        busy = times.user + times.nice + times.system + times.irq + times.softirq + times.steal
        return time.monotonic(), busy, own.ru_utime + own.ru_stime


def quietest(name: str, variant: str, device: str) -> dict[str, Any]:
    """The row of one network, each attempt in a process of its own; ends the program where one fails."""
    command = [sys.executable, __file__, name, "--child", variant, "--device", device]
    rows: list[dict[str, Any]] = []
    while len(rows) < ATTEMPTS and not any(row["others"] <= QUIET for row in rows):
        others = Others()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{name}, {variant}: failed\n{done.stderr}")
        found = json.loads(done.stdout.splitlines()[-1])
        rows.append({"name": name, "variant": variant, **found, "others": round(others.share(), 3)})
        if rows[-1]["others"] > QUIET:
            print(f"  disturbed: other programs took {rows[-1]['others']:.0%} of the CPUs", file=sys.stderr)
    return min(rows, key=lambda row: row["others"])


def main() -> None:
    """Measure one network after another and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = (*names(), *names(trained=False))
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these; all by default")
    parser.add_argument("--device", default="cpu", choices=sorted(PHOTOS), help="where to measure")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in every]:
        parser.error(f"no architecture '{unknown[0]}'; there are: {', '.join(every)}")
    if options.child:
        child(options.names[0], options.child, options.device)
        return
    chosen = load_settings(ROOT / "params.yaml").architectures.chosen()
    tasks = [
        (name, variant)
        for name in options.names or every
        for variant in ("published", "slim")
        if variant == "published" or name in chosen
    ]
    began, rows = time.monotonic(), []
    for number, (name, variant) in enumerate(tasks, 1):
        print(f"[{number}/{len(tasks)}] {name}, {variant} ({time.monotonic() - began:.0f} s)", file=sys.stderr)
        rows.append(quietest(name, variant, options.device))
    gpu = options.device == "cuda"
    device = torch.cuda.get_device_name() if gpu else f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
    loudest = max(rows, key=lambda row: row["others"])
    about = (
        f"{datetime.now(UTC):%Y-%m-%d}, {device}, torch {torch.__version__.partition('+')[0]}, {SIDE} × {SIDE} pixels, "
        f"{PHOTOS[options.device]} photos at a time, {time.monotonic() - began:.0f} s in all; other programs took "
        f"{statistics.median(row['others'] for row in rows):.0%} of the CPUs in the median row and at most "
        f"{loudest['others']:.0%}, in `{loudest['name']}`, {loudest['variant']}"
    )
    if options.json:
        options.json.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    print(f"{table(rows)}\n\n({about})")


if __name__ == "__main__":
    main()
