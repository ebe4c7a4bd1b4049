"""Honest archives: the members that zipfile and tarfile see, read in place, by many threads, in flat memory."""

from __future__ import annotations

import io
import os
import pickle
import struct
import subprocess
import tarfile
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from colorize.data.sources import Entry, PhotoUnavailableError, SourceError
from colorize.data.sources.archive import ArchiveSource, is_archive
from colorize.data.sources.members import BrokenArchiveError
from colorize.settings.sections import ArchiveSettings

LIMITS = ArchiveSettings()
FILES = {
    "1.jpg": b"first",
    "sub/Grün 写真 👩‍🚀.jpg": bytes(range(256)) * 300,
    "empty.jpg": b"",
    f"{'deep/' * 60}2.jpg": b"a long name " * 500,
    "with space.txt": b"text\n" * 1000,
}


def make_zip(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, *, wide: bool = False) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.mkdir("sub")
        for name, data in files.items():
            with archive.open(name, "w", force_zip64=wide) as member:
                member.write(data)
    return path


def make_tar(path: Path, files: dict[str, bytes], mode: str = "w", kind: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, mode, format=kind) as archive:  # type: ignore[call-overload]
        folder = tarfile.TarInfo("sub")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def source_of(path: Path) -> ArchiveSource:
    return ArchiveSource(path, LIMITS, path.parent / "downloads")


def contents(path: Path) -> dict[str, bytes]:
    source = source_of(path)
    entries = list(source.list())
    assert all(entry.refused is None for entry in entries), entries
    return {entry.path: source.read(entry) for entry in entries}


def listed(path: Path) -> dict[str, Entry]:
    return {entry.path: entry for entry in source_of(path).list()}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("wide", [False, True])
def test_zips_hold_what_zipfile_sees(tmp_path: Path, method: int, wide: bool) -> None:
    path = make_zip(tmp_path / "a.zip", FILES, method, wide=wide)
    with zipfile.ZipFile(path) as archive:
        assert contents(path) == {info.filename: archive.read(info) for info in archive.infolist() if not info.is_dir()}
    assert contents(path) == FILES


def test_a_zip_written_to_a_pipe_has_its_sizes_behind_the_data(tmp_path: Path) -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.data += data
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
        for name, data in FILES.items():
            archive.writestr(name, data)
    (tmp_path / "a.zip").write_bytes(pipe.data)
    assert contents(tmp_path / "a.zip") == FILES


def test_a_zip64_whose_end_record_has_no_room_for_the_numbers(tmp_path: Path) -> None:
    data = make_zip(tmp_path / "a.zip", FILES, wide=True).read_bytes()
    *_, here, number, length, offset, _ = struct.unpack("<4s4H2LH", data[-22:])
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, here, number, length, offset)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(data) - 22, 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    for prefix in (b"", b"PK\3\4 a program that unpacks itself"):
        (tmp_path / "b.zip").write_bytes(prefix + data[:-22] + record + locator + end)
        assert contents(tmp_path / "b.zip") == FILES


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tars_hold_what_tarfile_sees(tmp_path: Path, mode: str, kind: int) -> None:
    files = {name: data for name, data in FILES.items() if kind != tarfile.USTAR_FORMAT or len(name) < 250}
    path = make_tar(tmp_path / "a", files, mode, kind)
    with tarfile.open(path) as archive:
        seen = {info.name: archive.extractfile(info).read() for info in archive if info.isfile()}  # type: ignore[union-attr]
    assert contents(path) == seen == files


def test_tars_of_the_system_are_read(tmp_path: Path) -> None:
    for name, data in FILES.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(data)
    for number, options in enumerate((["-c"], ["-c", "--format=posix"], ["-cz"], ["-c", "--format=v7"])):
        names = ["1.jpg", "with space.txt"] if "--format=v7" in options else ["."]
        path = tmp_path / f"{number}"
        subprocess.run(["tar", *options, "-f", str(path), "-C", str(tmp_path / "in"), *names], check=True)
        assert contents(path) == (FILES if names == ["."] else {name: FILES[name] for name in names})


