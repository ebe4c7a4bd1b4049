"""`colorize dedupe --sheet`: the pictures of what was found, gathered for the page."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from colorize.commands.looking import Files, Row, in_batches, size_text, text_of

if TYPE_CHECKING:
    import pyarrow as pa

    from colorize.commands.dedupe import Findings
    from colorize.data.sources import Entry, Source
    from colorize.report.sheet import Photo
    from colorize.settings.sections import ImageSettings

GROUPS: Final = 200
_COPIES: Final = 11  # of a group
_PAIRS: Final = 100
_NAMES: Final = 50  # of a reason
_PIXELS: Final = 176
_PHOTOS_AT_ONCE: Final = 16
_COLUMNS: Final = ("path", "status", "bytes", "width", "height", "format", "thumbnail")


def write_sheet(sheet: Path, files: Files, images: ImageSettings, photos: pa.Table, found: Findings) -> None:
    """Write the page.

    Args:
        sheet: the HTML file to write.
        files: where the photos are read from.
        images: how they are decoded.
        photos: their rows of a manifest.
        found: what `findings` made of them.

    Raises:
        OSError: the page cannot be written.
    """
    from colorize.report.sheet import Group, Reason, Sheet, render

    groups, pairs = found.largest()[:GROUPS], found.staying[:_PAIRS]
    shown = {name for group in groups for name in (group.canonical, *group.members[:_COPIES])}
    shown |= {name for pair in pairs for name in pair}
    known = _photos(shown, files, images, photos)
    by_reason: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in found.rejected:
        by_reason[row["reason"]].append((row["path"], row["detail"] or ""))
    reasons = sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
    page = Sheet(
        name=text_of(files.path),
        counts=found.counts | {"related_pairs": len(found.staying)},
        groups=[
            Group(known[group.canonical], [known[name] for name in group.members[:_COPIES]], 1 + len(group.members))
            for group in groups
        ],
        group_count=len(found.groups),
        related=[(known[one], known[other]) for one, other in pairs],
        rejected=[Reason(reason, len(names), names[:_NAMES]) for reason, names in reasons],
    )
    render(page, sheet)


def _photos(shown: set[str], files: Files, images: ImageSettings, photos: pa.Table) -> dict[str, Photo]:
    """The photos to be shown, by path, with their pictures."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from colorize.data.execution import map_ordered, worker_count
    from colorize.progress import track
    from colorize.report.sheet import Photo

    wanted = photos.filter(pc.is_in(photos["path"], value_set=pa.array(sorted(shown), pa.string())))
    # A rejected member of an archive may bear the name of a photo.
    rows: dict[str, Row] = {r["path"]: r for r in wanted.select(_COLUMNS).to_pylist() if r["status"] != "rejected"}
    entries = [entry for entry in files.entries if entry.path in rows and entry.refused is None]
    batches = in_batches(entries, _PHOTOS_AT_ONCE)
    workers = max(1, min(worker_count(), len(batches)))
    pictures: dict[str, str] = {}
    with closing(map_ordered(partial(_pictures, files.source, images), batches, workers, chunk=1)) as results:
        for some in track(results, "pictures of the page", len(batches)):
            pictures |= some
    return {name: Photo(name, _detail(row), pictures.get(name) or _grey(row)) for name, row in rows.items()}


def _pictures(source: Source, images: ImageSettings, entries: list[Entry]) -> dict[str, str]:
    """Small pictures by path (in a worker process), without the photos that cannot be read any more."""
    from PIL import Image

    from colorize.data.sources import PhotoUnavailableError
    from colorize.images import Rejection, decode
    from colorize.report.pictures import thumbnail

    found: dict[str, str] = {}
    for entry in entries:
        with suppress(PhotoUnavailableError):
            rgb = decode(source.read(entry), images)
            if not isinstance(rgb, Rejection):
                found[entry.path] = thumbnail(Image.fromarray(rgb), _PIXELS)
    return found


def _grey(row: Row) -> str:
    from PIL import Image

    from colorize.data.manifest import THUMBNAIL_SIDE
    from colorize.report.pictures import data_uri

    return data_uri(Image.frombytes("L", (THUMBNAIL_SIDE, THUMBNAIL_SIDE), row["thumbnail"]).convert("RGB"))


def _detail(row: dict[str, Any]) -> str:
    return f"{row['width']} × {row['height']} {row['format']}, {size_text(row['bytes'])}"
