"""Two versions by the measurements that they keep."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from colorize.metrics.comparison import SET_FIGURES, Comparison
from colorize.metrics.comparison import compare as compare_rows
from colorize.registry.errors import RegistryError
from colorize.registry.evaluation_list import training_ids
from colorize.registry.store import Registry
from colorize.registry.version import Version

ROWS = "rows.parquet"


def compare_versions(registry: Registry, first: Version, second: Version) -> list[Comparison]:
    """Every figure that both versions have, on the photos that both were measured on and neither was trained on.

    Raises:
        RegistryError: one of them keeps no measurements, or there is no such photo.
    """
    one, other = (pq.read_table(registry.file(version, ROWS)) for version in (first, second))
    common = set(one["id"].to_pylist()) & set(other["id"].to_pylist())
    unseen = common - training_ids(registry, first) - training_ids(registry, second)
    if not unseen:
        raise RegistryError(
            f"versions {first.number} and {second.number} were measured on {one.num_rows} and {other.num_rows} "
            f"photos, of which {len(common)} are the same, and one of the two was trained on all of these; nothing to "
            "compare on"
        )
    names = [field.name for field in one.schema if pa.types.is_floating(field.type) and _is_measured(field.name, other)]
    figures = [name for name, (columns, _) in SET_FIGURES.items() if set(columns) <= set(names)]
    measured = [name for name in names if not name.endswith("_truth")]
    found = []
    for name in (*measured, *figures):
        try:
            found.append(compare_rows(one, other, name, ids=unseen))
        except ValueError:
            continue  # a figure that only some networks have, such as those of a lightness of their own
    return found


def _is_measured(name: str, rows: pa.Table) -> bool:
    return name in rows.column_names and rows[name].null_count < rows.num_rows
