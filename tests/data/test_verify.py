"""`verify`: no bit of the shards or of their index can change unnoticed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from colorize.data.shard_file import Row, write_shard
from colorize.data.shard_index import read_entry, write_index
from colorize.data.shard_plan import Photo, ShardPlan
from colorize.data.shards import verify
from colorize.settings.sections import ShardSettings

SETTINGS = ShardSettings(size=16, rows=8, row_group=3, compression="none")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of two splits and datasets."""
    folder = tmp_path_factory.mktemp("lab")
    generator = np.random.default_rng(0)
    entries = []
    for split, dataset, count in (("train", "birds", 7), ("train", "trees", 4), ("test", "birds", 2)):
        photos = tuple(
            Photo(hashlib.sha256(f"{split}{dataset}{n}".encode()).hexdigest(), f"{n}.jpg") for n in range(count)
        )
        plan = ShardPlan(split, dataset, 0, photos, SETTINGS)
        rows = [Row(photo.id, generator.bytes(256), generator.bytes(512), 40, 30) for photo in photos]
        write_shard(folder / plan.path, plan, rows)
        entries.append(read_entry(folder, plan.path)[0])
    write_index(folder, entries, SETTINGS)
    return folder


@pytest.fixture
def lab(original: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(original, tmp_path / "lab"))


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def find_flips(lab: Path, count: int, seed: int) -> None:
    paths = sorted(path for path in lab.rglob("*") if path.is_file())
    generator = np.random.default_rng(seed)
    for _ in range(count):
        path = paths[generator.integers(len(paths))]
        bit = int(generator.integers(8 * path.stat().st_size))
        flip(path, bit)
        problems = verify(lab)
        assert problems, f"bit {bit} of {path.name}"
        assert any(path.name in problem for problem in problems) or path.name == "index.json"
        flip(path, bit)
    assert verify(lab) == []


def test_every_flipped_bit_is_found(lab: Path) -> None:
    assert verify(lab) == []
    find_flips(lab, 200, 1)


@pytest.mark.slow
def test_every_flipped_bit_of_many_is_found(lab: Path) -> None:
    find_flips(lab, 2000, 2)


def test_missing_and_extra_files_are_named(lab: Path) -> None:
    missing = next(lab.glob("split=test/*/part-00000.parquet"))
    missing.rename(missing.with_name("part-00001.parquet"))
    assert sorted(verify(lab)) == [
        f"{missing}: is missing",
        f"{missing.with_name('part-00001.parquet')} is not named by the index",
    ]


def test_no_index(tmp_path: Path) -> None:
    assert verify(tmp_path) == [f"{tmp_path / 'index.json'} is missing: run 'dvc repro shard' first"]


def change_order(index: dict[str, Any]) -> None:
    index["shards"].reverse()


def change_key(index: dict[str, Any]) -> None:
    index["more"] = 1


def change_digest(index: dict[str, Any]) -> None:
    index["digest"] = "0" * 64


def change_photos(index: dict[str, Any]) -> None:
    index["photos"]["train"] += 1


def change_row_group(index: dict[str, Any]) -> None:
    index["row_group"] = 4


def change_encoding(index: dict[str, Any]) -> None:
    index["encoding"] = "YUV"


def change_rows(index: dict[str, Any]) -> None:
    index["shards"][0]["rows"] += 1


def change_split(index: dict[str, Any]) -> None:
    index["shards"][0]["split"] = "test"


def change_away(index: dict[str, Any]) -> None:
    del index["shards"][1]


def change_twice(index: dict[str, Any]) -> None:
    index["shards"].append(index["shards"][0])


CHANGES = [value for name, value in list(globals().items()) if name.startswith("change_")]


@pytest.mark.parametrize("change", CHANGES, ids=lambda function: function.__name__)
def test_an_edited_index_is_found(lab: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = lab / "index.json"
    index = json.loads(path.read_text())
    change(index)
    path.write_text(json.dumps(index, indent=1) + "\n")
    assert verify(lab)


def test_a_consistent_forgery_is_found(lab: Path) -> None:
    """Other pixels, with the file's new sha256 in the index: the logical digest still tells."""
    path = next(lab.glob("split=train/dataset=trees/*.parquet"))
    flip(path, 8 * (path.stat().st_size // 2))
    index = json.loads((lab / "index.json").read_text())
    for entry in index["shards"]:
        entry["sha256"] = hashlib.sha256((lab / entry["path"]).read_bytes()).hexdigest()
    (lab / "index.json").write_text(json.dumps(index, indent=1) + "\n")
    (problem,) = verify(lab)
    assert "logical" in problem
