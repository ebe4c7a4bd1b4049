"""Every listed photo ends up in the manifest, its bytes unchanged in a raw shard, whatever the number of workers."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from colorize.data import raw_shard
from colorize.data.ingest import TooManyRefusedError, ingest
from colorize.data.manifest import SCHEMA
from colorize.data.raw_plan import plan
from colorize.data.removals import NONE, Removals
from colorize.data.sources import Entry, SourceUnavailableError, open_source
from colorize.data.sources.file import FolderSource
from colorize.data.sources.listing import Listing, Photo, make_listing
from colorize.settings.sections import ArchiveSettings, DatasetSettings, ImageSettings, IngestSettings

PHOTOS = 13
BROKEN = {
    "b-cut.jpg": "truncated",
    "b-empty.jpg": "empty",
    "b-page.jpg": "not-an-image",
    "b-tiny.png": "too-small",
    "c-empty.txt": "not-a-photo",
    "d.NEF": "camera-raw",
    "readme.txt": "not-a-photo",
}


def encode(pixels: np.ndarray, file_format: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format, **options)
    return buffer.getvalue()


def colours(seed: int, height: int = 40, width: int = 60) -> np.ndarray:
    coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Good photos a1..a13, a grey one, one with a broken profile, a turned one and four that cannot be used."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(1, PHOTOS + 1):
        (folder / f"a{i}.jpg").write_bytes(encode(colours(i)))
    grey = np.repeat(colours(50)[..., :1], 3, axis=-1)
    (folder / "b-grey.jpg").write_bytes(encode(grey))
    (folder / "b-profile.png").write_bytes(encode(colours(51), "PNG", icc_profile=b"broken" * 50))
    exif = Image.Exif()
    exif[0x0112] = 6
    (folder / "b-turned.jpg").write_bytes(encode(colours(52), exif=exif))
    (folder / "b-cut.jpg").write_bytes(encode(colours(53, 200, 200))[:3000])
    (folder / "b-empty.jpg").touch()
    (folder / "b-page.jpg").write_bytes(b"<html>not found</html>")
    (folder / "b-tiny.png").write_bytes(encode(colours(54, 20, 20), "PNG"))
    (folder / "c-empty.txt").touch()
    (folder / "d.NEF").write_bytes(encode(colours(55)))
    (folder / "readme.txt").write_text("about these photos")
    return folder


def listed(folder: Path) -> Listing:
    settings = DatasetSettings(source=f"file://{folder}")
    source = open_source(settings.source, ArchiveSettings())
    return make_listing(settings, source, folder.parent / "listings" / "set.parquet", 1.0)


def run(
    listing: Listing,
    out: Path,
    workers: int = 1,
    removals: Removals = NONE,
    source: FolderSource | None = None,
    **settings: Any,
) -> dict[str, Any]:
    chosen = IngestSettings.model_validate({"maximum_refused": 1.0, **settings})
    opened = source or open_source(listing.source, ArchiveSettings())
    return ingest(
        "set", listing, opened, out, images=ImageSettings(), settings=chosen, removals=removals, workers=workers
    )


def manifest(out: Path) -> dict[str, dict[str, Any]]:
    table = pq.read_table(out / "manifest.parquet")
    assert table.schema.equals(SCHEMA)
    return {row["path"]: row for row in table.to_pylist()}


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_every_photo_is_accounted_for(folder: Path, tmp_path: Path) -> None:
    counts = run(listed(folder), tmp_path / "out")
    assert counts == {
        "listed": PHOTOS + 10,
        "accepted": PHOTOS + 2,
        "flagged": 1,
        "rejected": 7,
        "flagged_by_reason": {"grey": 1},
        "rejected_by_reason": dict(Counter(BROKEN.values())),
        "ignored": {},
    }
    rows = manifest(tmp_path / "out")
    assert list(rows)[:PHOTOS] == [f"a{i}.jpg" for i in range(1, PHOTOS + 1)]
    assert {path: rows[path]["reason"] for path in BROKEN} == BROKEN
    for path in BROKEN:
        assert rows[path]["shard"] is None
        assert rows[path]["codes"] is None
        assert rows[path]["detail"]
    turned = rows["b-turned.jpg"]
    assert (turned["width"], turned["height"], turned["orientation"]) == (40, 60, 6)
    assert rows["b-profile.png"]["status"] == "accepted"
    assert "profile" in rows["b-profile.png"]["detail"]
    assert rows["b-grey.jpg"]["reason"] == "grey"


def test_raw_shards_hold_the_very_bytes(folder: Path, tmp_path: Path) -> None:
    run(listed(folder), tmp_path / "out", row_group=4)
    for path, row in manifest(tmp_path / "out").items():
        data = (folder / path).read_bytes()
        assert row["id"] == (None if row["reason"] == "camera-raw" else hashlib.sha256(data).hexdigest())
        assert row["bytes"] == len(data)
        if row["shard"]:
            stored = pq.read_table(tmp_path / "out" / row["shard"]).slice(row["row"], 1).to_pylist()[0]
            assert stored.pop("data") == data
            assert stored.items() <= row.items()


def test_shards_and_row_groups_are_cut_as_asked(folder: Path, tmp_path: Path) -> None:
    run(listed(folder), tmp_path / "out", shard_photos=8, row_group=3)
    names = dict.fromkeys(row["shard"] for row in manifest(tmp_path / "out").values() if row["shard"])
    assert len(names) > 2
    assert {f"{name}" for name in names} <= set(contents(tmp_path / "out"))
    paths = []
    for name in names:
        parquet = pq.ParquetFile(tmp_path / "out" / name)
        groups = [parquet.metadata.row_group(i).num_rows for i in range(parquet.num_row_groups)]
        assert all(number == 3 for number in groups[:-1])
        assert 1 <= groups[-1] <= 3
        assert sum(groups) <= 8
        paths += parquet.read(["path"])["path"].to_pylist()
    # The last shard has nothing but rejected rows, which name no shard.
    assert paths == list(manifest(tmp_path / "out"))[: len(paths)]
    assert len(paths) >= PHOTOS + 7


def test_a_shard_ends_when_it_is_large_enough(folder: Path, tmp_path: Path) -> None:
    run(listed(folder), tmp_path / "out", shard_bytes=5000)
    sizes = [
        [row["bytes"] for row in pq.read_table(path, columns=["bytes"]).to_pylist()]
        for path in (tmp_path / "out").glob("part-*")
    ]
    assert len(sizes) > 2
    assert all(sum(size[:-1]) < 5000 for size in sizes)


@pytest.mark.parametrize("workers", [2, 4])
def test_bytes_do_not_depend_on_the_number_of_workers(folder: Path, tmp_path: Path, workers: int) -> None:
    run(listed(folder), tmp_path / "one", workers=1, shard_photos=4)
    run(listed(folder), tmp_path / "many", workers=workers, shard_photos=4)
    assert contents(tmp_path / "one") == contents(tmp_path / "many")


def test_what_changed_since_the_listing_is_rejected(folder: Path, tmp_path: Path) -> None:
    listing = listed(folder)
    (folder / "a1.jpg").unlink()
    (folder / "a2.jpg").write_bytes(encode(colours(99), quality=20))
    counts = run(listing, tmp_path / "out")
    rows = manifest(tmp_path / "out")
    assert (rows["a1.jpg"]["reason"], rows["a2.jpg"]["reason"]) == ("vanished", "changed")
    assert rows["a1.jpg"]["id"] is None
    assert counts["listed"] == counts["accepted"] + counts["flagged"] + counts["rejected"]


class Watched(FolderSource):
    """A folder that notes which files are read, and can fail."""

    read_paths: ClassVar[list[str]] = []
    failing: ClassVar[set[str]] = set()

    def read(self, entry: Entry) -> bytes:
        if entry.path in self.failing:
            raise SourceUnavailableError(f"{entry.path}: no answer; run again")
        self.read_paths.append(entry.path)
        return super().read(entry)


@pytest.fixture
def watched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    monkeypatch.setattr(Watched, "read_paths", [])
    monkeypatch.setattr(Watched, "failing", set())
    return Watched(folder)


def test_a_new_photo_makes_its_shard_anew_and_is_the_only_one_read(
    folder: Path, tmp_path: Path, watched: Watched
) -> None:
    run(listed(folder), tmp_path / "out", source=watched, shard_photos=4)
    before = contents(tmp_path / "out")
    assert {path for path in watched.read_paths if path not in BROKEN} <= set(manifest(tmp_path / "out"))
    watched.read_paths.clear()
    (folder / "a5b.jpg").write_bytes(encode(colours(77)))
    counts = run(listed(folder), tmp_path / "out", source=watched, shard_photos=4)
    assert counts["accepted"] == PHOTOS + 3
    # Bytes of refused photos are not kept, so those in the same shard are looked at again.
    assert [path for path in watched.read_paths if path not in BROKEN] == ["a5b.jpg"]
    after = contents(tmp_path / "out")
    assert all(after[name] == before[name] for name in before.keys() & after.keys() - {"manifest.parquet"})
    run(listed(folder), tmp_path / "clean", shard_photos=4)
    assert contents(tmp_path / "clean") == after


def test_an_inserted_photo_changes_the_plan_only_around_it() -> None:
    paths = [f"{i}.jpg" for i in range(0, 20_000, 10)]
    settings = IngestSettings(shard_photos=64)

    def names(paths: list[str]) -> list[str]:
        photos = [Photo(Entry(path, 1, "v")) for path in paths]
        return [shard.name for shard in plan(photos, "set", "s3://b", ImageSettings(), settings)]

    before = names(paths)
    assert 32 <= len(before) <= 64
    for at in (0, 500, 1999):
        after = names([*paths[:at], f"{at * 10 + 5}.jpg", *paths[at:]])
        assert len(set(before) - set(after)) <= 6
    assert set(names(paths[1:])) != set(before)


def test_another_policy_asks_the_source_for_nothing_again(folder: Path, tmp_path: Path, watched: Watched) -> None:
    listing = listed(folder)
    run(listing, tmp_path / "out", source=watched)
    watched.read_paths.clear()
    images = ImageSettings(minimum_side=10)
    settings = IngestSettings(maximum_refused=1.0)
    counts = ingest(
        "set", listing, watched, tmp_path / "out", images=images, settings=settings, removals=NONE, workers=1
    )
    assert counts["accepted"] == PHOTOS + 3
    assert set(watched.read_paths) == set(BROKEN) - {"d.NEF"}
    assert len(list((tmp_path / "out").glob("part-*"))) == 1


def test_a_second_run_reads_nothing_and_changes_nothing(folder: Path, tmp_path: Path, watched: Watched) -> None:
    first = run(listed(folder), tmp_path / "out", source=watched, shard_photos=4)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("part-*")}
    watched.read_paths.clear()
    assert run(listed(folder), tmp_path / "out", source=watched, shard_photos=4) == first
    assert watched.read_paths == []
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("part-*")} == before


def test_a_source_that_fails_for_a_while_costs_nothing(folder: Path, tmp_path: Path, watched: Watched) -> None:
    run(listed(folder), tmp_path / "clean", shard_photos=4)
    Watched.failing = {"b-turned.jpg"}
    with pytest.raises(SourceUnavailableError, match="no answer"):
        run(listed(folder), tmp_path / "out", source=watched, shard_photos=4)
    assert not (tmp_path / "out" / "manifest.parquet").exists()
    kept = contents(tmp_path / "out")
    assert len(kept) >= 2
    assert kept.items() <= contents(tmp_path / "clean").items()
    Watched.failing = set()
    watched.read_paths.clear()
    run(listed(folder), tmp_path / "out", source=watched, shard_photos=4)
    assert contents(tmp_path / "out") == contents(tmp_path / "clean")
    assert "a1.jpg" not in watched.read_paths


def test_a_photo_that_could_not_be_had_is_tried_again(folder: Path, tmp_path: Path) -> None:
    listing = listed(folder)
    (folder / "a1.jpg").rename(tmp_path / "aside.jpg")
    assert run(listing, tmp_path / "out")["rejected_by_reason"]["vanished"] == 1
    (tmp_path / "aside.jpg").rename(folder / "a1.jpg")
    assert run(listing, tmp_path / "out")["accepted"] == PHOTOS + 2
    run(listing, tmp_path / "clean")
    assert contents(tmp_path / "out") == contents(tmp_path / "clean")


def test_removed_photos_are_gone_and_come_back_when_they_may(folder: Path, tmp_path: Path) -> None:
    (folder / "c-copy.jpg").write_bytes((folder / "a2.jpg").read_bytes())
    listing = listed(folder)
    run(listing, tmp_path / "out", shard_photos=4)
    before = contents(tmp_path / "out")
    identity = manifest(tmp_path / "out")["a2.jpg"]["id"]
    removals = Removals(ids=frozenset({identity}), paths=frozenset({("set", "a3.jpg"), ("other", "a4.jpg")}))
    counts = run(listing, tmp_path / "out", removals=removals, shard_photos=4)
    assert counts["rejected_by_reason"]["removed"] == 3
    rows = manifest(tmp_path / "out")
    for path in ("a2.jpg", "a3.jpg", "c-copy.jpg"):
        assert (rows[path]["status"], rows[path]["reason"]) == ("rejected", "removed")
        assert rows[path]["thumbnail"] is None
    stored = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
    for path, there in (("a2.jpg", False), ("a3.jpg", False), ("a4.jpg", True)):
        assert ((folder / path).read_bytes() in stored) == there
    assert run(listing, tmp_path / "out", removals=removals, shard_photos=4) == counts
    run(listing, tmp_path / "out", shard_photos=4)
    assert contents(tmp_path / "out") == before


def test_too_many_refusals_stop_with_the_numbers_and_keep_what_is_done(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        TooManyRefusedError, match=r"of 23 listed photos are refused.*1 too-small.*maximum_refused"
    ) as error:
        run(listed(folder), tmp_path / "out", maximum_refused=0.15)
    assert "not-a-photo" not in str(error.value)
    assert not (tmp_path / "out" / "manifest.parquet").exists()
    assert run(listed(folder), tmp_path / "out", maximum_refused=5 / 23)["rejected"] == 7


def test_all_refused_still_makes_a_manifest(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "1.jpg").touch()
    assert run(listed(folder), tmp_path / "out")["rejected_by_reason"] == {"empty": 1}
    assert manifest(tmp_path / "out")["1.jpg"]["reason"] == "empty"


def test_foreign_and_broken_files_in_the_folder_do_no_harm(folder: Path, tmp_path: Path) -> None:
    run(listed(folder), tmp_path / "clean", shard_photos=4)
    run(listed(folder), tmp_path / "out", shard_photos=4)
    shard = sorted((tmp_path / "out").glob("part-*"))[0]
    shard.write_bytes(shard.read_bytes()[:500])
    (tmp_path / "out" / "part-0123456789abcdef.parquet").write_bytes(b"junk")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    (tmp_path / "out" / ".tmp-leftover.parquet").write_bytes(b"half")
    run(listed(folder), tmp_path / "out", shard_photos=4)
    assert contents(tmp_path / "out") == contents(tmp_path / "clean")


def test_a_machine_that_does_not_share_the_folder_hands_the_shard_over(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(listed(folder), tmp_path / "clean", shard_photos=4)
    monkeypatch.setattr(Path, "exists", lambda self: False if "witness" in self.name else self.is_file())
    handed = []
    make = raw_shard.make
    monkeypatch.setattr("colorize.data.ingest.make", lambda job: handed.append(made := make(job)) or made)
    run(listed(folder), tmp_path / "out", shard_photos=4)
    assert handed
    assert all(made.file is not None for made in handed)
    assert contents(tmp_path / "out") == contents(tmp_path / "clean")


def test_tags_and_licences_come_with_their_photos(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "mirflickr/meta/tags").mkdir(parents=True)
    (folder / "mirflickr/meta/license").mkdir()
    for i in (1, 2):
        (folder / f"mirflickr/im{i}.jpg").write_bytes(encode(colours(i)))
    (folder / "mirflickr/meta/tags/tags1.txt").write_text("sky\nblue sea\n\n")
    (folder / "mirflickr/meta/license/license1.txt").write_bytes("Attribution, J\u00f6rg\n".encode())
    settings = DatasetSettings(source=f"file://{folder}", layout="mirflickr25k")
    source = open_source(settings.source, ArchiveSettings())
    listing = make_listing(settings, source, tmp_path / "set.parquet", 1.0)
    assert (listing.number, listing.ignored) == (2, {"sidecar": 2})
    run(listing, tmp_path / "out")
    rows = manifest(tmp_path / "out")
    assert rows["mirflickr/im1.jpg"]["tags"] == ["sky", "blue sea"]
    assert rows["mirflickr/im1.jpg"]["licence"] == "Attribution, Jörg"
    assert (rows["mirflickr/im2.jpg"]["tags"], rows["mirflickr/im2.jpg"]["licence"]) == (None, None)
    (folder / "mirflickr/meta/tags/tags1.txt").write_text("night")
    listing = make_listing(settings, source, tmp_path / "set.parquet", 1.0)
    run(listing, tmp_path / "out")
    assert manifest(tmp_path / "out")["mirflickr/im1.jpg"]["tags"] == ["night"]


def test_large_files_are_refused_unread(folder: Path, tmp_path: Path, watched: Watched) -> None:
    images = ImageSettings(maximum_bytes=1000)
    settings = IngestSettings(maximum_refused=1.0)
    out = tmp_path / "out"
    counts = ingest("set", listed(folder), watched, out, images=images, settings=settings, removals=NONE, workers=1)
    large = {path.name for path in folder.iterdir() if path.stat().st_size > 1000}
    assert large
    assert counts["rejected_by_reason"]["too-many-bytes"] == len(large)
    assert large.isdisjoint(watched.read_paths)
