"""The sample datasets: what is listed, what is special, and that every file is what its plan says."""

from __future__ import annotations

import io
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from colorize.data.scenes import files
from colorize.data.scenes.plan import BROKEN, COPIES, MIXES, SPECIALS, Planned
from colorize.data.sources import Entry, PhotoUnavailableError, SourceError, open_source
from colorize.data.sources.layouts import is_photo
from colorize.data.sources.sample import DEFAULT_PHOTOS, SampleSource, write_sample
from colorize.settings.sections import ArchiveSettings

LANDSCAPES, PICTURES, MIRFLICKR = MIXES
NAMES = (LANDSCAPES, PICTURES, MIRFLICKR)


def read(name: str, path: str, photos: int = 400, seed: int = 1) -> bytes:
    return SampleSource(name, photos, seed).read(Entry(path, None, ""))


def special(name: str, kind: str, photos: int = 400) -> Planned:
    return next(photo for photo in SampleSource(name, photos).plan() if photo.special == kind)


def pixels(data: bytes) -> np.ndarray:
    """Upright RGB."""
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")).astype(int)


def test_addresses_with_and_without_parameters() -> None:
    assert SampleSource.from_url("sample://mirflickr25k?photos=24&seed=7") == SampleSource(MIRFLICKR, 24, 7)
    assert SampleSource.from_url("sample://landscape-pictures") == SampleSource(PICTURES, 240, 1)
    assert open_source("sample://mirflickr25k?photos=3", ArchiveSettings()) == SampleSource(MIRFLICKR, 3)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sample://landscape-picture", "did you mean 'landscape-pictures'"),
        ("sample://flowers", "expected one of landscape-image-colorization, landscape-pictures, mirflickr25k"),
        ("sample://", "expected one of"),
        ("sample://mirflickr25k?foto=3", "unknown parameter 'foto'; did you mean 'photos'"),
        ("sample://mirflickr25k?photos=many", "photos='many' is not a whole number"),
        ("sample://mirflickr25k?photos=", "photos='' is not a whole number"),
        ("sample://mirflickr25k?photos=-1", "is not a whole number"),
        ("sample://mirflickr25k?photos=0", "photos=0; expected 1 to"),
        ("sample://mirflickr25k?photos=99999999999", "expected 1 to"),
    ],
)
def test_a_wrong_address_says_what_is_wrong(url: str, message: str) -> None:
    with pytest.raises(SourceError, match="sample://") as caught:
        SampleSource.from_url(url)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("photos", [1, 24, 300, 2000])
def test_the_listing_has_as_many_photos_as_asked_for_and_no_path_twice(name: str, photos: int) -> None:
    entries = list(SampleSource(name, photos).list())
    layout = "flat" if name == PICTURES else name
    assert sum(is_photo(layout, entry.path) == "photo" for entry in entries) == photos
    assert len({entry.path for entry in entries}) == len(entries)
    assert len({entry.version for entry in entries}) == len(entries)


def test_layouts_look_like_the_published_ones() -> None:
    paths = {name: {entry.path for entry in SampleSource(name, 60).list()} for name in NAMES}
    assert {"landscape Images/color/0.jpg", "landscape Images/gray/0.jpg"} <= paths[LANDSCAPES]
    assert {"00000000.jpg", "00000004_(2).jpg"} <= paths[PICTURES]
    assert {"mirflickr/im1.jpg", "mirflickr/im60.jpg", "mirflickr/meta/tags/tags60.txt"} <= paths[MIRFLICKR]


@pytest.mark.parametrize("name", NAMES)
def test_more_photos_leave_the_others_as_they_were(name: str) -> None:
    few, many = SampleSource(name, 30), SampleSource(name, 90)
    assert many.plan()[:30] == few.plan()
    assert {(entry.path, entry.version) for entry in few.list()} < {(e.path, e.version) for e in many.list()}


def test_seed_and_name_change_what_is_listed() -> None:
    versions = [{e.version for e in SampleSource(PICTURES, 5, seed).list()} for seed in (1, 2)]
    assert not versions[0] & versions[1]
    assert read(PICTURES, "00000000.jpg", seed=1) != read(PICTURES, "00000000.jpg", seed=2)


def test_reading_does_not_depend_on_order_process_or_number_of_photos() -> None:
    source = SampleSource(LANDSCAPES, 24)
    entries = list(source.list())[:12]
    forward = {entry.path: source.read(entry) for entry in entries}
    copy = pickle.loads(pickle.dumps(SampleSource(LANDSCAPES, 100)))
    assert {entry.path: copy.read(entry) for entry in reversed(entries)} == forward


def test_a_file_that_is_not_listed_cannot_be_read() -> None:
    with pytest.raises(PhotoUnavailableError, match="im25"):
        read(MIRFLICKR, "mirflickr/im25.jpg", photos=24)


@pytest.mark.parametrize("name", NAMES)
def test_24_photos_hold_every_important_special(name: str) -> None:
    found = {photo.special for photo in SampleSource(name, 24).plan()}
    assert {"exact-copy", "re-encoded", "grey", "rotated", "truncated", "fake-html", "mirrored", "cmyk", "png"} <= found


def test_the_default_numbers_hold_all_specials_in_small_shares() -> None:
    plans = [photo for name, photos in DEFAULT_PHOTOS.items() for photo in SampleSource(name, photos).plan()]
    counts = Counter(photo.special for photo in plans)
    assert set(counts) == {None, *SPECIALS}
    share = {"copies": sum(counts[kind] for kind in COPIES), "broken": sum(counts[kind] for kind in BROKEN)}
    assert 0.03 < share["copies"] / len(plans) < 0.07
    assert 0.01 < share["broken"] / len(plans) < 0.03
    assert 0.015 < (counts["grey"] + counts["grey-rgb"] + counts["grey-copy"]) / len(plans) < 0.035


