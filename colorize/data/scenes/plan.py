"""Which file of a sample dataset holds which picture, and which files are special: pure data, no drawing.

Everything about photo number i follows from (dataset, seed, i) alone, never from how many photos there are: asking for
more photos appends files and leaves the others as they were.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Special: TypeAlias = Literal[
    "exact-copy", "re-encoded", "resized", "cropped", "mirrored",
    "grey", "grey-rgb", "grey-copy",
    "rotated", "cmyk", "png", "webp",
    "truncated", "fake-html", "fake-text", "empty", "icon",
]  # fmt: skip
"""What is odd about a file.

- exact-copy: the same bytes as another file; re-encoded, resized, cropped (4 % at most): the same picture in other
  bytes; mirrored: the same picture, left and right exchanged.
- grey: a one-channel JPEG; grey-rgb: no colour in three channels; grey-copy: the grey version of another photo.
- rotated: stored turned, with the EXIF orientation (3, 6 or 8) that puts it upright; cmyk: a JPEG in printing colours;
  png, webp: other formats than the rest.
- truncated: the end of the file is missing; fake-html, fake-text: no picture inside; empty: no bytes; icon: 20 x 20.
"""

SPECIALS: tuple[str, ...] = get_args(Special)
COPIES = ("exact-copy", "re-encoded", "resized", "cropped", "mirrored", "grey-copy")
BROKEN = ("truncated", "fake-html", "fake-text", "empty")

# Kinds of scenes with their weights; what a dataset is mostly about comes first.
MIXES: dict[str, dict[str, int]] = {
    "landscape-image-colorization": {
        "coast": 18, "alps": 13, "meadow": 14, "mountain-lake": 10, "farmland": 9, "desert": 8, "autumn": 7,
        "village": 6, "sunset-sea": 6, "forest": 5, "grey-day": 4,
    },
    "landscape-pictures": {
        "alps": 16, "coast": 13, "sunset-sea": 12, "mountain-lake": 12, "forest": 12, "sunset-hills": 9, "autumn": 9,
        "desert": 6, "meadow": 6, "moonlight": 5,
    },
    "mirflickr25k": {
        "street": 12, "blossom": 14, "village": 13, "still-life": 13, "night-town": 10, "farmland": 10, "meadow": 7,
        "coast": 7, "sunset-hills": 6, "autumn": 4, "grey-day": 4,
    },
}  # fmt: skip

# (what, number of the first photo, every so many photos). The first row that claims a photo has it. All that tests
# need comes within the first 24 photos.
_PERIODS: tuple[tuple[tuple[Special, ...], int, int], ...] = (
    (("exact-copy",), 6, 75),
    (("re-encoded", "cropped", "resized"), 8, 45),
    (("grey", "grey-rgb", "grey-copy"), 10, 48),
    (("rotated",), 12, 40),
    (("truncated",), 14, 110),
    (("fake-html", "fake-text", "empty"), 16, 120),
    (("mirrored",), 18, 140),
    (("cmyk",), 20, 130),
    (("png",), 21, 150),
    (("webp",), 22, 150),
    (("icon",), 23, 250),
)
_ORIENTATIONS = (6, 8, 3)
_SIZES = ((480, 320), (640, 427), (640, 427), (640, 480), (800, 533), (1024, 683))


@dataclass(frozen=True, slots=True)
class Planned:
    """One photo of a sample dataset.

    Attributes:
        path: POSIX path inside the dataset.
        kind: what is drawn, a name of `colorize.data.scenes.KINDS`.
        scene: the seed of the drawing; equal scenes of equal kinds are equal pictures.
        width: pixels of the upright picture as it is drawn (a copy may be scaled or cropped afterwards).
        height: pixels.
        special: what is odd about the file; None for an ordinary photo.
        original: (dataset, path) of the photo that this one is a copy of, or None.
        orientation: the EXIF orientation it is stored with; 1 is upright.
        quality: of the JPEG.
    """

    path: str
    kind: str
    scene: str
    width: int
    height: int
    special: Special | None
    original: tuple[str, str] | None
    orientation: int
    quality: int


def special_of(number: int) -> tuple[Special, int] | None:
    """What is odd about photo `number` (0 is the first) and how often that came before; None for an ordinary one."""
    for kinds, first, period in _PERIODS:
        turn, rest = divmod(number - first, period)
        if turn >= 0 and rest == 0:
            return kinds[turn % len(kinds)], turn
    return None


def planned(name: str, seed: int, number: int) -> Planned:
    """The plan of photo `number` (0 is the first) of a dataset."""
    found = special_of(number)
    if found is None:
        return _ordinary(name, seed, number)
    special, turn = found
    if special in COPIES:
        return _copy(name, seed, number, special, turn)
    plain = _ordinary(name, seed, number)
    path, width, height, orientation = plain.path, plain.width, plain.height, 1
    if special == "rotated":
        orientation = _ORIENTATIONS[turn % len(_ORIENTATIONS)]
    if special == "png" and name == "landscape-pictures":
        path = path.removesuffix(".jpg") + ".png"
    if special == "icon":
        width = height = 20
    return Planned(path, plain.kind, plain.scene, width, height, special, None, orientation, plain.quality)


def _ordinary(name: str, seed: int, number: int) -> Planned:
    scene = f"{seed}/{name}/{number}"
    choice = random.Random(scene)
    width, height = _size(name, choice)
    quality = choice.randrange(86, 95)
    return Planned(_path(name, number), _kind(name, seed, number), scene, width, height, None, None, 1, quality)


def _copy(name: str, seed: int, number: int, special: Special, turn: int) -> Planned:
    other = name
    if special in ("exact-copy", "resized"):
        # Across datasets where that is plausible: photo sites are full of other sites' photos.
        other = {"mirflickr25k": "landscape-pictures", "landscape-pictures": "landscape-image-colorization"}.get(
            name, name
        )
    if special == "exact-copy":
        source = 1 + turn * 9
    elif other == name:
        source = number // 2
    else:
        source = 3 + turn * 8
    while special_of(source) is not None:
        source += 1
    original = _ordinary(other, seed, source)
    path = _path(name, number)
    if other == name == "landscape-pictures":
        # A number for each sort of copy: two of them may have one original.
        count = {"mirrored": 3, "grey-copy": 4}.get(special, 2)
        path = original.path.removesuffix(".jpg") + f"_({count}).jpg"
    quality = original.quality if special == "exact-copy" else 62 if special == "re-encoded" else 84
    return Planned(
        path,
        original.kind,
        original.scene,
        original.width,
        original.height,
        special,
        (other, original.path),
        1,
        quality,
    )


def _kind(name: str, seed: int, number: int) -> str:
    """Kinds in the proportions of the mix, evenly spread however few photos there are (golden-ratio sequence)."""
    mix = MIXES[name]
    start = random.Random(f"{seed}/{name}").getrandbits(32)
    position = ((number * 2654435769 + start) % 2**32) * sum(mix.values())
    for kind, weight in mix.items():
        position -= weight * 2**32
        if position < 0:
            return kind
    raise AssertionError("the weights add up to their sum")


def _size(name: str, choice: random.Random) -> tuple[int, int]:
    if name == "landscape-image-colorization":
        return 150, 150
    upright = choice.random() < (0.12 if name == "landscape-pictures" else 0.25)
    width, height = _SIZES[choice.randrange(len(_SIZES))] if name == "landscape-pictures" else (500, 333)
    return (height, width) if upright else (width, height)


def _path(name: str, number: int) -> str:
    if name == "landscape-image-colorization":
        return f"landscape Images/color/{number}.jpg"
    if name == "landscape-pictures":
        return f"{number:08d}.jpg"
    return f"mirflickr/im{number + 1}.jpg"
