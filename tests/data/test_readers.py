"""Other readers of Parquet see the same photos in the LAB shards: pandas, DuckDB, pyarrow's datasets, Ray Data."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pytest

from colorize.data.loader import Loader
from colorize.data.shard_file import Row, write_shard
from colorize.data.shard_index import read_entry, write_index
from colorize.data.shard_plan import Photo, ShardPlan
from colorize.settings.sections import ShardSettings

SIZE = 16
PHOTOS = {("train", "birds"): 23, ("train", "trees"): 9, ("test", "birds"): 4}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lab")
    settings = ShardSettings(size=SIZE, rows=12, row_group=5, compression="lz4")
    generator = np.random.default_rng(1)
    entries = []
    for (split, dataset), count in PHOTOS.items():
        photos = [Photo(hashlib.sha256(f"{split}{dataset}{i}".encode()).hexdigest(), f"{i}.jpg") for i in range(count)]
        for number, start in enumerate(range(0, count, 12)):
            plan = ShardPlan(split, dataset, number, tuple(photos[start : start + 12]), settings)
            rows = [
                Row(photo.id, generator.bytes(SIZE * SIZE), generator.bytes(2 * SIZE * SIZE), 40, 30)
                for photo in plan.photos
            ]
            write_shard(folder / plan.path, plan, rows)
            entries.append(read_entry(folder, plan.path)[0])
    write_index(folder, entries, settings)
    return folder


@pytest.fixture(scope="module")
def wanted(lab: Path) -> dict[str, tuple[str, bytes, bytes]]:
    """Dataset and pixels of the training photos by id, as our loader reads them."""
    return {
        name: (dataset, batch.l[index].tobytes(), batch.ab[index].tobytes())
        for batch in Loader(lab, "train", 8, 1).batches(0)
        for index, (name, dataset) in enumerate(zip(batch.ids, batch.datasets, strict=True))
    }


def test_pandas(lab: Path, wanted: dict[str, tuple[str, bytes, bytes]]) -> None:
    frame = pd.read_parquet(lab / "split=train")
    assert dict(zip(frame["id"], zip(frame["dataset"], frame["l"], frame["ab"], strict=True), strict=True)) == wanted
    assert set(zip(frame["width"], frame["height"], strict=True)) == {(40, 30)}
    first = np.frombuffer(frame["ab"][0], np.uint8).reshape(2, SIZE, SIZE)
    assert first.tobytes() == wanted[frame["id"][0]][2]


def test_duckdb(lab: Path, wanted: dict[str, tuple[str, bytes, bytes]]) -> None:
    files = f"read_parquet('{lab}/split=*/**/*.parquet', hive_partitioning = true)"
    counts = duckdb.sql(f"SELECT split, dataset, count(*) FROM {files} GROUP BY ALL").fetchall()
    assert {(split, dataset): count for split, dataset, count in counts} == PHOTOS
    rows = duckdb.sql(f"SELECT id, dataset, l, ab FROM {files} WHERE split = 'train'").fetchall()
    assert {name: (dataset, bytes(l), bytes(ab)) for name, dataset, l, ab in rows} == wanted  # noqa: E741


def test_pyarrow_datasets(lab: Path, wanted: dict[str, tuple[str, bytes, bytes]]) -> None:
    table = ds.dataset(lab / "split=train", partitioning="hive").to_table()
    assert {row["id"]: (row["dataset"], row["l"], row["ab"]) for row in table.to_pylist()} == wanted


# In a process of its own: Ray would stay in this one.
RAY = """
import hashlib, json, logging, sys
import numpy as np
import ray
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
ray.data.DataContext.get_current().enable_progress_bars = False
photos = ray.data.read_parquet(sys.argv[1], columns=["id", "l", "ab"])
seen = {}
for batch in photos.iter_batches(batch_size=8, batch_format="numpy"):
    l = np.stack([np.frombuffer(row, np.uint8) for row in batch["l"]]).reshape(-1, 1, 16, 16)
    ab = np.stack([np.frombuffer(row, np.uint8) for row in batch["ab"]]).reshape(-1, 2, 16, 16)
    for name, one, other in zip(batch["id"], l, ab, strict=True):
        seen[str(name)] = hashlib.sha256(one.tobytes() + other.tobytes()).hexdigest()
shape = {"l": (np.uint8, (1, 16, 16)), "ab": (np.uint8, (2, 16, 16))}
tensors = ray.data.read_parquet(sys.argv[1], columns=["l", "ab"], tensor_column_schema=shape)
shapes = {tuple(batch["ab"].shape[1:]) for batch in tensors.iter_torch_batches(batch_size=8)}
print("RESULT" + json.dumps([seen, sorted(shapes)]))
"""


@pytest.mark.slow
def test_ray_data(lab: Path, wanted: dict[str, tuple[str, bytes, bytes]]) -> None:
    command = [sys.executable, "-c", RAY, str(lab / "split=train")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    seen, shapes = json.loads(done.stdout.partition("RESULT")[2])
    assert seen == {name: hashlib.sha256(l + ab).hexdigest() for name, (_, l, ab) in wanted.items()}  # noqa: E741
    assert shapes == [[2, 16, 16]]
