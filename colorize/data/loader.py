"""Batches of LAB photos for training and evaluation: the same global batches for any number of workers.

`colorize.data.epochs` says which photos an epoch has, and in which order. Reading touches a window of 32 row groups at
a time. With the default row group a window holds 2,048 photos: only where the shards are compressed are their pixels
held in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from colorize.data.epochs import WINDOW, epoch_order, mirrored, natural_order
from colorize.data.recent import Recent
from colorize.data.shard_file import RowGroup, Shard
from colorize.data.shard_index import read_index, remote_address
from colorize.data.splits import SPLITS

if TYPE_CHECKING:
    from colorize.data.remote_shard import RemoteShard

_AHEAD = 3  # batches prepared before they are asked for
_REQUESTS = 16  # row groups fetched from an object store at a time


@dataclass(frozen=True, slots=True)
class Batch:
    """Photos of one step.

    Attributes:
        ids: N ids.
        datasets: N names.
        l: uint8, N×1×H×W, code of the lightness.
        ab: uint8, N×2×H×W, code of a and b.
    """

    ids: list[str]
    datasets: list[str]
    l: NDArray[np.uint8]  # noqa: E741 - the field's own name
    ab: NDArray[np.uint8]


class Loader:
    """One worker's share of the batches of a split.

    Args:
        lab: folder of the LAB shards, or `s3://bucket/prefix/<digest>` where they are published.
        split: train, validation or test.
        batch_size: photos in a global batch, over all workers; the last one of an epoch may have fewer.
        seed: of the order and of the mirroring.
        rank: of this worker, from 0.
        world_size: number of workers.
        shuffle: otherwise photos come as they lie in the shards.
        flip: mirror half of the photos, others in every epoch.
        drop_last: leave out the last global batch if it is not full.
        photos_per_epoch: photos in an epoch at most; the next one goes on with others. None: all.
        balance: take equally many photos from every dataset: those of a small one come several times in an epoch, and
            a large one goes on with others in the next.
        workers: threads that prepare batches before they are asked for; 0 prepares each when it is asked for. Order
            and bytes do not depend on it.

    Attributes:
        photos: number of photos of the split.
        epoch_photos: number of photos of an epoch, a photo counted as often as it comes.
        size: height and width of the photos, pixels.

    Raises:
        ValueError: the shards are missing or damaged, or an argument is out of range.
    """

    def __init__(
        self,
        lab: Path | str,
        split: str,
        batch_size: int,
        seed: int,
        *,
        rank: int = 0,
        world_size: int = 1,
        shuffle: bool = True,
        flip: bool = False,
        drop_last: bool = False,
        photos_per_epoch: int | None = None,
        balance: bool = False,
        workers: int = 1,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split is {split!r}: expected one of {', '.join(SPLITS)}")
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: expected at least 1")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank is {rank}: expected 0 to {world_size - 1} for world_size {world_size}")
        if workers < 0:
            raise ValueError(f"workers is {workers}: expected at least 0")
        if photos_per_epoch is not None and photos_per_epoch < 1:
            raise ValueError(f"photos_per_epoch is {photos_per_epoch}: expected at least 1, or None for all")
        if not shuffle and (balance or photos_per_epoch is not None):
            raise ValueError("shuffle is False: photos_per_epoch and balance choose at random; leave them out")
        index = read_index(lab)
        address = remote_address(lab)
        shards = [entry for entry in index["shards"] if entry["split"] == split]
        self._groups = [
            _Place(f"{address}/{entry['path']}" if address else Path(lab) / entry["path"], number, entry["dataset"])
            for entry in shards
            for number in range(len(entry["row_groups"]))
        ]
        self._row_groups = [rows for entry in shards for rows in entry["row_groups"]]
        self._shape = (int(index["height"]), int(index["width"]))
        self.photos: int = sum(self._row_groups)
        self.epoch_photos = self.photos if photos_per_epoch is None else min(photos_per_epoch, self.photos)
        self._balance = balance
        self.size = self._shape[0]
        self._batch_size, self._seed, self._rank, self._world_size = batch_size, seed, rank, world_size
        self._shuffle, self._flip, self._drop_last, self._workers = shuffle, flip, drop_last, workers

    def __len__(self) -> int:
        """Global batches in an epoch."""
        full, rest = divmod(self.epoch_photos, self._batch_size)
        return full if self._drop_last or not rest else full + 1

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """This worker's slices of the global batches of an epoch, prepared by threads while others are used.

        A global batch of n photos is cut into `world_size` slices that differ by one photo at most. Where it has
        fewer photos than there are workers, some get a batch of no photos: every worker takes part in every step.

        Args:
            epoch: from 0.
            start: global batch to begin with; what follows is the same as in an epoch from the beginning.

        Raises:
            ValueError: `start` is beyond the epoch, or a shard is damaged.
        """
        if not 0 <= start <= len(self):
            raise ValueError(f"start is {start}: an epoch has {len(self)} global batches")
        return self._batches(epoch, start)

    def _batches(self, epoch: int, start: int) -> Iterator[Batch]:
        order = self._order(epoch)
        reader = _Reader(self._groups, self._shape)
        slices = (
            self._slice(order[number * self._batch_size : (number + 1) * self._batch_size])
            for number in range(start, len(self))
        )
        waiting: deque[Future[Batch]] = deque()
        with ExitStack() as stack:
            stack.callback(reader.close)
            if not self._workers:
                for places in slices:
                    yield reader.read(places, self._mirror(epoch))
                return
            executor = ThreadPoolExecutor(self._workers, thread_name_prefix="loader")
            stack.callback(executor.shutdown, wait=True, cancel_futures=True)
            for places in slices:
                waiting.append(executor.submit(reader.read, places, self._mirror(epoch)))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if not self._shuffle:
            return natural_order(self._row_groups)
        datasets = [place.dataset for place in self._groups] if self._balance else None
        return epoch_order(self._row_groups, self._seed, epoch, photos=self.epoch_photos, datasets=datasets)

    def _slice(self, batch: NDArray[np.int64]) -> NDArray[np.int64]:
        begin, end = (len(batch) * rank // self._world_size for rank in (self._rank, self._rank + 1))
        return batch[begin:end]

    def _mirror(self, epoch: int) -> Callable[[Sequence[str]], NDArray[np.bool_]]:
        if self._flip:
            return lambda ids: mirrored(ids, self._seed, epoch)
        return lambda ids: np.zeros(len(ids), np.bool_)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a row group lies: in a file, or in an object with an address."""

    path: Path | str
    number: int
    dataset: str