@pytest.mark.parametrize("photos", [24, 240])
def test_originals_are_ordinary_photos_that_exist_when_all_sets_are_as_large(photos: int) -> None:
    plans = {name: {photo.path: photo for photo in SampleSource(name, photos).plan()} for name in NAMES}
    for name in NAMES:
        for photo in plans[name].values():
            assert (photo.original is not None) == (photo.special in COPIES)
            if photo.original is not None:
                dataset, path = photo.original
                original = plans[dataset][path]
                assert original.special is None
                assert (original.kind, original.scene) == (photo.kind, photo.scene)


@pytest.mark.parametrize("name", NAMES)
def test_kinds_are_mixed_as_the_dataset_says_even_when_there_are_few(name: str) -> None:
    counts = Counter(photo.kind for photo in SampleSource(name, 200).plan() if photo.original is None)
    total = sum(MIXES[name].values())
    for kind, weight in MIXES[name].items():
        assert counts[kind] == pytest.approx(sum(counts.values()) * weight / total, abs=6), kind


@pytest.mark.parametrize("name", NAMES)
def test_exact_copies_have_the_bytes_of_their_original(name: str) -> None:
    copy = special(name, "exact-copy")
    assert copy.original is not None
    dataset, path = copy.original
    assert (dataset, path) != (name, copy.path)
    assert read(name, copy.path) == read(dataset, path)


def test_exact_copies_cross_datasets() -> None:
    assert special(MIRFLICKR, "exact-copy").original == (PICTURES, "00000001.jpg")
    assert special(PICTURES, "exact-copy").original == (LANDSCAPES, "landscape Images/color/1.jpg")


@pytest.mark.parametrize("kind", ["re-encoded", "cropped", "resized", "mirrored", "grey-copy"])
@pytest.mark.parametrize("name", [LANDSCAPES, MIRFLICKR])
def test_near_copies_show_the_same_picture_in_other_bytes(name: str, kind: str) -> None:
    copy = special(name, kind)
    assert copy.original is not None
    data, original = read(name, copy.path), read(copy.original[0], copy.original[1])
    assert data != original
    small = [Image.fromarray(pixels(d).astype(np.uint8)).convert("L").resize((16, 16)) for d in (data, original)]
    first, second = (np.asarray(image).astype(int) for image in small)
    if kind == "mirrored":
        assert np.abs(first - second).mean() > 5
        first = first[:, ::-1]
    assert np.abs(first - second).mean() < 5


def test_a_crop_takes_at_most_four_percent() -> None:
    copy = special(MIRFLICKR, "cropped")
    height, width = pixels(read(MIRFLICKR, copy.path)).shape[:2]
    assert 0.96 <= width / copy.width < 1
    assert 0.96 <= height / copy.height < 1


@pytest.mark.parametrize("name", NAMES)
def test_rotated_files_are_upright_once_turned(name: str) -> None:
    rotated = [photo for photo in SampleSource(name, 130).plan() if photo.special == "rotated"][:3]
    assert {photo.orientation for photo in rotated} == {3, 6, 8}
    for photo in rotated:
        data = read(name, photo.path)
        assert Image.open(io.BytesIO(data)).getexif()[0x0112] == photo.orientation
        upright = pixels(data)
        assert upright.shape == (photo.height, photo.width, 3)
        assert np.abs(upright - np.asarray(files.photo(photo)).astype(int)).mean() < 6


def test_formats_and_modes_are_what_the_plan_says() -> None:
    for kind, image_format, mode in (
        ("grey", "JPEG", "L"),
        ("grey-rgb", "JPEG", "RGB"),
        ("grey-copy", "JPEG", "L"),
        ("cmyk", "JPEG", "CMYK"),
        ("png", "PNG", "RGB"),
        ("webp", "WEBP", "RGB"),
    ):
        photo = special(MIRFLICKR, kind)
        data = read(MIRFLICKR, photo.path)
        image = Image.open(io.BytesIO(data))
        assert (image.format, image.mode) == (image_format, mode), kind
        assert np.abs(pixels(data) - np.asarray(files.photo(photo).convert("RGB")).astype(int)).mean() < 8, kind
    assert special(PICTURES, "png").path.endswith(".png")


def test_icons_are_tiny() -> None:
    assert pixels(read(PICTURES, special(PICTURES, "icon").path)).shape == (20, 20, 3)


@pytest.mark.parametrize("name", NAMES)
def test_broken_files_cannot_be_decoded(name: str) -> None:
    for kind in BROKEN:
        data = read(name, special(name, kind).path)
        with pytest.raises(OSError, match=r"truncated|cannot identify"):
            Image.open(io.BytesIO(data)).load()
    assert read(name, special(name, "empty").path) == b""


def test_grey_twins_show_their_colour_photo() -> None:
    colour, twin = (read(LANDSCAPES, f"landscape Images/{folder}/2.jpg") for folder in ("color", "gray"))
    assert Image.open(io.BytesIO(twin)).mode == "L"
    grey = np.asarray(Image.open(io.BytesIO(colour)).convert("L")).astype(int)
    assert np.abs(pixels(twin)[..., 0] - grey).mean() < 4


@pytest.mark.parametrize("name", NAMES)
def test_a_written_sample_has_the_files_of_the_listing(name: str, tmp_path: Path) -> None:
    write_sample(name, 4, 1, tmp_path)
    source = SampleSource(name, 4)
    written = {path.relative_to(tmp_path).as_posix(): path for path in tmp_path.rglob("*") if path.is_file()}
    assert set(written) == {entry.path for entry in source.list()}
    entry = next(source.list())
    assert written[entry.path].read_bytes() == source.read(entry)
