"""The loader: every photo once an epoch, the same global batches for any number of workers and any restart."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from colorize.data.epochs import mirrored
from colorize.data.loader import Batch, Loader
from colorize.data.shard_file import Row, write_shard
from colorize.data.shard_index import read_entry, write_index
from colorize.data.shard_plan import Photo, ShardPlan, cut
from colorize.settings.sections import ShardSettings

PHOTOS = {("train", "birds"): 37, ("train", "trees"): 64, ("test", "birds"): 9, ("validation", "trees"): 1}


def identity(split: str, dataset: str, number: int) -> str:
    return hashlib.sha256(f"{split}{dataset}{number}".encode()).hexdigest()


def pixels(identity: str, size: int) -> np.ndarray:
    """The three planes of a made-up photo, which its id decides."""
    generator = np.random.default_rng(int(identity[:16], 16))
    return generator.integers(0, 256, (3, size, size), dtype=np.uint8)


def write_lab(folder: Path, settings: ShardSettings, photos: dict[tuple[str, str], int] = PHOTOS) -> Path:
    """A folder of made-up shards."""
    entries = []
    for (split, dataset), count in photos.items():
        every = [Photo(identity(split, dataset, number), f"{number}.jpg") for number in range(count)]
        for number, part in enumerate(cut(every, settings.rows)):
            plan = ShardPlan(split, dataset, number, part, settings)
            rows = (
                Row(photo.id, lab[0].tobytes(), lab[1:].tobytes(), 40, 30)
                for photo, lab in ((photo, pixels(photo.id, settings.size)) for photo in part)
            )
            write_shard(folder / plan.path, plan, rows)
            entries.append(read_entry(folder, plan.path)[0])
    write_index(folder, entries, settings)
    return folder


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lab(tmp_path_factory.mktemp("lab"), ShardSettings(size=16, rows=12, row_group=5, compression="none"))


def ids(batches: list[Batch]) -> list[list[str]]:
    return [batch.ids for batch in batches]


def joined(parts: tuple[Batch, ...]) -> Batch:
    """A global batch from its slices, in the order of the ranks."""
    return Batch(
        [identity for part in parts for identity in part.ids],
        [dataset for part in parts for dataset in part.datasets],
        np.concatenate([part.l for part in parts]),
        np.concatenate([part.ab for part in parts]),
    )


def assert_same(first: list[Batch], second: list[Batch]) -> None:
    assert ids(first) == ids(second)
    for one, other in zip(first, second, strict=True):
        assert one.datasets == other.datasets
        np.testing.assert_array_equal(one.l, other.l)
        np.testing.assert_array_equal(one.ab, other.ab)


# Batches


def test_pixels_ids_and_datasets_belong_together(lab: Path) -> None:
    seen = []
    for batch in Loader(lab, "train", 8, 1).batches(0):
        for index, name in enumerate(batch.ids):
            planes = pixels(name, 16)
            np.testing.assert_array_equal(batch.l[index], planes[:1])
            np.testing.assert_array_equal(batch.ab[index], planes[1:])
            seen.append((batch.datasets[index], name))
        assert batch.l.shape == (len(batch.ids), 1, 16, 16)
        assert batch.ab.shape == (len(batch.ids), 2, 16, 16)
        assert batch.l.flags.writeable
    wanted = [(d, identity(s, d, n)) for (s, d), count in PHOTOS.items() if s == "train" for n in range(count)]
    assert sorted(seen) == sorted(wanted)


def test_sequential_order_is_that_of_the_shards(lab: Path) -> None:
    loader = Loader(lab, "test", 4, 0, shuffle=False)
    batches = list(loader.batches(0))
    assert [name for batch in batches for name in batch.ids] == [identity("test", "birds", n) for n in range(9)]
    assert [len(batch.ids) for batch in batches] == [4, 4, 1]
    assert (len(loader), loader.photos, loader.size) == (3, 9, 16)
    assert_same(batches, list(loader.batches(5)))


@pytest.mark.parametrize("batch_size", [1, 7, 32, 1000])
@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_any_number_of_workers_sees_the_same_global_batches(lab: Path, world_size: int, batch_size: int) -> None:
    alone = list(Loader(lab, "train", batch_size, 3, flip=True).batches(2))
    ranks = [Loader(lab, "train", batch_size, 3, rank=r, world_size=world_size, flip=True) for r in range(world_size)]
    parts = list(zip(*(loader.batches(2) for loader in ranks), strict=True))
    assert_same([joined(slices) for slices in parts], alone)
    for slices in parts:
        sizes = [len(part.ids) for part in slices]
        assert max(sizes) - min(sizes) <= 1


def test_a_worker_without_a_photo_gets_an_empty_batch(lab: Path) -> None:
    parts = [list(Loader(lab, "validation", 4, 0, rank=rank, world_size=3).batches(0)) for rank in range(3)]
    assert [len(batches) for batches in parts] == [1, 1, 1]
    assert sorted(len(batches[0].ids) for batches in parts) == [0, 0, 1]
    assert min(batches[0].ab.shape for batches in parts) == (0, 2, 16, 16)


@pytest.mark.parametrize("start", [0, 1, 6, 14, 15])
@pytest.mark.parametrize("world_size", [1, 3])
def test_resuming_in_mid_epoch_on_another_number_of_workers(lab: Path, start: int, world_size: int) -> None:
    whole = list(Loader(lab, "train", 7, 3, flip=True).batches(4))
    assert len(whole) == 15
    ranks = [Loader(lab, "train", 7, 3, rank=r, world_size=world_size, flip=True) for r in range(world_size)]
    rest = zip(*(loader.batches(4, start) for loader in ranks), strict=True)
    assert_same([joined(slices) for slices in rest], whole[start:])


def global_batches(
    lab: Path, world: int, workers: int, *, seed: int, epoch: int, start: int = 0, batch_size: int = 16
) -> list[Batch]:
    """What all workers of a run see together."""
    loaders = [
        Loader(lab, "train", batch_size, seed, rank=rank, world_size=world, flip=True, workers=workers)
        for rank in range(world)
    ]
    return [joined(parts) for parts in zip(*(loader.batches(epoch, start) for loader in loaders), strict=True)]


def test_balanced_epochs_have_equal_shares_and_every_photo_equally_often(lab: Path) -> None:
    """37 and 64 photos, 21 a step and 41 an epoch: 20 or 21 of each, the odd one in turn."""
    loader = Loader(lab, "train", 21, 5, photos_per_epoch=41, balance=True)
    assert (len(loader), loader.epoch_photos, loader.photos) == (2, 41, 101)
    seen: dict[str, Counter[str]] = {"birds": Counter(), "trees": Counter()}
    for epoch in range(12):
        shares: Counter[str] = Counter()
        for batch in loader.batches(epoch):
            assert abs(batch.datasets.count("birds") - len(batch.ids) / 2) <= 8
            shares.update(batch.datasets)
            for dataset, name in zip(batch.datasets, batch.ids, strict=True):
                seen[dataset][name] += 1
        assert shares == {"birds": 20 + epoch % 2, "trees": 21 - epoch % 2}
    # 12 x 20.5 = 246 photos of each: 6 passes and 24 photos more; 3 passes and 54 photos more.
    assert sorted(seen["birds"].values()) == [6] * 13 + [7] * 24
    assert sorted(seen["trees"].values()) == [3] * 10 + [4] * 54


@pytest.mark.parametrize("choice", [{"balance": True}, {"photos_per_epoch": 45}])
def test_chosen_photos_are_the_same_for_any_workers_and_any_start(lab: Path, choice: dict[str, Any]) -> None:
    whole = list(Loader(lab, "train", 7, 3, flip=True, **choice).batches(2))
    assert len(whole) == -(-choice.get("photos_per_epoch", 101) // 7)
    for batch in whole:
        for index, (name, flipped) in enumerate(zip(batch.ids, mirrored(batch.ids, 3, 2), strict=True)):
            np.testing.assert_array_equal(batch.l[index], pixels(name, 16)[:1, :, :: -1 if flipped else 1])
    for world in (1, 2, 4):
        for start in (0, 3, len(whole)):
            ranks = [
                Loader(lab, "train", 7, 3, rank=rank, world_size=world, flip=True, workers=rank % 3, **choice)
                for rank in range(world)
            ]
            rest = zip(*(loader.batches(2, start) for loader in ranks), strict=True)
            assert_same([joined(slices) for slices in rest], whole[start:])


def test_short_epochs_go_on_through_the_data(lab: Path) -> None:
    loader = Loader(lab, "train", 16, 5, photos_per_epoch=26)
    names = [name for epoch in range(4) for batch in loader.batches(epoch) for name in batch.ids]
    assert len(names) == 104
    assert len(set(names[:101])) >= 98  # the fourth epoch has the last 23 of the first pass and 3 of the second
    assert len(set(names)) == 101


def test_one_dataset_balanced_is_that_dataset(tmp_path: Path) -> None:
    settings = ShardSettings(size=16, rows=12, row_group=5, compression="none")
    folder = write_lab(tmp_path, settings, {("train", "birds"): 23})
    one, other = (Loader(folder, "train", 4, 3, balance=balance) for balance in (False, True))
    assert_same(list(one.batches(1)), list(other.batches(1)))
    # More than there are: an epoch is a pass.
    assert Loader(folder, "train", 4, 3, photos_per_epoch=99).epoch_photos == 23


def test_an_empty_split_has_no_batches(tmp_path: Path) -> None:
    settings = ShardSettings(size=16, rows=12, row_group=5, compression="none")
    folder = write_lab(tmp_path, settings, {("train", "birds"): 3})
    for choice in ({}, {"photos_per_epoch": 5}, {"balance": True}):
        loader = Loader(folder, "validation", 4, 3, **choice)
        assert (len(loader), loader.epoch_photos, list(loader.batches(0))) == (0, 0, [])


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("world", [1, 2, 3, 4, 6, 8])
def test_worlds_workers_seeds_and_epochs(lab: Path, world: int, workers: int) -> None:
    every = sorted(identity(s, d, n) for (s, d), count in PHOTOS.items() if s == "train" for n in range(count))
    orders = set()
    for seed in (1, 2):
        for epoch in (0, 1, 7):
            seen = global_batches(lab, world, workers, seed=seed, epoch=epoch)
            assert_same(seen, list(Loader(lab, "train", 16, seed, flip=True).batches(epoch)))
            names = [name for batch in seen for name in batch.ids]
            assert sorted(names) == every
            orders.add(tuple(names))
    assert len(orders) == 6


def test_random_resumes_with_a_changed_world(lab: Path) -> None:
    """50 runs that stop somewhere and go on with another number of processes and threads: as if nothing had been."""
    chance = random.Random(4)
    for _ in range(50):
        first, second = chance.sample([1, 2, 3, 4, 6, 8], 2)
        size, seed, epoch = chance.choice([5, 16, 40]), chance.randrange(2**32), chance.randrange(100)
        whole = list(Loader(lab, "train", size, seed, flip=True).batches(epoch))
        start = chance.randrange(len(whole) + 1)
        run = {"seed": seed, "epoch": epoch, "batch_size": size}
        before = global_batches(lab, first, chance.randrange(3), **run)[:start]
        after = global_batches(lab, second, chance.randrange(3), start=start, **run)
        assert_same(before + after, whole)


@pytest.mark.parametrize("compression", ["none", "lz4"])
def test_threads_share_what_they_read(tmp_path: Path, compression: str) -> None:
    """More row groups than a window, small batches, many threads: values leave the cache while others use them."""
    settings = ShardSettings(size=16, rows=12, row_group=1, compression=compression)
    folder = write_lab(tmp_path, settings, {("train", "birds"): 300})
    alone = list(Loader(folder, "train", 7, 3, flip=True, workers=0).batches(2))
    assert_same(list(Loader(folder, "train", 7, 3, flip=True, workers=8).batches(2)), alone)


def test_mirroring_is_by_seed_epoch_and_id(lab: Path) -> None:
    counts = []
    for epoch in range(3):
        count = 0
        for batch in Loader(lab, "train", 16, 5, flip=True).batches(epoch):
            for index, (name, flipped) in enumerate(zip(batch.ids, mirrored(batch.ids, 5, epoch), strict=True)):
                planes = pixels(name, 16)[..., :: -1 if flipped else 1]
                np.testing.assert_array_equal(batch.l[index], planes[:1])
                np.testing.assert_array_equal(batch.ab[index], planes[1:])
                count += flipped
        counts.append(count)
    assert all(30 < count < 71 for count in counts)
    names = [identity("x", "y", number) for number in range(2000)]
    differing = mirrored(names, 5, 0) != mirrored(names, 5, 1)
    assert 0.45 < differing.mean() < 0.55


@pytest.mark.parametrize("settings", [(16, "lz4"), (16, "zstd"), (20, "none"), (17, "none"), (17, "lz4")])
def test_compression_and_odd_sizes(tmp_path: Path, settings: tuple[int, str]) -> None:
    size, compression = settings
    folder = write_lab(tmp_path, ShardSettings(size=size, rows=12, row_group=5, compression=compression))
    for batch in Loader(folder, "train", 16, 5, flip=True).batches(1):
        for index, (name, flipped) in enumerate(zip(batch.ids, mirrored(batch.ids, 5, 1), strict=True)):
            planes = pixels(name, size)[..., :: -1 if flipped else 1]
            np.testing.assert_array_equal(np.concatenate([batch.l[index], batch.ab[index]]), planes)


def test_the_last_batch_can_be_dropped(lab: Path) -> None:
    loader = Loader(lab, "train", 10, 1, drop_last=True)
    assert len(loader) == 10
    assert [len(batch.ids) for batch in loader.batches(0)] == [10] * 10


def test_leaving_an_epoch_early_ends_the_thread(lab: Path) -> None:
    before = threading.active_count()
    batches = Loader(lab, "train", 4, 1).batches(0)
    next(batches)
    assert threading.active_count() == before + 1
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


# Errors


def test_wrong_arguments_are_named(lab: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="split is 'dev': expected one of train, validation, test"):
        Loader(lab, "dev", 4, 1)
    with pytest.raises(ValueError, match="batch_size is 0"):
        Loader(lab, "train", 0, 1)
    with pytest.raises(ValueError, match="rank is 2: expected 0 to 1"):
        Loader(lab, "train", 4, 1, rank=2, world_size=2)
    with pytest.raises(ValueError, match="workers is -1: expected at least 0"):
        Loader(lab, "train", 4, 1, workers=-1)
    with pytest.raises(ValueError, match="photos_per_epoch is 0: expected at least 1"):
        Loader(lab, "train", 4, 1, photos_per_epoch=0)
    with pytest.raises(ValueError, match="shuffle is False: photos_per_epoch and balance"):
        Loader(lab, "train", 4, 1, shuffle=False, balance=True)
    with pytest.raises(ValueError, match="start is 99: an epoch has 26 global batches"):
        Loader(lab, "train", 4, 1).batches(0, 99)
    with pytest.raises(ValueError, match=r"index\.json is missing: run 'dvc repro shard'"):
        Loader(tmp_path, "train", 4, 1)


@pytest.mark.parametrize("damage", [b"", b"PAR1" + bytes(500) + b"PAR1"])
def test_a_damaged_shard_is_named(tmp_path: Path, damage: bytes) -> None:
    write_lab(tmp_path, ShardSettings(size=16, rows=12, row_group=5, compression="none"))
    path = next(tmp_path.glob("split=test/*/*.parquet"))
    path.write_bytes(damage)
    with pytest.raises(ValueError, match=rf"{path.name}: no LAB shard, or damaged .*dvc repro"):
        list(Loader(tmp_path, "test", 4, 1).batches(0))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_memory_is_flat_over_an_epoch(tmp_path: Path, workers: int) -> None:
    """200 MiB of shards, read twice: what the process holds itself does not grow with them."""
    photos = {("train", f"set{number}"): 256 for number in range(4)}
    write_lab(tmp_path, ShardSettings(size=256, rows=128, row_group=16, compression="none"), photos)
    # A process of its own: in one that had other work before, pages that were freed come and go.
    script = f"""
import os, psutil
from pathlib import Path
from colorize.data.loader import Loader
process, held = psutil.Process(os.getpid()), []
for epoch in range(2):
    for _ in Loader(Path({str(tmp_path)!r}), "train", 32, 1, flip=True, workers={workers}).batches(epoch):
        memory = process.memory_info()
        held.append((memory.rss - memory.shared) / 2**20)
print(max(held) - held[0])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 64