class _Reader:
    """Assembles batches; holds the shards and row groups of about one window. Threads can share it."""

    def __init__(self, groups: Sequence[_Place], shape: tuple[int, int]) -> None:
        self._places = groups
        self._shape = shape
        self._shards: Recent[Shard | RemoteShard] = Recent(WINDOW)
        self._groups: Recent[RowGroup] = Recent(WINDOW)
        # Requests to a store wait for answers: a batch asks for all of its row groups at the same time.
        is_remote = any(isinstance(place.path, str) for place in groups)
        self._requests = ThreadPoolExecutor(_REQUESTS, thread_name_prefix="requests") if is_remote else None

    def close(self) -> None:
        """End the threads."""
        if self._requests is not None:
            self._requests.shutdown(wait=True, cancel_futures=True)

    def read(self, places: NDArray[np.int64], mirror: Callable[[Sequence[str]], NDArray[np.bool_]]) -> Batch:
        height, width = self._shape
        l = np.empty((len(places), 1, height, width), np.uint8)  # noqa: E741
        ab = np.empty((len(places), 2, height, width), np.uint8)
        ids, datasets, rows = [], [], []
        numbers = np.unique(places[:, 0]).tolist()
        apply = map if self._requests is None else self._requests.map
        groups = dict(zip(numbers, apply(self._group, numbers), strict=True))
        for number, row in places.tolist():
            group = groups[number]
            ids.append(group.ids[row])
            datasets.append(self._places[number].dataset)
            rows.append((group.l[row], group.ab[row]))
        for index, ((row_l, row_ab), flip) in enumerate(zip(rows, mirror(ids).tolist(), strict=True)):
            copy = _copy_mirrored if flip else np.copyto
            copy(l[index, 0], row_l)
            copy(ab[index], row_ab)
        return Batch(ids, datasets, l, ab)

    def _group(self, number: int) -> RowGroup:
        return self._groups.get(number, lambda: self._open(self._places[number]).read(self._places[number].number))

    def _open(self, place: _Place) -> Shard | RemoteShard:
        path = place.path
        if isinstance(path, str):
            from colorize.data.remote_shard import RemoteShard

            return self._shards.get(path, lambda: RemoteShard(path))
        # A reader of Parquet is not made for several threads: each thread opens its own.
        return self._shards.get((path, get_ident()), lambda: Shard(path))


def _copy_mirrored(target: NDArray[np.uint8], source: NDArray[np.uint8]) -> None:
    """Copy the last axis in reverse; eight bytes at a time where they fit, which is several times faster."""
    if source.shape[-1] % 8:
        np.copyto(target, source[..., ::-1])
        return
    words = target.view(np.uint64)
    np.copyto(words, source.view(np.uint64)[..., ::-1])
    words.byteswap(inplace=True)
