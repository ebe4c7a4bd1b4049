"""The colours of the photos that shards hold to train on: counted once, read beside the shards."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from colorize.data.shard_index import read_index, remote_address
from colorize.data.statistics import StatisticsError, load_statistics

_NAME = "statistics.json"


def histogram_of(lab: Path | str) -> NDArray[np.int64]:
    """Pixels of the training split by code of a and of b, 256×256.

    Args:
        lab: folder of the LAB shards, with `statistics.json` beside it as DVC's stage leaves it, or in it as a
            published version has it; or the `s3://` address of one.

    Raises:
        StatisticsError: the file is missing, damaged, or counted from other shards.
        SourceUnavailableError: the store cannot be reached, after all retries.
    """
    address = remote_address(lab)
    if address is not None:
        from colorize.stores import open_store

        content = open_store(address).read(_NAME)
        if content is None:
            raise StatisticsError(f"{address}/{_NAME} is missing: publish the shards again with 'colorize publish'")
        with tempfile.TemporaryDirectory() as place:
            path = Path(place, _NAME)
            path.write_bytes(content)
            statistics = load_statistics(path)
    else:
        within = Path(lab) / _NAME
        statistics = load_statistics(within if within.is_file() else Path(lab).parent / _NAME)
    if statistics.digest != read_index(lab)["digest"]:
        raise StatisticsError(f"the {_NAME} of {lab} was counted from other shards; run 'dvc repro statistics'")
    return statistics.histogram
