"""Do objectives cure faded, monotonous colours? A slim `pix2pix_unet256` under each, over seeds, on the test split.

    python bench/objectives.py LAB --folder WORK [--photos 12000] [--dominant 0.05] [--colorfulness 0.05]

LAB is a folder of LAB shards with `statistics.json` beside it, as the data stages leave it (`data/lab`). A seed decides
first weights, order and mirroring; with the same seed all objectives get the same ones, so that they are compared seed
by seed. Every run sees as many photos, in six epochs. One table: each objective's mean over the seeds and every seed's
value; then the differences to plain Huber, and with how many seeds they have the same sign.

  hue           Jensen-Shannon divergence (bits) of a photo's hues from the true ones, mean over photos
  colours       the same of all predicted colours together from all true ones, in cells of 10 units of a and b
  pooled        rare colours count over the pixels of all photos together, as in the reweighted objective; by photo:
                within each photo, whose errors are then averaged: a photo of usual colours counts as much as another

A finished run is not trained again: the same command goes on where it was stopped. Whoever chooses weights by these
figures has chosen them on the test split, and should say so.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from colorize.data.loader import Batch, Loader
from colorize.data.statistics import load_statistics, rebalancing_weights
from colorize.divergence import divergence
from colorize.metrics import rows
from colorize.metrics.colorizers import Colors, Known, Predict, network
from colorize.models import load_model
from colorize.settings import Settings
from colorize.storage import write_json
from colorize.training.identity import specify
from colorize.training.loop import train

ROOT = Path(__file__).parents[1]
ARCHITECTURE, MODEL = "pix2pix_unet256", {"channels": 12, "depth": 6}
EPOCHS, BATCH, RATE = 6, 16, 0.006
FIGURES = {
    "hue_divergence": "hue",
    "color_divergence": "colours",
    "ab_error_pooled": "rebalanced ab error, pooled",
    "ab_error_rebalanced": "rebalanced ab error by photo",
    "ab_rmse": "ab RMSE",
    "colorfulness": "colourfulness",
    "colorfulness_error": "colourfulness error",
    "false_blue_rate": "false blue",
}
HUBER = {"name": "regression", "loss": "huber"}


def objectives(dominant: float, colorfulness: float) -> dict[str, list[dict[str, Any]]]:
    """What is compared, by title; the first is what the others are compared with."""
    dominance = {"name": "dominant_colors", "weight": dominant}
    return {
        "Huber": [HUBER],
        "Huber, rare colours weigh more": [{**HUBER, "rebalancing": 0.5}],
        f"Huber + {dominant:g} dominant colours": [HUBER, dominance],
        f"Huber + {dominant:g} dominant colours + {colorfulness:g} colourfulness": [
            HUBER,
            dominance,
            {"name": "colorfulness", "weight": colorfulness},
        ],
    }


def trained(terms: list[dict[str, Any]], seed: int, photos: int, lab: Path, folder: Path) -> Path:
    """The folder of the run of that objective and seed, which is trained unless it is done."""
    training = {
        "seed": seed,
        "epochs": EPOCHS,
        "photos_per_epoch": photos // EPOCHS,
        "batch_size": BATCH,
        "learning_rate": RATE,
        "keep_checkpoints": 1,
    }
    architecture = {ARCHITECTURE: {"model": MODEL, "objective": terms}}
    values = {"datasets": {}, "training": training, "architectures": architecture}
    run = specify(Settings.model_validate(values), ARCHITECTURE, lab, ROOT)
    train(run, lab, folder / run.name, device="cpu", threads=torch.get_num_threads())
    return folder / run.name


class Counted:
    """Test photos and a colorizer, whose true and predicted colours are counted on the way."""

    def __init__(self, lab: Path, predict: Predict, weights: NDArray[np.float64]) -> None:
        self._loader = Loader(lab, rows.SPLIT, 32, seed=0, shuffle=False)
        self._predict, self._weights = predict, weights
        self._truth = np.zeros((0, 2, 1, 1), np.float32)  # of the batch that is looked at
        self._error, self._weight = 0.0, 0.0
        self.true, self.predicted = np.zeros((23, 23)), np.zeros((23, 23))

    def batches(self) -> Iterator[Batch]:
        """All of the split."""
        for batch in self._loader.batches(0):
            self._truth = batch.ab.astype(np.float32) - 128
            self.true += counted(self._truth)
            yield batch

    @property
    def error(self) -> float:
        """Mean distance of ab over the pixels of all photos, each weighted by how rare its true colour is."""
        return self._error / self._weight

    def predict(self, lightness: NDArray[np.float32], known: Known | None = None, /) -> Colors:
        """What the colorizer makes of it."""
        colors = self._predict(lightness, known)
        self.predicted += counted(colors.ab)
        codes = (self._truth + 128).astype(np.intp)
        weights = self._weights[codes[:, 0], codes[:, 1]]
        self._error += float(np.sum(weights * np.hypot(*np.moveaxis(colors.ab - self._truth, 1, 0))))
        self._weight += float(weights.sum())
        return colors


def counted(ab: NDArray[np.float32]) -> NDArray[np.float64]:
    """How many pixels (N×2×H×W) have each colour, in cells of 10 CIELAB units, -115 to 115."""
    a, b = np.clip(ab, -114, 114).transpose(1, 0, 2, 3).reshape(2, -1)
    return np.histogram2d(a, b, bins=23, range=[[-115, 115], [-115, 115]])[0]


def measured(run: Path, lab: Path) -> dict[str, float]:
    """The figures of a run on the test split; kept beside it."""
    path = run / "figures.json"
    if not path.exists():
        weights = rebalancing_weights(load_statistics(lab.parent / "statistics.json").histogram)
        photos = Counted(lab, network(load_model(run / "model")), weights)
        scored = rows.evaluate(photos.predict, photos.batches(), weights)
        whole = {"color_divergence": divergence(photos.predicted, photos.true), "ab_error_pooled": photos.error}
        figures = {**rows.summarise(scored), **whole}
        write_json(path, {name: figures[name] for name in (*FIGURES, "colorfulness_truth", "photos")})
    found: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    return found


def table(found: dict[str, list[dict[str, float]]]) -> str:
    """Means and values of all seeds, and then differences to the first objective, as Markdown."""
    first = next(iter(found))
    lines = [f"| objective | {' | '.join(FIGURES.values())} |", f"| --- |{' ---: |' * len(FIGURES)}"]
    for title, runs in found.items():
        cells = [_values([run[figure] for run in runs]) for figure in FIGURES]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    for title, runs in found.items():
        if title != first:
            pairs = list(zip(runs, found[first], strict=True))
            cells = [_agreement([run[figure] - other[figure] for run, other in pairs]) for figure in FIGURES]
            lines.append(f"| {title}, less {first} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _values(values: list[float]) -> str:
    return f"**{_short(statistics.mean(values))}** ({', '.join(map(_short, values))})"


def _agreement(differences: list[float]) -> str:
    mean = statistics.mean(differences)
    agree = sum(difference * mean > 0 for difference in differences)
    return f"{'+' if mean > 0 else ''}{_short(mean)} ({agree} of {len(differences)})"


def _short(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 2 else f"{value:.2f}"


def main() -> None:
    """Train what is not trained, seed by seed, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lab", type=Path, help="LAB shards, with statistics.json beside the folder")
    parser.add_argument("--folder", type=Path, required=True, help="the runs go here")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--photos", type=int, default=12000, help="that each run sees")
    parser.add_argument("--dominant", type=float, default=0.05, help="weight of the penalty on dominant colours")
    parser.add_argument("--colorfulness", type=float, default=0.05, help="weight of the penalty on pale colours")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    lab, folder = options.lab.resolve(), options.folder.resolve()
    compared = objectives(options.dominant, options.colorfulness)
    found: dict[str, list[dict[str, float]]] = {title: [] for title in compared}
    # All objectives of a seed before the next seed: what is there when it is stopped can be compared.
    for seed in options.seeds:
        for title, terms in compared.items():
            found[title].append(measured(trained(terms, seed, options.photos, lab, folder), lab))
            figures = ", ".join(f"{name} {_short(found[title][-1][key])}" for key, name in FIGURES.items())
            print(f"seed {seed}, {title}: {figures}", flush=True)
    truth = found["Huber"][0]
    print(f"\n{table(found)}\n\n({truth['photos']:.0f} test photos, colourfulness {truth['colorfulness_truth']:.1f}; "
          f"{ARCHITECTURE} {MODEL}, {EPOCHS} epochs, {options.photos:,} photos in all, learning rate {RATE}, "
          f"seeds {', '.join(map(str, options.seeds))})")  # fmt: skip


if __name__ == "__main__":
    main()
