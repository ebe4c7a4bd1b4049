"""`colorize dedupe` finds copies in anything, answers in JSON and nothing else, and removes nothing."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageOps
from typer.testing import CliRunner

from colorize.commands import app
from colorize.commands.dedupe import findings, related_pairs
from colorize.data.dedupe import SCHEMA as GROUPS
from colorize.data.manifest import SCHEMA as MANIFEST

MAIN = "from colorize.commands import main; main()"


def picture(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Large soft shapes with edges; seeds give unrelated pictures."""
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **({"quality": 90} if kind == "JPEG" else {}) | options)
    return file.getvalue()


# Pictures 0 to 9, and for some of them another file that shows the same.
FILES: dict[str, bytes] = {
    **{f"im{i}.jpg": encoded(picture(i)) for i in range(10)},
    "sub/equal.jpg": encoded(picture(1)),
    "sub/deep er/smaller ü.png": encoded(picture(1, (160, 120)), "PNG"),
    "larger.webp": encoded(picture(2, (640, 480)), "WEBP"),
    "re-encoded.jpg": encoded(picture(3), quality=60),
    "mirrored.jpg": encoded(ImageOps.mirror(picture(4))),
    "grey.jpg": encoded(picture(5).convert("L")),
    "grey-equal.jpg": encoded(picture(5).convert("L")),
    "broken.jpg": b"no picture",
    "notes.txt": b"no picture",
    ".hidden/im1.jpg": encoded(picture(1)),
}
# The order of natural paths; names with digits before others.
EXPECTED = [
    {"canonical": "grey-equal.jpg", "members": ["grey.jpg"]},
    {"canonical": "im1.jpg", "members": ["sub/deep er/smaller ü.png", "sub/equal.jpg"]},
    {"canonical": "larger.webp", "members": ["im2.jpg"]},
]
REJECTED = {".hidden/im1.jpg": "hidden", "broken.jpg": "not-an-image", "notes.txt": "not-a-photo"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dedupe") / "my photos"
    for name, data in FILES.items():
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


def as_json(path: Path | str) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["dedupe", str(path), "--json"])
    assert result.exit_code == 0, result.exception
    answer: dict[str, Any] = json.loads(result.stdout)
    assert list(answer) == ["path", "groups", "related", "rejected", "counts"]
    counts = answer["counts"]
    assert counts["photos"] == counts["canonical"] + counts["exact_copies"] + counts["near_copies"]
    assert counts["files"] == counts["photos"] + counts["rejected"]
    assert counts["rejected"] == len(answer["rejected"]) == sum(counts["rejected_by_reason"].values())
    assert counts["exact_copies"] + counts["near_copies"] == sum(len(group["members"]) for group in answer["groups"])
    assert counts["related_pairs"] == len(answer["related"])
    return answer


def families(answer: dict[str, Any]) -> list[set[str]]:
    return [{group["canonical"], *group["members"]} for group in answer["groups"]]


def test_groups_pairs_and_rejected_files_of_a_folder(folder: Path) -> None:
    answer = as_json(folder)
    found = {group["canonical"]: group["members"] for group in answer["groups"]}
    for group in EXPECTED:
        assert found.pop(group["canonical"]) == group["members"]
    # Which of two files of one size stays is decided by their hashes.
    (pair,) = found.items()
    assert {pair[0], *pair[1]} == {"im3.jpg", "re-encoded.jpg"}
    assert answer["related"] == [["grey-equal.jpg", "im5.jpg"], ["grey.jpg", "im5.jpg"], ["im4.jpg", "mirrored.jpg"]]
    assert {row["path"]: row["reason"] for row in answer["rejected"]} == REJECTED
    assert all(row["detail"] for row in answer["rejected"])
    assert answer["counts"]["files"] == len(FILES)
    assert answer["path"] == str(folder)


def test_what_copies_take_is_counted(folder: Path) -> None:
    answer = as_json(folder)
    members = [name for group in answer["groups"] for name in group["members"]]
    assert answer["counts"]["bytes_of_copies"] == sum(len(FILES[name]) for name in members)


