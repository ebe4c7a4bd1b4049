"""Every learned architecture at equal budget on photos of one's own: trained, measured, shown side by side.

    python bench/comparison.py PHOTOS --folder WORK [--minutes 4] [--size 64] [--threads 1] [--architectures NAME …]

PHOTOS is a folder or an archive; the pipeline's own stages make LAB shards of it once, in WORK. Then each architecture,
in a slim version of some hundred thousand parameters (`SLIM`), is trained alone, one after another, on so many threads:

  1. speed      a handful of training steps say how many images a second of CPU time it takes
  2. rate       each of the same two learning rates is tried for a twelfth of the budget, a whole schedule each, and the
                one with the less ab RMSE on the validation split is taken; this time is not counted
  3. training   from the start, for `minutes` of CPU time in training steps (validation and checkpoints come on top),
                in ten epochs, each of as many photos as the speed allows, warm-up and cosine to zero; the objective is
                the architecture's own

Then all are measured on the same test photos as in the pipeline, beside the baselines. WORK/comparison.md has the
tables, WORK/gallery.jpg eight of the test photos, WORK/drawn.jpg drawn photos, which no network here has seen the like
of. Ended in any way, the same command goes on; what is finished is not done again.

Equal budget is equal CPU time on one machine, so that a program which takes turns with this one costs no architecture
anything. One that fills the caches and the memory's bandwidth does: the table says how much was really spent.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image

from colorize.color import lab_from_code, lab_to_rgb
from colorize.data.shard_index import read_index
from colorize.metrics import baselines, evaluation
from colorize.metrics.colorizers import network
from colorize.metrics.comparison import compare
from colorize.metrics.gallery import GALLERY
from colorize.models import load_model, names
from colorize.report.grid import Column, sample_grid
from colorize.settings import Settings
from colorize.settings.sections import EvaluationSettings
from colorize.storage import write_json
from colorize.training.identity import specify
from colorize.training.log import read_log
from colorize.training.loop import train
from colorize.training.overfit import drawn_photos
from colorize.training.pretrained import FOLDER

ROOT = Path(__file__).parents[1]
STAGES = ("sources photos", "ingest photos", "dedupe", "split", "shard", "statistics")
#: Much for training, some hundreds for either measurement: of 10,000 photos.
SPLIT = {"validation": 0.03, "test": 0.05}
#: 0.1 to 1.4 million parameters each, by whatever makes a family narrower; drawn to be fast rather than large.
SLIM: dict[str, dict[str, Any]] = {
    "simple_unet": {"width": 0.35},
    "unet_vae": {"width": 0.5},
    "unet_vae_deep": {"width": 0.75},
    "unet": {"channels": 8},
    "vgg16_decoder": {"width": 0.5, "encoder_width": 0.25, "train_encoder": True},
    "eccv16": {"width": 0.125},
    "siggraph17": {"width": 0.125},
    "pix2pix_unet256": {"channels": 12, "depth": 6},
    "deoldify_artistic": {"encoder": "resnet18", "encoder_width": 0.25, "factor": 0.4},
    "deoldify_stable": {"encoder": "resnet50", "encoder_width": 0.0625, "factor": 0.2},
    "ddcolor_tiny": {"encoder_width": 0.125, "channels": 64, "embedding": 64, "queries": 32, "layers": 3},
    "ddcolor_large": {"encoder_width": 0.0625, "channels": 64, "embedding": 64, "queries": 32, "layers": 3},
}
RATES = (0.002, 0.006)
EPOCHS, TRIAL_EPOCHS = 10, 3
BATCH = 16
TRIAL = 1 / 12  # share of the budget that each learning rate is tried for
LEARNING = 0.01  # a fall of the validation's ab RMSE over the last third beyond this counts as still learning
PRIMARY = "ab_error_rebalanced"
FIGURES = {
    PRIMARY: "rebalanced ab error ↓",
    "ab_rmse": "ab RMSE ↓",
    "ciede2000_mean": "CIEDE2000 ↓",
    "psnr": "PSNR ↑",
    "colorfulness": "colourfulness",
    "colorfulness_error": "colourfulness error ↓",
}
ARTEFACTS = {
    "false_blue_rate": "false blue ↓",
    "hue_divergence": "hue divergence ↓",
    "border_ratio": "border (1)",
    "checkerboard": "checkerboard ↓",
    "edge_alignment": "edge alignment",
    "sharpness_ab": "sharpness, ab (1)",
}
SHOWN, SIDE = 8, 112  # photos of a gallery, and their side in pixels


def prepare(photos: Path, folder: Path, size: int) -> None:
    """Make `folder/data` of the photos by the stages of the pipeline, unless it is there."""
    source = f"file://{photos.resolve()}"
    values = {"datasets": {"photos": {"source": source}}, "split": SPLIT, "shards": {"size": size}}
    folder.mkdir(parents=True, exist_ok=True)
    parameters = folder / "params.yaml"
    if parameters.exists() and yaml.safe_load(parameters.read_text(encoding="utf-8")) != values:
        sys.exit(f"error: {parameters} is of other photos or another size; choose another --folder")
    if (folder / "data/statistics.json").exists():
        return
    parameters.write_text(yaml.safe_dump(values), encoding="utf-8")
    (folder / "removed.jsonl").touch()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for stage in STAGES:
        subprocess.run([sys.executable, "-m", *f"stages.{stage}".split()], cwd=folder, env=environment, check=True)


class Meter:
    """CPU time of training steps alone: what passes before the record of a validation is left out."""

    def __init__(self, name: str, quiet: bool) -> None:
        self.name, self.quiet = name, quiet
        self.steps, self.seconds = 0, 0.0
        self._step: int | None = None  # None before the first steps, which are slower, or go on with an earlier attempt
        self._clock = time.process_time()

    def __call__(self, record: dict[str, Any]) -> None:
        """Called by the training loop with each record of its log."""
        now = time.process_time()
        if "loss" in record:
            if self._step is not None:
                self.steps += record["step"] - self._step
                self.seconds += now - self._clock
            self._step = record["step"]
        elif not self.quiet:
            say(self.name, f"epoch {record['epoch']}, validation ab RMSE {record['validation_ab_rmse']:.2f}")
        self._clock = now


class Trainer:
    """Trains one architecture within the budget; its folder holds trials, plan and result."""

    def __init__(self, name: str, folder: Path, minutes: float, threads: int) -> None:
        self.name, self.minutes, self.threads = name, minutes, threads
        self.lab, self.folder = folder / "data/lab", folder / "runs" / name

    def plan(self) -> dict[str, Any]:
        """Learning rate and photos an epoch: worked out once, and kept."""
        path = self.folder / "plan.json"
        if path.exists():
            plan: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if plan["minutes"] != self.minutes:
                sys.exit(f"error: {path} is for {plan['minutes']} minutes; choose another --folder")
            return plan
        speed = self._train("speed", RATES[0], 1, 10 * BATCH)["images_per_cpu_second"]
        say(self.name, f"{speed:.1f} images/s of CPU time in a handful of steps")
        tried, speeds = {}, []
        for rate in RATES:
            photos = photos_per_epoch(speed, 60 * self.minutes * TRIAL, TRIAL_EPOCHS)
            done = self._train(f"trial-{rate}", rate, TRIAL_EPOCHS, photos)
            tried[str(rate)] = done["validation_ab_rmse"]
            speeds.append(done["images_per_cpu_second"])
            seen = TRIAL_EPOCHS * photos
            say(self.name, f"learning rate {rate}: validation ab RMSE {tried[str(rate)]:.2f} after {seen} photos")
        speed = sum(speeds) / len(speeds)
        plan = {
            "minutes": self.minutes,
            "learning_rate": float(min(tried, key=lambda rate: tried[rate])),
            "photos_per_epoch": photos_per_epoch(speed, 60 * self.minutes, EPOCHS),
            "tried": tried,
            "images_per_cpu_second": speed,
        }
        write_json(path, plan)
        return plan

    def run(self) -> None:
        """Train to the end, unless that has been done."""
        plan = self.plan()
        self._train("final", plan["learning_rate"], EPOCHS, plan["photos_per_epoch"])

    def _train(self, step: str, rate: float, epochs: int, photos: int) -> dict[str, Any]:
        steps = epochs * photos // BATCH
        training = {
            "epochs": epochs,
            "photos_per_epoch": photos,
            "batch_size": BATCH,
            "learning_rate": rate,
            "warmup_steps": min(50, steps // 10),
            "keep_checkpoints": 1,
        }
        values = {"datasets": {}, "training": training, "architectures": {self.name: {"model": SLIM[self.name]}}}
        if photos > (there := read_index(self.lab)["photos"]["train"]):
            sys.exit(f"error: {self.name} takes more than {photos} of {there} photos an epoch; give fewer --minutes")
        run = specify(Settings.model_validate(values), self.name, self.lab, ROOT)
        meter = Meter(self.name, quiet=step != "final")
        done = train(run, self.lab, self.folder / step, device="cpu", threads=self.threads, report=meter)
        assert done["steps"] == steps, f"{done['steps']} steps were trained, not {steps}"
        path = self.folder / step / "speed.json"
        if meter.seconds:
            write_json(path, {"images_per_cpu_second": meter.steps * BATCH / meter.seconds})
        return {**done, **json.loads(path.read_text(encoding="utf-8"))}


def photos_per_epoch(speed: float, seconds: float, epochs: int) -> int:
    """Photos of an epoch such that all of them take so many seconds, in whole batches; one at least."""
    return max(1, round(speed * seconds / epochs / BATCH)) * BATCH


def say(name: str, text: str) -> None:
    """A line of progress with the time of day."""
    print(f"{datetime.now(UTC):%H:%M:%S} {name}: {text}", flush=True)


def measure(chosen: list[str], folder: Path) -> dict[str, dict[str, float]]:
    """Summaries by name, baselines first; evaluations that are there are kept."""
    data, runs = folder / "data", folder / "runs"
    settings = EvaluationSettings(gallery=SHOWN)
    photos = evaluation.EvaluationData(data / "lab", data / "statistics.json", folder / FOLDER, settings)
    guided = runs / "baselines" / baselines.COLOR_BY_OPTIMIZATION / evaluation.SUMMARY
    if not guided.exists():
        evaluation.evaluate_baselines(runs / "baselines", photos)
    for name in chosen:
        if not (runs / name / "evaluation" / evaluation.SUMMARY).exists():
            say(name, "measured")
            evaluation.evaluate_model(name, runs / name / "final/model", runs / name / "evaluation", photos)
    places = {name: runs / "baselines" / name for name in baselines.NAMES}
    places |= {name: runs / name / "evaluation" for name in chosen}
    return {
        name: json.loads((place / evaluation.SUMMARY).read_text(encoding="utf-8")) for name, place in places.items()
    }


def fall(course: list[float]) -> float:
    """By what share a figure fell over the last third of its course."""
    return 1 - course[-1] / course[-1 - len(course) // 3]


def budgets(chosen: list[str], folder: Path) -> str:
    """What each was given, how it went, and whether it still learnt at the end, as Markdown."""
    training = read_index(folder / "data/lab")["photos"]["train"]
    third = EPOCHS - EPOCHS // 3
    rows = [
        ["architecture", "slim settings", "parameters", "learning rate",
         "images per CPU second", "photos seen", "passes", "CPU seconds",
         f"validation ab RMSE after 1, {third}, {EPOCHS} epochs", "fall over the last third", "still learning"]
    ]  # fmt: skip
    for name in chosen:
        place = folder / "runs" / name
        plan, speed = (json.loads((place / part).read_text()) for part in ("plan.json", "final/speed.json"))
        rate = speed["images_per_cpu_second"]
        model = load_model(place / "final/model")
        course = [
            float(record["validation_ab_rmse"])
            for record in read_log(place / "final/log.jsonl")
            if "validation_ab_rmse" in record
        ]
        seen = EPOCHS * plan["photos_per_epoch"]
        settings = ", ".join(f"{key} {value}" for key, value in SLIM[name].items())
        rows.append(
            [f"`{name}`", settings, f"{sum(parameter.numel() for parameter in model.parameters()):,}",
             f"{plan['learning_rate']}", f"{rate:.0f}", f"{seen:,}", f"{seen / training:.1f}",
             f"{seen / rate:.0f}", f"{course[0]:.2f}, {course[third - 1]:.2f}, {course[-1]:.2f}",
             f"{fall(course):.1%}", "yes" if fall(course) > LEARNING else "no"]
        )  # fmt: skip
    return markdown(rows, words=2)


def figures(summaries: dict[str, dict[str, float]], folder: Path) -> str:
    """Figures on the test split, the best first, with the distance to the best and its 95 % interval."""
    order = sorted(summaries, key=lambda name: summaries[name][PRIMARY])
    rows = [["", *FIGURES.values(), "behind the best, 95 % interval"]]
    measured = {name: pq.read_table(_evaluation(folder, name) / evaluation.ROWS) for name in order}
    for name in order:
        behind = compare(measured[name], measured[order[0]], PRIMARY)
        interval = "" if name == order[0] else f"{behind.difference:.2f} ({behind.low:.2f} to {behind.high:.2f})"
        rows.append([_shown(name), *(f"{summaries[name][key]:.1f}" for key in FIGURES), interval])
    return markdown(rows, words=1)


def artefacts(summaries: dict[str, dict[str, float]]) -> str:
    """The artefacts of each on the test split; a cell is empty where a figure has no value."""
    rows = [["", *ARTEFACTS.values()]]
    for name, summary in summaries.items():
        cells = [f"{summary[key]:.2f}" if key in summary else "" for key in ARTEFACTS]
        rows.append([_shown(name), *cells])
    return markdown(rows, words=1)


def markdown(rows: list[list[str]], words: int) -> str:
    """A table whose first columns are words and whose others are numbers."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    rule = ["---"] * words + ["---:"] * (len(rows[0]) - words)
    return "\n".join([lines[0], f"| {' | '.join(rule)} |", *lines[1:]])


