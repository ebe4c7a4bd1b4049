"""Which photos an epoch has and in which order: a pure function of the seed, the epoch and where the photos lie.

Photos are taken from an endless sequence of passes over the data, or over each dataset where they are to be balanced.
A pass goes through its row groups in an order of its own, and an epoch goes on in the sequence where the one before
stopped. So every photo is seen equally often in the long run, however many an epoch has, and an epoch of all photos is
a pass. The row groups of an epoch, or the parts of them that it takes, are shuffled over all datasets; then the photos
of each window of 32 of them are shuffled together. So a batch mixes up to 32 places of the data, and reading touches
only 32 row groups at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

WINDOW = 32  # row groups, or parts of them, that are shuffled together and read at a time


def epoch_order(
    row_groups: Sequence[int],
    seed: int,
    epoch: int,
    *,
    photos: int | None = None,
    datasets: Sequence[str] | None = None,
) -> NDArray[np.int64]:
    """The order of an epoch.

    Args:
        row_groups: number of photos in each row group, 1 or more.
        seed: of the run.
        epoch: from 0.
        photos: how many the epoch has, 1 or more; None: as many as there are.
        datasets: name for each row group; all datasets then get shares of the epoch that differ by one photo at most,
            and which gets more changes from epoch to epoch. None: all photos are one collection.

    Returns:
        int64, photos×2: number of the row group, and row in it.
    """
    sizes = np.asarray(row_groups, np.int64)
    if not len(sizes):
        return np.empty((0, 2), np.int64)
    total = int(sizes.sum())
    begins = np.cumsum(sizes) - sizes
    pieces = _pieces(sizes, seed, epoch, total if photos is None else photos, datasets)
    windows = []
    for start in range(0, len(pieces), WINDOW):
        window = pieces[start : start + WINDOW]
        count = window[:, 3]
        group, again, first, _ = np.repeat(window, count, axis=0).T
        row = (first + np.arange(len(group)) - np.repeat(np.cumsum(count) - count, count)) % sizes[group]
        places = hashed(begins[group] + row + again * total, "photos", seed, epoch)
        windows.append(np.stack([group, row], axis=1)[np.argsort(places)])
    return np.concatenate(windows)


def natural_order(row_groups: Sequence[int]) -> NDArray[np.int64]:
    """The order in which the photos lie in the shards, in the form of `epoch_order`."""
    sizes = np.asarray(row_groups, np.int64)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    rows = np.arange(len(groups)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.stack([groups, rows], axis=1).astype(np.int64)


def mirrored(ids: Sequence[str], seed: int, epoch: int) -> NDArray[np.bool_]:
    """Which photos are mirrored left to right in an epoch: half of them, by a hash of (seed, epoch, id)."""
    numbers = np.array([int(identity[:16], 16) for identity in ids], np.uint64)
    return (hashed(numbers, "mirror", seed, epoch) >> np.uint64(63)).astype(np.bool_)


def hashed(numbers: NDArray[np.int64] | NDArray[np.uint64], purpose: str, *key: int) -> NDArray[np.uint64]:
    """64 well-mixed bits of each number: integer arithmetic alone, so that no library's version changes it.

    SplitMix64's finalizer (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).

    Args:
        numbers: different ones get different bits.
        purpose: another purpose gives other bits.
        key: what else decides the bits, each 0 or more, below 2**64.
    """
    state = np.zeros(1, np.uint64)
    for part in (*key, *purpose.encode()):
        state = _mix(state + np.uint64(part))
    return _mix(numbers.astype(np.uint64) ^ state)


def _pieces(
    sizes: NDArray[np.int64], seed: int, epoch: int, photos: int, datasets: Sequence[str] | None
) -> NDArray[np.int64]:
    """The row groups of an epoch and the parts of them, shuffled.

    Each dataset's are shuffled alone; then they are put together such that the share of each dataset that has been
    used up grows evenly. Otherwise some windows would have little of a dataset whose row groups are larger.

    Returns:
        int64, pieces×4: number of the row group, how many passes of the epoch were before, first row, number of rows.
    """
    owner = np.zeros(len(sizes), np.int64) if datasets is None else np.unique(datasets, return_inverse=True)[1]
    collections = int(owner.max()) + 1
    pieces, used = [], []
    for number in range(collections):
        # Photos that this dataset has given before this epoch and after it. Over the datasets
        # floor((n + number) / collections) sums up to n (Hermite's identity): nothing is lost in rounding.
        start, stop = ((epochs * photos + number) // collections for epochs in (epoch, epoch + 1))
        some = _pieces_of_dataset(np.flatnonzero(owner == number), sizes, seed, start, stop)
        # What comes again is hashed by another number, so that it does not come right behind the first time.
        order = np.argsort(hashed(some[:, 0] + some[:, 1] * len(sizes), "row groups", seed, epoch))
        pieces.append(some[order])
        rows = pieces[-1][:, 3]
        used.append((np.cumsum(rows) - rows / 2) / max(stop - start, 1))
    return np.concatenate(pieces)[np.argsort(np.concatenate(used), kind="stable")]


def _pieces_of_dataset(
    groups: NDArray[np.int64], sizes: NDArray[np.int64], seed: int, start: int, stop: int
) -> NDArray[np.int64]:
    """What lies from `start` to before `stop` in the endless sequence of passes over the row groups `groups`."""
    total = int(sizes[groups].sum())
    passes = np.arange(start // total, -(-stop // total))[:, None]
    shuffled = np.argsort(hashed(passes * len(sizes) + groups, "pass", seed), axis=1)
    group, number = groups[shuffled].ravel(), np.repeat(passes, len(groups))
    size = sizes[group]
    ends = start // total * total + np.cumsum(size)
    begins = ends - size
    low, high = np.maximum(begins, start), np.minimum(ends, stop)
    # The rows of a row group begin elsewhere in each pass: it is not always cut into the same parts.
    turn = (hashed(number * len(sizes) + group, "first row", seed) % size.astype(np.uint64)).astype(np.int64)
    pieces = np.stack([group, number - start // total, (turn + low - begins) % size, high - low], axis=1)
    taken: NDArray[np.int64] = pieces[high > low]
    return taken


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
