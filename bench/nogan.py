"""Does the automatic stop of NoGAN end near the best moment? Slim runs, L1 + adversarial, several seeds.

    python bench/nogan.py LAB --folder WORK [--seeds 1 2 3] [--patience 3] [--joint 12]

LAB is a folder of LAB shards with `statistics.json` beside it (`data/lab`). Each run trains the network alone, then the
critic alone, then both for `--joint` epochs without stopping. The rule (docs/training.md) is then applied to the
validation figures of its log, as training would have done, and every epoch from the last before the joint training on
is measured on the test split, which the rule never saw. Three columns for each figure: where the rule ends, the best
epoch in hindsight, and the end of the run. A finished run is not trained again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from colorize.data.loader import Loader
from colorize.data.statistics import load_statistics, rebalancing_weights
from colorize.metrics import rows
from colorize.metrics.colorizers import network
from colorize.models import create
from colorize.objectives import TrainingData
from colorize.objectives import create as create_objective
from colorize.settings import Settings
from colorize.storage import write_json
from colorize.training.identity import RunSpecification, specify
from colorize.training.log import read_log
from colorize.training.loop import train
from colorize.training.stopping import best_epoch, is_over
from colorize.training.validation import validate

ROOT = Path(__file__).parents[1]
ARCHITECTURE, MODEL = "pix2pix_unet256", {"channels": 12, "depth": 6}
ALONE, CRITIC, PHOTOS = 6, 2, 1600  # epochs of the network, of the critic, and photos in each
FIGURES = ("color_divergence", "hue_divergence", "colorfulness_error", "ab_error_rebalanced", "ab_rmse")
Figures = dict[str, float]


def specification(lab: Path, seed: int, joint: int, weight: float) -> RunSpecification:
    """A run that goes to its end, with every checkpoint kept."""
    adversarial = {"name": "adversarial", "weight": weight, "channels": 16}
    schedule = {"generator_epochs": ALONE, "critic_epochs": CRITIC}
    epochs = ALONE + CRITIC + joint
    training = {
        "seed": seed,
        "epochs": epochs,
        "photos_per_epoch": PHOTOS,
        "learning_rate": 0.003,
        "keep_checkpoints": epochs,
    }
    objective = [{"name": "regression", "loss": "l1"}, {**adversarial, **schedule}]
    architectures = {ARCHITECTURE: {"model": MODEL, "objective": objective}}
    values = {"datasets": {}, "training": training, "architectures": architectures}
    return specify(Settings.model_validate(values), ARCHITECTURE, lab, ROOT)


def measured(run: RunSpecification, epoch: int, lab: Path, folder: Path) -> Figures:
    """Figures of the test split after an epoch; kept beside the run."""
    path = folder / "figures" / f"{epoch}.json"
    if not path.exists():
        model = create(run.architecture, run.model)
        state = safetensors.torch.load_file(folder / "checkpoints" / f"epoch-{epoch:05d}" / "model.safetensors")
        model.load_state_dict(state)
        model.eval()
        test = Loader(lab, rows.SPLIT, 32, seed=0, shuffle=False)
        histogram = load_statistics(lab.parent / "statistics.json").histogram
        measured = rows.evaluate(network(model), test.batches(0), rebalancing_weights(histogram))
        figures = rows.summarise(measured)
        plain = create_objective(run.objective[:1], run.architecture, TrainingData(lambda: histogram, lambda _: {}))
        whole = validate(model, plain, test, device=torch.device("cpu"), world_size=1, arithmetic=torch.no_grad)
        figures["color_divergence"] = whole["validation_color_divergence"]
        write_json(path, {name: figures[name] for name in FIGURES})
    found: Figures = json.loads(path.read_text(encoding="utf-8"))
    return found


def stopped(figures: Sequence[float], patience: int, begin: int) -> tuple[int, int]:
    """After how many epochs the rule ends the run, and which epoch it keeps."""
    end = next((n for n in range(1, len(figures) + 1) if is_over(figures[:n], patience, begin)), len(figures))
    best = best_epoch(figures[:end], begin)
    assert best is not None
    return end, best


def lines(seed: int, held_out: Sequence[float], found: dict[int, Figures], patience: int) -> list[str]:
    """A run as a table: a row for each figure."""
    begin = ALONE + CRITIC - 1
    end, kept = stopped(held_out, patience, begin)
    course = ", ".join(f"{epoch}: {held_out[epoch - 1]:.3f}" for epoch in found)
    rows = [f"\nseed {seed}: the rule ends after epoch {end} of {len(held_out)} and keeps {kept}; held out: {course}\n"]
    rows += ["| | before | rule | hindsight | end | worst |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for name in FIGURES:
        values = {epoch: figures[name] for epoch, figures in found.items()}
        best = min(values, key=lambda epoch: (values[epoch], epoch))
        cells = [values[begin + 1], values[kept], values[best], values[len(held_out)], max(values.values())]
        shown = [f"{cell:.3f}" for cell in cells]
        shown[2] += f" ({best})"
        rows.append(f"| {name} | {' | '.join(shown)} |")
    return rows


def main() -> None:
    """Train what is not trained, and print a table a seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lab", type=Path, help="LAB shards, with statistics.json beside the folder")
    parser.add_argument("--folder", type=Path, required=True, help="the runs go here")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--patience", type=int, default=3)
    parser.add_argument("--joint", type=int, default=12, help="epochs of joint training")
    parser.add_argument("--weight", type=float, default=0.01, help="of the adversarial term; as pix2pix: 0.01")
    options = parser.parse_args()
    lab = options.lab.resolve()
    for seed in options.seeds:
        run = specification(lab, seed, options.joint, options.weight)
        folder = options.folder.resolve() / run.name
        train(run, lab, folder, device="cpu", threads=torch.get_num_threads())
        records: list[dict[str, Any]] = read_log(folder / "log.jsonl")
        held_out = [r["validation_color_divergence"] for r in records if "validation_color_divergence" in r]
        found = {epoch: measured(run, epoch, lab, folder) for epoch in range(ALONE + CRITIC, len(held_out) + 1)}
        print("\n".join(lines(seed, held_out, found, options.patience)), flush=True)


if __name__ == "__main__":
    main()
