"""Folders: what is there is listed, what leads elsewhere is refused, and what has changed since is noticed."""

from __future__ import annotations

import os
import pickle
import socket
from pathlib import Path

import pytest

from colorize.data.sources import Entry, PhotoUnavailableError, Source, SourceError, open_source
from colorize.data.sources.archive import ArchiveSource
from colorize.data.sources.file import FolderSource, open_local
from colorize.settings.sections import ArchiveSettings


def put(path: Path, data: bytes = b"photo") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def opened(address: str, tmp_path: Path) -> Source:
    return open_source(address, ArchiveSettings(), tmp_path / "downloads")


def listed(folder: Path) -> dict[str, Entry]:
    entries = list(FolderSource(folder).list())
    assert len({entry.path for entry in entries}) == len(entries)
    return {entry.path: entry for entry in entries}


def reasons(folder: Path) -> dict[str, str | None]:
    return {path: entry.refused for path, entry in listed(folder).items()}


def test_every_file_is_listed_with_its_size(tmp_path: Path) -> None:
    for name in ("im10.jpg", ".hidden", "sub/deep/ö 1.png", "sub/back\\slash.jpg"):
        put(tmp_path / name, name.encode())
    entries = listed(tmp_path)
    assert {path: entry.size for path, entry in entries.items()} == {
        "im10.jpg": 8,
        ".hidden": 7,
        "sub/deep/ö 1.png": 17,
        "sub/back\\slash.jpg": 18,
    }
    source = FolderSource(tmp_path)
    assert all(source.read(entry) == path.encode() for path, entry in entries.items())


