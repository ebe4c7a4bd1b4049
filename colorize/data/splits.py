"""Which photos train, validate and test: decided for whole split groups by a hash, so that it stays when data grows."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any, Final

import pyarrow as pa

from colorize.data.manifest import ACCEPTED
from colorize.settings.sections import SplitSettings

TRAIN: Final = "train"
VALIDATION: Final = "validation"
TEST: Final = "test"
SPLITS: Final = (TRAIN, VALIDATION, TEST)

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
    rows = []
    for row in groups.to_pylist():
        if not row["canonical"]:
            counts["copies"] += 1
        elif row["status"] != ACCEPTED and row["reason"] not in settings.include_flagged:
            counts["flagged"] += 1
        else:
            split = split_of(row["split_group"], settings)
            counts[split] += 1
            rows.append({"dataset": row["dataset"], "path": row["path"], "id": row["id"], "split": split})
    if not counts[TRAIN]:
        raise ValueError(
            f"no photo is left to train on: of {groups.num_rows} photos {counts['copies']} are copies, "
            f"{counts['flagged']} are flagged, {counts[VALIDATION]} validate, {counts[TEST]} test; add photos"
        )
    return pa.Table.from_pylist(rows, schema=SCHEMA), {
        "photos": groups.num_rows,
        **{name: counts[name] for name in ("copies", "flagged", *SPLITS)},
    }