def gallery(chosen: list[str], folder: Path) -> Image.Image:
    """Test photos: grey, true, and as each network colours them."""
    truth = folder / "runs/baselines" / evaluation.TRUTH / GALLERY
    photos = sorted(path.name for path in truth.glob("*.png"))[:SHOWN]
    places = {"grey": _evaluation(folder, baselines.GREY) / GALLERY, "truth": truth}
    places |= {name: _evaluation(folder, name) / GALLERY for name in chosen}
    return sample_grid(
        [
            Column(title, [_enlarged(np.asarray(Image.open(place / photo))) for photo in photos])
            for title, place in places.items()
        ]
    )


def drawn(chosen: list[str], folder: Path, size: int) -> Image.Image:
    """Drawn photos the same way: they may be shown to anybody, and no network here has seen any."""
    photos = drawn_photos(size)
    lightness, ab = lab_from_code(photos.l, photos.ab)
    colors = {"grey": np.zeros_like(ab), "truth": ab}
    for name in chosen:
        colors[name] = network(load_model(folder / "runs" / name / "final/model"))(lightness).ab
    columns = []
    for title, predicted in colors.items():
        pictures = np.ascontiguousarray(np.concatenate([lightness, predicted], axis=1).transpose(0, 2, 3, 1))
        columns.append(Column(title, [_enlarged(lab_to_rgb(picture)) for picture in pictures]))
    return sample_grid(columns)


