"""Stage `ingest@DATASET`: read every listed photo into raw shards and a manifest."""

from __future__ import annotations

from pathlib import Path

from colorize.data.examination import RETRIED
from colorize.data.ingest import ingest
from colorize.data.removals import FILE_NAME, read_removals
from colorize.data.sources import open_source
from colorize.data.sources.listing import Listing
from colorize.settings import Settings
from colorize.storage import write_json
from stages import _shell


def main(settings: Settings, dataset: str) -> None:
    """Write `data/raw/DATASET/` and its counts."""
    listing = Listing.read(Path("data/sources") / f"{dataset}.parquet")
    source = open_source(listing.source, settings.archives)
    counts = ingest(
        dataset,
        listing,
        source,
        Path("data/raw") / dataset,
        images=settings.images,
        settings=settings.ingest,
        removals=read_removals(Path(FILE_NAME)),
    )
    write_json(Path("reports/metrics/data") / f"ingest-{dataset}.json", counts)
    _shell.say(f"ingest {dataset}", counts)
    if stale := sorted(RETRIED & counts["rejected_by_reason"].keys()):
        print(
            f"The source is not as it was listed ({', '.join(stale)}). To list it and try these again: "
            f"dvc repro --force --single-item sources@{dataset} ingest@{dataset}, then dvc repro"
        )


if __name__ == "__main__":
    _shell.run(main, "dataset")
