"""The listing of one dataset: cheap to make, so that a changed source is noticed without reading its photos."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colorize.data.manifest import natural_key
from colorize.data.sources import Entry, SourceError, open_source
from colorize.data.sources.layouts import is_photo
from colorize.settings.sections import DatasetSettings
from colorize.storage import write_json


@dataclass(frozen=True)
class Listing:
    """What a source holds.

    Attributes:
        source: its address.
        layout: name of the layout that told photos from other files.
        photos: files that are photos of their own, in natural path order.
        ignored: number of other files, by reason, sorted by reason.
    """

    source: str
    layout: str
    photos: list[Entry]
    ignored: dict[str, int]

    def write(self, path: Path) -> None:
        """Write the listing as JSON."""
        photos = [{"path": photo.path, "size": photo.size, "version": photo.version} for photo in self.photos]
        write_json(path, {"source": self.source, "layout": self.layout, "photos": photos, "ignored": self.ignored})

    @classmethod
    def read(cls, path: Path) -> Listing:
        """Read a listing that `write` made."""
        value: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        return cls(value["source"], value["layout"], [Entry(**photo) for photo in value["photos"]], value["ignored"])


def list_dataset(settings: DatasetSettings) -> Listing:
    """List a source and tell its photos from other files.

    Raises:
        SourceError: the source is missing, or holds nothing, or no photos.
    """
    photos: list[Entry] = []
    ignored: Counter[str] = Counter()
    for entry in open_source(settings.source).list():
        kind = entry.ignored or is_photo(settings.layout, entry.path)
        if kind == "photo":
            photos.append(entry)
        else:
            ignored[kind] += 1
    by_reason = dict(sorted(ignored.items()))
    if not photos and not ignored:
        raise SourceError(f"{settings.source} is empty; put photos into it or correct 'source' in params.yaml")
    if not photos:
        found = ", ".join(f"{number} {reason}" for reason, number in by_reason.items())
        raise SourceError(
            f"{settings.source} holds no photos for the layout '{settings.layout}' (found: {found}); "
            "photos are .jpg .png .webp .bmp .tif .gif files; correct 'source' or 'layout' in params.yaml"
        )
    photos.sort(key=lambda photo: natural_key(photo.path))
    return Listing(settings.source, settings.layout, photos, by_reason)
