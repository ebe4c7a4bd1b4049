"""Files are complete or absent, and nothing else is left behind."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from colorize.storage import atomic_folder, atomic_path, remove_temporaries, sha256_file, write_bytes, write_json


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_write_bytes_makes_parents_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.bin"
    write_bytes(path, b"old")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(path.parent) == ["b.bin"]


def test_atomic_path_keeps_the_old_file_when_the_writer_fails(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    write_bytes(path, b"old")

    def write_half() -> None:
        with atomic_path(path) as temporary:
            assert temporary.suffix == ".png"
            temporary.write_bytes(b"half")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        write_half()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["photo.png"]


def test_write_json_keeps_the_order_and_refuses_what_json_lacks(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"b": 1, "a": "schön"})
    text = path.read_text(encoding="utf-8")
    assert list(json.loads(text)) == ["b", "a"]
    assert "schön" in text
    assert text.endswith("}\n")
    with pytest.raises(ValueError, match="nan"):
        write_json(path, {"a": float("nan")})
    assert path.read_text(encoding="utf-8") == text


def test_atomic_folder_swaps_in_a_whole_folder(tmp_path: Path) -> None:
    path = tmp_path / "parts"
    for content in ("one", "two"):
        with atomic_folder(path) as building:
            (building / content).write_text(content)
    assert names(path) == ["two"]
    assert names(tmp_path) == ["parts"]


def test_atomic_folder_leaves_the_old_one_when_the_writer_fails(tmp_path: Path) -> None:
    path = tmp_path / "parts"
    with atomic_folder(path) as building:
        (building / "old").touch()

    def write_half() -> None:
        with atomic_folder(path) as building:
            (building / "new").touch()
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        write_half()
    assert names(path) == ["old"]
    assert names(tmp_path) == ["parts"]


def test_atomic_folder_clears_what_a_killed_writer_left(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from colorize.storage import atomic_folder
with atomic_folder(Path({str(tmp_path)!r}) / "parts") as building:
    (building / "half").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    assert names(tmp_path) == [".tmp-parts"]
    with atomic_folder(tmp_path / "parts") as building:
        (building / "whole").touch()
    assert names(tmp_path) == ["parts"]
    assert names(tmp_path / "parts") == ["whole"]


def test_remove_temporaries_takes_only_leftovers(tmp_path: Path) -> None:
    (tmp_path / ".tmp-123.json").touch()
    (tmp_path / ".tmp-folder" / "deep").mkdir(parents=True)
    (tmp_path / "kept.json").touch()
    (tmp_path / ".hidden").touch()
    remove_temporaries(tmp_path)
    assert names(tmp_path) == [".hidden", "kept.json"]
    remove_temporaries(tmp_path / "missing")


def test_sha256_file(tmp_path: Path) -> None:
    write_bytes(tmp_path / "x", b"abc" * 100_000)
    assert sha256_file(tmp_path / "x") == hashlib.sha256(b"abc" * 100_000).hexdigest()