def _evaluation(folder: Path, name: str) -> Path:
    return folder / "runs" / ("baselines/" + name if name in baselines.NAMES else name + "/evaluation")


def _shown(name: str) -> str:
    return name.replace("_", " ") if name in baselines.NAMES else f"`{name}`"


def _enlarged(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def main() -> None:
    """Train what is not trained, measure what is not measured, write the tables and pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder or archive of colour photos")
    parser.add_argument("--folder", type=Path, required=True, help="everything goes here")
    parser.add_argument("--minutes", type=float, default=4.0, help="of CPU time in training, for each architecture")
    parser.add_argument("--size", type=int, default=64, help="side of the photos, pixels")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--architectures", nargs="+", default=list(SLIM), choices=names(), metavar="NAME")
    options = parser.parse_args()
    folder = options.folder.resolve()
    torch.set_num_threads(options.threads)
    prepare(options.photos, folder, options.size)
    began = time.monotonic()
    for number, name in enumerate(options.architectures, 1):
        say(name, f"{number} of {len(options.architectures)}, after {(time.monotonic() - began) / 60:.0f} minutes")
        Trainer(name, folder, options.minutes, options.threads).run()
    summaries = measure(options.architectures, folder)
    about = (
        f"{datetime.now(UTC):%Y-%m-%d}, {options.minutes:g} minutes of CPU time an architecture, {options.threads} of "
        f"{os.cpu_count()} CPUs, torch {torch.__version__.partition('+')[0]}, {options.size} × {options.size} pixels; "
        f"photos: {', '.join(f'{key} {value:,}' for key, value in read_index(folder / 'data/lab')['photos'].items())}; "
        f"edge alignment of the true photos {summaries[baselines.GREY]['edge_alignment_truth']:.2f}, "
        f"colourfulness {summaries[baselines.GREY]['colorfulness_truth']:.1f}"
    )
    tables = (budgets(options.architectures, folder), figures(summaries, folder), artefacts(summaries))
    (folder / "comparison.md").write_text("\n\n".join([*tables, f"({about})"]) + "\n", encoding="utf-8")
    gallery(options.architectures, folder).save(folder / "gallery.jpg", quality=90)
    drawn(options.architectures, folder, options.size).save(folder / "drawn.jpg", quality=75)
    print((folder / "comparison.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
