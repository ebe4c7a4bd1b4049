"""Splits follow the groups, have the shares asked for, and stay when data is added; what moves is told."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colorize.data.dedupe import SCHEMA
from colorize.data.splits import SCHEMA as SPLITS_SCHEMA
from colorize.data.splits import assign, moves, split_of, straddling
from colorize.settings import load_settings
from colorize.settings.sections import SplitSettings
from stages import split

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


@st.composite
def groupings(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Photos of random duplicate groups in random split groups, in any order, some flagged; one that surely trains."""
    number = draw(st.integers(1, 40))
    families = draw(st.lists(st.integers(0, 12), min_size=number, max_size=number))
    rows = []
    for i, family in enumerate(families):
        first = families.index(family)
        copy_of = draw(st.sampled_from([j for j in range(first, i + 1) if families[j] == family]))
        flagged = {"status": "flagged", "reason": draw(st.sampled_from(["grey", "flat"]))}
        more = flagged if draw(st.booleans()) else {}
        group = {"duplicate_group": name(copy_of), "split_group": name(first)}
        rows.append(row(i, canonical=copy_of == i, **group, **more))
    return [row(1000), *draw(st.permutations(rows))]


SHARES = st.builds(
    SplitSettings,
    validation=st.sampled_from([0.0, 0.1, 0.3]),
    test=st.sampled_from([0.0, 0.2, 0.4]),
    salt=st.sampled_from(["a", "b", "c"]),
    include_flagged=st.sampled_from([[], ["grey"], ["grey", "flat"]]),
)


@given(groupings(), SHARES)
@settings(max_examples=200, deadline=None)
def test_no_group_of_any_grouping_straddles(rows: list[dict[str, Any]], shares: SplitSettings) -> None:
    # Something has to train: the extra photo gets a group that does.
    if split_of(rows[0]["split_group"], shares) != "train":
        rows[0]["split_group"] = next(n for i in range(99) if split_of(n := name(5000 + i), shares) == "train")
    splits, counts = assign(table(rows), shares)
    assert straddling(rows, splits.to_pylist()) == []
    assert counts["photos"] == sum(counts[key] for key in ("copies", "flagged", "train", "validation", "test"))
    # Independent of `straddling`: look every photo up.
    group_of = {photo["id"]: photo["split_group"] for photo in rows}
    found = {(group_of[photo["id"]], photo["split"]) for photo in splits.to_pylist()}
    assert len(found) == len({group for group, _ in found})
    assert moves(splits, table(rows), shares) == []