def test_only_content_makes_an_archive(tmp_path: Path) -> None:
    found = {
        "photo": is_archive(make_zip(tmp_path / "photo.jpg", FILES)),
        "tar": is_archive(make_tar(tmp_path / "tar", FILES)),
        "tar.gz": is_archive(make_tar(tmp_path / "x.zip", FILES, "w:gz")),
    }
    for name, data in {"a.zip": b"GIF89a", "a.tar": b"text" * 500, "a.tgz": zlib.compress(b"x", wbits=31)}.items():
        (tmp_path / name).write_bytes(data)
        found[name] = is_archive(tmp_path / name)
    assert found == {"photo": True, "tar": True, "tar.gz": True, "a.zip": False, "a.tar": False, "a.tgz": False}


def test_a_tar_gz_is_expanded_once_for_each_state_of_it(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tgz", FILES, "w:gz")
    contents(path)
    (tar,) = (tmp_path / "downloads").rglob("*.tar")
    before = tar.stat()
    assert contents(path) == FILES
    assert tar.stat() == before
    make_tar(path, {**FILES, "new.jpg": b"new"}, "w:gz")
    assert contents(path)["new.jpg"] == b"new"
    (newer,) = (tmp_path / "downloads").rglob("*.tar")
    assert newer.name != tar.name


def test_an_expansion_that_was_removed_is_made_again_by_whoever_reads_first(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tgz", {f"{number}.jpg": b"%d" % number * 999 for number in range(40)}, "w:gz")
    source = source_of(path)
    entries = list(source.list())
    (tar,) = (tmp_path / "downloads").rglob("*.tar")
    tar.unlink()
    with ThreadPoolExecutor(8) as threads:
        data = list(threads.map(source.read, entries))
    assert [content[:1] for content in data] == [entry.path[:1].encode() for entry in entries]
    assert len(list((tmp_path / "downloads").rglob("*.tar"))) == 1


def test_no_room_to_expand(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tgz", FILES, "w:gz")
    (tmp_path / "downloads").write_bytes(b"a file where the folder should be")
    with pytest.raises(SourceError, match=r"cannot be expanded into .* make room there"):
        list(source_of(path).list())


@pytest.mark.parametrize("packing", ["zip", "tar", "tgz"])
def test_threads_and_other_processes_read_the_same(tmp_path: Path, packing: str) -> None:
    files = {f"{number}.jpg": os.urandom(5000) for number in range(50)}
    path = tmp_path / "a"
    _ = make_zip(path, files) if packing == "zip" else make_tar(path, files, "w:gz" if packing == "tgz" else "w")
    source = pickle.loads(pickle.dumps(source_of(path)))
    entries = list(source.list()) * 8
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with ThreadPoolExecutor(16) as threads:
        for entry, data in zip(entries, threads.map(source.read, entries), strict=True):
            assert data == files[entry.path]
    assert len(os.listdir("/proc/self/fd")) <= descriptors  # noqa: PTH208


def test_a_repacked_zip_keeps_the_versions_of_unchanged_members(tmp_path: Path) -> None:
    before = listed(make_zip(tmp_path / "a.zip", FILES))
    after = listed(make_zip(tmp_path / "a.zip", {"0.jpg": b"new", **FILES, "1.jpg": b"other"}, zipfile.ZIP_STORED))
    changed = {name for name, entry in after.items() if name not in before or before[name].version != entry.version}
    assert changed == {"0.jpg", "1.jpg"}


@pytest.mark.parametrize("packing", ["zip", "tar", "tgz"])
def test_an_archive_that_was_replaced_or_removed_since(tmp_path: Path, packing: str) -> None:
    path = tmp_path / "a"

    def make(files: dict[str, bytes]) -> None:
        _ = make_zip(path, files) if packing == "zip" else make_tar(path, files, "w:gz" if packing == "tgz" else "w")

    make(FILES)
    source = source_of(path)
    entry = next(entry for entry in source.list() if entry.path == "1.jpg")
    make({"0.jpg": b"new" * 1000, **FILES, "1.jpg": b"other"})
    with pytest.raises(PhotoUnavailableError) as raised:
        source.read(entry)
    assert raised.value.reason == "changed"
    path.unlink()
    with pytest.raises(SourceError, match="does not exist"):
        source.read(entry)
    with pytest.raises(SourceError, match="does not exist"):
        list(source.list())
    os.mkfifo(path)
    with pytest.raises(SourceError, match="no regular file"):
        source.read(entry)


def test_an_error_of_a_broken_archive_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(BrokenArchiveError("bomb-ratio", "a.zip is a bomb")))
    assert (error.reason, str(error)) == ("bomb-ratio", "a.zip is a bomb")
