"""A small project's folder with everything the report reads: photos, groups, splits, shards, runs, evaluations."""

from __future__ import annotations

import hashlib
import io
import json
import math
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from colorize.data.manifest import RAW_SCHEMA, SCHEMA

DATASETS = ("landscape-pictures", "mirflickr25k")
PHOTOS = 12
SIZE = 32


def draw(number: int) -> Image.Image:
    """A sky over a meadow: every number another picture."""
    generator = np.random.default_rng(number)
    height, width = 96, 120
    horizon = int(generator.integers(30, 60))
    picture = np.empty((height, width, 3))
    picture[:horizon] = generator.uniform((60, 120, 190), (150, 200, 250))
    picture[horizon:] = generator.uniform((40, 90, 20), (150, 170, 80))
    picture += generator.normal(0, 12, (height, width, 1)) + np.linspace(-30, 30, height)[:, None, None]
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


def jpeg(picture: Image.Image, quality: int = 90) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()


def _raw(data: Path) -> list[dict[str, object]]:
    """Two datasets; the second holds an exact and a near copy from the first, a grey photo and two refused files."""
    rows: list[dict[str, object]] = []
    for which, dataset in enumerate(DATASETS):
        photos = {f"im{number}.jpg": jpeg(draw(100 * which + number)) for number in range(PHOTOS)}
        if which:
            photos["copy.jpg"] = jpeg(draw(0))
            photos["near.jpg"] = jpeg(draw(1).resize((90, 72)), 70)
            photos["grey.jpg"] = jpeg(draw(7).convert("L"))
        records = [
            {"id": hashlib.sha256(content).hexdigest(), "path": path, "data": content}
            for path, content in photos.items()
        ]
        folder = data / "raw" / dataset
        folder.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(records, RAW_SCHEMA), folder / "part-00000.parquet", row_group_size=5)
        own = []
        for index, record in enumerate(records):
            with Image.open(io.BytesIO(record["data"])) as opened:
                width, height, mode = *opened.size, opened.mode
                thumbnail = opened.convert("L").resize((32, 32)).tobytes()
            own.append(
                {
                    "dataset": dataset,
                    "path": record["path"],
                    "id": record["id"],
                    "bytes": len(record["data"]),
                    "width": width,
                    "height": height,
                    "format": "JPEG",
                    "orientation": 1,
                    "mode": mode,
                    "status": "flagged" if mode == "L" else "accepted",
                    "reason": "grey" if mode == "L" else None,
                    "thumbnail": thumbnail,
                    "shard": "part-00000.parquet",
                    "row": index,
                }
            )
        if which:
            for path, reason, detail in (
                ("broken.jpg", "truncated", "the file ends in the middle of the picture"),
                ("<b>page</b>.jpg", "not-an-image", "starts like an HTML page: <script>alert(1)</script>"),
            ):
                own.append({"dataset": dataset, "path": path, "status": "rejected", "reason": reason, "detail": detail})
        pq.write_table(pa.Table.from_pylist(own, SCHEMA), folder / "manifest.parquet")
        (data / "sources").mkdir(exist_ok=True)
        listing = {"source": f"sample://{dataset}", "layout": "flat", "photos": [], "ignored": {"sidecar": 3 * which}}
        (data / "sources" / f"{dataset}.json").write_text(json.dumps(listing))
        rows += own
    return rows


def _groups_and_splits(data: Path, rows: list[dict[str, object]]) -> list[dict[str, object]]:
    copies = {"copy.jpg": "im0.jpg", "near.jpg": "im1.jpg"}
    ids = {row["path"]: row["id"] for row in rows if row["dataset"] == DATASETS[0]}
    groups, splits = [], []
    for row in rows:
        if row["status"] == "rejected":
            continue
        original = ids[copies[row["path"]]] if row["path"] in copies else row["id"]
        known = {key: row[key] for key in ("dataset", "path", "id")}
        canonical = row["path"] not in copies
        groups.append({**known, "duplicate_group": original, "canonical": canonical, "split_group": original})
        if canonical and row["status"] == "accepted":
            splits.append({**known, "split": ("test", "test", "validation", "train", "train", "train")[len(splits) % 6]})
    pq.write_table(pa.Table.from_pylist(groups), data / "groups.parquet")
    pq.write_table(pa.Table.from_pylist(splits), data / "splits.parquet")
    return splits


def _log(folder: Path, start: float) -> None:
    lines = []
    for step in range(1, 41):
        epoch = math.ceil(step / 10)
        lines.append({"step": step, "epoch": epoch, "loss": start / math.sqrt(step), "learning_rate": 1e-3})
        if step % 10 == 0:
            error = start / math.sqrt(step + 4)
            lines.append({"step": step, "epoch": epoch, "validation_loss": error, "validation_ab_rmse": 8 + error})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "log.jsonl").write_text(text + '{"step": 41, "lo')


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, write_lab: Callable[..., None]) -> Path:
    """The folder; two models with random weights were evaluated. Tests must not change it."""
    from colorize.metrics.evaluation import evaluate_baselines, evaluate_run
    from colorize.models import create, save_model
    from colorize.settings.architectures import SimpleUNetSettings, UNetSettings
    from colorize.settings.sections import EvaluationSettings

    root = tmp_path_factory.mktemp("project")
    data = root / "data"
    write_lab(data, _groups_and_splits(data, _raw(data)), SIZE)
    (root / "params.yaml").write_text("training:\n  epochs: 4\n")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    settings = EvaluationSettings(batch_size=4, gallery=6)
    for name, model, start in (
        ("unet", UNetSettings(channels=4, depth=1), 30.0),
        ("simple_unet", SimpleUNetSettings(width=0.1), 900.0),
    ):
        run = root / "runs" / f"{name}-0123456789ab"
        save_model(run / "model", create(name, model), name, model, {"size": SIZE})
        _log(run, start)
        evaluate_run(run, data / "lab", data / "statistics.json", settings)
    evaluate_baselines(data / "lab", data / "statistics.json", root / "runs" / "baselines", settings)
    return root
