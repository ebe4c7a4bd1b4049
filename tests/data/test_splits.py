"""Splits follow the groups, have the shares asked for, and stay when data is added."""

from __future__ import annotations

import hashlib
from typing import Any

import pyarrow as pa
import pytest

from colorize.data.dedupe import SCHEMA
from colorize.data.splits import assign, split_of
from colorize.settings.sections import SplitSettings

SETTINGS = SplitSettings()


def name(i: int) -> str:
    return hashlib.sha256(str(i).encode()).hexdigest()


def row(i: int, **more: Any) -> dict[str, Any]:
    plain = {"dataset": "set", "path": f"{i}.jpg", "id": name(i), "status": "accepted", "canonical": True}
    return {**plain, "duplicate_group": name(i), "split_group": name(i), **more}


def table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def test_shares() -> None:
    splits, counts = assign(table([row(i) for i in range(4000)]), SplitSettings(validation=0.1, test=0.25))
    assert splits.num_rows == 4000
    assert abs(counts["validation"] / 4000 - 0.1) < 0.02
    assert abs(counts["test"] / 4000 - 0.25) < 0.03


def test_counts_add_up_and_only_canonical_accepted_photos_are_split() -> None:
    rows = [row(i) for i in range(50)]
    rows += [row(100 + i, canonical=False) for i in range(3)] + [row(200 + i, status="flagged") for i in range(4)]
    splits, counts = assign(table(rows), SETTINGS)
    assert set(splits["id"].to_pylist()) == {name(i) for i in range(50)}
    assert counts["copies"] == 3
    assert counts["flagged"] == 4
    assert counts["photos"] == sum(counts[key] for key in ("copies", "flagged", "train", "validation", "test"))


def test_no_group_straddles() -> None:
    splits, _ = assign(table([row(i, split_group=name(i // 5)) for i in range(500)]), SETTINGS)
    by_group: dict[int, set[str]] = {}
    for found in splits.to_pylist():
        by_group.setdefault(int(found["path"].removesuffix(".jpg")) // 5, set()).add(found["split"])
    assert all(len(values) == 1 for values in by_group.values())
    assert {value for values in by_group.values() for value in values} == {"train", "validation", "test"}


def test_added_data_moves_nobody() -> None:
    before = assign(table([row(i) for i in range(300)]), SETTINGS)[0].to_pylist()
    after = assign(table([row(i) for i in range(900)]), SETTINGS)[0].to_pylist()
    assert after[:300] == before


def test_the_salt_makes_another_split_and_bits_are_fixed() -> None:
    one = [split_of(name(i), SETTINGS) for i in range(200)]
    other = [split_of(name(i), SplitSettings(salt="another")) for i in range(200)]
    assert one != other
    assert [split_of(name(i), SETTINGS) for i in (0, 1, 2, 3, 4, 5, 6, 7)] == [
        "train",
        "train",
        "validation",
        "validation",
        "train",
        "train",
        "test",
        "train",
    ]


def test_no_shares_means_training_only() -> None:
    settings = SplitSettings(validation=0, test=0)
    assert {split_of(name(i), settings) for i in range(100)} == {"train"}


def test_nothing_to_train_on_is_an_error_that_says_why() -> None:
    rows = [row(i, status="flagged") for i in range(3)] + [row(9, canonical=False)]
    with pytest.raises(ValueError, match="of 4 photos 1 are copies, 3 are flagged"):
        assign(table(rows), SETTINGS)