@pytest.mark.parametrize("written", ["relative", "with a slash", "with dots"])
def test_paths_are_relative_to_the_folder_however_it_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    expected = as_json(folder)
    monkeypatch.chdir(folder.parent)
    name = {"relative": "my photos", "with a slash": "my photos/", "with dots": "./my photos/sub/.."}[written]
    answer = as_json(name)
    assert {key: answer[key] for key in ("groups", "related", "rejected")} == {
        key: expected[key] for key in ("groups", "related", "rejected")
    }


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_an_archive_is_looked_at_like_the_folder(folder: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"photos.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as packed:
            for name, data in FILES.items():
                packed.writestr(name, data)
    else:
        with tarfile.open(path, "w:gz") as packed_tar:
            packed_tar.add(folder, arcname=".")
    answer = as_json(path)
    assert {**answer, "path": None} == {**as_json(folder), "path": None}


def test_nothing_and_one_photo_are_answers_too(tmp_path: Path) -> None:
    root = tmp_path / "few"
    root.mkdir()
    for expected in (0, 1):
        answer = as_json(root)
        assert (answer["groups"], answer["related"], answer["rejected"]) == ([], [], [])
        assert answer["counts"]["photos"] == answer["counts"]["canonical"] == expected
        (root / "im1.jpg").write_bytes(encoded(picture(1)))
    assert as_json(root / "im1.jpg")["counts"]["files"] == 1
    (root / "im1.jpg").write_bytes(b"no picture")
    assert as_json(root)["counts"]["rejected_by_reason"] == {"not-an-image": 1}
    (root / "broken.zip").write_bytes(b"PK\x03\x04" + b"\0" * 100)
    (row,) = as_json(root / "broken.zip")["rejected"]
    assert row["path"] == "broken.zip"


def test_many_equal_files_are_one_group(tmp_path: Path) -> None:
    root = tmp_path / "many"
    root.mkdir()
    (root / "0.jpg").write_bytes(encoded(picture(1, (40, 40))))
    for i in range(1, 300):
        (root / f"{i}.jpg").symlink_to("0.jpg")
    (group,) = as_json(root)["groups"]
    assert group == {"canonical": "0.jpg", "members": [f"{i}.jpg" for i in range(1, 300)]}


def test_any_number_of_workers_gives_the_same_answer(folder: Path, repository: Path) -> None:
    def run(workers: int) -> bytes:
        environment = {**os.environ, "PYTHONPATH": str(repository), "COLORIZE_WORKERS": str(workers)}
        command = [sys.executable, "-c", MAIN, "dedupe", "--json", folder]
        return subprocess.run(command, env=environment, capture_output=True, check=True).stdout

    assert run(1) == run(2)


def test_settings_are_those_of_the_project(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (root / "params.yaml").write_text("datasets: {}\nimages: {minimum_side: 200}\n", encoding="utf-8")
    monkeypatch.setenv("COLORIZE_ROOT", str(root))
    assert {"path": "sub/deep er/smaller ü.png", "reason": "too-small"}.items() <= as_json(folder)["rejected"][
        -1
    ].items()
    assert str(root / "params.yaml") in CliRunner().invoke(app, ["dedupe", str(folder)]).output


def test_for_people(folder: Path) -> None:
    result = CliRunner().invoke(app, ["dedupe", str(folder)])
    assert result.exit_code == 0, result.exception
    numbers = {
        line.split("│")[0].strip(): int(line.split("│")[1]) for line in result.output.splitlines() if "│" in line
    }
    assert numbers.pop("all") == sum(numbers.values()) == len(FILES)
    assert numbers["exact copies"] == 2
    assert "4 pictures occur more than once; removing the copies would free " in result.output
    largest = "  im1.jpg\n    = sub/deep er/smaller ü.png\n    = sub/equal.jpg\n"
    assert result.output.index(largest) < result.output.index("  larger.webp\n    = im2.jpg\n")
    assert "2 related pairs" in result.output
    assert "  im4.jpg ~ mirrored.jpg\n" in result.output
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == sorted(FILES)


def test_only_some_groups_and_copies_are_shown(tmp_path: Path) -> None:
    root = tmp_path / "many"
    root.mkdir()
    for i in range(23):
        data = encoded(picture(i, (64, 48)))
        for copy in range(2 if i else 13):
            (root / f"{i}-{copy}.jpg").write_bytes(data)
    output = CliRunner().invoke(app, ["dedupe", str(root)]).output
    assert "    … and 2 more\n" in output
    assert "  … and 3 more: --json lists all, --sheet FILE.html shows them\n" in output
    assert output.count("    = ") == 10 + 19


def test_names_cannot_speak_to_the_terminal(tmp_path: Path) -> None:
    root = tmp_path / "\x1b[2J"
    root.mkdir()
    for name in ("\x1b]0;owned\x07.jpg", "[bold]a.jpg", "b.jpg"):
        (root / name).write_bytes(encoded(picture(1)))
    (root / os.fsdecode(b"\xff.jpg")).write_bytes(encoded(picture(1)))
    for arguments in ([], ["--json"]):
        result = CliRunner().invoke(app, ["dedupe", *arguments, str(root)])
        assert result.exit_code == 0, result.exception
        assert "\x1b" not in result.output
        assert "\x07" not in result.output
        assert "[bold]a.jpg" in result.output
    assert families(json.loads(result.stdout)) == [{"[bold]a.jpg", "b.jpg"}]


@pytest.mark.parametrize("kind", ["missing", "fifo", "sheet is a folder"])
def test_what_cannot_be_done_is_one_line(tmp_path: Path, repository: Path, kind: str) -> None:
    path, sheet = tmp_path / "it", tmp_path / "sheet.html"
    if kind == "fifo":
        os.mkfifo(path)
    if kind == "sheet is a folder":
        path.mkdir()
        sheet.mkdir()
    command = [sys.executable, "-c", MAIN, "dedupe", "--json", path, "--sheet", sheet]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"error: {sheet if kind == 'sheet is a folder' else path}")
    assert result.stderr.count("\n") == 1


def test_the_sheet_is_named_beside_the_json(folder: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "pages" / "sheet.html"
    result = CliRunner().invoke(app, ["dedupe", str(folder), "--json", "--sheet", str(sheet)])
    assert result.exit_code == 0, result.exception
    assert json.loads(result.stdout)["groups"]
    assert f"The pictures are in {sheet}" in result.stderr
    assert sheet.read_text().count("data:image/webp") == 9 + 4


def test_related_pairs_are_all_of_few_and_hold_many_together() -> None:
    few, many = [(name, name, True) for name in "abc"], [(f"{i:03d}", str(i % 90), i < 90) for i in range(180)]
    copies = [("copy", "one", False), ("photo", "one", True)]
    pairs = list(related_pairs([few, [("alone", "alone", True)], many, copies]))
    assert pairs[:3] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert pairs[3:] == [(f"{i:03d}", f"{i + 1:03d}") for i in range(89)]


def test_copies_of_related_photos_are_related_too() -> None:
    rows = [
        {"path": path, "duplicate_group": group, "canonical": canonical, "split_group": "s"}
        for path, group, canonical in (("a", "1", False), ("b", "1", True), ("c", "2", True), ("d", "2", False))
    ]
    photos = [{"path": row["path"], "status": "accepted", "bytes": 10} for row in rows]
    photos.append({"path": "a", "status": "rejected", "reason": "name-taken", "detail": "twice", "bytes": 10**9})
    tables = (pa.Table.from_pylist(photos, schema=MANIFEST), pa.Table.from_pylist(rows, schema=GROUPS))
    found = findings(*tables, {"canonical": 2})
    assert found.staying == [("b", "c")]
    assert found.related == [("a", "c"), ("a", "d"), ("b", "c"), ("b", "d")]
    assert [(group.canonical, group.members) for group in found.groups] == [("b", ["a"]), ("c", ["d"])]
    assert found.counts["bytes_of_copies"] == 20
    assert found.rejected == [{"path": "a", "reason": "name-taken", "detail": "twice"}]
