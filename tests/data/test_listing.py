"""A listing holds every file that may be a photo, in natural order, and notices a source that shrank."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from colorize.data.sources import Entry, SourceError
from colorize.data.sources.listing import Listing, make_listing
from colorize.settings.sections import DatasetSettings, Layout


@dataclass
class Names:
    """A source that holds files of these names."""

    names: list[str]

    def list(self) -> Iterator[Entry]:
        for name in self.names:
            yield Entry(name, len(name), f"v-{name}", locator=f"at {name}")

    def read(self, entry: Entry) -> bytes:
        raise NotImplementedError


def listed(
    path: Path, names: list[str], layout: Layout = "flat", shrink: float = 0.1, source: str = "s3://b/x"
) -> Listing:
    return make_listing(DatasetSettings(source=source, layout=layout), Names(names), path, shrink)


def test_photos_come_back_in_natural_order_whatever_the_order_of_the_source(tmp_path: Path) -> None:
    names = [f"trip {i % 7}/im{i}.jpg" for i in range(10_000)]
    expected = [f"trip {folder}/im{i}.jpg" for folder in range(7) for i in range(folder, 10_000, 7)]
    shuffled = random.Random(1).sample(names, len(names))
    listing = listed(tmp_path / "a.parquet", shuffled)
    assert listing == Listing.read(tmp_path / "a.parquet")
    assert (listing.number, listing.source, listing.layout) == (10_000, "s3://b/x", "flat")
    photos = list(listing.photos())
    assert [photo.entry.path for photo in photos] == expected
    assert photos[3].entry == Entry("trip 0/im21.jpg", 15, "v-trip 0/im21.jpg", locator="at trip 0/im21.jpg")
    listed(tmp_path / "b.parquet", names)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert pq.ParquetFile(tmp_path / "a.parquet").num_row_groups == 10


def test_what_is_no_photo_by_its_place_is_counted(tmp_path: Path) -> None:
    listing = listed(tmp_path / "a.parquet", ["1.jpg", ".hidden.jpg", "2.NEF", "notes.txt", ".git/x.jpg"])
    assert listing.ignored == {"hidden": 2}
    assert [photo.entry.path for photo in listing.photos()] == ["1.jpg", "2.NEF", "notes.txt"]


def test_notes_belong_to_their_photos(tmp_path: Path) -> None:
    names = [
        "m/im2.jpg",
        "m/im10.jpg",
        "m/meta/tags/tags10.txt",
        "m/meta/license/license10.txt",
        "m/meta/tags/tags99.txt",
    ]
    photos = {photo.entry.path: photo.notes for photo in listed(tmp_path / "a.parquet", names, "mirflickr25k").photos()}
    assert photos["m/im2.jpg"] == ()
    assert {kind: entry.path for kind, entry in photos["m/im10.jpg"]} == {
        "tags": "m/meta/tags/tags10.txt",
        "licence": "m/meta/license/license10.txt",
    }
    assert dict(photos["m/im10.jpg"])["tags"].version == "v-m/meta/tags/tags10.txt"


def test_photos_of_one_name_share_their_notes_and_come_in_the_order_of_their_places(tmp_path: Path) -> None:
    @dataclass
    class Twice(Names):
        def list(self) -> Iterator[Entry]:
            yield Entry("im1.jpg", 3, "v", "duplicate-name", "there are two", locator="2")
            yield Entry("meta/tags/tags1.txt", 1, "t")
            yield Entry("im1.jpg", 3, "v", locator="1")

    settings = DatasetSettings(source="s3://b/x", layout="mirflickr25k")
    listing = make_listing(settings, Twice([]), tmp_path / "a.parquet", 0.1)
    first, second = listing.photos()
    assert (first.entry.locator, second.entry.locator, listing.number) == ("1", "2", 2)
    assert first.notes == second.notes == (("tags", Entry("meta/tags/tags1.txt", 1, "t")),)


def test_a_source_that_shrank_is_refused_and_the_old_listing_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    names = [f"{i}.jpg" for i in range(100)]
    listed(path, names)
    before = path.read_bytes()
    with pytest.raises(SourceError, match=r"lists 89 files, 100 last time: 11\.0% are gone.*allows 10\.0%.*remove "):
        listed(path, names[:89])
    assert path.read_bytes() == before
    assert listed(path, names[:90]).number == 90
    assert listed(path, names).number == 100
    assert listed(path, names[:5], source="s3://b/other").number == 5


@pytest.mark.parametrize(
    ("names", "text"),
    [([], "s3://b/x is empty"), ([".a.jpg", ".b"], r"no photos for the layout 'flat' \(found: 2 hidden\)")],
)
def test_nothing_to_list(tmp_path: Path, names: list[str], text: str) -> None:
    with pytest.raises(SourceError, match=text):
        listed(tmp_path / "a.parquet", names)
    assert not (tmp_path / "a.parquet").exists()


def test_a_missing_listing_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="dvc repro sources@mine"):
        Listing.read(tmp_path / "mine.parquet")
