"""LAB shards: the plan, the pixels, the bytes whatever happened before, and the check of every byte."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from colorize.color import rgb_to_lab_code
from colorize.data import manifest
from colorize.data.raw_shard import RAW_SCHEMA
from colorize.data.shard_file import Shard, as_tensor
from colorize.data.shard_pixels import lab_square, make_row
from colorize.data.shard_plan import FORMAT, Photo, cut
from colorize.data.shards import PhotoLostError, build, plan, verify
from colorize.images import Rejection, decode
from colorize.images.resizing import resize
from colorize.settings.sections import ImageSettings, ShardSettings

SIZE = 16
SETTINGS = ShardSettings(size=SIZE, rows=12, row_group=5, compression="none")
IMAGES = ImageSettings(minimum_side=8)


def photo(number: int) -> bytes:
    """A small JPEG of its own; landscape and portrait in turns."""
    generator = np.random.default_rng(number)
    shape = (24, 33, 3) if number % 2 else (31, 22, 3)
    stream = io.BytesIO()
    Image.fromarray(generator.integers(0, 256, shape, dtype=np.uint8)).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def write_raw(raw: Path, dataset: str, photos: dict[str, bytes]) -> list[dict[str, object]]:
    """Raw shards of 12 photos in row groups of 5, and their manifest; returns its rows."""
    (raw / dataset).mkdir(parents=True)
    rows: list[dict[str, object]] = []
    paths = sorted(photos, key=manifest.natural_key)
    for number, start in enumerate(range(0, len(paths), 12)):
        name = f"part-{number:05d}.parquet"
        known = {"dataset": dataset, "version": "1", "status": "accepted"}
        part = [
            {**known, "id": hashlib.sha256(photos[p]).hexdigest(), "path": p, "data": photos[p]}
            for p in paths[start:][:12]
        ]
        pq.write_table(pa.Table.from_pylist(part, RAW_SCHEMA), raw / dataset / name, row_group_size=5)
        for row, values in enumerate(part):
            del values["data"]
            rows.append({**values, "shard": name, "row": row})
    pq.write_table(pa.Table.from_pylist(rows, manifest.SCHEMA), raw / dataset / manifest.FILE_NAME)
    return rows


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pa.Table]:
    """Raw shards of two datasets, and the splits of most of their photos, in no particular order."""
    raw = tmp_path_factory.mktemp("source") / "raw"
    rows = write_raw(raw, "trees", {f"im{number}.jpg": photo(number) for number in range(40)})
    rows += write_raw(raw, "birds", {f"a/{number}.JPG": photo(100 + number) for number in range(17)})
    names = ["train", "train", "test", "train", "validation"]
    splits = [
        {**{key: row[key] for key in ("dataset", "path", "id")}, "split": names[number % 5]}
        for number, row in enumerate(rows)
        if number % 11 != 3  # copies and flagged photos are in no split
    ]
    order = np.random.default_rng(0).permutation(len(splits))
    return raw, pa.Table.from_pylist([splits[index] for index in order])


@pytest.fixture(scope="module")
def built(source: tuple[Path, pa.Table], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shards of `source`, made in this process; not to be changed."""
    out = tmp_path_factory.mktemp("built") / "lab"
    build(*source, out, SETTINGS, IMAGES, workers=1)
    return out


