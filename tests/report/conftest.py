"""A small project's folder with everything the report reads, made by the real stages, networks and evaluation."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

DATASETS = ("landscape-pictures", "mirflickr25k")
PHOTOS = 14
SIZE = 32


def draw(number: int) -> Image.Image:
    """Soft blots of colour: every number another picture."""
    blots = np.random.default_rng(number).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(blots).resize((120, 96), Image.Resampling.BICUBIC)


def _photos(folder: Path) -> None:
    """Two folders; the second also holds two copies, and a grey, a CMYK, a turned, a truncated and a fake photo."""
    for which, dataset in enumerate(DATASETS):
        (folder / dataset).mkdir(parents=True)
        for number in range(PHOTOS):
            draw(100 * which + number).save(folder / dataset / f"im{number}.jpg", quality=90)
    first, second = (folder / dataset for dataset in DATASETS)
    (second / "copy.jpg").write_bytes((first / "im0.jpg").read_bytes())
    draw(1).resize((90, 72)).save(second / "near.jpg", quality=70)
    draw(50).convert("L").save(second / "grey.jpg")
    draw(60).convert("CMYK").save(second / "print.jpg")
    turned = Image.Exif()
    turned[0x0112] = 6
    draw(70).save(second / "turned.jpg", exif=turned)
    (second / "broken.jpg").write_bytes((first / "im2.jpg").read_bytes()[:900])
    (second / "<b>fake<!--.jpg").write_text("<html><script>alert(1)</script></html>" * 40)


def _data(root: Path) -> None:
    from colorize.data import shards, statistics
    from colorize.data.dedupe import group
    from colorize.data.ingest import ingest
    from colorize.data.manifest import open_manifests
    from colorize.data.removals import NONE
    from colorize.data.sources import open_source
    from colorize.data.sources.listing import make_listing
    from colorize.data.splits import assign
    from colorize.settings.sections import (
        ArchiveSettings,
        DatasetSettings,
        DedupeSettings,
        ImageSettings,
        IngestSettings,
        ShardSettings,
        SplitSettings,
    )

    data, images = root / "data", ImageSettings()
    for dataset in DATASETS:
        chosen = DatasetSettings(source=f"file://{root / 'photos' / dataset}")
        source = open_source(chosen.source, ArchiveSettings())
        listing = make_listing(chosen, source, data / "sources" / f"{dataset}.parquet", 0.0)
        cuts = IngestSettings(row_group=5, maximum_refused=1.0)
        folder = data / "raw" / dataset
        ingest(dataset, listing, source, folder, images=images, settings=cuts, removals=NONE, workers=1)
    groups, _ = group(open_manifests(data / "raw"), DedupeSettings(), data)
    splits, _ = assign(groups, SplitSettings(validation=0.2, test=0.4))
    pq.write_table(groups, data / "groups.parquet")
    pq.write_table(splits, data / "splits.parquet")
    shards.build(data / "raw", splits, data / "lab", ShardSettings(size=SIZE), images, workers=1)
    (data / "statistics.json").write_text(json.dumps(statistics.gather(data / "lab")))


def _decisions(root: Path) -> None:
    """A promotion, a rejection, a stop, and as many skips as a few nights make."""
    from colorize.decisions import PATH, Decision, record

    def figure(metric: str, difference: float, limit: float, passed: bool) -> dict[str, object]:
        ends = {"low": difference - 0.25, "high": difference + 0.25, "limit": limit, "passed": passed}
        return {"metric": metric, "challenger": 20 + difference, "champion": 20.0, "difference": difference, **ends}

    better = {"photos": 120, "ab_error_rebalanced": figure("ab_error_rebalanced", -1.5, 0.0, True)}
    better["psnr"] = figure("psnr", 0.125, -0.5, True)
    worse = {"photos": 120, "ab_error_rebalanced": figure("ab_error_rebalanced", 0.5, 0.0, False)}
    worse["colorfulness_error"] = figure("colorfulness_error", 3.0, 2.0, False)
    at = "2026-11-{:02}T02:17:00+00:00".format
    skipped = [Decision("unet", "skipped", "nothing changed", at(day)) for day in range(1, 13)]
    stopped = Decision("all", "stopped", "the data look wrong: <b>62</b> photos are usable, 120 were", at(13))
    rejected = Decision("simple_unet", "rejected", "not better for sure", at(14), "champion", 4, 2, worse)
    promoted = Decision("unet", "promoted", "better", at(15), "champion-unet", 5, 3, better)
    record(root / PATH, [*skipped, stopped, rejected, promoted])


def _log(folder: Path, start: float) -> None:
    lines = []
    for step in range(1, 41):
        epoch = math.ceil(step / 10)
        lines.append({"step": step, "epoch": epoch, "loss": start / math.sqrt(step), "learning_rate": 1e-3})
        if step % 10 == 0:
            error = start / math.sqrt(step + 4)
            lines.append({"step": step, "epoch": epoch, "validation_loss": error, "validation_ab_rmse": 8 + error})
    # The last line is as a killed writer leaves it.
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 41, "lo')


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder; two models with random weights were evaluated. Tests must not change it."""
    import torch

    from colorize.metrics.evaluation import EvaluationData, evaluate_baselines, evaluate_model
    from colorize.models import create, save_model
    from colorize.settings.architectures import SimpleUNetSettings, UNetSettings
    from colorize.settings.sections import EvaluationSettings

    root = tmp_path_factory.mktemp("project")
    _photos(root / "photos")
    _data(root)
    (root / "params.yaml").write_text("training:\n  epochs: 4\n")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", "-C", str(root), *identity, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    settings = EvaluationSettings(batch_size=32, gallery=6)
    photos = EvaluationData(root / "data" / "lab", root / "data" / "statistics.json", root / "weights", settings)
    torch.manual_seed(0)
    for name, model, start in (
        ("unet", UNetSettings(channels=4, depth=1), 30.0),
        ("simple_unet", SimpleUNetSettings(width=0.1), 900.0),
    ):
        run = root / "runs" / f"{name}-0123456789ab"
        save_model(run / "model", create(name, model), name, model, {"size": SIZE})
        _log(run, start)
        evaluate_model(name, run / "model", run / "evaluation", photos)
    evaluate_baselines(root / "runs" / "baselines", photos)
    _decisions(root)
    return root
