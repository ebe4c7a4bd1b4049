"""Stage `split`: decide which photos train, validate and test."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow.parquet as pq

from colorize.data.splits import SPLITS, assign
from colorize.settings import Settings
from colorize.storage import atomic_path, write_json
from stages import _shell


def main(settings: Settings) -> None:
    """Write `data/splits.parquet` and its counts."""
    splits, counts = assign(pq.read_table("data/groups.parquet"), settings.split)
    with atomic_path(Path("data/splits.parquet")) as temporary:
        pq.write_table(splits, temporary, compression="none")
    write_json(Path("reports/metrics/data/split.json"), counts)
    _shell.say("split", counts)
    for split in SPLITS:
        if not counts[split]:
            print(
                f"warning: no photo in the split '{split}'; add photos or change 'split' in params.yaml",
                file=sys.stderr,
            )


if __name__ == "__main__":
    _shell.run(main)
