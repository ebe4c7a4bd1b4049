"""Stage `ingest@DATASET`: read every listed photo into raw shards and a manifest."""

from __future__ import annotations

from pathlib import Path

from colorize.data.ingest import ingest
from colorize.data.sources.listing import Listing
from colorize.settings import Settings
from colorize.storage import write_json
from stages import _shell


def main(settings: Settings, dataset: str) -> None:
    """Write `data/raw/DATASET/` and its counts."""
    listing = Listing.read(Path("data/sources") / f"{dataset}.json")
    counts = ingest(dataset, listing, Path("data/raw") / dataset, settings.images, settings.ingest)
    write_json(Path("reports/metrics/data") / f"ingest-{dataset}.json", counts)
    _shell.say(f"ingest {dataset}", counts)
    if stale := [reason for reason in ("changed", "vanished") if reason in counts["rejected_by_reason"]]:
        print(
            f"The source is not as it was listed ({', '.join(stale)}). To list it again: "
            f"dvc repro --force --single-item sources@{dataset}, then dvc repro"
        )


if __name__ == "__main__":
    _shell.run(main, "dataset")
