"""How long it takes to evaluate models, and which part of that time is spent outside networks.

Usage: python bench/evaluation.py [--photos 1000] [--size 96] [--architecture NAME …] [--published] [--workers 2]

The photos are drawn by the embedded sample. Networks have random weights, and the settings that params.yaml gives them
(the sample profile's slim ones) or, with --published, their published widths. Each is measured as the pipeline measures
it: rows, artefacts, figures through networks that are there without weights, cost, pictures of the gallery.

  seconds      of wall time for all photos, all workers together
  ms a photo   of one thread: in the network, and in all
  outside      share of the workers' time that was spent neither in the network (one answer or more) nor in others

Figures of a busy machine mean little: nothing else should run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import torch

from colorize.data import statistics
from colorize.data.shard_file import Row, write_shard
from colorize.data.shard_index import read_entry, write_index
from colorize.data.shard_pixels import make_row
from colorize.data.shard_plan import Photo, ShardPlan
from colorize.data.sources.sample import SampleSource
from colorize.metrics.evaluation import SPEED, EvaluationData, evaluate_model
from colorize.models import create, names, save_model
from colorize.models.registry import settings_of
from colorize.settings import Section, load_settings
from colorize.settings.sections import EvaluationSettings, ImageSettings, ShardSettings
from colorize.storage import write_json

ROOT: Final = Path(__file__).parents[1]
FIVE: Final = ("simple_unet", "unet_vae", "unet", "eccv16", "siggraph17")
TRAINING: Final = 64  # photos of the training split, whose colours weigh the test photos'


def write_data(folder: Path, photos: int, size: int) -> Path:
    """`lab/` with so many test photos, and `statistics.json`."""
    settings, rows = ShardSettings(size=size), []
    source = SampleSource("landscape-pictures", 2 * (photos + TRAINING))  # some are flagged, and left out
    for number, entry in enumerate(source.list()):
        row = make_row(f"{number:064x}", source.read(entry), settings, ImageSettings())
        rows += [row] if isinstance(row, Row) else []
        if len(rows) == photos + TRAINING:
            break
    entries = []
    for split, part in (("train", rows[:TRAINING]), ("test", rows[TRAINING:])):
        for number, start in enumerate(range(0, len(part), settings.rows)):
            some = part[start : start + settings.rows]
            chosen = tuple(Photo(row.id, row.id) for row in some)
            plan = ShardPlan(split, "landscape-pictures", number, chosen, settings)
            write_shard(folder / "lab" / plan.path, plan, some)
            entries.append(read_entry(folder / "lab", plan.path)[0])
    write_index(folder / "lab", entries, settings)
    write_json(folder / "statistics.json", statistics.gather(folder / "lab"))
    return folder


def network_settings(name: str, published: bool) -> Section:
    """Of the sample profile where it has the architecture, else the published ones."""
    chosen = load_settings(ROOT / "params.yaml").architectures.chosen()
    return chosen[name].model if name in chosen and not published else settings_of(name, {})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--size", type=int, default=96, help="pixels")
    parser.add_argument("--architecture", action="append", choices=names(), help="may be repeated; default: five")
    parser.add_argument("--published", action="store_true", help="published widths for all")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    os.environ["COLORIZE_WORKERS"] = str(options.workers)
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.processor() or platform.machine()}, torch {torch.__version__}, ",
        end="",
    )
    print(f"{options.workers} workers, {options.photos} photos of {options.size} pixels\n")
    print("| architecture | parameters | seconds | ms a photo, network | in all | outside networks |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = write_data(folder / "data", options.photos, options.size)
        photos = EvaluationData(data / "lab", data / "statistics.json", folder / "weights", EvaluationSettings())
        wall, inside, everything = 0.0, 0.0, 0.0
        for name in options.architecture or FIVE:
            settings = network_settings(name, options.published)
            torch.manual_seed(1)
            save_model(folder / name, create(name, settings), name, settings, {"size": options.size})
            begin = time.perf_counter()
            evaluate_model(name, folder / name, folder / f"{name}-evaluation", photos)
            seconds = time.perf_counter() - begin
            speed = json.loads((folder / f"{name}-evaluation" / SPEED).read_text(encoding="utf-8"))
            of_all = speed["all_seconds_per_photo"]
            wall, everything = wall + seconds, everything + of_all
            inside += of_all * (1 - speed["share_outside_networks"])
            parameters = json.loads((folder / name / "model.json").read_text(encoding="utf-8"))["parameters"]
            cells = [f"`{name}`", f"{parameters:,}", f"{seconds:.1f}", f"{1e3 * speed['seconds_per_photo']:.1f}"]
            cells += [f"{1e3 * of_all:.1f}", f"{100 * speed['share_outside_networks']:.0f} %"]
            print(f"| {' | '.join(cells)} |", flush=True)
        print(f"| all | | {wall:.1f} | | {1e3 * everything:.1f} | {100 * (1 - inside / everything):.0f} % |")


if __name__ == "__main__":
    main()
