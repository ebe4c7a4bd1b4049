"""Pairs of photos: copies are told from related ones and from others, whichever is named first."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from colorize.data.description import FIELDS
from colorize.data.hashing import describe, packed, turned
from colorize.data.likeness import COPY, OTHER, RELATED, Features, compare, features_of
from colorize.data.manifest import SCHEMA
from colorize.data.scenes import KINDS, draw

COLUMNS = pa.schema([SCHEMA.field(name) for name in FIELDS])
SOME = ("coast", "alps", "forest", "meadow", "village", "street", "still-life")


def features(*pictures: np.ndarray) -> Features:
    rows = [packed(describe(np.ascontiguousarray(rgb))) for rgb in pictures]
    return kept([pa.RecordBatch.from_pylist(rows, schema=COLUMNS)], np.arange(len(rows)))


def kept(batches: list[pa.RecordBatch], places: np.ndarray) -> Features:
    with TemporaryDirectory() as scratch:
        return features_of(batches, places, Path(scratch))


def likeness(one: np.ndarray, other: np.ndarray, turn: int = 0) -> int:
    found = features(one, other)
    result = compare(found, 0, 1, turn)
    assert compare(found, 1, 0, {5: 6, 6: 5}.get(turn, turn)) == result
    return result


def coded(image: Image.Image, quality: int = 85) -> np.ndarray:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def marked(image: Image.Image) -> Image.Image:
    layer = Image.new("RGBA", image.size)
    draw_on = ImageDraw.Draw(layer)
    for y in range(20, image.height, 60):
        draw_on.text((20, y), "sample  sample  sample", (255, 255, 255, 110), font_size=20)
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def stamped(image: Image.Image) -> Image.Image:
    """An opaque red logo in a corner."""
    image = image.copy()
    side = min(image.size) // 5
    right, bottom = image.width - 6, image.height - 6
    ImageDraw.Draw(image).rectangle((right - side, bottom - side, right, bottom), "red")
    return image


def sepia(image: Image.Image) -> Image.Image:
    matrix = (0.393, 0.769, 0.189, 0, 0.349, 0.686, 0.168, 0, 0.272, 0.534, 0.131, 0)
    return image.convert("RGB", matrix)


COPIES: dict[str, Callable[[Image.Image], np.ndarray]] = {
    "quality 20": lambda image: coded(image, 20),
    "half": lambda image: coded(image.resize((image.width // 2, image.height // 2))),
    "other shape": lambda image: coded(image.resize((256, 256))),
    "5 % off one corner": lambda image: coded(image.crop((18, 13, image.width, image.height))),
    "5 % off all sides": lambda image: coded(image.crop((18, 13, image.width - 18, image.height - 13))),
    "white border": lambda image: coded(ImageOps.expand(image, 26, "white")),
    "black border": lambda image: coded(ImageOps.expand(image, 9, "black")),
    "stamped": lambda image: coded(stamped(image)),
    "marked": lambda image: coded(marked(image)),
    "darker": lambda image: coded(ImageEnhance.Brightness(image).enhance(0.7)),
    "brighter": lambda image: coded(ImageEnhance.Brightness(image).enhance(1.2)),
    "flatter": lambda image: coded(ImageEnhance.Contrast(image).enhance(0.75)),
    "harsher": lambda image: coded(ImageEnhance.Contrast(image).enhance(1.3)),
    "tilted": lambda image: coded(image.rotate(2, Image.Resampling.BICUBIC)),
    "paler": lambda image: coded(ImageEnhance.Color(image).enhance(0.7)),
}


@pytest.fixture(scope="module")
def photos() -> dict[str, np.ndarray]:
    return {kind: draw(kind, "likeness", 360, 270) for kind in SOME}


@pytest.mark.parametrize("name", COPIES)
def test_copies_are_found(photos: dict[str, np.ndarray], name: str) -> None:
    found = {kind: likeness(rgb, COPIES[name](Image.fromarray(rgb))) for kind, rgb in photos.items()}
    assert set(found.values()) == {COPY}, found


def test_recoloured_copies_are_related(photos: dict[str, np.ndarray]) -> None:
    for kind in ("coast", "meadow", "village", "still-life"):
        image = Image.fromarray(photos[kind])
        assert likeness(photos[kind], coded(image.convert("L").convert("RGB"))) == RELATED, kind
        assert likeness(photos[kind], coded(sepia(image))) == RELATED, kind
        assert likeness(photos[kind], np.ascontiguousarray(photos[kind][..., ::-1])) == RELATED, kind


@pytest.mark.parametrize("turn", range(1, 8))
def test_turned_copies_are_related(photos: dict[str, np.ndarray], turn: int) -> None:
    for kind, rgb in photos.items():
        other = coded(Image.fromarray(np.ascontiguousarray(turned(rgb, turn))))
        assert likeness(other, rgb, turn) == RELATED, kind
        assert likeness(other, rgb) != COPY, kind


def test_other_pictures_are_other() -> None:
    pictures = [draw(kind, seed, 240, 180) for kind in KINDS for seed in ("a", "b")]
    found = features(*pictures)
    pairs = [(i, j) for j in range(len(pictures)) for i in range(j)]
    results = np.array([compare(found, i, j, 0) for i, j in pairs])
    assert not (results == COPY).any(), [pairs[k] for k in np.flatnonzero(results == COPY)]
    assert np.mean(results == OTHER) > 0.98


def test_parts_of_a_photo_are_no_copies(photos: dict[str, np.ndarray]) -> None:
    for kind, rgb in photos.items():
        left, right = rgb[:, :252], rgb[:, 108:]
        assert likeness(left, right) != COPY, kind
        assert likeness(rgb, left) != COPY, kind
        assert likeness(rgb[:, :170], rgb[:, 190:]) != COPY, kind


def test_noise_is_not_structure() -> None:
    """Two plain pictures, alike but for their grain and a slope, are not taken for copies; one and its copy are."""
    generator = np.random.default_rng(4)
    slope = np.linspace(90, 140, 300)[:, None] + np.linspace(0, 20, 400)[None, :]
    first, second = (
        np.repeat(np.clip(s + generator.normal(0, 4, (300, 400)), 0, 255).astype(np.uint8)[..., None], 3, axis=2)
        for s in (slope, slope.T[::-1][:300, :300].repeat(2, axis=1)[:, :400])
    )
    assert likeness(first, second) != COPY
    assert likeness(first, coded(Image.fromarray(first), 60)) == COPY


def test_a_level_of_noise_changes_nothing(photos: dict[str, np.ndarray]) -> None:
    generator = np.random.default_rng(5)
    for rgb in photos.values():
        noisy = np.clip(rgb.astype(np.int16) + generator.integers(-1, 2, rgb.shape), 0, 255).astype(np.uint8)
        assert likeness(rgb, noisy) == COPY


def test_a_picture_is_a_copy_of_itself_even_if_it_shows_nothing() -> None:
    plain = np.full((60, 80, 3), 128, np.uint8)
    assert likeness(plain, draw("coast", "likeness", 80, 60)) == OTHER
    assert compare(features(draw("coast", "likeness", 80, 60)), 0, 0, 0) == COPY


@pytest.mark.parametrize("strength", [0.7, 1.5])
def test_a_copy_with_weaker_or_stronger_colours_is_a_copy(photos: dict[str, np.ndarray], strength: float) -> None:
    for kind, rgb in photos.items():
        assert likeness(rgb, coded(ImageEnhance.Color(Image.fromarray(rgb)).enhance(strength))) == COPY, kind


def test_a_copy_whose_colours_were_taken_out_is_related_and_copies_of_it_are_copies(
    photos: dict[str, np.ndarray],
) -> None:
    for kind, rgb in photos.items():
        image = Image.fromarray(rgb)
        greyish = coded(ImageEnhance.Color(image).enhance(0.15))
        grey = coded(image.convert("L").convert("RGB"))
        assert likeness(rgb, greyish) == likeness(rgb, grey) == RELATED, kind
        assert likeness(grey, coded(image.convert("L").convert("RGB"), 40)) == COPY, kind


def test_features_are_where_their_places_say(photos: dict[str, np.ndarray]) -> None:
    pictures = list(photos.values())
    rows: list[dict[str, object]] = [packed(describe(rgb)) for rgb in pictures]
    batches = [pa.RecordBatch.from_pylist(some, schema=COLUMNS) for some in (rows[:3], [{}, *rows[3:]])]
    places = np.full(len(rows) + 1, -1)
    chosen = {0: 2, 2: 0, 5: 1}  # the fourth row is that of a refused photo
    places[list(chosen)] = list(chosen.values())
    found = kept([batches[0], batches[1].slice(0, 1), batches[1].slice(1)], places)
    assert len(found.codes) == len(found.thumbnails) == len(chosen)
    for row, k in chosen.items():
        expected = describe(pictures[row - (row > 3)])
        assert (found.codes[k] == expected.codes).all()
        assert (found.turned[k] == expected.turned_codes).all()
        assert (found.thumbnails[k] == expected.thumbnail).all()
        assert (found.colors[k] == expected.colors).all()
        assert (found.boxes[k] == expected.box).all()
    assert len(kept([], np.arange(0)).codes) == 0


def test_refused_photos_have_no_features() -> None:
    with pytest.raises(ValueError, match="1 of 1 photos have no codes"):
        kept([pa.RecordBatch.from_pylist([{}], schema=COLUMNS)], np.arange(1))
