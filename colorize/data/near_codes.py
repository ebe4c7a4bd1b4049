"""Pairs of 64-bit codes that differ in few bits, out of two long lists, without looking at all pairs.

Pigeonholes (Norouzi, Punjani and Fleet, "Fast search in Hamming space with multi-index hashing", 2012): codes are cut
into bands; two codes within a radius agree in some band up to a few bits. So for each band one list is sorted by the
band's bits, and each code of the other is compared with those in the pigeonholes a few bits from its own. How many
bands are best depends on the lists' length: short lists take many narrow ones, long lists few wide ones.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="assignment"
# ruff: noqa: PLR0917 - compiled loops take their arrays one by one

from __future__ import annotations

import math
from functools import lru_cache
from itertools import combinations
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from colorize.compiled import compiled

MOST: Final = 32
"""Neighbours that are kept of each photo: the nearest."""
_MOST_HITS = 1024  # near codes of a photo in one search; its further ones are not looked at
_WIDEST = 22  # bits of a band
_AT_ONCE = 4  # codes that are copied at least
_BLOCK = 256  # codes that are compared before it is asked whether one of them was near


class Codes(NamedTuple):
    """A list of codes and whose they are.

    Attributes:
        codes: uint64, N.
        owners: int32, N: the photo's place among those that search or are searched, times 8, plus the turn 0..7.
    """

    codes: NDArray[np.uint64]
    owners: NDArray[np.int32]


class Neighbours(NamedTuple):
    """Linked lists of what was found near each photo that searches.

    Attributes:
        first: int32, N: where each photo's list begins, or -1.
        found: int64: bits times 2**40, plus the neighbour's place times 8, plus the turn.
        following: int32: where the list goes on, or -1.
        size: int64, 1: how much of `found` is used.
        incomplete: bool, N: had more neighbours than are kept.
    """

    first: NDArray[np.int32]
    found: NDArray[np.int64]
    following: NDArray[np.int32]
    size: NDArray[np.int64]
    incomplete: NDArray[np.bool_]


def no_neighbours(number: int) -> Neighbours:
    """Empty lists of so many photos."""
    return Neighbours(
        np.full(number, -1, np.int32),
        np.empty(max(1024, number // 4), np.int64),
        np.empty(max(1024, number // 4), np.int32),
        np.zeros(1, np.int64),
        np.zeros(number, np.bool_),
    )


def search(searching: Codes, searched: Codes, radius: int, neighbours: Neighbours) -> Neighbours:
    """Add to each searching photo's neighbours those that have a code within a radius of one of its codes.

    All are found, but of each photo only the `MOST` nearest are kept, by bits, then place, then turn; and when a photo
    has met more than 1024 near codes in one search, the rest are not looked at. Then it is marked as incomplete.

    Args:
        searching: codes of the photos that search; their turns count.
        searched: codes of the photos that may be found; their turns do not count.
        radius: bits, 0..63.
        neighbours: what was found before.
    """
    if not len(searching.codes) or not len(searched.codes):
        return neighbours
    # Searches cost about the same if the lengths agree to a factor of 2: fewer plans, each made once.
    bands = _plan(radius, len(searching.codes).bit_length(), len(searched.codes).bit_length())
    return Neighbours(*_search(*searching, *searched, radius, *bands, *neighbours))


class _Bands(NamedTuple):
    """How codes are cut: for each band its lowest bit, its width, bits of difference, and all such differences."""

    shifts: NDArray[np.int64]
    widths: NDArray[np.int64]
    allowed: NDArray[np.int64]
    differences: NDArray[np.int64]
    ends: NDArray[np.int64]


@lru_cache(maxsize=1024)
def _plan(radius: int, searching_bits: int, searched_bits: int) -> _Bands:
    """The cheapest way of cutting the codes, for two lists below 2**bits codes."""
    ways = [_cut(radius, number) for number in range(1, radius + 2)]
    best = min(ways, key=lambda way: _cost(way, 2**searching_bits * 0.75, 2**searched_bits * 0.75))
    differences = [
        [sum(1 << bit for bit in bits) for count in range(allowed + 1) for bits in combinations(range(width), count)]
        for width, allowed in best
    ]
    return _Bands(
        np.arange(len(best), dtype=np.int64) * 64 // len(best),
        np.array([width for width, _ in best], np.int64),
        np.array([allowed for _, allowed in best], np.int64),
        np.array([difference for some in differences for difference in some], np.int64),
        np.cumsum([len(some) for some in differences]),
    )


def _cut(radius: int, number: int) -> list[tuple[int, int]]:
    """Width and allowed difference of each of so many bands: no pair within the radius exceeds all of them.

    If it exceeded all, it would differ in at least the sum of (allowed + 1) = radius + 1 bits. Of wide bands not all
    bits are used.
    """
    total = radius + 1 - number
    allowed = [total // number + (i < total % number) for i in range(number)]
    widths = [min(64 * (i + 1) // number - 64 * i // number, _WIDEST) for i in range(number)]
    return list(zip(widths, allowed, strict=True))


def _cost(way: list[tuple[int, int]], searching: float, searched: float) -> float:
    """Nanoseconds that a search takes, roughly, as measured."""
    total = 0.0
    for width, allowed in way:
        holes = 2.0**width
        probes = sum(math.comb(width, count) for count in range(allowed + 1))
        occupied = min(searching, holes)
        sorting = 6 * (searching + searched) + 1.5 * holes
        gathering = occupied * probes * ((6 if width <= 16 else 12) + searched / holes)
        comparing = searching * (20 + 0.7 * probes * searched / holes)
        total += sorting + gathering + comparing
    return total


@compiled("int64(uint64, uint64)")
def distance(one, other):
    """Bits in which two codes differ: uint64 each, 0..64."""
    x = one ^ other
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled("void(uint64[::1], int32[::1], uint64, int64, int32[::1], uint64[::1], int32[::1])")
def _sort(codes, owners, shift, width, ends, sorted_codes, sorted_owners):
    """Sort by a band, keeping the order of equals; `ends` tells where each pigeonhole ends, after a leading 0."""
    mask = np.uint64((1 << width) - 1)
    ends[:] = 0
    for k in range(len(codes)):
        ends[np.int64((codes[k] >> shift) & mask) + 2] += 1
    for hole in range(2, len(ends)):
        ends[hole] += ends[hole - 1]
    for k in range(len(codes)):
        hole = np.int64((codes[k] >> shift) & mask) + 1
        place = ends[hole]
        ends[hole] += 1
        sorted_codes[place] = codes[k]
        sorted_owners[place] = owners[k]


@compiled("boolean(uint64, uint64, int64, int64[::1], int64[::1], int64[::1])")
def _found_before(one, other, band, shifts, widths, allowed):
    for earlier in range(band):
        mask = np.uint64((1 << widths[earlier]) - 1)
        shift = np.uint64(shifts[earlier])
        if distance((one >> shift) & mask, (other >> shift) & mask) <= allowed[earlier]:
            return True
    return False


@compiled("boolean(int64, int64, int32[::1], int64[::1], int32[::1], int64)")
def _add(photo, value, first, found, following, size):
    """Add a neighbour to a photo's list, or lower its distance; the farthest gives way. True if one was left out."""
    who = value & ((1 << 40) - 1)
    number, farthest, place = 0, -1, first[photo]
    while place >= 0:
        if found[place] & ((1 << 40) - 1) == who:
            found[place] = min(found[place], value)
            return False
        if farthest < 0 or found[place] > found[farthest]:
            farthest = place
        number += 1
        place = following[place]
    if number == MOST:
        found[farthest] = min(found[farthest], value)
        return True
    found[size] = value
    following[size] = first[photo]
    first[photo] = size
    return False


