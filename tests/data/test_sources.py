"""Sources list what is there, refuse what leads elsewhere, and notice what has changed since."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from PIL import Image

from colorize.data.sources import PhotoUnavailableError, SourceError, open_source
from colorize.data.sources.file import FileSource
from colorize.data.sources.listing import Listing, list_dataset
from colorize.settings.sections import DatasetSettings


def photo(path: Path, side: int = 40) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), "teal").save(path)


def listing(folder: Path, layout: str = "flat") -> Listing:
    return list_dataset(DatasetSettings.model_validate({"source": f"file://{folder}", "layout": layout}))


def paths(found: Listing) -> list[str]:
    return [entry.path for entry in found.photos]


def test_photos_come_in_natural_order_and_other_files_are_counted(tmp_path: Path) -> None:
    for name in ("im10.jpg", "im9.JPG", "sub/im1.png", "im9.jpg"):
        photo(tmp_path / name)
    for name in ("notes.txt", ".DS_Store", "phone.heic"):
        (tmp_path / name).touch()
    found = listing(tmp_path)
    assert paths(found) == ["im9.JPG", "im9.jpg", "im10.jpg", "sub/im1.png"]
    assert found.ignored == {"hidden": 1, "sidecar": 1, "unsupported-photo": 1}


def test_listing_round_trip(tmp_path: Path) -> None:
    photo(tmp_path / "photos" / "ö 1.jpg")
    found = listing(tmp_path / "photos")
    found.write(tmp_path / "listing.json")
    assert Listing.read(tmp_path / "listing.json") == found


def test_links_and_special_files_are_refused_with_a_reason(tmp_path: Path) -> None:
    photo(tmp_path / "elsewhere" / "secret.jpg")
    root = tmp_path / "photos"
    photo(root / "a" / "real.jpg")
    (root / "inside.jpg").symlink_to(root / "a" / "real.jpg")
    (root / "outside.jpg").symlink_to(tmp_path / "elsewhere" / "secret.jpg")
    (root / "outside").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "loop").symlink_to(root)
    (root / "broken.jpg").symlink_to(root / "nothing.jpg")
    (root / "self.jpg").symlink_to(root / "self.jpg")
    os.mkfifo(root / "pipe.jpg")
    found = listing(root)
    assert paths(found) == ["a/real.jpg", "inside.jpg"]
    assert found.ignored == {
        "broken-link": 1,
        "link-outside": 2,
        "linked-folder": 1,
        "special-file": 1,
        "unreadable": 1,
    }


def test_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    photo(tmp_path / "fine.jpg")
    (tmp_path / os.fsdecode(b"bad-\xff.jpg")).touch()
    assert listing(tmp_path).ignored == {"name-not-utf8": 1}


def test_an_address_with_escapes(tmp_path: Path) -> None:
    photo(tmp_path / "my photos" / "1.jpg")
    source = open_source(f"file://{tmp_path}/my%20photos")
    assert [entry.path for entry in source.list()] == ["1.jpg"]


@pytest.mark.parametrize("content", ["missing", "empty", "no-photos", "a-file"])
def test_unusable_folders_are_named_with_the_way_out(tmp_path: Path, content: str) -> None:
    folder = tmp_path / content
    if content == "a-file":
        folder.touch()
    elif content != "missing":
        folder.mkdir()
    if content == "no-photos":
        (folder / "a.txt").touch()
        (folder / "b.heic").touch()
    expected = {
        "missing": "does not exist; correct the dataset's 'source' in params.yaml",
        "empty": "is empty; put photos into it",
        "no-photos": r"holds no photos for the layout 'flat' \(found: 1 sidecar, 1 unsupported-photo\)",
        "a-file": "is a file; a source is a folder",
    }
    with pytest.raises(SourceError, match=expected[content]) as raised:
        listing(folder)
    assert str(folder) in str(raised.value)


def test_addresses_that_cannot_work() -> None:
    with pytest.raises(SourceError, match="three slashes"):
        open_source("file://photos/mine")
    with pytest.raises(SourceError, match="unknown scheme"):
        open_source("ftp://photos")


def test_read_hands_out_the_bytes_also_after_pickling(tmp_path: Path) -> None:
    photo(tmp_path / "1.jpg")
    source = FileSource(tmp_path)
    (entry,) = source.list()
    assert pickle.loads(pickle.dumps(source)).read(entry) == (tmp_path / "1.jpg").read_bytes()


def test_read_notices_what_happened_since_the_listing(tmp_path: Path) -> None:
    for name in ("gone.jpg", "grown.jpg", "touched.jpg"):
        photo(tmp_path / name)
    source = FileSource(tmp_path)
    entries = {entry.path: entry for entry in source.list()}
    (tmp_path / "gone.jpg").unlink()
    with (tmp_path / "grown.jpg").open("ab") as file:
        file.write(b"more")
    os.utime(tmp_path / "touched.jpg", ns=(1, 1))
    for name, reason in (("gone.jpg", "vanished"), ("grown.jpg", "changed"), ("touched.jpg", "changed")):
        with pytest.raises(PhotoUnavailableError) as raised:
            source.read(entries[name])
        assert raised.value.reason == reason
