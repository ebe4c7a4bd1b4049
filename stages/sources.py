"""Stage `sources@DATASET`: list the files of a source without reading them, so that changes are noticed."""

from __future__ import annotations

from pathlib import Path

from colorize.data.sources import open_source
from colorize.data.sources.listing import make_listing
from colorize.settings import Settings
from stages import _shell


def main(settings: Settings, dataset: str) -> None:
    """Write `data/sources/DATASET.parquet`, after fetching what cannot be listed from afar."""
    wanted = _shell.one_of(settings.datasets, dataset)
    source = open_source(wanted.source, settings.archives)
    path = Path("data/sources") / f"{dataset}.parquet"
    listing = make_listing(wanted, source, path, settings.ingest.maximum_shrink)
    _shell.say(f"sources {dataset}", {"listed": listing.number, "ignored": listing.ignored})
    if wanted.expected is not None and wanted.expected != listing.number:
        print(f"{dataset}: {wanted.expected} photos were expected, {listing.number} are listed; going on with these")


if __name__ == "__main__":
    _shell.run(main, "dataset")
