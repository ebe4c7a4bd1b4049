"""Shuffled and sequential reading of LAB shards, over copying the same bytes in memory.

Usage: python bench/loader.py [PHOTOS]; shards of made-up photos of 3×256×256 bytes are written to a temporary folder.
The memcpy is of shuffled photos into batches of 64. Peers: WebDataset (one .npy member a photo, its buffer of 1,000 to
shuffle with, tar files of 512), the same shards read by pyarrow row group by row group, and one .npy file per photo.
All take turns in one process, wall clock, page cache warm: medians of seven rounds of the seconds, and of the ratio to
the memcpy of the same round.
"""

from __future__ import annotations

import io
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import webdataset

from colorize.data.loader import Loader
from colorize.data.shard_file import Row, write_shard
from colorize.data.shard_index import read_entry, write_index
from colorize.data.shard_plan import Photo, ShardPlan
from colorize.settings.sections import ShardSettings

SIZE = 256
BATCH = 64
ROUNDS = 7


def write(folder: Path, compression: str, pixels: np.ndarray) -> Path:
    """A folder of shards of one split."""
    settings = ShardSettings(size=SIZE, rows=512, row_group=64, compression=compression)
    plans = []
    for number, start in enumerate(range(0, len(pixels), 512)):
        part = pixels[start : start + 512]
        photos = tuple(Photo(f"{start + index:064x}", f"{start + index}.jpg") for index in range(len(part)))
        plans.append(ShardPlan("train", "made-up", number, photos, settings))
        rows = (
            Row(photo.id, lab[0].tobytes(), lab[1:].tobytes(), SIZE, SIZE)
            for photo, lab in zip(photos, part, strict=True)
        )
        write_shard(folder / plans[-1].path, plans[-1], rows)
    write_index(folder, [read_entry(folder, plan.path)[0] for plan in plans], settings)
    return folder


def memcpy(pixels: np.ndarray) -> None:
    """Shuffled photos into fresh batches: what every loader has to do at least."""
    order = np.random.default_rng(1).permutation(len(pixels))
    for start in range(0, len(order), BATCH):
        some = order[start : start + BATCH]
        batch = np.empty((len(some), 3, SIZE, SIZE), np.uint8)
        for index, place in enumerate(some):
            batch[index] = pixels[place]


def ours(folder: Path, *, shuffle: bool, flip: bool = False, workers: int = 1) -> None:
    """An epoch of our loader."""
    for batch in Loader(folder, "train", BATCH, 1, shuffle=shuffle, flip=flip, workers=workers).batches(0):
        assert batch.l.shape[0]


def row_groups(folder: Path) -> None:
    """All pixels by pyarrow, not shuffled."""
    for path in sorted(folder.rglob("*.parquet")):
        file = pq.ParquetFile(path, memory_map=True)
        for group in range(file.metadata.num_row_groups):
            table = file.read_row_group(group, columns=["l", "ab"])
            for name in ("l", "ab"):
                np.frombuffer(table[name].chunk(0).buffers()[1], np.uint8).copy()


def single_files(folder: Path, count: int) -> None:
    """One file per photo, shuffled."""
    order = np.random.default_rng(1).permutation(count)
    for start in range(0, count, BATCH):
        np.stack([np.load(folder / f"{place}.npy") for place in order[start : start + BATCH]])


def write_tars(folder: Path, pixels: np.ndarray) -> list[str]:
    """The photos as WebDataset has them."""
    paths = []
    for number, start in enumerate(range(0, len(pixels), 512)):
        paths.append(str(folder / f"{number:05d}.tar"))
        with tarfile.open(paths[-1], "w") as archive:
            for index, lab in enumerate(pixels[start : start + 512], start):
                stream = io.BytesIO()
                np.save(stream, lab)
                member = tarfile.TarInfo(f"{index:08d}.lab.npy")
                member.size = stream.tell()
                stream.seek(0)
                archive.addfile(member, stream)
    return paths


def web_dataset(paths: list[str], count: int) -> None:
    """An epoch of WebDataset, shuffled as its guide shows, in batches."""
    dataset = webdataset.WebDataset(paths, shardshuffle=100, seed=1).shuffle(1000)
    read = 0
    for (batch,) in dataset.decode().to_tuple("lab.npy").batched(BATCH):
        read += len(batch)
    assert read == count


def ratio(times: list[float], others: list[float]) -> float:
    """Median of the ratios of rounds: what slows the machine down slows both of a round."""
    return statistics.median(one / other for one, other in zip(times, others, strict=True))


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
    generator = np.random.default_rng(1)
    pixels = generator.integers(0, 16, (count, 3, SIZE, SIZE), np.uint8)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        none, lz4 = (write(folder / kind, kind, pixels) for kind in ("none", "lz4"))
        tars = write_tars(folder, pixels)
        for index, lab in enumerate(pixels):
            np.save(folder / f"{index}.npy", lab)
        ways: dict[str, Callable[[], None]] = {
            "limit: memcpy": lambda: memcpy(pixels),
            "ours, shuffled": lambda: ours(none, shuffle=True),
            "ours, shuffled, flip": lambda: ours(none, shuffle=True, flip=True),
            "ours, sequential": lambda: ours(none, shuffle=False),
            "ours, shuffled, 2 workers": lambda: ours(none, shuffle=True, workers=2),
            "ours, shuffled, lz4": lambda: ours(lz4, shuffle=True),
            "pyarrow row groups": lambda: row_groups(none),
            "WebDataset, shuffled": lambda: web_dataset(tars, count),
            ".npy files": lambda: single_files(folder, count),
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, read in ways.items():
                start = time.perf_counter()
                read()
                times[way].append(time.perf_counter() - start)
    middle = {way: statistics.median(seconds) for way, seconds in times.items()}
    print(f"{count} photos of 3x{SIZE}x{SIZE}, batches of {BATCH}: seconds per 1,000 photos")
    for way, seconds in middle.items():
        print(f"  {way:26}{1000 * seconds / count:8.3f}{ratio(times[way], times['limit: memcpy']):8.2f} x memcpy")
    faster = ratio(times["WebDataset, shuffled"], times["ours, shuffled"])
    print(f"shuffled, ours is {faster:.1f} x as fast as WebDataset")
    print(
        f"resident at the end: {psutil.Process().memory_info().rss / 2**20:.0f} MiB, pixels {pixels.nbytes / 2**20:.0f}"
    )


if __name__ == "__main__":
    main()
