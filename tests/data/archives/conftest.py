"""What the tests of hostile archives share: reading one with everything around it watched."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from colorize.data.sources import PhotoUnavailableError
from colorize.data.sources.archive import ArchiveSource
from colorize.data.sources.members import BrokenArchiveError
from colorize.settings.sections import ArchiveSettings

Expected = list[tuple[str, str | bytes]]  # path and either the reason or the bytes; "!": the reason comes at reading
Check = Callable[..., None]


def _surroundings(tmp_path: Path) -> dict[str, int]:
    found = {"evil": int(any(Path(folder, "evil.jpg").exists() for folder in ("/", "/tmp", "/etc", Path.cwd())))}
    for item in (*tmp_path.rglob("*"), *Path.cwd().glob("*")):
        if not item.is_relative_to(tmp_path / "downloads"):
            found[str(item)] = item.lstat().st_mtime_ns if item.is_file() else 0
    return found


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """List and read an archive; compare every row, and everything that lies around it before and after."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def checked(data: bytes, expected: Expected, limits: ArchiveSettings | None = None) -> None:
        path = tmp_path / "in" / "archive"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        downloads = tmp_path / "downloads"
        around = _surroundings(tmp_path)
        source = ArchiveSource(path, limits or ArchiveSettings(), downloads)
        found: Expected = []
        for entry in source.list():
            entry.path.encode()
            assert not re.search("[\x00-\x1f\x7f]", entry.path)
            if entry.refused is not None:
                assert entry.detail
                found.append((entry.path, entry.refused))
                continue
            try:
                content = source.read(entry)
                assert entry.size == len(content)
                found.append((entry.path, content))
            except PhotoUnavailableError as error:
                found.append((entry.path, f"!{error.reason}" if error.detail else "no detail"))
        assert found == expected
        assert _surroundings(tmp_path) == around
        names = [str(item.relative_to(downloads)) for item in downloads.rglob("*") if item.is_file()]
        assert all(re.fullmatch(r"[0-9a-f]{16}(\.lock|\.expanded/[0-9]+-[0-9]+\.tar)", name) for name in names)

    return checked


@pytest.fixture
def broken(check: Check, tmp_path: Path) -> Callable[..., BrokenArchiveError]:
    """Read an archive that is refused as a whole; the error."""

    def refused(data: bytes, limits: ArchiveSettings | None = None) -> BrokenArchiveError:
        with pytest.raises(BrokenArchiveError) as raised:
            check(data, [], limits)
        assert str(tmp_path / "in" / "archive") in str(raised.value)
        assert not list((tmp_path / "downloads").rglob("*.tar"))
        return raised.value

    return refused