def test_a_group_that_straddles_is_found() -> None:
    rows = [row(i, split_group=name(i // 2)) for i in range(6)]
    splits = assign(table(rows), SplitSettings(validation=0, test=0))[0].to_pylist()
    assert straddling(rows, splits) == []
    splits[3]["split"] = "test"
    assert straddling(rows, splits) == [name(1)]
    splits[5]["split"] = "validation"
    assert straddling(rows, splits) == sorted([name(1), name(2)])


def split_table(photos: dict[int, str]) -> pa.Table:
    rows = [{"dataset": "set", "path": f"{i}.jpg", "id": name(i), "split": split} for i, split in photos.items()]
    return pa.Table.from_pylist(rows, schema=SPLITS_SCHEMA)


def test_photos_that_a_new_one_moves_are_told() -> None:
    # By the fixed bits above, 0 trains, 2 validates and 6 tests.
    previous, _ = assign(table([row(i) for i in (0, 2, 6, 7)]), SETTINGS)
    joined = [row(0), row(2, split_group=name(0)), row(6), row(7), row(8, split_group=name(0))]
    assert moves(previous, table(joined), SETTINGS) == [
        {"dataset": "set", "path": "2.jpg", "id": name(2), "from": "validation", "to": "train"}
    ]


def test_a_photo_that_became_a_copy_has_moved_with_its_picture() -> None:
    now = [row(0), row(6, canonical=False, duplicate_group=name(0), split_group=name(0))]
    (move,) = moves(split_table({0: "train", 6: "test"}), table(now), SETTINGS)
    assert (move["path"], move["from"], move["to"]) == ("6.jpg", "test", "train")


def test_photos_that_are_gone_or_no_longer_used_have_not_moved() -> None:
    previous = split_table({0: "test", 1: "test", 2: "test"})
    now = table([row(1, status="flagged", reason="grey"), row(3)])
    assert moves(previous, now, SETTINGS) == []
    assert [m["to"] for m in moves(previous, now, SplitSettings(include_flagged=["grey"]))] == ["train"]


def test_other_settings_move_photos_too() -> None:
    groups = table([row(i) for i in range(50)])
    previous, before = assign(groups, SETTINGS)
    moved = moves(previous, groups, SplitSettings(validation=0, test=0))
    assert len(moved) == before["validation"] + before["test"] > 0
    assert {move["to"] for move in moved} == {"train"}


def test_the_stage_tells_moves_once_and_keeps_them_out_of_the_metrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stage(rows: list[dict[str, Any]]) -> tuple[str, str]:
        pq.write_table(table(rows), "data/groups.parquet")
        split.main(load_settings())
        captured = capsys.readouterr()
        return captured.out, captured.err

    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "params.yaml").write_text("datasets: {}\n")
    metrics, history = tmp_path / "reports/metrics/data/split.json", tmp_path / "data/moves.jsonl"
    apart = [row(i) for i in (0, 2, 6, 7)]
    joined = [row(0), row(2, split_group=name(0)), row(6, split_group=name(0)), row(7)]

    out, err = stage(apart)
    assert "moved" not in out + err
    out, err = stage(apart)
    assert "moved 0" in out
    assert not history.exists()
    out, err = stage(joined)
    assert "moved (test to train 1, validation to train 1)" in out
    assert "2 photos are in another split than before" in err
    assert "set/2.jpg (validation to train), set/6.jpg (test to train); data/moves.jsonl has all" in err
    assert [json.loads(line)["path"] for line in history.read_text().splitlines()] == ["2.jpg", "6.jpg"]
    assert list(json.loads(metrics.read_text())) == ["photos", "copies", "flagged", "train", "validation", "test"]
    after, counted = (tmp_path / "data/splits.parquet").read_bytes(), metrics.read_bytes()

    # The history goes on; what is written besides does not depend on it.
    assert "moved 0" in stage(joined)[0]
    stage(apart)
    stage(joined)
    assert len(history.read_text().splitlines()) == 6
    assert ((tmp_path / "data/splits.parquet").read_bytes(), metrics.read_bytes()) == (after, counted)


def test_a_run_killed_after_it_recorded_moves_does_not_record_them_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "params.yaml").write_text("datasets: {}\n")
    pq.write_table(split_table({0: "test", 1: "train"}), "data/splits.parquet")
    pq.write_table(table([row(0), row(1)]), "data/groups.parquet")
    with monkeypatch.context() as patch:
        patch.setattr("stages.split.pq.write_table", interrupt)
        with pytest.raises(KeyboardInterrupt):
            split.main(load_settings())
    history = tmp_path / "data/moves.jsonl"
    assert len(history.read_text().splitlines()) == 1
    split.main(load_settings())
    assert "moved (test to train 1)" in capsys.readouterr().out
    assert len(history.read_text().splitlines()) == 1


def test_splits_that_cannot_be_read_are_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "params.yaml").write_text("datasets: {}\n")
    pq.write_table(table([row(0), row(1)]), "data/groups.parquet")
    (tmp_path / "data/splits.parquet").write_bytes(b"no parquet")
    split.main(load_settings())
    assert "data/splits.parquet cannot be read" in capsys.readouterr().err
    assert pq.read_table("data/splits.parquet").num_rows == 2
