"""Manifests read back in natural order and count to the last photo."""

from __future__ import annotations

import random
import re
from collections import Counter
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
    return {"dataset": dataset, "path": path, "version": "1", "status": status, "reason": reason}


def test_natural_order() -> None:
    expected = ["a/im2.jpg", "a/im9.jpg", "a/im10.jpg", "a/im010.jpg", "a/im11b.jpg", "b1/x.jpg", "b10/a.jpg"]
    shuffled = random.Random(1).sample(expected, len(expected))
    # Equal numbers: the path itself decides.
    expected[2:4] = ["a/im010.jpg", "a/im10.jpg"]
    assert sorted(shuffled, key=natural_key) == expected
    assert sorted(["b", "a10", "a", "a9", "a-1", ""], key=natural_key) == ["", "a", "a9", "a10", "a-1", "b"]
    assert sorted(["x" + "9" * 40, "x1" + "0" * 40], key=natural_key)[0] == "x" + "9" * 40


@given(st.lists(st.text(max_size=12), max_size=8))
def test_natural_order_is_total(paths: list[str]) -> None:
    backwards = paths[::-1]
    assert sorted(paths, key=natural_key) == sorted(backwards, key=natural_key)
    assert len(set(map(natural_key, paths))) == len(set(paths))


@given(st.lists(st.text(st.sampled_from("ab0129/."), max_size=8), max_size=8))
def test_natural_order_is_that_of_text_and_numbers(paths: list[str]) -> None:
    def parts(path: str) -> tuple[list[str | int], str]:
        split: list[str | int] = list(re.split(r"([0-9]+)", path))
        split[1::2] = [int(number) for number in split[1::2]]
        return split, path

    assert sorted(paths, key=natural_key) == sorted(paths, key=parts)
    assert sorted(paths, key=natural_key) == sorted(paths, key=lambda path: natural_key(path).encode())


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
    accepted, rejected, flagged = ("accepted", None), "rejected", ("flagged", "grey")
    result = counts(Counter([accepted, (rejected, "truncated"), (rejected, "empty"), (rejected, "truncated"), flagged]))
    assert result == {
        "listed": 5,
        "accepted": 1,
        "flagged": 1,
        "rejected": 3,
        "flagged_by_reason": {"grey": 1},
        "rejected_by_reason": {"empty": 1, "truncated": 2},
    }
    assert list(result["rejected_by_reason"]) == ["empty", "truncated"]
