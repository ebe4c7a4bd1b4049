"""Stage `statistics`: count the colours of the training split."""

from __future__ import annotations

from pathlib import Path

from colorize.data.statistics import gather
from colorize.settings import Settings
from colorize.storage import write_json
from stages import _shell


def main(settings: Settings) -> None:  # noqa: ARG001 - what is counted depends on the shards alone
    """Write `data/statistics.json` and its figures."""
    statistics = gather(Path("data/lab"))
    write_json(Path("data/statistics.json"), statistics)
    counts = {name: statistics[name] for name in ("photos", "pixels", "mean", "standard_deviation")}
    write_json(Path("reports/metrics/data/statistics.json"), counts)
    rounded = {
        name: {channel: round(value, 2) for channel, value in counts[name].items()}
        for name in ("mean", "standard_deviation")
    }
    _shell.say("statistics", counts | rounded)


if __name__ == "__main__":
    _shell.run(main)