@pytest.fixture
def lab(built: Path, tmp_path: Path) -> Path:
    """A copy of the shards to be changed."""
    return Path(shutil.copytree(built, tmp_path / "lab"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def identities(count: int, salt: str = "") -> list[Photo]:
    return [Photo(hashlib.sha256(f"{salt}{number}".encode()).hexdigest(), f"{number}.jpg") for number in range(count)]


# The plan


def test_the_plan_names_every_photo_once_in_natural_order(source: tuple[Path, pa.Table]) -> None:
    splits = source[1]
    plans = list(plan(splits, SETTINGS))
    planned = [(p.dataset, photo.path, photo.id, p.split) for p in plans for photo in p.photos]
    assert sorted(planned) == sorted(tuple(row.values()) for row in splits.to_pylist())
    trees = [photo.path for p in plans for photo in p.photos if (p.split, p.dataset) == ("train", "trees")]
    assert trees == sorted(trees, key=lambda path: int(path[2:-4]))
    assert len(trees) > len({p.path for p in plans if (p.split, p.dataset) == ("train", "trees")}) > 1
    assert [p.split for p in plans] == sorted((p.split for p in plans), key=["train", "validation", "test"].index)
    assert list(plan(splits.take(np.arange(splits.num_rows)[::-1]), SETTINGS)) == plans


@given(st.integers(0, 200), st.integers(1, 40))
def test_cuts_keep_the_sequence(count: int, rows: int) -> None:
    photos = identities(count)
    parts = list(cut(photos, rows))
    assert [photo for part in parts for photo in part] == photos
    assert all(len(part) <= rows for part in parts)
    assert all(len(part) >= rows / 2 for part in parts[:-1])


@given(st.integers(1, 150), st.integers(1, 100), st.integers(1, 40))
def test_appended_photos_rewrite_the_tail_only(count: int, more: int, rows: int) -> None:
    photos = identities(count + more)
    before, after = list(cut(photos[:count], rows)), list(cut(photos, rows))
    assert after[: len(before) - 1] == before[:-1]


def test_an_inserted_photo_leaves_most_shards_as_they_were() -> None:
    photos = identities(2000)
    before = set(cut(photos, 40))
    after = set(cut([*photos[:100], *identities(1, "new"), *photos[100:]], 40))
    assert len(before & after) > 0.8 * len(before)


def test_what_decides_the_bytes_is_in_the_plan_digest(source: tuple[Path, pa.Table]) -> None:
    def digests(**changed: object) -> set[object]:
        return {p.header()["plan"] for p in plan(source[1], SETTINGS.model_copy(update=changed))}

    assert len(digests()) == len(list(plan(source[1], SETTINGS)))
    for change in ({"size": 24}, {"row_group": 6}, {"compression": "zstd"}, {"protocol": "resize"}):
        assert not digests() & digests(**change)
    assert digests() & digests(rows=13) != set()  # the same photos in a shard are the same shard


def test_a_plan_refuses_what_makes_no_sense() -> None:
    row = {"dataset": "d", "path": "a.jpg", "id": "ab" * 32, "split": "train"}
    with pytest.raises(ValueError, match=f"id {'ab' * 8}… is in the splits 2 times"):
        list(plan(pa.Table.from_pylist([row, row | {"path": "b.jpg"}]), SETTINGS))
    with pytest.raises(ValueError, match=r"d/a\.jpg: split is 'dev'"):
        list(plan(pa.Table.from_pylist([row | {"split": "dev"}]), SETTINGS))
    with pytest.raises(ValueError, match="set row_group to at most 1023"):
        list(plan(pa.Table.from_pylist([row]), ShardSettings(size=1024, row_group=1024)))


# The pixels


def jpeg(rgb: np.ndarray, **how: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "JPEG", **{"quality": 95, **how})
    return stream.getvalue()


def png(rgb: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "PNG")
    return stream.getvalue()


def scene(height: int, width: int) -> np.ndarray:
    """Something as smooth as a photo, with edges."""
    coarse = np.random.default_rng(5).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    picture = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)).copy()
    picture[height // 3 : height // 2, width // 4 : width // 2] //= 3
    return picture


def code_of(rgb: np.ndarray) -> np.ndarray:
    l, ab = rgb_to_lab_code(rgb)  # noqa: E741
    return np.concatenate([l[..., None], ab], axis=-1)


def resized(rgb: np.ndarray, size: int) -> np.ndarray:
    """By the filter that tests/test_resizing.py compares with Pillow's."""
    return resize(rgb[None], size).transpose(1, 2, 0)


def test_the_middle_square_is_made_smaller_and_coded() -> None:
    rgb = np.random.default_rng(3).integers(0, 256, (30, 47, 3), dtype=np.uint8)
    found = lab_square(rgb, SIZE).transpose(1, 2, 0)
    np.testing.assert_array_equal(found, code_of(resized(rgb[:, 8:38], SIZE)))


def test_a_smaller_square_is_coded_and_made_larger() -> None:
    rgb = scene(20, 13)
    found = lab_square(rgb, SIZE).transpose(1, 2, 0)
    np.testing.assert_array_equal(found, resized(code_of(rgb[3:16]), SIZE))


def test_a_square_of_the_right_size_is_coded() -> None:
    rgb = scene(SIZE, SIZE + 5)
    np.testing.assert_array_equal(lab_square(rgb, SIZE).transpose(1, 2, 0), code_of(rgb[:, 2 : SIZE + 2]))


def test_the_whole_photo_is_squeezed_where_that_is_the_protocol() -> None:
    rgb = scene(30, 47)
    row = make_row("x", png(rgb), ShardSettings(size=SIZE, protocol="resize"), IMAGES)
    assert not isinstance(row, Rejection)
    whole = code_of(np.asarray(Image.fromarray(rgb).resize((SIZE, SIZE), Image.Resampling.BICUBIC)))
    planes = np.frombuffer(row.l + row.ab, np.uint8).reshape(3, SIZE, SIZE)
    np.testing.assert_array_equal(planes.transpose(1, 2, 0), whole)
    assert (row.width, row.height) == (47, 30)
    assert row != make_row("x", png(rgb), ShardSettings(size=SIZE), IMAGES)


def test_a_row_holds_the_pixels_and_the_size_of_the_photo() -> None:
    data = jpeg(scene(30, 47))
    row = make_row("x", data, SETTINGS, IMAGES)
    assert not isinstance(row, Rejection)
    assert (row.id, row.width, row.height) == ("x", 47, 30)
    square = lab_square(np.asarray(Image.open(io.BytesIO(data))), SIZE)
    assert (row.l, row.ab) == (square[0].tobytes(), square[1:].tobytes())


@pytest.mark.parametrize(
    ("height", "width", "scale"), [(60, 90, 1), (64, 90, 2), (99, 63, 2), (125, 200, 4), (250, 251, 8)]
)
def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size(height: int, width: int, scale: int) -> None:
    data = jpeg(scene(height, width))
    row = make_row("x", data, SETTINGS, IMAGES)
    assert not isinstance(row, Rejection)
    assert (row.width, row.height) == (width, height)
    image = Image.open(io.BytesIO(data))
    image.draft(None, (width // scale, height // scale))
    assert image.size == (-(-width // scale), -(-height // scale))
    square = lab_square(np.asarray(image), SIZE)
    assert (row.l, row.ab) == (square[0].tobytes(), square[1:].tobytes())


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_few_pixels_of_a_large_jpeg_look_like_many(mode: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    Image.fromarray(scene(256, 320)).convert(mode).save(stream, "JPEG", quality=95, exif=exif)
    whole = decode(stream.getvalue(), IMAGES)
    assert isinstance(whole, np.ndarray)
    row = make_row("x", stream.getvalue(), ShardSettings(size=64), IMAGES)
    assert not isinstance(row, Rejection)
    assert (row.height, row.width) == whole.shape[:2] == ((256, 320) if orientation == 1 else (320, 256))
    wanted = lab_square(whole, 64).astype(int)
    found = np.frombuffer(row.l + row.ab, np.uint8).reshape(3, 64, 64).astype(int)
    assert np.abs(found - wanted).mean() < 1


def test_a_photo_that_is_refused() -> None:
    data = jpeg(scene(64, 64))
    refused = make_row("x", data[: len(data) // 2], SETTINGS, IMAGES)
    assert isinstance(refused, Rejection)
    assert refused.reason == "truncated"


def test_pixels_have_not_changed() -> None:
    side = np.arange(300, dtype=np.uint32)
    red, green = np.meshgrid(side, side[:200], indexing="ij")
    rgb = np.stack([red * red // 7 + green, red * 3 ^ green * 5, green * green // 3], axis=-1).astype(np.uint8)
    digest = hashlib.sha256(lab_square(rgb, 64).tobytes() + lab_square(rgb[:40, :50], 64).tobytes()).hexdigest()
    # If this is meant to change, raise colorize.data.shard_plan.FORMAT with it, or old shards will be kept.
    assert digest == "e58be5136c4a72f5286a75ba2e5c307c76956fd16807e522304917beefcf1a43"


# The files


def test_every_photo_is_there_with_its_pixels(source: tuple[Path, pa.Table], built: Path) -> None:
    photos = {hashlib.sha256(photo(n)).hexdigest(): photo(n) for n in (*range(40), *range(100, 117))}
    seen = {}
    for path in built.rglob("*.parquet"):
        for row in Shard(path).table().to_pylist():
            seen[row["id"]] = (path.parts[-3], path.parts[-2])
            made = make_row("", photos[row["id"]], SETTINGS, IMAGES)
            assert not isinstance(made, Rejection)
            assert (row["l"], row["ab"], row["width"], row["height"]) == (made.l, made.ab, made.width, made.height)
    wanted = {row["id"]: (f"split={row['split']}", f"dataset={row['dataset']}") for row in source[1].to_pylist()}
    assert seen == wanted


def test_the_index_adds_up(source: tuple[Path, pa.Table], built: Path) -> None:
    result = build(*source, built, SETTINGS, IMAGES, workers=1)
    index = result.index
    assert (result.written, result.removed) == (0, 0)
    assert sum(index["photos"].values()) == source[1].num_rows == sum(s["rows"] for s in index["shards"])
    for shard in index["shards"]:
        assert sum(shard["row_groups"]) == shard["rows"]
        assert set(shard["row_groups"][:-1]) <= {5}
        assert shard["bytes"] == (built / shard["path"]).stat().st_size


def test_layout_in_the_file(built: Path) -> None:
    path = next(built.rglob("*.parquet"))
    metadata = pq.read_metadata(path)
    for number in range(metadata.num_row_groups):
        for column in range(metadata.num_columns):
            chunk = metadata.row_group(number).column(column)
            assert chunk.compression == "UNCOMPRESSED"
            assert not chunk.is_stats_set
            assert not chunk.has_dictionary_page
    header = Shard(path).header
    assert (header["format"], header["height"], header["width"], header["white_point"]) == (FORMAT, SIZE, SIZE, "D65/2")


@pytest.mark.parametrize("workers", [2, 4])
def test_the_number_of_workers_changes_no_byte(
    source: tuple[Path, pa.Table], built: Path, tmp_path: Path, workers: int
) -> None:
    build(*source, tmp_path / "lab", SETTINGS, IMAGES, workers=workers)
    assert contents(tmp_path / "lab") == contents(built)


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_compression_changes_only_how_it_is_stored(
    source: tuple[Path, pa.Table], built: Path, tmp_path: Path, compression: str
) -> None:
    settings = SETTINGS.model_copy(update={"compression": compression})
    plain = build(*source, built, SETTINGS, IMAGES, workers=1).index
    index = build(*source, tmp_path, settings, IMAGES, workers=1).index
    assert index["digest"] == plain["digest"]
    assert [s["logical"] for s in index["shards"]] == [s["logical"] for s in plain["shards"]]
    path = index["shards"][0]["path"]
    for number in range(len(Shard(built / path).row_groups)):
        ours, theirs = Shard(tmp_path / path).read(number), Shard(built / path).read(number)
        assert ours.ids == theirs.ids
        np.testing.assert_array_equal(ours.l, theirs.l)
        np.testing.assert_array_equal(ours.ab, theirs.ab)
    assert verify(tmp_path) == []


def damage_nothing(lab: Path) -> None: ...


def damage_remove_shard(lab: Path) -> None:
    next(lab.rglob("*.parquet")).unlink()


def damage_flip(lab: Path) -> None:
    path = next(lab.rglob("*.parquet"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)


def damage_created_by(lab: Path) -> None:
    path = next(lab.rglob("*.parquet"))
    path.write_bytes(path.read_bytes().replace(b"parquet-cpp", b"parquet-CPP"))


def damage_cut(lab: Path) -> None:
    path = next(lab.rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-100])


def damage_empty(lab: Path) -> None:
    next(lab.rglob("*.parquet")).write_bytes(b"")


def damage_no_index(lab: Path) -> None:
    (lab / "index.json").unlink()


def damage_index(lab: Path) -> None:
    (lab / "index.json").write_text('{"shards": [{}, 3]}')


def damage_other_files(lab: Path) -> None:
    (lab / "split=train" / "dataset=old").mkdir()
    shutil.copy(next(lab.rglob("*.parquet")), lab / "split=train" / "dataset=old" / "part-00000.parquet")
    (lab / ".tmp-0123456789ab.parquet").write_bytes(b"half")


def damage_swap(lab: Path) -> None:
    first, second = sorted(lab.rglob("*.parquet"))[:2]
    shutil.copy(first, second)


DAMAGES = [value for name, value in list(globals().items()) if name.startswith("damage_")]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda function: function.__name__)
def test_a_rerun_mends_anything(
    source: tuple[Path, pa.Table], built: Path, lab: Path, damage: Callable[[Path], None]
) -> None:
    damage(lab)
    assert bool(verify(lab)) == (damage is not damage_nothing)
    build(*source, lab, SETTINGS, IMAGES, workers=1)
    assert contents(lab) == contents(built)
    assert {path.name for path in lab.rglob("*") if path.is_dir()} == {
        path.name for path in built.rglob("*") if path.is_dir()
    }


def test_other_settings_leave_nothing_of_the_old(source: tuple[Path, pa.Table], lab: Path, tmp_path: Path) -> None:
    settings = ShardSettings(size=24, rows=30, row_group=8, compression="none")
    fresh = build(*source, tmp_path / "fresh", settings, IMAGES, workers=1)
    changed = build(*source, lab, settings, IMAGES, workers=1)
    assert contents(lab) == contents(tmp_path / "fresh")
    assert (changed.kept, changed.written) == (0, fresh.written)
    assert changed.removed > 0


def test_added_photos_keep_the_shards_before_them(source: tuple[Path, pa.Table], tmp_path: Path) -> None:
    raw, splits = source
    without = splits.filter(pa.array([row["path"] not in ("im38.jpg", "im39.jpg") for row in splits.to_pylist()]))
    first = build(raw, without, tmp_path, SETTINGS, IMAGES, workers=1)
    second = build(raw, splits, tmp_path, SETTINGS, IMAGES, workers=1)
    assert 1 <= second.written <= 2
    assert second.kept >= first.written - 2


# What was vouched for and is gone


def test_a_photo_that_is_lost_is_named(source: tuple[Path, pa.Table], tmp_path: Path) -> None:
    raw, splits = source
    more = pa.Table.from_pylist(
        [*splits.to_pylist(), {"dataset": "birds", "path": "no.jpg", "id": "0" * 64, "split": "test"}]
    )
    with pytest.raises(PhotoLostError, match=rf"birds/no\.jpg \(id {'0' * 64}\) is in the splits but not in"):
        build(raw, more, tmp_path / "lab", SETTINGS, IMAGES, workers=1)
    assert not (tmp_path / "lab" / "index.json").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"GIF89a", r"flat/a\.jpg \(id .*refused"), (None, r"flat/a\.jpg \(id .*other bytes than at ingest")],
)
def test_a_photo_that_went_bad_is_named(tmp_path: Path, data: bytes | None, message: str) -> None:
    raw = tmp_path / "raw"
    (row,) = write_raw(raw, "flat", {"a.jpg": data or photo(1)})
    if data is None:
        path = raw / "flat" / "part-00000.parquet"
        table = pq.read_table(path).to_pylist()
        pq.write_table(pa.Table.from_pylist([table[0] | {"data": photo(2)}], RAW_SCHEMA), path)
    splits = pa.Table.from_pylist([{"dataset": "flat", "path": "a.jpg", "id": row["id"], "split": "train"}])
    with pytest.raises(PhotoLostError, match=message):
        build(raw, splits, tmp_path / "lab", SETTINGS, IMAGES, workers=1)
    assert contents(tmp_path / "lab") == {}


# As tensors


def test_as_tensor_copies_nothing(built: Path) -> None:
    column = Shard(next(built.rglob("*.parquet"))).table()["ab"].chunk(0)
    tensor = as_tensor(column, (2, SIZE, SIZE))
    assert tensor.type.shape == [2, SIZE, SIZE]
    pixels = tensor.to_numpy_ndarray()
    assert pixels.ctypes.data == column.buffers()[1].address
    assert pixels[-1].tobytes() == column[-1].as_py()
    part = as_tensor(column.slice(1, 2), (2, SIZE, SIZE)).to_numpy_ndarray()
    np.testing.assert_array_equal(part, pixels[1:3])


# Kills


_BUILD = """
import sys
from pathlib import Path
import pyarrow.parquet as pq
from colorize.data.shards import build
from colorize.images import Rejection, decode
from colorize.settings.sections import ImageSettings, ShardSettings
if __name__ == "__main__":
    raw, splits, out = map(Path, sys.argv[1:])
    settings = ShardSettings(size=16, rows=12, row_group=5, compression="none")
    print("ready", flush=True)
    build(raw, pq.read_table(splits), out, settings, ImageSettings(minimum_side=8), workers=2)
"""


@pytest.mark.slow
def test_any_history_of_kills_ends_in_the_same_bytes(
    source: tuple[Path, pa.Table], built: Path, tmp_path: Path
) -> None:
    pq.write_table(source[1], tmp_path / "splits.parquet")
    (tmp_path / "program.py").write_text(_BUILD)
    arguments = [source[0], tmp_path / "splits.parquet", tmp_path / "lab"]
    command = [sys.executable, str(tmp_path / "program.py"), *map(str, arguments)]
    interrupted = 0
    for number in range(12):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.15 * number)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        index = tmp_path / "lab" / "index.json"
        interrupted += not index.exists()
        for path in (tmp_path / "lab").rglob("part-*.parquet"):
            assert path.read_bytes() == (built / path.relative_to(tmp_path / "lab")).read_bytes()
    assert interrupted > 2
    build(*source, tmp_path / "lab", SETTINGS, IMAGES, workers=1)
    assert contents(tmp_path / "lab") == contents(built)
