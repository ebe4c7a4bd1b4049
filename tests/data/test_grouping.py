"""Grouping finds what looking at all pairs finds, whatever the codes, and stays bounded when all of them are alike."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colorize.data import near_codes
from colorize.data.grouping import Grouping, Radii, components, group_pictures
from colorize.data.near_codes import MOST, Codes, no_neighbours, search

RADII = Radii(11, 7, 7, 5)


class Pictures(NamedTuple):
    codes: np.ndarray
    turned: np.ndarray
    identity: np.ndarray  # uint64, N: what a photo really shows; few bits apart means a copy


@numba.njit
def compare(features, i, j, turn):
    x = features.identity[i] ^ features.identity[j]
    bits = 0
    while x:
        x &= x - np.uint64(1)
        bits += 1
    if turn:
        return 1 if bits <= 8 else 0
    return 2 if bits <= 3 else 1 if bits <= 8 else 0


def flip(generator: np.random.Generator, codes: np.ndarray, most: int) -> np.ndarray:
    """Up to so many bits of each code turned over."""
    codes = codes.copy()
    for _ in range(most):
        bits = np.uint64(1) << generator.integers(0, 64, codes.shape, dtype=np.uint64)
        codes ^= np.where(generator.random(codes.shape) < 0.6, bits, np.uint64(0))
    return codes


def pictures(seed: int, number: int, originals: int) -> Pictures:
    """Photos of a few originals, at all distances from each other and with some turned and some flat ones."""
    generator = np.random.default_rng(seed)
    base = Pictures(
        generator.integers(0, 2**64, (originals, 17), dtype=np.uint64),
        generator.integers(0, 2**64, (originals, 7), dtype=np.uint64),
        generator.integers(0, 2**64, originals, dtype=np.uint64),
    )
    base.codes[:, 2:7] = flip(generator, base.codes[:, 1:2].repeat(5, axis=1), 8)
    base.codes[:, 7:12] = flip(generator, base.codes[:, 1:2].repeat(5, axis=1), 16)
    which = generator.integers(0, originals, number)
    codes = flip(generator, base.codes[which], 14)
    codes[:, 0] = np.where(generator.random(number) < 0.7, codes[:, 1], codes[:, 0])
    shifted = generator.random(number) < 0.3  # cut a little: what was a window is the picture
    codes[shifted, 0] = codes[shifted, 1] = flip(generator, base.codes[which[shifted], 4], 4)
    turned = flip(generator, base.turned[which], 6)
    mirrored = generator.random(number) < 0.2
    turned[mirrored, 3] = flip(generator, base.codes[which[mirrored], 0], 3)
    codes[mirrored] = generator.integers(0, 2**64, (np.count_nonzero(mirrored), 17), dtype=np.uint64)
    codes[generator.random((number, 17)) < 0.02] = 0
    turned[generator.random((number, 7)) < 0.02] = 0
    return Pictures(codes, turned, flip(generator, base.identity[which], 6))


def bits(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Distances of N and M codes: N x M."""
    return np.bitwise_count(one[:, None] ^ other[None, :])


def candidates(found: Pictures, radii: Radii) -> np.ndarray:
    """bool, 8 x N x N: whether the rule has i and j compared under a turn, by looking at all pairs."""
    number = len(found.codes)
    codes = found.codes
    near = np.zeros((8, number, number), bool)
    for a in (0, 1):
        for b in (0, 1):
            near[0] |= bits(codes[:, a], codes[:, b]) <= radii.radius
        for window in range(2, 12):
            one = (bits(codes[:, window], codes[:, a]) <= radii.window_radius) & (codes[:, window] != 0)[:, None]
            near[0] |= one | one.T
    for part in range(12, 17):
        some = codes[:, part] != 0
        near[0] |= (bits(codes[:, part], codes[:, part]) <= radii.part_radius) & some[:, None] & some[None, :]
    for turn in range(1, 8):
        turned = found.turned[:, turn - 1]
        for a in (0, 1):
            both = (codes[:, a] != 0)[:, None] & (turned != 0)[None, :]
            near[turn] |= (bits(codes[:, a], turned) <= radii.turned_radius) & both
    return near


def expected(found: Pictures, radii: Radii) -> tuple[list[int], set[frozenset[int]]]:
    """Leaders, and the families of related photos."""
    number = len(found.codes)
    near = candidates(found, radii)
    leader = list(range(number))
    families = [{i} for i in range(number)]
    for j in range(number):
        for i in range(j):
            if leader[i] != i:
                continue
            likeness = [int(compare(found, i, j, turn)) for turn in range(8) if near[turn, i, j]]
            if near[0, i, j] and likeness[0] == 2 and leader[j] == j:
                leader[j] = i
            if any(likeness) and families[i] is not families[j]:
                families[i] |= families[j]
                for k in families[j]:
                    families[k] = families[i]
    return leader, {frozenset(family) for family in families}


