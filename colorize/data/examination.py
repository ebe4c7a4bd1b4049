"""Looking at photos: what each one is, whether it can be used, and if not, why. No file can take the run with it."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Final

from colorize.data.description import FIELDS
from colorize.data.judgement import judge
from colorize.data.manifest import ACCEPTED, FLAGGED, REJECTED
from colorize.data.removals import NONE, Removals
from colorize.data.sandbox import Sandbox, SandboxError
from colorize.data.sources import Entry, PhotoUnavailableError, Source
from colorize.data.sources.layouts import is_camera_raw, is_named_like_a_photo
from colorize.data.sources.listing import Photo
from colorize.settings.sections import ImageSettings

RETRIED: Final = frozenset({"vanished", "changed", "unreadable"})
"""Reasons that may not hold on another day: photos refused for them are looked at again by the next run."""

# Objects of a store take long to come and little to wait for: so many are asked for at a time.
_READERS: Final = 16
_BYTES_AHEAD: Final = 64 * 2**20
_LARGEST_NOTE: Final = 64 * 2**10
# A decoded photo in 8-bit RGB with alpha, its conversion, and a copy in Python's hands.
_BYTES_PER_PIXEL: Final = 16
_BYTES_BESIDE: Final = 512 * 2**20


def examine_all(
    source: Source,
    images: ImageSettings,
    photos: Iterable[Photo],
    *,
    dataset: str = "",
    removals: Removals = NONE,
    kept: Callable[[Entry], bytes | None] = lambda _: None,
) -> Iterator[tuple[dict[str, Any], bytes | None]]:
    """Look at photos in their order; reading runs ahead, and looking happens in a process of its own.

    Args:
        source: where the bytes come from.
        images: which photos are usable.
        photos: what was listed.
        dataset: its name, for the removals.
        removals: photos that were taken out for good; their content is not handed on.
        kept: bytes of an unchanged file that are at hand, so that the source need not be asked.

    Yields:
        A photo's manifest row without dataset, shard and row, and its bytes, or None for the bytes when it is rejected.

    Raises:
        SourceError: the source as a whole is gone or cannot be reached.
    """

    def read(photo: Photo) -> tuple[bytes | None, dict[str, Any]]:
        data = kept(photo.entry)
        return source.read(photo.entry) if data is None else data, _read_notes(source, photo)

    memory = images.maximum_pixels * _BYTES_PER_PIXEL + _BYTES_BESIDE
    with Sandbox(partial(judge, images), images.maximum_seconds, memory) as look:
        for photo, refusal, reading in _read_ahead(read, _screened(photos, images, dataset, removals)):
            entry = photo.entry
            row: dict[str, Any] = {"path": entry.path, "bytes": entry.size, "version": entry.version}
            if refusal is not None or reading is None:
                yield row | {"status": REJECTED} | dict(refusal or {}), None
                continue
            try:
                data, notes = reading.result()
            except PhotoUnavailableError as error:
                yield row | {"status": REJECTED, "reason": error.reason, "detail": error.detail}, None
                continue
            assert data is not None
            row["bytes"] = len(data)
            try:
                found = look(data)
            except SandboxError as error:
                identity = hashlib.sha256(data).hexdigest()
                found = {"id": identity, "usable": False, "reason": error.reason, "detail": error.detail}
            if removals.cover(dataset, entry.path, found["id"]):
                yield row | {"id": found["id"]} | _REMOVED, None
                continue
            if found["reason"] in ("not-an-image", "empty") and not is_named_like_a_photo(entry.path):
                found["reason"] = "not-a-photo"
            found |= {name: bytes.fromhex(found[name]) for name in FIELDS if name in found}
            usable = found.pop("usable")
            status = REJECTED if not usable else FLAGGED if found["reason"] else ACCEPTED
            yield row | notes | found | {"status": status}, data if usable else None


_REMOVED: Final = {"status": REJECTED, "reason": "removed", "detail": "taken out for good by 'colorize remove'"}


def _screened(
    photos: Iterable[Photo], images: ImageSettings, dataset: str, removals: Removals
) -> Iterator[tuple[Photo, Mapping[str, Any] | None]]:
    """Each photo with the reason not to read it at all, if there is one."""
    for photo in photos:
        entry = photo.entry
        if entry.refused is not None:
            yield photo, {"reason": entry.refused, "detail": entry.detail}
        elif removals.cover(dataset, entry.path, None):
            yield photo, _REMOVED
        elif entry.size is not None and entry.size > images.maximum_bytes:
            detail = f"{entry.size} bytes; images.maximum_bytes is {images.maximum_bytes}"
            yield photo, {"reason": "too-many-bytes", "detail": detail}
        elif is_camera_raw(entry.path):
            detail = "raw files of cameras are not read; develop them to JPEG, PNG or TIFF"
            yield photo, {"reason": "camera-raw", "detail": detail}
        else:
            yield photo, None


def _read_ahead(
    read: Callable[[Photo], tuple[bytes | None, dict[str, Any]]],
    photos: Iterable[tuple[Photo, Mapping[str, Any] | None]],
) -> Iterator[tuple[Photo, Mapping[str, Any] | None, Future[tuple[bytes | None, dict[str, Any]]] | None]]:
    """Photos in order with the readings under way: a bounded number of files and, as far as sizes are known, bytes."""
    waiting: deque[tuple[Photo, Mapping[str, Any] | None, Future[Any] | None]] = deque()
    ahead = 0
    with ThreadPoolExecutor(_READERS, thread_name_prefix="read-photos") as readers:
        try:
            for photo, refusal in photos:
                waiting.append((photo, refusal, readers.submit(read, photo) if refusal is None else None))
                ahead += photo.entry.size or 0
                while len(waiting) > _READERS or ahead > _BYTES_AHEAD:
                    ahead -= waiting[0][0].entry.size or 0
                    yield waiting.popleft()
            yield from waiting
        finally:
            readers.shutdown(wait=False, cancel_futures=True)


def _read_notes(source: Source, photo: Photo) -> dict[str, Any]:
    """What the dataset tells about a photo. A note that cannot be read says nothing; the photo is none the worse."""
    found: dict[str, Any] = {}
    for kind, entry in photo.notes:
        if entry.refused is not None or (entry.size or 0) > _LARGEST_NOTE:
            continue
        with suppress(PhotoUnavailableError):
            text = source.read(entry)[:_LARGEST_NOTE].decode("utf-8", errors="replace")
            found[kind] = (
                [line.strip() for line in text.splitlines() if line.strip()] if kind == "tags" else text.strip()
            )
    return found
