"""Groups of copies among any number of photos, found in the order of precedence.

The first photo is a *leader*. Each further one is compared with the leaders before it that have a near code; it joins
the first that it is a copy of, or becomes a leader itself. Copies are never searched for, so a hundred thousand photos
of one picture cost no more than as many different ones. And a photo is only ever in a group whose leader it is a copy
of: a chain of small changes does not swallow pictures that differ.

Searching one by one would jump about in memory. So photos are halved: first the groups of the first half are found,
then all of the second half search among the leaders of the first at once, then the rest of the second half is done.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="assignment"
# ruff: noqa: PLR0917 - compiled loops take their arrays one by one

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from colorize.compiled import compiled
from colorize.data.near_codes import Codes, Neighbours, listed, no_neighbours, search

COPY: Final = 2
_FULL: Final = 2  # columns of codes: the full picture, and that without its border
_WINDOWS: Final = (2, 12)
_PARTS: Final = (12, 17)
_SMALL: Final = 512  # as many photos are compared one by one


class HasCodes(Protocol):
    """What grouping needs of the features of N photos.

    Attributes:
        codes: uint64, N x 17: the full picture, that without its border, ten windows in it, five parts of it.
        turned: uint64, N x 7: code of the full picture after each turn 1..7.
    """

    @property
    def codes(self) -> NDArray[np.uint64]: ...
    @property
    def turned(self) -> NDArray[np.uint64]: ...


class Radii(NamedTuple):
    """By how many of 64 bits codes may differ for two photos to be compared.

    Attributes:
        radius: codes of the full pictures, with or without border.
        window_radius: one such code and one of a window.
        part_radius: codes of the same part.
        turned_radius: codes of the one turned and the other full picture, with or without border.
    """

    radius: int
    window_radius: int
    part_radius: int
    turned_radius: int


class Grouping(NamedTuple):
    """What was found among N photos.

    Attributes:
        leader: int64, N: the photo that each is a copy of, or itself.
        related: int64, M x 2: earlier and later photo that are related though not by `leader`. Not all such pairs are
            listed, but enough to connect what is related.
        turns: uint8, M: under which turn of the later photo they are.
        compared: how many pairs were compared.
        skipped: how many photos had more photos near them than are compared.
    """

    leader: NDArray[np.int64]
    related: NDArray[np.int64]
    turns: NDArray[np.uint8]
    compared: int
    skipped: int


def group_pictures(features: HasCodes, compare: Callable[[Any, int, int, int], int], radii: Radii) -> Grouping:
    """Group photos that come in order of precedence.

    Photos i < j are compared if i is a leader and two of their codes are within one of the radii of each other. All
    such pairs are, with two exceptions. Of each stretch of earlier photos that are searched at once (fewer than log2 N
    lie before any photo) only the 32 nearest leaders are compared with a photo, however many are near; a photo of which
    some were left out is counted as skipped. And a code of 0, that of a flat picture, counts for full pictures alone.

    Args:
        features: of the photos.
        compare: takes features, i, j and the turn 0..7 of j under which to compare, and returns 2 if they are copies,
            1 if they are related, else 0. A turned photo is at most related.
        radii: which photos are compared.
    """
    number = len(features.codes)
    leader, root = np.arange(number, dtype=np.int64), np.arange(number, dtype=np.int32)
    compared, incomplete = np.zeros(1, np.int64), np.zeros(number, bool)
    related: list[tuple[int, int, int]] = []

    def judge(start: int, neighbours: tuple[NDArray[np.int64], NDArray[np.int64]], places: NDArray[np.int64]) -> None:
        """Compare photos with their neighbours that are leaders: whose copies they are, and what is related."""
        begins, values = neighbours
        others, turns = places[values >> 3].tolist(), (values & 7).tolist()
        for number in np.flatnonzero(np.diff(begins)).tolist():
            photo = start + number
            leads = bool(leader[photo] == photo)
            for k in range(begins[number], begins[number + 1]):
                other, turn = others[k], turns[k]
                if leader[other] != other:
                    continue
                if (turn or not leads) and _root_of(other, root) == _root_of(photo, root):
                    continue  # they could only be related, and are known to be
                compared[0] += 1
                likeness = compare(features, other, photo, turn)
                if likeness == COPY and leads and not turn:
                    leader[photo], leads = other, False
                elif likeness:
                    related.append((other, photo, turn))
                if likeness:
                    _connect(other, photo, root)

    def group(start: int, stop: int) -> None:
        if stop - start <= _SMALL:
            codes, turned = (np.array(some[start:stop], np.uint64) for some in (features.codes, features.turned))
            judge(start, _near_pairs(codes, turned, *radii), np.arange(start, stop))
            return
        middle = (start + stop) // 2
        group(start, middle)
        leaders = start + np.flatnonzero(leader[start:middle] == np.arange(start, middle))
        found = _neighbours(features, leaders, middle, stop, radii)
        incomplete[middle:stop] |= found.incomplete
        judge(middle, listed(*found[:3]), leaders)
        group(middle, stop)

    group(0, number)
    pairs = np.array(related, np.int64).reshape(-1, 3)
    turns = pairs[:, 2].astype(np.uint8)
    return Grouping(leader, pairs[:, :2], turns, int(compared[0]), int(np.count_nonzero(incomplete)))


def components(number: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each of N photos the smallest one that it is connected to by a chain of pairs.

    Args:
        number: N.
        pairs: int64, M x 2.
    """
    root = np.arange(number, dtype=np.int32)
    _connect_all(root, np.ascontiguousarray(pairs, np.int64))
    return root.astype(np.int64)


