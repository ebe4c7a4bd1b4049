"""What became of every photo, read from the files of the data stages."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from PIL import Image

from colorize.data.manifest import ACCEPTED, FLAGGED, REJECTED, THUMBNAIL_SIDE, read_manifests
from colorize.data.raw_reader import RawReader
from colorize.data.sources.listing import Listing
from colorize.data.splits import straddling
from colorize.report.pictures import data_uri, thumbnail_of_bytes

SPLITS = ("train", "validation", "test")
#: Outcomes of a listed photo, in the order of the bars; they add up to the photos listed.
OUTCOMES = (*SPLITS, "accepted", "duplicate", "flagged", "rejected")

_GROUPS_SHOWN = 24
_MEMBERS_SHOWN = 4
_REFUSALS_PER_REASON = 40
_THUMBNAILS_PER_REASON = 8
_SIDE = 112


@dataclass(frozen=True, slots=True)
class Dataset:
    """One dataset's account.

    Attributes:
        name: the dataset.
        source: its address.
        listed: photos found.
        outcomes: photos by outcome (`OUTCOMES`); "accepted" is what no later stage has decided on yet.
        ignored: files in the folder that are no photos of their own, by kind.
    """

    name: str
    source: str | None
    listed: int
    outcomes: dict[str, int]
    ignored: dict[str, int]


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo as the page shows it."""

    dataset: str
    path: str
    detail: str
    thumbnail: str | None
    canonical: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """Photos that went the same way for one reason; `photos` are the first of `count`."""

    status: str
    reason: str
    count: int
    photos: list[Photo]


@dataclass(frozen=True, slots=True)
class Group:
    """Photos that are one picture; `kind` is "exact" where all files are equal byte for byte, else "near"."""

    kind: str
    across: bool
    size: int
    members: list[Photo]


@dataclass(slots=True)
class DataPage:
    """Everything about the data; what a stage has not made yet is empty.

    Attributes:
        split_groups: groups of copies and related photos that must share a split.
        straddling: how many of them do not; anything but 0 is a fault.
    """

    datasets: list[Dataset] = field(default_factory=list)
    refusals: list[Kind] = field(default_factory=list)
    converted: list[Kind] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    group_counts: dict[str, int] = field(default_factory=dict)
    split_groups: int = 0
    straddling: int = 0
    has_groups: bool = False
    has_splits: bool = False

    @property
    def total(self) -> dict[str, int]:
        """Photos by outcome over all datasets."""
        return {outcome: sum(dataset.outcomes.get(outcome, 0) for dataset in self.datasets) for outcome in OUTCOMES}


Row = dict[str, Any]


def gather_data(data: Path) -> DataPage:
    """Read the manifests, the groups and the splits below a folder, as far as they are there."""
    rows: list[Row] = read_manifests(data / "raw").to_pylist()
    # Paths are unique but for members of archives that were refused for bearing another's name.
    by_key = {(row["dataset"], row["path"]): row for row in rows if row["status"] != REJECTED}
    groups, splits = _rows(data / "groups.parquet"), _rows(data / "splits.parquet")
    split_of = {(row["dataset"], row["path"]): row["split"] for row in splits}
    copies = {(row["dataset"], row["path"]) for row in groups if not row["canonical"]}
    page = DataPage(has_groups=bool(groups), has_splits=bool(splits))
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        key = (row["dataset"], row["path"])
        used = row["status"] == ACCEPTED or key in split_of
        decided = "duplicate" if key in copies else split_of.get(key, ACCEPTED)
        outcomes[row["dataset"]][decided if used else row["status"]] += 1
    page.datasets = [_dataset(data, name, counted) for name, counted in outcomes.items()]
    if groups and splits:
        page.split_groups = len({row["split_group"] for row in groups})
        page.straddling = len(straddling(groups, splits))
    page.refusals = _refusals(data / "raw", rows)
    page.converted = _converted(data / "raw", rows)
    members = _duplicate_groups(groups)
    page.groups = [_group(data / "raw", group, by_key) for group in members[:_GROUPS_SHOWN]]
    kinds = Counter(_kind(group) for group in members)
    across = sum(_across(group) for group in members)
    page.group_counts = {"groups": len(members), "exact": kinds["exact"], "near": kinds["near"], "across": across}
    return page


