"""`colorize inspect` judges every file of anything, answers in JSON that is always whole, and writes nothing."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from colorize.commands import app, inspect
from colorize.data.manifest import natural_key

COMMAND = str(Path(sys.executable).with_name("colorize"))
FIELDS = ["path", "status", "reason", "detail", "id", "format", "width", "height"]


def photo(seed: int, size: tuple[int, int] = (64, 48)) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def grey() -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(photo(1))).convert("L").save(file, "JPEG", quality=90)
    return file.getvalue()


# What each file is, and what becomes of it: status and reason.
FILES: dict[str, tuple[bytes, str, str | None]] = {
    **{f"im{i}.jpg": (photo(i), "accepted", None) for i in (1, 2, 10)},
    "no-suffix": (photo(3), "accepted", None),
    "really-a-jpeg.zip": (photo(4), "accepted", None),
    "grey.jpg": (grey(), "flagged", "grey"),
    "sub/cut.jpg": (photo(5)[:600], "rejected", "truncated"),
    "sub/tiny.jpg": (photo(6, (8, 8)), "rejected", "too-small"),
    "sub/long.jpg": (photo(7, (1000, 40)), "rejected", "too-elongated"),
    "sub/empty.jpg": (b"", "rejected", "empty"),
    "sub/fake.jpg": (b"no photo", "rejected", "not-an-image"),
    "notes.txt": (b"no photo", "rejected", "not-a-photo"),
    "camera.cr2": (photo(8), "rejected", "camera-raw"),
    ".hidden/im3.jpg": (photo(9), "rejected", "hidden"),
    "__MACOSX/im1.jpg": (b"shadow", "rejected", "hidden"),
    "[bold]:smile:[/bold].jpg": (b"no photo", "rejected", "not-an-image"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("inspect") / "my photos"
    for name, (data, _, _) in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test runs in an empty folder, with one worker, and leaves neither files nor expanded archives behind."""
    place, temporary = tmp_path / "here", tmp_path / "temporary"
    place.mkdir()
    temporary.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLORIZE_WORKERS", "1")
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    yield
    assert list(place.iterdir()) == []
    assert list(temporary.glob("colorize-*")) == []


