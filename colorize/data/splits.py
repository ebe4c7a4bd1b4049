"""Which photos train, validate and test: decided for whole split groups by a hash, so that it stays when data grows."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from colorize.data.manifest import ACCEPTED
from colorize.settings.sections import SplitSettings

TRAIN: Final = "train"
VALIDATION: Final = "validation"
TEST: Final = "test"
SPLITS: Final = (TRAIN, VALIDATION, TEST)
_ROWS_AT_ONCE: Final = 4096  # as dictionaries

SCHEMA: Final = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
    ]
)


def split_of(split_group: str, settings: SplitSettings) -> str:
    """The split of a group: a pure function of its name, the shares and the salt.

    A group's place on the line from 0 to 1 is fixed by the salt: validation takes the beginning, test what follows.
    """
    digest = hashlib.sha256(f"{settings.salt}\0{split_group}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < settings.validation:
        return VALIDATION
    return TEST if place < settings.validation + settings.test else TRAIN


def assign(groups: pa.Table, settings: SplitSettings) -> tuple[pa.Table, dict[str, Any]]:
    """Split the canonical photos that are accepted, or flagged for a reason that `include_flagged` lets pass.

    Args:
        groups: the table that `dedupe.group` makes.
        settings: the `split` section.

    Returns:
        The table of `SCHEMA` in the order of `groups`, and counts that add up: photos = copies + flagged + train +
        validation + test.

    Raises:
        ValueError: nothing is left to train on.
    """
    counts: Counter[str] = Counter()
    batches = [SCHEMA.empty_table()]
    for some in groups.to_batches(max_chunksize=_ROWS_AT_ONCE):
        rows = []
        for row in some.to_pylist():
            if not row["canonical"]:
                counts["copies"] += 1
            elif not _is_used(row, settings):
                counts["flagged"] += 1
            else:
                split = split_of(row["split_group"], settings)
                counts[split] += 1
                rows.append({"dataset": row["dataset"], "path": row["path"], "id": row["id"], "split": split})
        batches.append(pa.Table.from_pylist(rows, schema=SCHEMA))
    if not counts[TRAIN]:
        raise ValueError(
            f"no photo is left to train on: of {groups.num_rows} photos {counts['copies']} are copies, "
            f"{counts['flagged']} are flagged, {counts[VALIDATION]} validate, {counts[TEST]} test; add photos"
        )
    return pa.concat_tables(batches), {
        "photos": groups.num_rows,
        **{name: counts[name] for name in ("copies", "flagged", *SPLITS)},
    }


def moves(previous: pa.Table, groups: pa.Table, settings: SplitSettings) -> list[dict[str, str]]:
    """Which pictures were in another split before: groups that were joined by a new photo, or other settings, do that.

    A photo that has become a copy of another counts too: what stays of its picture is in the split of the other one.

    Args:
        previous: the table of `SCHEMA` that was in force.
        groups: the table that `dedupe.group` makes now.
        settings: the `split` section now.

    Returns:
        `dataset`, `path`, `id`, `from` and `to` of each, in the order of `previous`. Photos that are no longer there,
        or no longer used, have not moved.
    """
    reasons = pa.array(settings.include_flagged, pa.string())
    used = groups.filter((pc.field("status") == ACCEPTED) | pc.field("reason").isin(reasons))
    group_of = used["split_group"].take(pc.index_in(previous["id"], used["id"]))
    found = []
    for some in previous.append_column("split_group", group_of).to_batches(max_chunksize=_ROWS_AT_ONCE):
        for row in some.to_pylist():
            group = row["split_group"]
            if group is not None and (split := split_of(group, settings)) != row["split"]:
                photo = {name: row[name] for name in ("dataset", "path", "id")}
                found.append({**photo, "from": row["split"], "to": split})
    return found


def straddling(groups: Iterable[Mapping[str, Any]], splits: Iterable[Mapping[str, Any]]) -> list[str]:
    """Split groups with photos in more than one split. There must be none: a model would be tested on what it has seen.

    Args:
        groups: rows with `id` and `split_group`, as `dedupe.group` makes them.
        splits: rows with `id` and `split`, as `assign` makes them.

    Returns:
        Names of the split groups, sorted.
    """
    group_of = {row["id"]: row["split_group"] for row in groups}
    seen: defaultdict[str, set[str]] = defaultdict(set)
    for row in splits:
        seen[group_of.get(row["id"], row["id"])].add(row["split"])
    return sorted(group for group, found in seen.items() if len(found) > 1)


def _is_used(row: dict[str, Any], settings: SplitSettings) -> bool:
    return bool(row["status"] == ACCEPTED or row["reason"] in settings.include_flagged)