def families_of(found: Grouping) -> set[frozenset[int]]:
    number = len(found.leader)
    pairs = np.concatenate([found.related, np.stack([found.leader, np.arange(number)], axis=1)])
    root = components(number, pairs)
    return {frozenset(np.flatnonzero(root == one).tolist()) for one in np.unique(root)}


@pytest.mark.parametrize(("seed", "number", "originals"), [(1, 700, 60), (2, 900, 300), (3, 30, 10), (4, 520, 25)])
def test_grouping_is_that_of_all_pairs(seed: int, number: int, originals: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("colorize.data.grouping._SMALL", 40)
    found = pictures(seed, number, originals)
    result = group_pictures(found, compare, RADII)
    leader, families = expected(found, RADII)
    assert result.skipped == 0
    assert result.leader.tolist() == leader
    assert families_of(result) == families
    assert number * 0.1 < len(set(leader)) < number
    assert len(families) < len(set(leader))
    assert all(leader[i] == i < j for i, j in result.related.tolist())


def test_every_kind_of_code_finds_something() -> None:
    found = pictures(5, 600, 100)
    whole = expected(found, RADII)
    for name in RADII._fields:
        assert expected(found, RADII._replace(**{name: 0})) != whole


@given(st.integers(0, 2**32), st.integers(0, 300), st.integers(0, 300), st.integers(0, 14))
@settings(max_examples=60, deadline=None)
def test_search_finds_all_near_codes(seed: int, searching: int, searched: int, radius: int) -> None:
    generator = np.random.default_rng(seed)
    base = generator.integers(0, 2**64, 20, dtype=np.uint64)
    one = flip(generator, base[generator.integers(0, 20, searching)], 12)
    other = flip(generator, base[generator.integers(0, 20, searched)], 12)
    found = search(
        Codes(one, np.arange(searching, dtype=np.int32) * 8 + 3),
        Codes(other, np.arange(searched, dtype=np.int32) * 8),
        radius,
        no_neighbours(searching),
    )
    distances = bits(one, other) if searching and searched else np.empty((searching, searched), int)
    for i in range(searching):
        near = sorted((int(distances[i, k]), k) for k in np.flatnonzero(distances[i] <= radius))
        listed, place = [], found.first[i]
        while place >= 0:
            value = int(found.found[place])
            assert value & 7 == 3
            listed.append((value >> 40, (value >> 3) & (2**37 - 1)))
            place = found.following[place]
        assert sorted(listed) == near[:MOST]
        assert found.incomplete[i] == (len(near) > MOST)


@pytest.mark.parametrize("radius", [0, 1, 4, 5, 7, 11, 14])
def test_every_way_of_cutting_codes_covers_the_radius(radius: int) -> None:
    for number in range(1, radius + 2):
        bands = near_codes._cut(radius, number)
        assert all(width == 22 or 64 // number <= width < 22 for width, _ in bands)
        assert sum(allowed + 1 for _, allowed in bands) == radius + 1
        assert all(allowed >= 0 for _, allowed in bands)


def alike(number: int, seed: int) -> Pictures:
    """Photos whose codes are within a few bits of each other."""
    generator = np.random.default_rng(seed)
    codes = generator.integers(0, 2**64, (1, 17), dtype=np.uint64).repeat(number, axis=0)
    return Pictures(
        flip(generator, codes, 2),
        generator.integers(0, 2**64, (number, 7), dtype=np.uint64),
        np.zeros(number, np.uint64),
    )


def test_copies_of_one_picture_take_one_comparison_each() -> None:
    result = group_pictures(alike(5000, 1), compare, RADII)
    assert (result.leader == 0).all()
    assert result.compared == 4999
    assert result.skipped == 0


@pytest.mark.parametrize("flat", [False, True])
def test_different_pictures_with_one_code_are_bounded_and_counted(flat: bool) -> None:
    found = alike(2000, 2)
    if flat:
        found.codes[:] = 0
        found.turned[:] = 0
    found.identity[:] = np.random.default_rng(3).integers(0, 2**64, 2000, dtype=np.uint64)
    result = group_pictures(found, compare, RADII)
    assert (result.leader == np.arange(2000)).all()
    assert 1300 < result.skipped < 2000
    assert result.compared < 2000 * (3 * MOST + 250)  # stretches of 1000, 500 and 250, and the few around it


def test_components_are_named_by_their_smallest() -> None:
    pairs: Any = np.array([[5, 4], [4, 9], [9, 2], [0, 1], [3, 3]])
    assert components(10, pairs).tolist() == [0, 0, 2, 3, 2, 2, 6, 7, 8, 2]
    assert components(3, np.empty((0, 2), np.int64)).tolist() == [0, 1, 2]


def test_nothing_to_group() -> None:
    result = group_pictures(pictures(1, 0, 1), compare, RADII)
    assert len(result.leader) == len(result.related) == result.compared == result.skipped == 0
