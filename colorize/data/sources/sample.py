"""The embedded datasets: `sample://NAME?photos=N&seed=N`, three collections of photographs drawn by code."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import parse_qsl

from colorize.data.scenes.plan import MIXES, Planned, planned
from colorize.data.sources import Entry, PhotoUnavailableError, SourceError
from colorize.storage import write_bytes

GENERATOR = 1
"""Raise it whenever any byte of a sample file changes: cached data that was made from the old ones is then renewed."""

DEFAULT_PHOTOS: dict[str, int] = {"landscape-image-colorization": 360, "landscape-pictures": 240, "mirflickr25k": 300}
DEFAULT_SEED = 1
MAXIMUM_PHOTOS = 1_000_000

_README = "mirflickr/doc/mirflickr25k_readme.txt"


@dataclass(frozen=True)
class SampleSource:
    """One sample dataset. What a file holds follows from (name, seed, path) alone, in any order of reading.

    Attributes:
        name: one of the three datasets; it decides the layout, the sizes and what the photos are about.
        photos: how many, not counting grey twins and side-cars. More photos append; the others stay the same.
        seed: another one is another collection; copies across datasets need equal seeds.
    """

    name: str
    photos: int
    seed: int = DEFAULT_SEED

    def __post_init__(self) -> None:
        if self.name not in MIXES:
            raise SourceError(f"sample://{self.name}: unknown sample dataset; {_nearest(self.name, MIXES)}")
        if not 1 <= self.photos <= MAXIMUM_PHOTOS:
            raise SourceError(f"sample://{self.name}: photos={self.photos}; expected 1 to {MAXIMUM_PHOTOS}")
        if self.seed < 0:
            raise SourceError(f"sample://{self.name}: seed={self.seed}; expected 0 or more")

    @classmethod
    def from_url(cls, url: str) -> SampleSource:
        """The source that a `sample://NAME?photos=N&seed=N` address names; both parameters may be left out.

        Raises:
            SourceError: the dataset or a parameter is unknown, or a value is no number in range.
        """
        name, _, query = url.removeprefix("sample://").partition("?")
        values = {"photos": DEFAULT_PHOTOS.get(name, 1), "seed": DEFAULT_SEED}
        for key, value in parse_qsl(query, keep_blank_values=True):
            if key not in values:
                raise SourceError(f"{url}: unknown parameter '{key}'; {_nearest(key, values)}")
            if not (value.isascii() and value.isdigit()):
                raise SourceError(f"{url}: {key}={value!r} is not a whole number")
            values[key] = int(value)
        return cls(name, values["photos"], values["seed"])

    def plan(self) -> tuple[Planned, ...]:
        """What each photo is, in the order of their numbers: scene, what is special about it, whose copy it is.

        A copy's original may be missing when the dataset it belongs to is listed with very few photos.
        """
        return _plan(self.name, self.photos, self.seed)

    def list(self) -> Iterator[Entry]:
        """Every file, with grey twins and side-cars; nothing is drawn, so sizes are unknown."""
        for path in _files(self.name, self.photos, self.seed):
            text = f"{GENERATOR}\n{self.name}\n{self.seed}\n{path}"
            yield Entry(path, None, hashlib.sha256(text.encode()).hexdigest()[:16])

    def read(self, entry: Entry) -> bytes:
        """Draw and encode one file.

        Raises:
            PhotoUnavailableError: this collection has no such file.
        """
        files = _files(self.name, self.photos, self.seed)
        if entry.path not in files:
            raise PhotoUnavailableError("vanished", f"sample://{self.name} has no file {entry.path!r}")
        from colorize.data.scenes import files as encoding

        photo = files[entry.path]
        if photo is None:
            return _README_TEXT.encode()
        if entry.path == photo.path:
            return encoding.encode(photo)
        if entry.path.startswith("mirflickr/meta/"):
            return _side_car(entry.path, photo).encode()
        return encoding.grey_twin(photo)


def write_sample(name: str, photos: int, seed: int, folder: Path) -> None:
    """Write a sample dataset into a folder, in its own layout, as if it had been downloaded."""
    source = SampleSource(name, photos, seed)
    for entry in source.list():
        write_bytes(folder / entry.path, source.read(entry))


@lru_cache(maxsize=8)
def _plan(name: str, photos: int, seed: int) -> tuple[Planned, ...]:
    return tuple(planned(name, seed, number) for number in range(photos))


@lru_cache(maxsize=8)
def _files(name: str, photos: int, seed: int) -> Mapping[str, Planned | None]:
    """Every path with the photo it belongs to; None for a file that belongs to none."""
    files: dict[str, Planned | None] = {}
    for photo in _plan(name, photos, seed):
        files[photo.path] = photo
        if name == "landscape-image-colorization":
            files[photo.path.replace("/color/", "/gray/")] = photo
        elif name == "mirflickr25k":
            number = Path(photo.path).stem.removeprefix("im")
            files[f"mirflickr/meta/tags/tags{number}.txt"] = photo
            files[f"mirflickr/meta/exif/exif{number}.txt"] = photo
    if name == "mirflickr25k":
        files[_README] = None
    return files


def _side_car(path: str, photo: Planned) -> str:
    if "/tags/" in path:
        return "".join(f"{word}\n" for word in photo.kind.split("-"))
    return f"-Image Width\n{photo.width}\n-Image Height\n{photo.height}\n"


def _nearest(word: str, allowed: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(word, allowed, n=1)
    return f"did you mean '{near[0]}'?" if near else f"expected one of {', '.join(allowed)}"


_README_TEXT = """Drawn in the layout of MIRFLICKR-25000: photos in mirflickr/im*.jpg, tags in mirflickr/meta.
The photographs are computed, not taken.
"""