def _neighbours(features: HasCodes, leaders: NDArray[np.int64], middle: int, stop: int, radii: Radii) -> Neighbours:
    """What photos middle..stop find among leaders, by places in the latter."""
    codes, earlier = features.codes[middle:stop], features.codes[leaders]
    slack = radii.radius - radii.window_radius
    neighbours = no_neighbours(stop - middle)
    full, full_earlier = _full_codes(codes), _full_codes(earlier)
    neighbours = search(full, full_earlier, radii.radius, neighbours)
    neighbours = search(_window_codes(codes, slack), full_earlier, radii.window_radius, neighbours)
    neighbours = search(full, _window_codes(earlier, slack), radii.window_radius, neighbours)
    for part in range(*_PARTS):
        one, other = codes[:, part : part + 1], earlier[:, part : part + 1]
        neighbours = search(_listed(one, one != 0), _listed(other, other != 0), radii.part_radius, neighbours)
    turned = features.turned[middle:stop]
    found = _listed(turned, turned != 0)
    turns = np.flatnonzero(turned != 0) % turned.shape[1] + 1
    found.owners[:] += turns.astype(np.int32)
    return search(found, _full_codes(earlier, flat=False), radii.turned_radius, neighbours)


def _listed(codes: NDArray[np.uint64], chosen: NDArray[np.bool_]) -> Codes:
    """The chosen ones of codes, N x K."""
    return Codes(codes[chosen], (np.nonzero(chosen)[0] * 8).astype(np.int32))


def _full_codes(codes: NDArray[np.uint64], flat: bool = True) -> Codes:
    chosen = np.ones((len(codes), _FULL), bool)
    chosen[:, 1] = codes[:, 0] != codes[:, 1]
    return _listed(codes[:, :_FULL], chosen if flat else chosen & (codes[:, :_FULL] != 0))


def _window_codes(codes: NDArray[np.uint64], slack: int) -> Codes:
    """Codes of windows, without those so near that whatever is near to them is near enough to the picture's code."""
    windows = codes[:, slice(*_WINDOWS)]
    return _listed(windows, (windows != 0) & (np.bitwise_count(windows ^ codes[:, 1:2]) > slack))


@compiled("int32(int32, int32[::1])")
def _root_of(photo, root):
    while root[photo] != photo:
        root[photo] = root[root[photo]]
        photo = root[photo]
    return photo


@compiled("void(int32, int32, int32[::1])")
def _connect(one, other, root):
    """The smaller root is the root of both."""
    one, other = _root_of(one, root), _root_of(other, root)
    root[max(one, other)] = min(one, other)


@compiled("void(int32[::1], int64[:, ::1])")
def _connect_all(root, pairs):
    for k in range(len(pairs)):
        _connect(pairs[k, 0], pairs[k, 1], root)
    for photo in range(len(root)):
        root[photo] = root[root[photo]]  # what comes before hangs on its root itself


@compiled("int64(uint64, uint64)")
def distance(one, other):
    """Bits in which two codes differ. As in `near_codes`: what is kept compiled must not call into another file."""
    x = one ^ other
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled("void(uint64[::1], uint64, int64, uint8, uint8[::1])")
def _mark(codes, code, radius, bit, near):
    """Set a bit where a code, unless it is 0, is within the radius. So short that it becomes vector instructions."""
    for i in range(len(near)):
        near[i] |= np.uint8(distance(codes[i], code) <= radius) * np.uint8(codes[i] != 0) * bit


@compiled("void(uint64[::1], uint64, int64, uint8[::1])")
def _mark_full(codes, code, radius, near):
    """The same where both codes are those of full pictures, which count though they be 0."""
    for i in range(len(near)):
        near[i] |= np.uint8(distance(codes[i], code) <= radius)


@compiled("Tuple((int64[::1], int64[::1]))(uint64[:, ::1], uint64[:, ::1], int64, int64, int64, int64)")
def _near_pairs(codes, turned, radius, window_radius, part_radius, turned_radius):
    """The same rule for a few photos, by looking at all pairs: the form of `near_codes.listed`."""
    columns = codes.T.copy()
    begins = np.zeros(len(codes) + 1, np.int64)
    values = np.empty(64, np.int64)
    number = 0
    for j in range(len(codes)):
        near = np.zeros(j, np.uint8)  # bit 0: as they are; bits 1..7: the later one turned so
        for a in range(_FULL):
            for b in range(_FULL):
                _mark_full(columns[a, :j], codes[j, b], radius, near)
            for window in range(_WINDOWS[0], _WINDOWS[1]):
                _mark(columns[window, :j], codes[j, a], window_radius, 1, near)
                if codes[j, window]:
                    _mark_full(columns[a, :j], codes[j, window], window_radius, near)
        for part in range(_PARTS[0], _PARTS[1]):
            if codes[j, part]:
                _mark(columns[part, :j], codes[j, part], part_radius, 1, near)
        for turn in range(1, 8):
            if turned[j, turn - 1]:
                for a in range(_FULL):
                    _mark(columns[a, :j], turned[j, turn - 1], turned_radius, np.uint8(1 << turn), near)
        for i in range(j):
            if near[i]:
                if number + 8 > len(values):
                    values = np.concatenate((values, values))
                for turn in range(8):
                    if near[i] >> turn & 1:
                        values[number] = (i << 3) + turn
                        number += 1
        begins[j + 1] = number
    return begins, values[:number].copy()