def test_links_and_special_files_are_refused_with_a_reason(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere" / "secret.jpg")
    root = tmp_path / "photos"
    put(root / "a" / "real.jpg", b"real")
    (root / "inside.jpg").symlink_to(root / "a" / "real.jpg")
    (root / "second-name.jpg").hardlink_to(root / "a" / "real.jpg")
    (root / "outside.jpg").symlink_to(tmp_path / "elsewhere" / "secret.jpg")
    (root / "outside").symlink_to(tmp_path / "elsewhere")
    (root / "sibling.jpg").symlink_to(put(tmp_path / "photos-2" / "1.jpg"))
    (root / "a" / "loop").symlink_to(root)
    (root / "broken.jpg").symlink_to(root / "nothing.jpg")
    (root / "self.jpg").symlink_to(root / "self.jpg")
    os.mkfifo(root / "pipe.jpg")
    (root / "device.jpg").symlink_to("/dev/zero")
    found = listed(root)
    assert {path: entry.refused for path, entry in found.items()} == {
        "a/real.jpg": None,
        "inside.jpg": None,
        "second-name.jpg": None,
        "outside.jpg": "link-outside",
        "outside": "link-outside",
        "sibling.jpg": "link-outside",
        "a/loop": "linked-folder",
        "broken.jpg": "broken-link",
        "self.jpg": "unreadable",
        "pipe.jpg": "special-file",
        "device.jpg": "link-outside",
    }
    assert all(entry.detail for entry in found.values() if entry.refused)
    source = FolderSource(root)
    assert {source.read(entry) for entry in found.values() if not entry.refused} == {b"real"}


def test_a_folder_that_is_itself_a_link_is_followed(tmp_path: Path) -> None:
    put(tmp_path / "photos" / "1.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    (entry,) = listed(tmp_path / "link").values()
    assert FolderSource(tmp_path / "link").read(entry) == b"photo"


@pytest.mark.parametrize(
    ("name", "shown", "detail"),
    [
        (b"bad-\xff.jpg", "bad-\\xff.jpg", "not UTF-8: \\xff"),
        (b"two\nlines.jpg", "two\\x0alines.jpg", "control character: \\x0a"),
        (b"\x1b[2Jclear.jpg", "\\x1b[2Jclear.jpg", "control character: \\x1b"),
        ("gpj\u202e.exe.jpg".encode(), "gpj\\u202e.exe.jpg", "control character: \\u202e"),
        (b"folder\xfe/1.jpg", "folder\\xfe/1.jpg", "not UTF-8: \\xfe"),
    ],
)
def test_odd_names_are_refused_and_shown_so_that_they_can_be_printed(
    tmp_path: Path, name: bytes, shown: str, detail: str
) -> None:
    put(tmp_path / "fine.jpg")
    put(tmp_path / os.fsdecode(name))
    found = listed(tmp_path)
    assert {path: entry.refused for path, entry in found.items()} == {"fine.jpg": None, shown: "odd-name"}
    assert detail in str(found[shown].detail)
    assert all(path.isprintable() and path.encode() for path in found)


def test_names_of_all_languages_are_fine(tmp_path: Path) -> None:
    names = ["Grüße.jpg", "写真 1.jpg", "👩‍🚀.jpg", "تصویر.jpg", "Screenshot 10.00\u202fAM.jpg", "e\u0301.jpg"]
    for name in names:
        put(tmp_path / name)
    assert reasons(tmp_path) == dict.fromkeys(names)


def test_a_folder_that_cannot_be_opened_is_a_row(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may open every folder")
    put(tmp_path / "fine.jpg")
    put(tmp_path / "closed" / "1.jpg")
    (tmp_path / "closed").chmod(0)
    try:
        assert reasons(tmp_path) == {"fine.jpg": None, "closed": "unreadable-folder"}
    finally:
        (tmp_path / "closed").chmod(0o700)


def test_a_path_too_long_for_the_system_is_a_row(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(20):  # 20 x 250 characters: more than a path may have, made from within
            os.mkdir("d" * 250, dir_fd=here)
            inner = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inner
    finally:
        os.close(here)
    (entry,) = FolderSource(tmp_path).list()
    assert (entry.refused, entry.path[:3]) == ("unreadable-folder", "ddd")


def test_an_address_with_escapes(tmp_path: Path) -> None:
    put(tmp_path / "my photos" / "1.jpg")
    assert [entry.path for entry in opened(f"file://{tmp_path}/my%20photos", tmp_path).list()] == ["1.jpg"]


@pytest.mark.parametrize("content", ["missing", "a-file", "a-fifo"])
def test_unusable_folders_are_named_with_the_way_out(tmp_path: Path, content: str) -> None:
    folder = tmp_path / content
    if content == "a-file":
        folder.write_bytes(b"\xff\xd8\xff")
    elif content == "a-fifo":
        os.mkfifo(folder)
    expected = {
        "missing": "does not exist; correct the dataset's 'source' in params.yaml",
        "a-file": "is a file, but no zip, tar or tar.gz archive",
        "a-fifo": "is a file, but no zip, tar or tar.gz archive",
    }
    with pytest.raises(SourceError, match=expected[content]) as raised:
        list(opened(f"file://{folder}", tmp_path).list())
    assert str(folder) in str(raised.value)


def test_an_address_of_an_archive_is_opened_by_its_content(tmp_path: Path) -> None:
    put(tmp_path / "photos", b"PK\x05\x06" + bytes(18))
    source = opened(f"file://{tmp_path}/photos", tmp_path)
    assert source == ArchiveSource(tmp_path / "photos", ArchiveSettings(), tmp_path / "downloads")
    assert open_local(tmp_path / "photos", ArchiveSettings(), tmp_path / "downloads") == source
    assert list(source.list()) == []


def test_addresses_that_cannot_work(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="three slashes"):
        opened("file://photos/mine", tmp_path)
    with pytest.raises(SourceError, match="unknown scheme"):
        opened("ftp://photos", tmp_path)


def test_read_hands_out_the_bytes_also_after_pickling(tmp_path: Path) -> None:
    put(tmp_path / "1.jpg")
    source = FolderSource(tmp_path)
    (entry,) = source.list()
    assert pickle.loads(pickle.dumps(source)).read(entry) == b"photo"


def test_read_notices_what_happened_since_the_listing(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    names = ("gone.jpg", "grown.jpg", "touched.jpg", "pipe.jpg", "socket.jpg", "leads-out.jpg", "folder.jpg")
    for name in names:
        put(root / name)
    source = FolderSource(root)
    entries = {entry.path: entry for entry in source.list()}
    for name in ("gone.jpg", "pipe.jpg", "socket.jpg", "leads-out.jpg", "folder.jpg"):
        (root / name).unlink()
    with (root / "grown.jpg").open("ab") as file:
        file.write(b"more")
    os.utime(root / "touched.jpg", ns=(1, 1))
    os.mkfifo(root / "pipe.jpg")  # a reader that opens it the usual way never comes back
    (root / "folder.jpg").mkdir()
    outside = put(tmp_path / "secret.jpg")
    size, time = entries["leads-out.jpg"].version.split("-")
    assert outside.stat().st_size == int(size)
    os.utime(outside, ns=(int(time), int(time)))  # a listing cannot tell it from the photo by size and time
    (root / "leads-out.jpg").symlink_to(outside)
    found = {}
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(root)  # the path of a socket is short
        try:
            listener.bind("socket.jpg")
        finally:
            os.chdir(here)
        for name in names:
            with pytest.raises(PhotoUnavailableError) as raised:
                source.read(entries[name])
            found[name] = raised.value.reason
    assert found == {
        "gone.jpg": "vanished",
        "grown.jpg": "changed",
        "touched.jpg": "changed",
        "pipe.jpg": "changed",
        "socket.jpg": "unreadable",
        "leads-out.jpg": "changed",
        "folder.jpg": "changed",
    }


@pytest.mark.parametrize("left", ["nothing", "an-empty-folder"])
def test_a_folder_that_is_gone_says_nothing_about_its_photos(tmp_path: Path, left: str) -> None:
    photo = put(tmp_path / "photos" / "1.jpg")
    source = FolderSource(tmp_path / "photos")
    (entry,) = source.list()
    photo.unlink()
    if left == "nothing":
        (tmp_path / "photos").rmdir()
    expected = {"nothing": "does not exist", "an-empty-folder": "is empty now; is its disk still mounted"}
    with pytest.raises(SourceError, match=expected[left]):
        source.read(entry)


def test_too_many_open_files_are_no_fault_of_the_photo(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    put(tmp_path / "1.jpg")
    source = FolderSource(tmp_path)
    (entry,) = source.list()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(tmp_path, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        with pytest.raises(SourceError, match="Too many open files"):
            source.read(entry)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert source.read(entry) == b"photo"
