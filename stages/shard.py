"""Stage `shard`: decode the photos of all splits once, into LAB shards."""

from __future__ import annotations

from pathlib import Path

import pyarrow.dataset

from colorize.data.shards import build
from colorize.settings import Settings
from colorize.storage import write_json
from stages import _shell


def main(settings: Settings) -> None:
    """Write `data/lab` and its counts."""
    splits = pyarrow.dataset.dataset("data/splits.parquet")
    result = build(Path("data/raw"), splits, Path("data/lab"), settings.shards, settings.images)
    shards = result.index["shards"]
    counts = {
        "photos": sum(result.index["photos"].values()),
        **result.index["photos"],
        "shards": len(shards),
        "bytes": sum(shard["bytes"] for shard in shards),
    }
    write_json(Path("reports/metrics/data/shard.json"), counts)
    # What this run did depends on what the last one left, so it is said here and kept out of the metrics.
    done = {"written": result.written, "kept": result.kept, "removed": result.removed}
    _shell.say("shard", counts | done | {"digest": result.index["digest"]})


if __name__ == "__main__":
    _shell.run(main)
