"""Grouping of photos by their perceptual codes: CPU time, its growth, memory, and whether all candidates are found.

    python bench/candidates.py [--photos 100000 300000 1000000] [--hot 100000] [--check 20000]

Codes are made up: a tenth of the photos are altered copies of others, and 100,000 (a tenth of them at most) show one
picture. Those of windows differ from the picture's as real ones do. A comparison is a few instructions here, so that
the search is what is measured. At the end the peers, on one code a photo within 11 bits: all pairs by numpy, and faiss
where it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import resource
import subprocess
import sys
import time
from typing import Any, NamedTuple

import numba
import numpy as np

from colorize.data.grouping import Radii, group_pictures
from colorize.data.near_codes import Codes, no_neighbours, search

RADII = Radii(11, 6, 6, 4)
#: Bits by which codes of windows differ from the picture's: 95 %, 90 % and 70 % of its side, and turned pictures.
SPREAD = {(2, 7): 11, (7, 12): 17, (12, 17): 26}


class Pictures(NamedTuple):
    codes: np.ndarray
    turned: np.ndarray
    identity: np.ndarray


@numba.njit
def compare(features: Any, i: int, j: int, turn: int) -> int:
    if features.identity[i] != features.identity[j]:
        return 0
    return 1 if turn else 2


def flipped(generator: np.random.Generator, codes: np.ndarray, bits: int) -> np.ndarray:
    """About so many bits of each code turned over: never more."""
    codes = codes.copy()
    for _ in range(bits):
        codes ^= np.uint64(1) << generator.integers(0, 64, codes.shape, dtype=np.uint64)
    return codes


def made_up(number: int, hot: int, seed: int = 1) -> Pictures:
    generator = np.random.default_rng(seed)
    codes = np.empty((number, 17), np.uint64)
    codes[:, :2] = generator.integers(0, 2**64, (number, 1), dtype=np.uint64)
    bordered = generator.random(number) < 0.05
    codes[bordered, 1] = generator.integers(0, 2**64, np.count_nonzero(bordered), dtype=np.uint64)
    for (start, stop), bits in SPREAD.items():
        codes[:, start:stop] = flipped(generator, codes[:, 1:2].repeat(stop - start, axis=1), bits)
    turned = generator.integers(0, 2**64, (number, 7), dtype=np.uint64)
    identity = np.arange(number, dtype=np.uint64)
    copies = generator.permutation(number)
    kinds = np.array_split(copies[: number // 10], 4)
    originals = copies[number // 10 : number // 10 + number // 40]
    for kind, some in enumerate(kinds):
        of = generator.choice(originals, len(some))
        identity[some] = identity[of]
        if kind < 2:  # re-encoded and the like
            codes[some] = flipped(generator, codes[of], 3)
        elif kind == 2:  # cut: what was a window is the picture
            codes[some, 0] = codes[some, 1] = flipped(generator, codes[of, 4], 3)
        else:
            turned[some, 2] = flipped(generator, codes[of, 0], 2)
    many = copies[number - min(hot, number // 10) :]
    if not len(many):
        return Pictures(codes, turned, identity)
    identity[many] = identity[many[0]]
    codes[many] = flipped(generator, codes[many[:1]].repeat(len(many), axis=0), 2)
    turned[many] = turned[many[0]]
    return Pictures(codes, turned, identity)


def leaders_by_all_pairs(pictures: Pictures) -> np.ndarray:
    """What grouping should find, a photo at a time against all leaders before it."""
    number = len(pictures.codes)
    codes, leader, leaders = pictures.codes, np.arange(number), np.empty(0, np.int64)
    batch: list[int] = []
    for j in range(number):
        if len(batch) == 64:
            leaders, batch = np.concatenate([leaders, batch]), []
        before = np.concatenate([leaders, np.array(batch, np.int64)])
        same = before[pictures.identity[before] == pictures.identity[j]]  # only these could be copies
        one, others = codes[j], codes[same]
        near = (np.bitwise_count(others[:, :2, None] ^ one[None, None, :2]) <= RADII.radius).any(axis=(1, 2))
        near |= (np.bitwise_count(others[:, 2:12, None] ^ one[None, None, :2]) <= RADII.window_radius).any(axis=(1, 2))
        near |= (np.bitwise_count(others[:, :2, None] ^ one[None, None, 2:12]) <= RADII.window_radius).any(axis=(1, 2))
        near |= (np.bitwise_count(others[:, 12:] ^ one[None, 12:]) <= RADII.part_radius).any(axis=1)
        if near.any():
            leader[j] = same[np.argmax(near)]
        else:
            batch.append(j)
    return leader


def run(number: int, hot: int) -> None:
    """One size, in a process of its own: its peak of memory is that of this size."""
    group_pictures(made_up(2000, 100), compare, RADII)  # compiled
    pictures = made_up(number, hot)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    start = time.process_time()
    found = group_pictures(pictures, compare, RADII)
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    leaders = np.count_nonzero(found.leader == np.arange(number))
    print(seconds, leaders, len(found.related), found.compared, found.skipped, peak, base)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, nargs="+", default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--hot", type=int, default=100_000, help="photos of one picture (a tenth of all at most)")
    parser.add_argument("--check", type=int, default=20_000, help="photos compared with all pairs; 0: none")
    parser.add_argument("--race", type=int, default=100_000, help="single codes for the peers; 0: none")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        run(arguments.one, arguments.hot)
        return
    print(f"{'photos':>10} {'CPU-s':>8} {'growth':>7} {'leaders':>10} {'related':>8} {'compared':>10} {'skipped':>8}"
          f" {'peak MB':>8} {'bytes a photo beside the codes':>31}")  # fmt: skip
    before: tuple[int, float] | None = None
    for number in arguments.photos:
        command = [sys.executable, __file__, "--one", str(number), "--hot", str(arguments.hot)]
        line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ).stdout.split()
        seconds, leaders, related, compared, skipped, peak, base = float(line[0]), *map(int, line[1:])
        growth = "" if before is None else f"{math.log(seconds / before[1]) / math.log(number / before[0]):.2f}"
        before = (number, seconds)
        print(f"{number:10,} {seconds:8.1f} {growth:>7} {leaders:10,} {related:8,} {compared:10,} {skipped:8,}"
              f" {peak / 2**20:8,.0f} {(peak - base) / number:31,.0f}", flush=True)  # fmt: skip
    if arguments.check:
        check(arguments.check, arguments.hot)
    if arguments.race:
        race(arguments.race)


def check(number: int, hot: int) -> None:
    pictures = made_up(number, hot)
    found, expected = group_pictures(pictures, compare, RADII).leader, leaders_by_all_pairs(pictures)
    copies = expected != np.arange(number)
    recall = np.count_nonzero(found[copies] == expected[copies]) / np.count_nonzero(copies)
    print(f"\n{number:,} photos against all pairs: {recall:.4f} of {np.count_nonzero(copies):,} copies found,"
          f" {np.count_nonzero(found[~copies] != expected[~copies])} others taken for copies")  # fmt: skip


def race(number: int) -> None:
    """Pairs within 11 bits among so many codes, each once: ours and others'. No hot cluster: it would drown them."""
    codes = np.ascontiguousarray(made_up(number, 0).codes[:, 0])
    print(f"\nCPU-s for the pairs within {RADII.radius} bits among {number:,} single codes:")
    owners = np.arange(number, dtype=np.int32) * 8
    search(Codes(codes[:64], owners[:64]), Codes(codes, owners), RADII.radius, no_neighbours(64))  # compiled
    start = time.process_time()
    found = search(Codes(codes, owners), Codes(codes, owners), RADII.radius, no_neighbours(number))
    print(f"  ours {time.process_time() - start:.2f} ({(int(found.size[0]) - number) // 2:,} pairs)")
    start, pairs = time.process_time(), 0
    for block in range(0, number, 100):
        near = np.bitwise_count(codes[block : block + 100, None] ^ codes[None, block:]) <= RADII.radius
        pairs += np.count_nonzero(np.triu(near, 1))
    print(f"  numpy, all pairs in blocks {time.process_time() - start:.2f} ({pairs:,} pairs)")
    if importlib.util.find_spec("faiss") is None:
        print("  faiss is not installed")
        return
    import faiss

    start = time.process_time()
    index = faiss.IndexBinaryFlat(64)
    bits = codes.view(np.uint8).reshape(-1, 8)
    index.add(bits)
    limits, _, _ = index.range_search(bits, RADII.radius + 1)
    seconds = time.process_time() - start
    print(f"  faiss {faiss.__version__}, IndexBinaryFlat {seconds:.2f} ({(int(limits[-1]) - number) // 2:,} pairs)")


if __name__ == "__main__":
    main()