def as_json(path: Path) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["inspect", "--json", str(path)])
    assert result.exit_code == 0, result.exception
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def outcomes(answer: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    return {row["path"]: (row["status"], row["reason"]) for row in answer["rows"]}


EXPECTED = {name: (status, reason) for name, (_, status, reason) in FILES.items()}


def test_every_file_of_a_folder_has_a_row_in_natural_order(folder: Path) -> None:
    answer = as_json(folder)
    assert outcomes(answer) == EXPECTED
    paths = [row["path"] for row in answer["rows"]]
    assert paths == sorted(EXPECTED, key=natural_key)
    assert all(list(row) == FIELDS for row in answer["rows"])
    assert answer["path"] == str(folder)


def test_rows_say_what_a_file_is(folder: Path) -> None:
    rows = {row["path"]: row for row in as_json(folder)["rows"]}
    first = rows["im1.jpg"]
    assert (first["format"], first["width"], first["height"]) == ("JPEG", 64, 48)
    assert first["id"] == hashlib.sha256(FILES["im1.jpg"][0]).hexdigest()
    assert "images.minimum_side" in rows["sub/tiny.jpg"]["detail"]
    assert all(row["reason"] and row["detail"] for row in rows.values() if row["status"] != "accepted")


def test_counts_add_up(folder: Path) -> None:
    counts = as_json(folder)["counts"]
    statuses = Counter(status for status, _ in EXPECTED.values())
    assert {name: counts[name] for name in statuses} == statuses
    assert counts["files"] == len(EXPECTED)
    assert counts["flagged_by_reason"] == {"grey": 1}
    reasons = Counter(reason for status, reason in EXPECTED.values() if status == "rejected")
    assert counts["rejected_by_reason"] == reasons
    assert list(counts) == ["files", "accepted", "flagged", "rejected", "flagged_by_reason", "rejected_by_reason"]


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_an_archive_is_judged_like_the_folder(folder: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"photos.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as packed:
            for name, (data, _, _) in FILES.items():
                packed.writestr(name, data)
    else:
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as packed_tar:
            packed_tar.add(folder, arcname=".")
    answer = as_json(path)
    assert outcomes(answer) == EXPECTED
    assert answer["rows"] == as_json(folder)["rows"]


def test_a_hostile_archive_is_rows_too(tmp_path: Path) -> None:
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("../up.jpg", photo(1))
        packed.writestr("good.jpg", photo(2))
        packed.writestr("new\nline.jpg", photo(3))
    found = outcomes(as_json(path))
    assert found["good.jpg"] == ("accepted", None)
    assert [status for status, _ in found.values()].count("rejected") == 2
    assert not (tmp_path / "up.jpg").exists()


@pytest.mark.parametrize("data", [b"PK\x03\x04" + b"\0" * 100, b"PK\x05\x06"])
def test_a_broken_archive_is_one_row(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "broken.zip"
    path.write_bytes(data)
    (row,) = as_json(path)["rows"]
    assert row["path"] == "broken.zip"
    assert row["status"] == "rejected"
    assert row["reason"]
    assert row["detail"]


def test_a_photo_alone_is_one_row(folder: Path) -> None:
    (row,) = as_json(folder / "im2.jpg")["rows"]
    assert (row["path"], row["status"]) == ("im2.jpg", "accepted")
    (row,) = as_json(folder / "notes.txt")["rows"]
    assert (row["path"], row["reason"]) == ("notes.txt", "not-a-photo")
    (row,) = as_json(folder / "really-a-jpeg.zip")["rows"]
    assert (row["path"], row["status"]) == ("really-a-jpeg.zip", "accepted")


def test_nothing_is_an_answer(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    answer = as_json(tmp_path / "nothing")
    assert answer["rows"] == []
    assert answer["counts"]["files"] == 0
    with zipfile.ZipFile(tmp_path / "nothing.zip", "w"):
        pass
    assert as_json(tmp_path / "nothing.zip")["rows"] == []


def test_links_and_loops_end(tmp_path: Path) -> None:
    root = tmp_path / "linked"
    root.mkdir()
    (root / "im1.jpg").write_bytes(photo(1))
    (root / "loop").symlink_to(root)
    (root / "outside.jpg").symlink_to("/etc/passwd")
    (root / "inside.jpg").symlink_to("im1.jpg")
    os.mkfifo(root / "fifo.jpg")
    found = outcomes(as_json(root))
    assert {name: status for name, (status, _) in found.items()} == {
        "fifo.jpg": "rejected",
        "im1.jpg": "accepted",
        "inside.jpg": "accepted",
        "loop": "rejected",
        "outside.jpg": "rejected",
    }


@pytest.mark.parametrize("kind", ["missing", "fifo"])
def test_what_cannot_be_looked_at_is_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "it"
    if kind == "fifo":
        os.mkfifo(path)
    result = subprocess.run([COMMAND, "inspect", "--json", path], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"error: {path}")
    assert result.stderr.count("\n") == 1


def test_for_people_the_files_are_grouped_and_names_do_no_harm(folder: Path) -> None:
    result = CliRunner().invoke(app, ["inspect", str(folder)])
    assert result.exit_code == 0, result.exception
    for expected in (
        "rejected: too-small (1)",
        "flagged: grey (1)",
        "  [bold]:smile:[/bold].jpg: ",
        "under 'datasets' in params.yaml",
        "split.include_flagged",
        "my%20photos",
        "params.yaml\n",
    ):
        assert expected in result.output
    numbers = {
        line.split("│")[0].strip(): line.split("│")[1].strip() for line in result.output.splitlines() if "│" in line
    }
    assert numbers == {"accepted": "5", "flagged": "1", "rejected": "10", "all": "16"}


def test_names_cannot_speak_to_the_terminal(tmp_path: Path) -> None:
    root = tmp_path / "\x1b[2J"
    root.mkdir()
    (root / "\x1b]0;owned\x07.jpg").write_bytes(b"no photo")
    (root / os.fsdecode(b"\xff.jpg")).write_bytes(b"no photo")
    for arguments in ([], ["--json"]):
        result = CliRunner().invoke(app, ["inspect", *arguments, str(root)])
        assert result.exit_code == 0, result.exception
        assert "\x1b" not in result.output
        assert "\x07" not in result.output
    assert len(json.loads(result.stdout)["rows"]) == 2


def test_only_some_files_of_a_reason_are_shown(tmp_path: Path) -> None:
    root = tmp_path / "many"
    root.mkdir()
    for i in range(30):
        (root / f"{i}.jpg").write_bytes(b"no photo")
    output = CliRunner().invoke(app, ["inspect", str(root)]).output
    assert "rejected: not-an-image (30)" in output
    assert "  19.jpg" in output
    assert "  20.jpg" not in output
    assert "… and 10 more: --json lists all" in output
    assert "Nothing here could be trained on" in output


def test_limits_and_removals_are_those_of_the_project(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (root / "params.yaml").write_text("datasets: {}\nimages: {minimum_side: 4}\n", encoding="utf-8")
    removed = hashlib.sha256(FILES["im1.jpg"][0]).hexdigest()
    (root / "removed.jsonl").write_text(json.dumps({"id": removed}), encoding="utf-8")
    monkeypatch.setenv("COLORIZE_ROOT", str(root))
    found = outcomes(as_json(folder))
    assert found["sub/tiny.jpg"][0] != "rejected"
    assert found["im1.jpg"] == ("rejected", "removed")
    assert str(root / "params.yaml") in CliRunner().invoke(app, ["inspect", str(folder)]).output


def test_outside_of_a_project_the_defaults_hold(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise ValueError("no project")

    monkeypatch.setattr(inspect, "find_root", nowhere)
    assert "the default limits" in CliRunner().invoke(app, ["inspect", str(folder / "im1.jpg")]).output


def test_any_number_of_workers_gives_the_same_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "more"
    root.mkdir()
    for i in range(70):
        (root / f"{i}.jpg").write_bytes(photo(i) if i % 7 else b"no photo")
    alone = as_json(root)
    monkeypatch.setenv("COLORIZE_WORKERS", "2")
    assert as_json(root) == alone
    assert alone["counts"]["rejected_by_reason"] == {"not-an-image": 10}


def test_an_error_on_the_way_leaves_whole_json() -> None:
    row = {"path": "a", "status": "accepted", "reason": None}

    def rows() -> Iterator[dict[str, Any]]:
        yield row
        raise OSError("the disk is gone")

    out = io.StringIO()
    with pytest.raises(OSError, match="the disk is gone"):
        inspect.write_json(Path("x"), rows(), out)
    answer = json.loads(out.getvalue())
    assert answer["rows"] == [row]
    assert answer["counts"]["files"] == 1
    assert answer["error"] == "the disk is gone"


def test_rows_are_written_as_they_come() -> None:
    out = io.StringIO()

    def rows() -> Iterator[dict[str, Any]]:
        for i in range(3):
            yield {"path": str(i), "status": "accepted", "reason": None}
            assert f'"path": "{i}"' in out.getvalue()

    inspect.write_json(Path("x"), rows(), out)
    assert len(json.loads(out.getvalue())["rows"]) == 3
