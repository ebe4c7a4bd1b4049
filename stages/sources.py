"""Stage `sources@DATASET`: list the photos of a source without reading them, so that changes are noticed."""

from __future__ import annotations

from pathlib import Path

from colorize.data.sources.listing import list_dataset
from colorize.settings import Settings
from stages import _shell


def main(settings: Settings, dataset: str) -> None:
    """Write `data/sources/DATASET.json`."""
    listing = list_dataset(_shell.one_of(settings.datasets, dataset))
    listing.write(Path("data/sources") / f"{dataset}.json")
    _shell.say(f"sources {dataset}", {"photos": len(listing.photos), "ignored": listing.ignored})


if __name__ == "__main__":
    _shell.run(main, "dataset")
