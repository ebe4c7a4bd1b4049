"""`colorize remove` finds what is meant, records it once, and says what else there is."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import Result
from typer.testing import CliRunner

from colorize.commands import app
from colorize.data import dedupe
from colorize.data.manifest import SCHEMA
from colorize.data.removals import read_removals

A, B, C, D = "aaaaaaaa" + "0" * 56, "aaaaaaaa" + "1" * 56, "c" * 64, "d" * 64
UNKNOWN = "e" * 64
MANIFESTS = {
    "lakes": [("1.jpg", A), ("2.jpg", B), ("both.jpg", C), ("broken.jpg", None)],
    "hills": [("x/copy-of-1.jpg", A), ("both.jpg", D), ("lakes/2.jpg", D)],
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two ingested datasets; photo 2 is a near copy of photo 1, which is in both of them."""
    (tmp_path / "removed.jsonl").touch()
    sources = {name: {"source": f"file:///{name}"} for name in ("lakes", "hills", "not-yet")}
    (tmp_path / "params.yaml").write_text(json.dumps({"datasets": sources}), encoding="utf-8")
    groups = []
    for dataset, photos in MANIFESTS.items():
        rows = [
            {"dataset": dataset, "path": path, "id": identity, "version": "1", "status": "accepted"}
            for path, identity in photos
        ]
        folder = tmp_path / "data" / "raw" / dataset
        folder.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), folder / "manifest.parquet")
        groups += [
            {**row, "duplicate_group": A if row["id"] in (A, B) else row["id"], "canonical": True, "split_group": A}
            for row in rows
            if row["id"] is not None
        ]
    pq.write_table(pa.Table.from_pylist(groups, schema=dedupe.SCHEMA), tmp_path / "data" / "groups.parquet")
    monkeypatch.setenv("COLORIZE_ROOT", str(tmp_path))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return tmp_path


def remove(*what: str) -> Result:
    return CliRunner().invoke(app, ["remove", *what])


def good(*what: str) -> str:
    result = remove(*what)
    assert result.exit_code == 0, result.exception
    return result.output


def error(*what: str) -> str:
    result = remove(*what)
    assert isinstance(result.exception, ValueError), result.output
    return str(result.exception)


