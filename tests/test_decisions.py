"""Decisions as lines of JSON: whole ones, whoever writes at once, whoever is killed."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from colorize.decisions import Decision, read, record


def test_they_come_back_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "reports" / "decisions.jsonl"
    assert read(path) == []
    first = Decision("unet", "promoted", "better", alias="champion-unet", version=3, against=1, figures={"photos": 137})
    second = Decision("all", "stopped", "fewer photos: größer ≠ besser", fingerprint="ab" * 32)
    record(path, [first])
    record(path, [])
    record(path, [second])
    assert read(path) == [first, second]
    line = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    assert {"time", "architecture", "decision", "reason", "figures", "fingerprint"} <= set(line)
    assert line["time"].endswith("+00:00")


def test_what_a_killed_writer_left_is_mended(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    whole = Decision("unet", "skipped", "unchanged")
    record(path, [whole])
    with path.open("a") as file:
        file.write('{"architecture": "une')
    assert read(path) == [whole]
    record(path, [whole])
    assert read(path) == [whole, whole]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    record(path, [Decision("unet", "skipped", "unchanged")])
    path.write_bytes(path.read_bytes() + b'{"decision": "promoted"}\n')
    with pytest.raises(ValueError, match="line 2 is no decision"):
        read(path)


def test_no_number_that_json_does_not_have_gets_in(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    with pytest.raises(ValueError, match="JSON"):
        record(path, [Decision("unet", "rejected", "odd", figures={"psnr": float("nan")})])
    assert not path.exists()


def write(path: Path, writer: int) -> None:
    for number in range(50):
        record(path, [Decision(f"{writer}", "rejected", f"{number} {'x' * 5000}")] * 2)


def test_writers_at_the_same_time_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write, args=(path, number)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = read(path)
    assert len(found) == 400
    for number in range(4):
        reasons = [decision.reason.split()[0] for decision in found if decision.architecture == f"{number}"]
        assert reasons == [str(n) for n in range(50) for _ in range(2)]
