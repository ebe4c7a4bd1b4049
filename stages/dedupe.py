"""Stage `dedupe`: find the copies of a picture, and what must share its split, across all datasets."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from colorize.data.dedupe import group
from colorize.data.manifest import open_manifests
from colorize.settings import Settings
from colorize.storage import atomic_path, write_json
from stages import _shell


def main(settings: Settings) -> None:
    """Write `data/groups.parquet` and its counts."""
    photos = open_manifests(Path("data/raw"), sorted(settings.datasets))
    groups, counts = group(photos, settings.dedupe, scratch=Path("data"))
    with atomic_path(Path("data/groups.parquet")) as temporary:
        pq.write_table(groups, temporary, compression="none", row_group_size=4096)
    listed = photos.count_rows()
    counts = {"listed": listed, "rejected": listed - groups.num_rows, **counts}
    write_json(Path("reports/metrics/data/dedupe.json"), counts)
    _shell.say("dedupe", counts)


if __name__ == "__main__":
    _shell.run(main)
