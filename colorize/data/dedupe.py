"""Which photos are the same picture: exact copies, near copies, and related ones that must share a split.

Two groupings come out. A *duplicate group* holds copies of one picture, of which the canonical one stays. A *split
group* also holds what is related to a canonical photo (mirrored, turned, without colour, perhaps a copy), so that a
picture never is on both sides of a split.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow.dataset import Dataset

from colorize.data.description import FIELDS
from colorize.data.grouping import Radii, components, group_pictures
from colorize.data.likeness import compare, features_of
from colorize.data.manifest import ACCEPTED, REJECTED, natural_key, read_batches
from colorize.data.manifest import SCHEMA as MANIFEST
from colorize.settings.sections import DedupeSettings

SCHEMA: Final = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),  # accepted or flagged, as in the manifest
        pa.field("reason", pa.string()),  # of a flagged photo
        pa.field("duplicate_group", pa.string(), nullable=False),  # id of its canonical member
        pa.field("canonical", pa.bool_(), nullable=False),  # one row of every duplicate group
        pa.field("split_group", pa.string(), nullable=False),  # smallest id in it
    ]
)
_ROW: Final = ("dataset", "path", "id", "status", "reason")
_READ: Final = pa.schema([MANIFEST.field(name) for name in (*_ROW, "width", "height")])


def group(photos: Dataset, settings: DedupeSettings, scratch: Path) -> tuple[pa.Table, dict[str, Any]]:
    """Group all photos of all datasets.

    A photo joins the group of a canonical photo only if it is a copy of that very photo (of the first of several such),
    so a chain of small changes does not swallow pictures that differ. Canonical is the one with most pixels, then the
    one with the smallest id. A photo that has lost its colours is no copy of the colour photo, only related to it. The
    result does not depend on the order of the rows.

    Args:
        photos: rows of manifests; rejected ones take no part.
        settings: the `dedupe` section.
        scratch: folder for what does not have to be in memory, 2.5 KB a photo; nothing stays there.

    Returns:
        The table of `SCHEMA`, sorted by dataset and natural path, and counts. Photos = canonical + exact copies + near
        copies. Of related pictures pairs are counted that were found, enough to connect them: similar ones, turned
        ones, and copies without colour. `compared` are pairs of pictures; `crowded` are pictures that had so many
        others near them that only the nearest were compared.
    """
    rows = pa.Table.from_batches(read_batches(photos, _READ.names), _READ)
    decoded = pc.not_equal(rows["status"], REJECTED)
    places = np.full(len(rows), -1, np.int64)
    rows = rows.filter(decoded)
    first, picture = _distinct(rows)
    places[np.flatnonzero(decoded.to_numpy())[first]] = np.arange(len(first))
    features = features_of(read_batches(photos, list(FIELDS)), places, scratch)
    ids = rows["id"].take(pa.array(first)).combine_chunks()
    accepted = pc.equal(rows["status"], ACCEPTED).to_numpy()[first]

    radii = Radii(settings.radius, settings.window_radius, settings.part_radius, settings.turned_radius)
    found = group_pictures(features, compare, radii)

    number = len(ids)
    leads = found.leader == np.arange(number)
    copies = np.stack([found.leader, np.arange(number)], axis=1)
    representative = _smallest(components(number, np.concatenate([copies, found.related])), ids)
    order = _reading_order(rows)
    picture = picture[order]
    seen = np.zeros(len(order), bool)
    seen[np.unique(picture, return_index=True)[1]] = True
    groups = {
        "duplicate_group": ids.take(pa.array(found.leader[picture])),
        "canonical": pa.array(seen & leads[picture]),
        "split_group": ids.take(pa.array(representative[picture])),
    }
    rows = rows.select(list(_ROW)).take(pa.array(order))
    columns = [groups[field.name] if field.name in groups else rows[field.name] for field in SCHEMA]
    table = pa.table(columns, schema=SCHEMA)
    grey = (accepted[found.related[:, 0]] != accepted[found.related[:, 1]]) & (found.turns == 0)
    sizes = np.bincount(found.leader[picture], minlength=number)
    return table, {
        "photos": len(order),
        "canonical": int(np.count_nonzero(leads)),
        "exact_copies": len(order) - number,
        "near_copies": int(np.count_nonzero(~leads)),
        "duplicate_groups": int(np.count_nonzero(sizes > 1)),
        "split_groups": len(np.unique(representative)),
        "similar_pairs": int(np.count_nonzero((found.turns == 0) & ~grey)),
        "turned_pairs": int(np.count_nonzero(found.turns)),
        "grey_copy_pairs": int(np.count_nonzero(grey)),
        "compared": found.compared,
        "crowded": found.skipped,
    }


def _distinct(rows: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A row of each id, in the order of precedence; and for each row the place of its id in that order."""
    pixels = np.multiply(rows["width"].to_numpy(), rows["height"].to_numpy(), dtype=np.int64)
    keys = pa.table({"pixels": pixels, "id": rows["id"]})
    order = pc.sort_indices(keys, [("pixels", "descending"), ("id", "ascending")]).to_numpy().astype(np.int64)
    ordered = keys["id"].take(pa.array(order)).combine_chunks()
    starts = np.ones(len(order), bool)
    if len(order):
        starts[1:] = pc.not_equal(ordered[1:], ordered[:-1]).to_numpy(zero_copy_only=False)
    picture = np.empty(len(order), np.int64)
    picture[order] = np.cumsum(starts) - 1
    return order[starts], picture


def _reading_order(rows: pa.Table) -> NDArray[np.int64]:
    """Places of the rows by dataset, then natural path order."""
    paths = rows["path"].chunks
    keys = pa.chunked_array([[natural_key(path) for path in chunk.to_pylist()] for chunk in paths], pa.string())
    found = pc.sort_indices(
        pa.table({"dataset": rows["dataset"], "path": keys}), [("dataset", "ascending"), ("path", "ascending")]
    )
    return np.asarray(found.to_numpy().astype(np.int64))


def _smallest(root: NDArray[np.int64], ids: pa.Array) -> NDArray[np.int64]:
    """For each picture the one with the smallest id among those with the same root."""
    by_id = pc.sort_indices(ids).to_numpy().astype(np.int64)
    roots, first = np.unique(root[by_id], return_index=True)
    smallest = np.empty(len(root), np.int64)
    smallest[roots] = by_id[first]
    return smallest[root]
