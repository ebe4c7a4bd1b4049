"""Which photos an epoch has: all, or every dataset's share, each photo equally often, a few row groups at a time."""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from colorize.data.epochs import WINDOW, epoch_order, hashed, mirrored, natural_order

# The order

layouts = st.lists(st.integers(1, 9), max_size=60)


@given(layouts, st.integers(0, 2**32), st.integers(0, 2**20))
def test_every_photo_once_an_epoch(row_groups: list[int], seed: int, epoch: int) -> None:
    order = epoch_order(row_groups, seed, epoch)
    every = {(group, row) for group, rows in enumerate(row_groups) for row in range(rows)}
    assert len(order) == len(every)
    assert set(map(tuple, order.tolist())) == every
    assert sorted(map(tuple, order.tolist())) == list(map(tuple, natural_order(row_groups).tolist()))


@given(layouts, st.integers(0, 99), st.integers(0, 99))
def test_an_epoch_touches_a_window_of_row_groups_at_a_time(row_groups: list[int], seed: int, epoch: int) -> None:
    groups = epoch_order(row_groups, seed, epoch)[:, 0].tolist()
    first = {group: groups.index(group) for group in set(groups)}
    last = {group: len(groups) - 1 - groups[::-1].index(group) for group in set(groups)}
    for position in range(len(groups)):
        assert sum(first[group] <= position <= last[group] for group in first) <= WINDOW


def test_order_is_fixed_for_all_time() -> None:
    # A run that resumes after an upgrade must see the order it began with.
    assert epoch_order([3, 2, 4], 1, 0).tolist() == [
        [2, 3],
        [2, 0],
        [1, 0],
        [2, 2],
        [0, 0],
        [0, 1],
        [2, 1],
        [1, 1],
        [0, 2],
    ]
    names = [hashlib.sha256(f"trainbirds{number}".encode()).hexdigest() for number in range(8)]
    assert mirrored(names, 1, 0).tolist() == [False, False, True, False, True, True, True, False]


def test_other_seeds_and_epochs_are_other_orders() -> None:
    orders = {tuple(epoch_order([5] * 40, seed, epoch)[:, 0].tolist()) for seed in range(6) for epoch in range(6)}
    assert len(orders) == 36


def test_batches_mix_the_data() -> None:
    """4 datasets of 40 row groups: their shares of a batch of 32 vary little more than by drawing at random."""
    batches = epoch_order([16] * 160, 7, 3)[:, 0].reshape(-1, 32) // 40
    for dataset in range(4):
        shares = (batches == dataset).mean(axis=1)
        assert shares.mean() == 0.25
        assert shares.std() < 1.6 * np.sqrt(0.25 * 0.75 / 32)


# Parts of the data, and datasets in equal shares

balanced = st.lists(st.tuples(st.integers(1, 9), st.sampled_from("abc")), min_size=1, max_size=40)


@settings(deadline=None)
@given(layouts.filter(bool), st.integers(0, 2**32), st.integers(0, 2**20))
def test_an_epoch_of_all_photos_is_a_pass(row_groups: list[int], seed: int, epoch: int) -> None:
    order = epoch_order(row_groups, seed, epoch)
    np.testing.assert_array_equal(epoch_order(row_groups, seed, epoch, photos=sum(row_groups)), order)
    np.testing.assert_array_equal(epoch_order(row_groups, seed, epoch, datasets=["a"] * len(row_groups)), order)


@settings(deadline=None)
@given(layouts.filter(bool), st.integers(0, 2**32), st.integers(1, 200))
def test_short_and_long_epochs_show_every_photo_equally_often(row_groups: list[int], seed: int, photos: int) -> None:
    counts = Counter(dict.fromkeys(map(tuple, natural_order(row_groups).tolist()), 0))
    for epoch in range(7):
        order = epoch_order(row_groups, seed, epoch, photos=photos)
        assert len(order) == photos
        counts.update(map(tuple, order.tolist()))
        assert max(counts.values()) - min(counts.values()) <= 1
    assert len(counts) == sum(row_groups)