def recorded(project: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (project / "removed.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("text", [C, C.upper(), "cccccccc", "CCCCCCCCC"])
def test_a_hash_or_its_beginning(project: Path, text: str) -> None:
    output = good(text)
    assert recorded(project) == [{"id": C}]
    assert "lakes/both.jpg" in output
    assert "warning" not in output
    assert "make data" in output
    assert "make gc" in output


def test_a_path_goes_with_its_content_wherever_that_lies(project: Path) -> None:
    output = good("lakes/1.jpg")
    assert recorded(project) == [{"dataset": "lakes", "path": "1.jpg", "id": A}]
    assert "hills/x/copy-of-1.jpg" in output
    removals = read_removals(project / "removed.jsonl")
    assert removals.cover("anywhere", "new-name.jpg", A)
    assert removals.cover("lakes", "1.jpg", "f" * 64)


def test_near_copies_are_named_with_the_command_that_removes_them(project: Path) -> None:
    output = good("x/copy-of-1.jpg")
    assert "Near copies" in output
    command = next(line.strip() for line in output.splitlines() if line.strip().startswith("colorize remove"))
    again = good(*command.split()[2:])
    assert [line.get("id") for line in recorded(project)] == [A, B]
    assert "Near copies" in again, "photo 1 is still in data/groups.parquet"


def test_nothing_near_nothing_said(project: Path) -> None:
    assert "Near copies" not in good(C)


def test_a_file_on_disk_by_its_content(project: Path) -> None:
    Path("mine.jpg").write_bytes(b"a photo")
    output = good("mine.jpg")
    assert recorded(project) == [{"id": hashlib.sha256(b"a photo").hexdigest()}]
    assert "no manifest knows it" in output


@pytest.mark.parametrize("text", [UNKNOWN, "lakes/never-seen.jpg", "not-yet/a.jpg"])
def test_what_nobody_knows_yet_is_recorded_with_a_warning(project: Path, text: str) -> None:
    result = remove(text)
    assert result.exit_code == 0
    assert "warning: no manifest knows it" in result.stderr
    dataset, _, path = text.partition("/")
    assert recorded(project) == [{"dataset": dataset, "path": path} if path else {"id": UNKNOWN}]


def test_it_works_before_any_ingest(project: Path) -> None:
    for file in (project / "data").rglob("*.parquet"):
        file.unlink()
    good(UNKNOWN, "lakes/1.jpg")
    assert recorded(project) == [{"id": UNKNOWN}, {"dataset": "lakes", "path": "1.jpg"}]
    assert "first 8 or more" in error("aaaaaaaa0")


def test_again_changes_nothing(project: Path) -> None:
    good("lakes/1.jpg", C)
    before = (project / "removed.jsonl").read_bytes()
    output = good(C, "lakes/1.jpg", A)
    assert (project / "removed.jsonl").read_bytes() == before
    assert output.count("was recorded before") == 3
    assert "0 new lines" in output


def test_a_beginning_of_several_ids_lists_them(project: Path) -> None:
    message = error("aaaaaaaa")
    assert A in message
    assert B in message
    assert recorded(project) == []


def test_a_path_in_several_datasets_lists_them(project: Path) -> None:
    message = error("both.jpg")
    assert "lakes/both.jpg" in message
    assert "hills/both.jpg" in message
    good("hills/both.jpg")
    assert recorded(project) == [{"dataset": "hills", "path": "both.jpg", "id": D}]


def test_a_dataset_in_front_wins_over_a_folder_of_that_name(project: Path) -> None:
    good("lakes/2.jpg")
    assert recorded(project) == [{"dataset": "lakes", "path": "2.jpg", "id": B}]


def test_a_file_here_that_is_a_path_there_has_to_be_told_apart(project: Path) -> None:
    Path("1.jpg").write_bytes(b"another photo")
    message = error("1.jpg")
    assert "./1.jpg" in message
    assert A in message
    assert recorded(project) == []
    good("./1.jpg")
    assert recorded(project) == [{"id": hashlib.sha256(b"another photo").hexdigest()}]


def test_the_same_photo_here_and_there_is_one_photo(project: Path) -> None:
    content = b"the very photo"
    identity = hashlib.sha256(content).hexdigest()
    row = {"dataset": "lakes", "path": "1.jpg", "id": identity, "version": "1", "status": "accepted"}
    pq.write_table(pa.Table.from_pylist([row], schema=SCHEMA), project / "data/raw/lakes/manifest.parquet")
    Path("1.jpg").write_bytes(content)
    good("1.jpg")
    assert recorded(project) == [{"dataset": "lakes", "path": "1.jpg", "id": identity}]


def test_a_photo_that_could_not_be_read_goes_by_its_place(project: Path) -> None:
    good("broken.jpg")
    assert recorded(project) == [{"dataset": "lakes", "path": "broken.jpg"}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nowhere.jpg", "datasets are hills, lakes, not-yet"),
        ("aaaaaaa", "the first 8 or more"),
        ("0" * 63, "no such photo"),
        ("lakes/", "no such photo"),
        ("", "no such photo"),
        (".", "is a folder"),
        ("\x1b[31mred.jpg", "\\x1b[31mred.jpg"),
    ],
)
def test_what_means_nothing_is_refused_and_nothing_else_recorded(project: Path, text: str, expected: str) -> None:
    message = error(C, text)
    assert expected in message
    assert "\x1b" not in message
    assert recorded(project) == []


def test_names_cannot_speak_to_the_terminal(project: Path) -> None:
    row = {"dataset": "lakes", "path": "\x1b[2Ja\nb.jpg", "id": A, "version": "1", "status": "accepted"}
    pq.write_table(pa.Table.from_pylist([row], schema=SCHEMA), project / "data/raw/lakes/manifest.parquet")
    output = good(A)
    assert "\x1b" not in output
    assert "lakes/\\x1b[2Ja\\x0ab.jpg" in output


def test_a_broken_list_is_not_written_to(project: Path) -> None:
    (project / "removed.jsonl").write_text("oops\n", encoding="utf-8")
    assert "line 1" in error(A)
    (project / "removed.jsonl").unlink()
    assert "git checkout" in str(remove(A).exception)


def test_the_committed_list_is_tracked_and_valid(repository: Path) -> None:
    read_removals(repository / "removed.jsonl")
    ignored = subprocess.run(["git", "check-ignore", "-q", "removed.jsonl"], cwd=repository, check=False)
    assert ignored.returncode == 1