@compiled("Tuple((int64[::1], int64[::1]))(int32[::1], int64[::1], int32[::1])")
def listed(first, found, following):
    """Neighbours, one list after the other, without their distances.

    Returns:
        int64, N + 1: where each photo's begin, and the end; int64: places times 8 plus turns, in order.
    """
    begins = np.zeros(len(first) + 1, np.int64)
    for photo in range(len(first)):
        begins[photo + 1] = begins[photo]
        place = first[photo]
        while place >= 0:
            begins[photo + 1] += 1
            place = following[place]
    values = np.empty(begins[-1], np.int64)
    for photo in range(len(first)):
        number, place = begins[photo], first[photo]
        while place >= 0:
            values[number] = found[place] & ((1 << 40) - 1)
            number += 1
            place = following[place]
        values[begins[photo] : number].sort()
    return begins, values


@compiled(
    "Tuple((int32[::1], int64[::1], int32[::1], int64[::1], boolean[::1]))"
    "(uint64[::1], int32[::1], uint64[::1], int32[::1], int64, int64[::1], int64[::1], int64[::1], int64[::1],"
    "int64[::1], int32[::1], int64[::1], int32[::1], int64[::1], boolean[::1])"
)
def _search(
    codes, owners, others, others_owners, radius, shifts, widths, allowed, differences, ends,
    first, found, following, size, incomplete,
):  # fmt: skip
    hits = np.zeros(len(first), np.int32)
    own_codes, own_owners = np.empty_like(codes), np.empty_like(owners)
    all_codes, all_owners = np.empty(len(others) + _AT_ONCE, np.uint64), np.empty_like(others_owners)
    near_codes = np.empty(1024, np.uint64)
    most_probes = max(ends[0], np.diff(ends).max()) if len(ends) > 1 else ends[0]
    numbers, starts = np.empty(most_probes, np.int64), np.empty(most_probes, np.int64)
    for band in range(len(widths)):
        shift = np.uint64(shifts[band])
        holes = 1 << widths[band]
        own_ends, all_ends = np.empty(holes + 2, np.int32), np.empty(holes + 2, np.int32)
        _sort(codes, owners, shift, widths[band], own_ends, own_codes, own_owners)
        _sort(others, others_owners, shift, widths[band], all_ends, all_codes, all_owners)
        begin = ends[band - 1] if band else 0
        probes = ends[band] - begin
        for hole in range(holes):
            if own_ends[hole] == own_ends[hole + 1]:
                continue
            number = 0  # all that lies in this pigeonhole and near it, side by side
            for probe in range(probes):
                near = hole ^ differences[begin + probe]
                start = all_ends[near]
                length = all_ends[near + 1] - start
                numbers[probe], starts[probe] = number, start
                if number + length + _AT_ONCE > len(near_codes):
                    near_codes = np.concatenate((near_codes, np.empty(len(near_codes) + length, np.uint64)))
                # Unsigned: else numba asks of each index whether it counts from the end, and gathers.
                into, of = np.uint64(number), np.uint64(start)
                for k in range(np.uint64(_AT_ONCE)):  # most hold fewer: faster than to ask how many
                    near_codes[into + k] = all_codes[of + k]
                for k in range(np.uint64(_AT_ONCE), np.uint64(max(length, _AT_ONCE))):
                    near_codes[into + k] = all_codes[of + k]
                number += length
            for q in range(own_ends[hole], own_ends[hole + 1]):
                code, owner = own_codes[q], own_owners[q]
                photo, turn = owner >> 3, owner & 7
                for block in range(0, number, _BLOCK):
                    last = min(block + _BLOCK, number)
                    some = 0
                    for k in range(np.uint64(block), np.uint64(last)):
                        some += distance(code, near_codes[k]) <= radius
                    if not some:
                        continue
                    for k in range(block, last):
                        bits = distance(code, near_codes[k])
                        if bits > radius or _found_before(code, near_codes[k], band, shifts, widths, allowed):
                            continue
                        if hits[photo] == _MOST_HITS:
                            incomplete[photo] = True
                            break
                        hits[photo] += 1
                        probe = np.searchsorted(numbers[:probes], k, side="right") - 1
                        other = all_owners[starts[probe] + k - numbers[probe]]
                        if size[0] == len(found):
                            found = np.concatenate((found, found))
                            following = np.concatenate((following, following))
                        value = (bits << 40) + (np.int64(other) & ~7) + turn
                        before = first[photo]
                        if _add(photo, value, first, found, following, size[0]):
                            incomplete[photo] = True
                        size[0] += first[photo] != before
                    if hits[photo] == _MOST_HITS:
                        break
    return first, found, following, size, incomplete
