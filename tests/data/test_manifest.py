"""Manifests read back in natural order and count to the last photo."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colorize.data.manifest import SCHEMA, counts, natural_key, read_manifests


def table(*rows: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def row(dataset: str, path: str, status: str = "accepted", reason: str | None = None) -> dict[str, object]:
    return {"dataset": dataset, "path": path, "status": status, "reason": reason}


def test_natural_order() -> None:
    expected = ["a/im2.jpg", "a/im9.jpg", "a/im10.jpg", "a/im010.jpg", "a/im11b.jpg", "b1/x.jpg", "b10/a.jpg"]
    shuffled = random.Random(1).sample(expected, len(expected))
    found = sorted(shuffled, key=natural_key)
    assert [p for p in found if p not in ("a/im10.jpg", "a/im010.jpg")] == [
        p for p in expected if p not in ("a/im10.jpg", "a/im010.jpg")
    ]
    assert {found.index("a/im10.jpg"), found.index("a/im010.jpg")} == {2, 3}


@given(st.lists(st.text(max_size=12), max_size=8))
def test_natural_order_is_total(paths: list[str]) -> None:
    backwards = paths[::-1]
    assert sorted(paths, key=natural_key) == sorted(backwards, key=natural_key)
    assert len({(tuple(natural_key(p)[0]), natural_key(p)[1]) for p in paths}) == len(set(paths))


def test_read_manifests(tmp_path: Path) -> None:
    for dataset in ("b", "a"):
        (tmp_path / dataset).mkdir()
        pq.write_table(table(row(dataset, "1.jpg"), row(dataset, "2.jpg")), tmp_path / dataset / "manifest.parquet")
    assert read_manifests(tmp_path)["dataset"].to_pylist() == ["a", "a", "b", "b"]
    assert read_manifests(tmp_path, ["b"])["dataset"].to_pylist() == ["b", "b"]
    assert read_manifests(tmp_path).schema == SCHEMA
    with pytest.raises(FileNotFoundError, match="dvc repro ingest@c"):
        read_manifests(tmp_path, ["a", "c"])


def test_counts_add_up() -> None:
    result = counts(
        table(
            row("a", "1"),
            row("a", "2", "rejected", "truncated"),
            row("a", "3", "rejected", "empty"),
            row("a", "4", "rejected", "truncated"),
            row("a", "5", "flagged", "grey"),
        )
    )
    assert result == {
        "listed": 5,
        "accepted": 1,
        "flagged": 1,
        "rejected": 3,
        "flagged_by_reason": {"grey": 1},
        "rejected_by_reason": {"empty": 1, "truncated": 2},
    }
    assert list(result["rejected_by_reason"]) == ["empty", "truncated"]