@settings(deadline=None)
@given(balanced, st.integers(0, 2**32), st.integers(1, 200), st.one_of(st.just(0), st.integers(0, 2**20)))
def test_datasets_have_equal_shares_and_their_photos_come_equally_often(
    groups: list[tuple[int, str]], seed: int, photos: int, first: int
) -> None:
    """In every epoch, and in any run of epochs: what differs is one photo for the rounding at each end."""
    row_groups, datasets = [rows for rows, _ in groups], [name for _, name in groups]
    counts = Counter(dict.fromkeys(map(tuple, natural_order(row_groups).tolist()), 0))
    totals: Counter[str] = Counter()
    every = len(set(datasets))
    for epoch in range(first, first + 7):
        order = epoch_order(row_groups, seed, epoch, photos=photos, datasets=datasets)
        shares = Counter(datasets[group] for group in order[:, 0].tolist())
        assert sum(shares.values()) == photos
        assert all(shares[name] in (photos // every, -(-photos // every)) for name in set(datasets))
        totals.update(shares)
        assert all(abs(totals[name] - sum(totals.values()) / every) < 1 for name in set(datasets))
        counts.update(map(tuple, order.tolist()))
        for name in set(datasets):
            some = [count for (group, _), count in counts.items() if datasets[group] == name]
            assert max(some) - min(some) <= (1 if first == 0 else 2)
    assert len(counts) == sum(row_groups)


def test_four_quarters_are_a_pass_and_the_next_four_another() -> None:
    first, second = (
        [epoch_order([6] * 10, 3, epoch, photos=15).tolist() for epoch in range(start, start + 4)] for start in (0, 4)
    )
    every = natural_order([6] * 10).tolist()
    assert sorted(place for order in first for place in order) == every
    assert sorted(place for order in second for place in order) == every
    assert sorted(first[0]) != sorted(second[0])


def test_parts_of_a_single_row_group_are_others_in_every_pass() -> None:
    halves = {tuple(sorted(epoch_order([64], 3, epoch, photos=32)[:, 1].tolist())) for epoch in range(0, 20, 2)}
    assert len(halves) > 7


def test_chosen_orders_are_fixed_for_all_time() -> None:
    order = epoch_order([3, 2, 4], 1, 2, photos=7, datasets=["a", "b", "b"])
    assert order.tolist() == [[2, 1], [1, 1], [2, 0], [0, 2], [0, 1], [2, 3], [0, 2]]
    assert epoch_order([3, 2, 4], 1, 1, photos=5).tolist() == [[0, 2], [2, 2], [2, 3], [1, 0], [1, 1]]


@settings(deadline=None)
@given(st.integers(1, 80), st.integers(1, 80), st.integers(1, 6), st.integers(1, 900), st.integers(0, 99))
def test_parts_of_row_groups_are_read_a_window_at_a_time(
    small: int, large: int, rows: int, photos: int, epoch: int
) -> None:
    """A cache of a window's row groups reads each part of one once."""
    datasets = ["small"] * small + ["large"] * large
    order = epoch_order([rows] * (small + large), 5, epoch, photos=photos, datasets=datasets)
    held: OrderedDict[int, None] = OrderedDict()
    reads = 0
    for group in order[:, 0].tolist():
        reads += group not in held
        held[group] = None
        held.move_to_end(group)
        if len(held) > WINDOW:
            held.popitem(last=False)
    parts = 0
    for number in range(2):
        start, stop = ((epochs * photos + number) // 2 for epochs in (epoch, epoch + 1))
        cuts = {start, stop, *range(start - start % rows, stop, rows)}
        parts += sum(start <= cut < stop for cut in cuts)
    assert reads <= parts


def test_what_comes_several_times_in_an_epoch_does_not_come_in_a_row() -> None:
    order = epoch_order([10] * 20, 7, 0, photos=600)
    repeats = (order[1:] == order[:-1]).all(axis=1).sum()
    assert repeats < 10  # 2 by chance


def test_batches_mix_small_and_large_datasets() -> None:
    """20, 600 and 6,400 photos, in row groups of 10, 20 and 64: each has a third of a batch of 48, from epoch 0 on."""
    sizes, names = [10] * 2 + [20] * 30 + [64] * 100, ["a"] * 2 + ["b"] * 30 + ["c"] * 100
    for epoch in range(3):
        order = epoch_order(sizes, 7, epoch, photos=4800, datasets=names)
        batches = np.array(names)[order[:, 0]].reshape(-1, 48)
        for name in "abc":
            shares = (batches == name).mean(axis=1)
            assert abs(shares.mean() - 1 / 3) < 1e-9
            assert shares.std() < 1.6 * np.sqrt(1 / 3 * 2 / 3 / 48)


def test_hashes_differ_by_number_purpose_and_key() -> None:
    numbers = np.arange(1000)
    every = np.concatenate(
        [hashed(numbers, purpose, *key) for purpose in ("a", "b") for key in ((), (0, 1), (1, 0), (2**64 - 1,))]
    )
    assert len(np.unique(every)) == 8000
    assert abs((every >> np.uint64(63)).mean() - 0.5) < 0.03
