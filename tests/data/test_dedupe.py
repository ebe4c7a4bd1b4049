"""Copies are found, chains do not swallow, and the result does not depend on the order of the rows."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from colorize.data.dedupe import candidate_pairs, differences, group
from colorize.data.hashing import mirrored_code, perceptual_code
from colorize.data.manifest import SCHEMA
from colorize.settings.sections import DedupeSettings

SETTINGS = DedupeSettings()


def thumb(seed: int) -> np.ndarray:
    """A 32x32 picture with large shapes; seeds give unrelated pictures."""
    noise = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 6), dtype=np.uint8))
    return np.asarray(noise.resize((32, 32), Image.Resampling.BICUBIC))


def row(path: str, small: np.ndarray, pixels: int = 100, status: str = "accepted", **more: Any) -> dict[str, Any]:
    if status == "rejected":
        return {"dataset": "set", "path": path, "status": status, "reason": "truncated"}
    return {
        "dataset": "set",
        "path": path,
        "id": hashlib.sha256(path.encode()).hexdigest(),
        "status": status,
        "width": pixels,
        "height": 1,
        "code": perceptual_code(small),
        "mirrored_code": mirrored_code(small),
        "thumbnail": np.ascontiguousarray(small).tobytes(),
        **more,
    }


def grouped(rows: list[dict[str, Any]], using: DedupeSettings = SETTINGS) -> tuple[dict[str, dict[str, Any]], dict]:
    table, counts = group(pa.Table.from_pylist(rows, schema=SCHEMA), using)
    assert counts["photos"] == counts["canonical"] + counts["exact_copies"] + counts["near_copies"]
    return {found["path"]: found for found in table.to_pylist()}, counts


def mix(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    return np.rint(a * (1 - share) + b * share).astype(np.uint8)


def test_dark_photos_of_other_things_are_no_copies() -> None:
    # Faint structure in the dark: a few grey levels apart everywhere, whatever they show.
    dark = [(thumb(seed) // 40).astype(np.uint8) for seed in range(40)]
    found, counts = grouped([row(f"{i}.jpg", small) for i, small in enumerate(dark)])
    assert counts["near_copies"] == 0
    assert len({entry["split_group"] for entry in found.values()}) == 40


def test_exact_copies_keep_the_first() -> None:
    small = thumb(1)
    same = {"id": "a" * 64}
    rows = [row("10.jpg", small, **same), row("9.jpg", small, **same), row("other.jpg", thumb(2))]
    found, counts = grouped(rows)
    assert list(found) == ["9.jpg", "10.jpg", "other.jpg"]
    assert [entry["canonical"] for entry in found.values()] == [True, False, True]
    assert counts["exact_copies"] == 1
    assert counts["duplicate_groups"] == 1


def test_near_copies_keep_the_largest_then_the_smallest_id() -> None:
    small = thumb(1)
    rows = [
        row("small.jpg", small, pixels=50),
        row("large-b.jpg", small, pixels=200, id="b" * 64),
        row("large-a.jpg", mix(small, thumb(2), 0.02), pixels=200, id="a" * 64),
    ]
    found, counts = grouped(rows)
    assert {path for path, entry in found.items() if entry["canonical"]} == {"large-a.jpg"}
    assert {entry["duplicate_group"] for entry in found.values()} == {"a" * 64}
    assert counts["near_copies"] == 2


def test_chains_do_not_swallow_but_share_a_split() -> None:
    a, b = thumb(1), thumb(2)
    # Each step is a copy of the one before; the ends are different pictures.
    chain = [mix(a, b, share) for share in np.linspace(0, 1, 17)]
    found, counts = grouped([row(f"{i:02d}.jpg", small, pixels=100 - i) for i, small in enumerate(chain)])
    assert counts["canonical"] > 2
    assert counts["near_copies"] > 2
    assert len({entry["split_group"] for entry in found.values()}) == 1
    by_id = {entry["id"]: path for path, entry in found.items()}
    for path, entry in found.items():
        leader = chain[int(by_id[entry["duplicate_group"]][:2])]
        distance = differences(chain[int(path[:2])].reshape(1, -1), leader.reshape(1, -1))
        assert distance[0] <= SETTINGS.verify_difference


def test_mirrored_grey_and_similar_photos_are_kept_in_one_split() -> None:
    small = thumb(1)
    similar = next(
        mixed
        for share in np.linspace(0.05, 0.6, 200)
        if differences((mixed := mix(small, thumb(5), share)).reshape(1, -1), small.reshape(1, -1))[0] > 17
    )
    rows = [
        row("photo.jpg", small),
        row("mirrored.jpg", small[:, ::-1]),
        row("grey.jpg", small, pixels=999, status="flagged"),
        row("similar.jpg", similar),
        row("other.jpg", thumb(3)),
    ]
    found, counts = grouped(rows)
    assert all(entry["canonical"] for entry in found.values())
    groups = {path: entry["split_group"] for path, entry in found.items()}
    assert len({groups[path] for path in ("photo.jpg", "mirrored.jpg", "grey.jpg", "similar.jpg")}) == 1
    assert groups["other.jpg"] != groups["photo.jpg"]
    assert groups["photo.jpg"] == min(found[path]["id"] for path in groups if path != "other.jpg")
    assert counts["mirrored_pairs"] >= 1
    assert counts["grey_copy_pairs"] >= 1
    assert counts["similar_pairs"] >= 1


def test_a_symmetric_photo_is_not_its_own_mirror_copy() -> None:
    half = thumb(1)[:, :16]
    assert grouped([row("1.jpg", np.concatenate([half, half[:, ::-1]], axis=1))])[1]["mirrored_pairs"] == 0


def test_order_of_rows_does_not_matter() -> None:
    pictures = [thumb(seed) for seed in range(6)]
    rows = [
        row(f"{i}-{k}.jpg", mix(pictures[i], pictures[(i + 1) % 6], 0.06 * k), pixels=100 + k % 2)
        for i in range(6)
        for k in range(5)
    ]
    rows += [row("copy.jpg", pictures[0], id=rows[0]["id"]), row("grey.jpg", pictures[2], status="flagged")]
    expected = grouped(rows)
    for seed in range(5):
        assert grouped(random.Random(seed).sample(rows, len(rows))) == expected


def test_rejected_rows_take_no_part() -> None:
    found, counts = grouped([row("1.jpg", thumb(1)), row("2.jpg", thumb(1), status="rejected")])
    assert list(found) == ["1.jpg"]
    assert counts["photos"] == 1


def test_nothing_to_group() -> None:
    assert grouped([])[1]["photos"] == 0
    assert grouped([row("2.jpg", thumb(1), status="rejected")])[1]["split_groups"] == 0
