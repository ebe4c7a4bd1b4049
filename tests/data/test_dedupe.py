"""Copies are found, chains do not swallow, and the result does not depend on the order of the rows."""

from __future__ import annotations

import hashlib
import random
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow.dataset import dataset

from colorize.data.dedupe import SCHEMA as GROUPS
from colorize.data.dedupe import group
from colorize.data.hashing import describe, packed
from colorize.data.likeness import COPY, OTHER, RELATED, compare, features_of
from colorize.data.manifest import SCHEMA
from colorize.settings.sections import DedupeSettings

SETTINGS = DedupeSettings()


@lru_cache(maxsize=64)
def picture(seed: int) -> np.ndarray:
    """A colour picture with shapes of all sizes; seeds give unrelated pictures."""
    generator = np.random.default_rng(seed)
    total = np.zeros((96, 128, 3))
    for cells, weight in ((4, 0.5), (9, 0.3), (24, 0.2)):
        noise = Image.fromarray(generator.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        total += weight * np.asarray(noise.resize((128, 96), Image.Resampling.BICUBIC), dtype=float)
    return np.rint(total).astype(np.uint8)


def row(path: str, rgb: np.ndarray, pixels: int = 100, status: str = "accepted", **more: Any) -> dict[str, Any]:
    if status == "rejected":
        return {"dataset": "set", "path": path, "status": status, "reason": "truncated"}
    return {
        "dataset": "set",
        "path": path,
        "id": hashlib.sha256(path.encode()).hexdigest(),
        "status": status,
        "width": pixels,
        "height": 1,
        **packed(describe(np.ascontiguousarray(rgb))),
        **more,
    }


def grouped(rows: list[dict[str, Any]], using: DedupeSettings = SETTINGS) -> tuple[dict[str, dict[str, Any]], dict]:
    with TemporaryDirectory() as scratch:
        table, counts = group(dataset(pa.Table.from_pylist(rows, schema=SCHEMA)), using, Path(scratch))
        assert not list(Path(scratch).iterdir())
    assert table.schema == GROUPS
    assert counts["photos"] == counts["canonical"] + counts["exact_copies"] + counts["near_copies"] == len(table)
    found = table.to_pylist()
    assert sum(entry["canonical"] for entry in found) == counts["canonical"]
    assert {entry["duplicate_group"] for entry in found} == {entry["id"] for entry in found if entry["canonical"]}
    assert len({entry["split_group"] for entry in found}) == counts["split_groups"]
    return {entry["path"]: entry for entry in found}, counts


def mix(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    return np.rint(a * (1 - share) + b * share).astype(np.uint8)


def likeness(one: np.ndarray, other: np.ndarray) -> int:
    batch = pa.RecordBatch.from_pylist([row("1", one), row("2", other)], schema=SCHEMA)
    with TemporaryDirectory() as scratch:
        return int(compare(features_of([batch], np.arange(2), Path(scratch)), 0, 1, 0))


def grey(rgb: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(rgb).convert("L").convert("RGB"))


def test_dark_photos_of_other_things_are_no_copies() -> None:
    # Faint structure in the dark: a few grey levels apart everywhere, whatever they show.
    dark = [picture(seed) // 20 for seed in range(40)]
    found, counts = grouped([row(f"{i}.jpg", rgb) for i, rgb in enumerate(dark)])
    assert counts["near_copies"] == 0
    assert len({entry["split_group"] for entry in found.values()}) == 40


def test_exact_copies_keep_the_first() -> None:
    same = {"id": "a" * 64}
    rows = [row("10.jpg", picture(1), **same), row("9.jpg", picture(1), **same), row("other.jpg", picture(2))]
    found, counts = grouped(rows)
    assert list(found) == ["9.jpg", "10.jpg", "other.jpg"]
    assert [entry["canonical"] for entry in found.values()] == [True, False, True]
    assert counts["exact_copies"] == 1
    assert counts["duplicate_groups"] == 1


def test_near_copies_keep_the_largest_then_the_smallest_id() -> None:
    rows = [
        row("small.jpg", picture(1), pixels=50),
        row("large-b.jpg", picture(1), pixels=200, id="b" * 64),
        row("large-a.jpg", mix(picture(1), picture(2), 0.02), pixels=200, id="a" * 64),
        row("again.jpg", picture(1), pixels=200, id="b" * 64),
    ]
    found, counts = grouped(rows)
    assert {path for path, entry in found.items() if entry["canonical"]} == {"large-a.jpg"}
    assert {entry["duplicate_group"] for entry in found.values()} == {"a" * 64}
    assert counts["near_copies"] == 2
    assert counts["exact_copies"] == 1


def test_copies_cut_and_framed_are_found() -> None:
    photo = picture(3)
    framed = np.pad(photo, ((8, 8), (8, 8), (0, 0)), constant_values=255)
    rows = [row("photo.jpg", photo, 900), row("cut.jpg", photo[4:, 3:-3]), row("framed.jpg", framed)]
    rows += [row(f"{seed}.jpg", picture(seed)) for seed in range(10, 20)]
    found, counts = grouped(rows)
    assert {found[path]["duplicate_group"] for path in ("cut.jpg", "framed.jpg")} == {found["photo.jpg"]["id"]}
    assert counts["near_copies"] == 2


def test_chains_do_not_swallow() -> None:
    # Each step is a copy of the one before; the ends are different pictures.
    chain = [mix(picture(1), picture(2), share) for share in np.linspace(0, 1, 25)]
    found, counts = grouped([row(f"{i:02d}.jpg", rgb, pixels=100 - i) for i, rgb in enumerate(chain)])
    assert counts["canonical"] > 2
    assert counts["near_copies"] > 2
    assert likeness(chain[0], chain[-1]) == OTHER
    by_id = {entry["id"]: path for path, entry in found.items()}
    for path, entry in found.items():
        leader = by_id[entry["duplicate_group"]]
        assert likeness(chain[int(leader[:2])], chain[int(path[:2])]) == COPY
        assert found[leader]["split_group"] == entry["split_group"]


def test_turned_grey_and_similar_photos_are_kept_in_one_split() -> None:
    photo = picture(1)
    similar = photo[..., ::-1]  # in other colours
    assert likeness(photo, similar) == RELATED
    rows = [
        row("photo.jpg", photo),
        row("mirrored.jpg", photo[:, ::-1]),
        row("turned.jpg", np.rot90(photo)),
        row("grey.jpg", grey(photo), pixels=999, status="flagged"),
        row("similar.jpg", similar),
        row("other.jpg", picture(3)),
    ]
    found, counts = grouped(rows)
    assert all(entry["canonical"] for entry in found.values())
    groups = {path: entry["split_group"] for path, entry in found.items()}
    assert len({group for path, group in groups.items() if path != "other.jpg"}) == 1
    assert groups["other.jpg"] != groups["photo.jpg"]
    assert groups["photo.jpg"] == min(found[path]["id"] for path in groups if path != "other.jpg")
    assert counts["turned_pairs"] >= 2
    assert counts["grey_copy_pairs"] >= 1
    assert counts["similar_pairs"] >= 1


def test_what_was_flagged_may_be_a_copy_of_what_was_not() -> None:
    pale = mix(grey(picture(1)), picture(1), 0.1)
    rows = [row("pale.jpg", pale), row("paler.jpg", mix(grey(picture(1)), pale, 0.8), status="flagged", reason="grey")]
    assert grouped(rows)[1]["near_copies"] == 1


def test_a_photo_that_lost_its_colours_is_no_copy() -> None:
    rows = [row("photo.jpg", picture(1)), row("grey.jpg", grey(picture(1)), status="flagged", reason="grey")]
    found, counts = grouped(rows)
    assert counts["near_copies"] == 0
    assert counts["grey_copy_pairs"] == 1
    assert found["photo.jpg"]["split_group"] == found["grey.jpg"]["split_group"]


def test_a_symmetric_photo_is_not_its_own_mirror_copy() -> None:
    half = picture(1)[:, :64]
    assert grouped([row("1.jpg", np.concatenate([half, half[:, ::-1]], axis=1))])[1]["turned_pairs"] == 0


def test_order_of_rows_does_not_matter() -> None:
    rows = [
        row(f"{i}-{k}.jpg", mix(picture(i), picture((i + 1) % 6), 0.06 * k), pixels=100 + k % 2)
        for i in range(6)
        for k in range(5)
    ]
    rows += [row("copy.jpg", picture(0), id=rows[0]["id"]), row("grey.jpg", grey(picture(2)), status="flagged")]
    rows += [row(f"turned-{i}.jpg", np.rot90(picture(i), i)) for i in range(1, 4)]
    expected = grouped(rows)
    assert expected[1]["near_copies"] > 5
    for seed in range(5):
        assert grouped(random.Random(seed).sample(rows, len(rows))) == expected


def test_rows_come_in_natural_order_whatever_is_in_them() -> None:
    rows = [row(f"{number}.jpg", picture(number % 3), pixels=number) for number in (10, 9, 100, 1)]
    rows.append(row("0.jpg", picture(4)) | {"dataset": "another"})
    assert list(grouped(rows)[0]) == ["0.jpg", "1.jpg", "9.jpg", "10.jpg", "100.jpg"]


def test_rejected_rows_take_no_part() -> None:
    found, counts = grouped([row("1.jpg", picture(1)), row("2.jpg", picture(1), status="rejected")])
    assert list(found) == ["1.jpg"]
    assert counts["photos"] == 1


def test_nothing_to_group() -> None:
    assert grouped([])[1]["photos"] == 0
    assert grouped([row("2.jpg", picture(1), status="rejected")])[1]["split_groups"] == 0
