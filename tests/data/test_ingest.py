"""Every listed photo ends up in the manifest, its bytes unchanged in a raw shard, whatever the number of workers."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from colorize.data.ingest import ingest, is_grey
from colorize.data.manifest import SCHEMA
from colorize.data.sources.listing import Listing, list_dataset
from colorize.settings.sections import DatasetSettings, ImageSettings, IngestSettings

PHOTOS = 13
BROKEN = {"b-cut.jpg": "truncated", "b-empty.jpg": "empty", "b-page.jpg": "not-an-image", "b-tiny.png": "too-small"}


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
    return folder


def listed(folder: Path) -> Listing:
    return list_dataset(DatasetSettings(source=f"file://{folder}"))


def run(listing: Listing, out: Path, workers: int = 1, **cuts: int) -> dict[str, Any]:
    return ingest("set", listing, out, ImageSettings(), IngestSettings(**cuts), workers=workers)


def manifest(out: Path) -> dict[str, dict[str, Any]]:
    table = pq.read_table(out / "manifest.parquet")
    assert table.schema.equals(SCHEMA)
    return {row["path"]: row for row in table.to_pylist()}


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_every_photo_is_accounted_for(folder: Path, tmp_path: Path) -> None:
    counts = run(listed(folder), tmp_path / "out")
    assert counts == {
        "listed": PHOTOS + 7,
        "accepted": PHOTOS + 2,
        "flagged": 1,
        "rejected": 4,
        "flagged_by_reason": {"grey": 1},
        "rejected_by_reason": dict.fromkeys(BROKEN.values(), 1),
        "ignored": {},
    }
    rows = manifest(tmp_path / "out")
    assert list(rows)[:PHOTOS] == [f"a{i}.jpg" for i in range(1, PHOTOS + 1)]
    assert {path: rows[path]["reason"] for path in BROKEN} == BROKEN
    for path in BROKEN:
        assert rows[path]["shard"] is None
        assert rows[path]["code"] is None
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
        assert row["id"] == hashlib.sha256(data).hexdigest()
        assert row["bytes"] == len(data)
        if row["shard"]:
            stored = pq.read_table(tmp_path / "out" / row["shard"]).slice(row["row"], 1).to_pylist()[0]
            assert stored == {"id": row["id"], "path": path, "data": data}


def test_shards_and_row_groups_are_cut_as_asked(folder: Path, tmp_path: Path) -> None:
    run(listed(folder), tmp_path / "out", shard_bytes=5000, row_group=3)
    files = sorted((tmp_path / "out").glob("part-*.parquet"))
    assert [file.name for file in files] == [f"part-{i:05d}.parquet" for i in range(len(files))]
    assert len(files) > 2
    for file in files:
        parquet = pq.ParquetFile(file)
        sizes = [len(value) for value in parquet.read()["data"].to_pylist()]
        assert sum(sizes[:-1]) < 5000
        assert file is files[-1] or sum(sizes) >= 5000
        groups = [parquet.metadata.row_group(i).num_rows for i in range(parquet.num_row_groups)]
        assert all(number == 3 for number in groups[:-1])
        assert groups[-1] <= 3


@pytest.mark.parametrize("workers", [2, 4])
def test_bytes_do_not_depend_on_the_number_of_workers(folder: Path, tmp_path: Path, workers: int) -> None:
    run(listed(folder), tmp_path / "one", workers=1, shard_bytes=5000)
    run(listed(folder), tmp_path / "many", workers=workers, shard_bytes=5000)
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


def test_appended_photos_rewrite_only_the_tail(folder: Path, tmp_path: Path) -> None:
    run(listed(folder), tmp_path / "before", shard_bytes=5000)
    (folder / "c-new.jpg").write_bytes(encode(colours(77)))
    run(listed(folder), tmp_path / "after", shard_bytes=5000)
    before, after = contents(tmp_path / "before"), contents(tmp_path / "after")
    unchanged = sorted(before)[1:-1]
    assert all(name.startswith("part-") for name in unchanged)
    assert all(after[name] == before[name] for name in unchanged)
    assert after["manifest.parquet"] != before["manifest.parquet"]


def test_all_rejected_still_makes_a_manifest(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "1.jpg").touch()
    assert run(listed(folder), tmp_path / "out")["rejected_by_reason"] == {"empty": 1}
    assert list(contents(tmp_path / "out")) == ["manifest.parquet"]


def test_grey_is_judged_by_the_most_colourful_hundredth() -> None:
    grey = np.repeat(colours(1, 100, 100)[..., :1], 3, axis=-1)
    assert is_grey(grey, 4.0)
    assert not is_grey(colours(1, 100, 100), 4.0)
    spot = grey.copy()
    spot[:9, :11] = (200, 40, 40)
    assert is_grey(spot, 4.0)
    spot[:10, :10] = (200, 40, 40)
    assert not is_grey(spot, 4.0)
    tinted = np.clip(grey + np.array([2, 0, -2]), 0, 255).astype(np.uint8)
    assert is_grey(tinted, 4.0)
    assert not is_grey(tinted, 0.5)


def test_large_photos_are_judged_like_small_ones() -> None:
    large = np.asarray(Image.fromarray(colours(3)).resize((900, 600)))
    assert not is_grey(large, 4.0)
    assert is_grey(np.repeat(large[..., :1], 3, axis=-1), 4.0)