def _rows(path: Path) -> list[Row]:
    return pq.read_table(path).to_pylist() if path.is_file() else []


def _dataset(data: Path, name: str, counted: Counter[str]) -> Dataset:
    path = data / "sources" / f"{name}.parquet"
    listing = Listing.read(path) if path.is_file() else None
    outcomes = {outcome: counted[outcome] for outcome in OUTCOMES}
    source, ignored = (listing.source, listing.ignored) if listing is not None else (None, {})
    return Dataset(name, source, counted.total(), outcomes, ignored)


def _refusals(raw: Path, rows: list[Row]) -> list[Kind]:
    by_reason: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if row["status"] != ACCEPTED:
            by_reason[row["status"], row["reason"] or "no reason given"].append(row)
    # Refused before flagged, frequent before rare.
    ordered = sorted(by_reason.items(), key=lambda item: (item[0][0] == FLAGGED, -len(item[1]), item[0][1]))
    return [_kind_of(raw, status, reason, found) for (status, reason), found in ordered]


def _converted(raw: Path, rows: list[Row]) -> list[Kind]:
    """Accepted photos that were not upright RGB in their files."""
    by_reason: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["status"] != ACCEPTED:
            continue
        if (row["orientation"] or 1) != 1:
            by_reason["turned upright, by EXIF"].append(row)
        if row["mode"] not in (None, "RGB"):
            by_reason[f"converted from {row['mode']}"].append(row)
        if row["detail"]:
            by_reason["with a note"].append(row)
    return [_kind_of(raw, ACCEPTED, reason, found) for reason, found in sorted(by_reason.items())]


def _kind_of(raw: Path, status: str, reason: str, rows: list[Row]) -> Kind:
    shown = enumerate(rows[:_REFUSALS_PER_REASON])
    photos = [_photo(raw, row, thumbnail=index < _THUMBNAILS_PER_REASON) for index, row in shown]
    return Kind(status, reason, len(rows), photos)


def _duplicate_groups(rows: list[Row]) -> list[list[Row]]:
    """Groups of at least two: those across datasets first, then near copies, then the largest."""
    by_group: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        by_group[row["duplicate_group"]].append(row)
    groups = [group for group in by_group.values() if len(group) > 1]
    return sorted(groups, key=lambda group: (not _across(group), _kind(group) == "exact", -len(group)))


def _kind(group: list[Row]) -> str:
    return "exact" if len({row["id"] for row in group}) == 1 else "near"


def _across(group: list[Row]) -> bool:
    return len({row["dataset"] for row in group}) > 1


def _group(raw: Path, rows: list[Row], by_key: dict[tuple[str, str], Row]) -> Group:
    ordered = sorted(rows, key=lambda row: not row["canonical"])[:_MEMBERS_SHOWN]
    members = []
    for row in ordered:
        known = {**row, **by_key.get((row["dataset"], row["path"]), {})}
        members.append(_photo(raw, known, thumbnail=True, canonical=bool(row["canonical"]), detail=_size(known)))
    return Group(_kind(rows), _across(rows), len(rows), members)


def _photo(raw: Path, row: Row, thumbnail: bool, canonical: bool = False, detail: str | None = None) -> Photo:
    shown = _thumbnail(raw, row) if thumbnail else None
    return Photo(row["dataset"], row["path"], row.get("detail") or "" if detail is None else detail, shown, canonical)


def _size(row: Row) -> str:
    if not row.get("width"):
        return ""
    return f"{row['width']}×{row['height']} {row['format'] or ''}, {(row['bytes'] or 0) / 1024:.0f} KiB"


def _thumbnail(raw: Path, row: Row) -> str | None:
    """From the photo's bytes; else from the grey thumbnail of the manifest; else nothing."""
    if row.get("shard") is not None:
        with suppress(OSError, IndexError), RawReader() as reader:
            if (data := reader.read(raw / row["dataset"] / row["shard"], row["row"])) is not None:
                return thumbnail_of_bytes(data, _SIDE)
    if row.get("thumbnail"):
        grey = Image.frombytes("L", (THUMBNAIL_SIDE, THUMBNAIL_SIDE), row["thumbnail"])
        return data_uri(grey.convert("RGB"))
    return None
