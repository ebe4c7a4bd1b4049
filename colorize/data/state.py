"""The state of the data in a few figures, to compare today's with what a model was trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colorize.data.shard_index import read_index
from colorize.data.statistics import load_statistics
from colorize.divergence import divergence
from colorize.settings.sections import RetrainingSettings

#: Side of the cells of ab in which colours are counted, CIELAB units: as in Zhang et al. 2016. Finer ones make noise of
#: what the photos happen to show: between random halves of the sample's 589 training photos the divergence is 0.009 bit
#: with cells of 10 (median of 20 halvings; 0.006 to 0.017) and 0.029 bit with single codes.
CELL = 10


@dataclass(frozen=True, slots=True)
class DataState:
    """What there was to train on.

    Attributes:
        digest: of what training sees of the shards.
        listed: files by dataset.
        refused: of these, by dataset.
        photos: in the shards, by split.
        histogram: cells×cells, pixels of the training split by cell of a and of b (`CELL` units a side, from -128).
    """

    digest: str
    listed: dict[str, int]
    refused: dict[str, int]
    photos: dict[str, int]
    histogram: list[list[int]]

    def to_json(self) -> bytes:
        """For the file that a version keeps."""
        return (json.dumps(asdict(self)) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes) -> DataState:
        """The inverse of `to_json`.

        Raises:
            ValueError: the content is none.
        """
        try:
            return cls(**json.loads(content))
        except TypeError as error:
            raise ValueError(f"no state of data: {error}") from error


def read_state(root: Path, datasets: Mapping[str, Any]) -> DataState:
    """The state that the stages left: from their counts, the index and the statistics; no photo is read.

    Args:
        root: the project's folder.
        datasets: those of `params.yaml`.

    Raises:
        ValueError: a stage has not run.
    """
    counts = {name: _counts(root / "reports" / "metrics" / "data" / f"ingest-{name}.json") for name in datasets}
    index = read_index(root / "data" / "lab")
    statistics = load_statistics(root / "data" / "statistics.json")
    return DataState(
        digest=index["digest"],
        listed={name: found["listed"] for name, found in counts.items()},
        refused={name: found["rejected"] for name, found in counts.items()},
        photos=dict(index["photos"]),
        histogram=in_cells(statistics.histogram).tolist(),
    )


def ids_of(lab: Path, split: str) -> list[str]:
    """Ids of the photos of a split, in the order of the shards; no pixels are read.

    Raises:
        ValueError: there is no index, or it cannot be read.
    """
    import pyarrow.parquet as pq

    shards = [shard["path"] for shard in read_index(lab)["shards"] if shard["split"] == split]
    return [identity for path in shards for identity in pq.read_table(lab / path, columns=["id"])["id"].to_pylist()]


def in_cells(histogram: NDArray[np.int64]) -> NDArray[np.int64]:
    """The 256×256 histogram of codes, counted in cells of `CELL` units a side: 26×26."""
    starts = np.arange(0, 256, CELL)
    return np.add.reduceat(np.add.reduceat(histogram, starts, axis=0), starts, axis=1)


def drift(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    """Jensen-Shannon divergence of two histograms of one shape, in bits (`colorize.divergence`).

    Raises:
        ValueError: one of them is empty.
    """
    if not first.any() or not second.any():
        raise ValueError("a histogram without pixels has no colours to compare")
    return divergence(first, second)


def problems(now: DataState, before: DataState, settings: RetrainingSettings) -> list[str]:
    """Why today's data look wrong beside those that the last model was trained on: a sentence for each reason.

    Args:
        now: what the stages made.
        before: what the last registered model saw.
        settings: the limits.
    """
    found = [f"dataset '{name}' is gone" for name in before.listed if name not in now.listed]
    usable_before, usable = sum(before.photos.values()), sum(now.photos.values())
    if usable < usable_before * (1 - settings.maximum_shrink):
        found.append(
            f"{usable} photos are usable, {usable_before} were: {1 - usable / usable_before:.1%} fewer, "
            f"retraining.maximum_shrink is {settings.maximum_shrink:.1%}"
        )
    for name in now.listed:
        share = _share(now, name)
        share_before = _share(before, name) if name in before.listed else share
        if share > share_before + settings.maximum_refused_rise:
            found.append(
                f"of dataset '{name}' {share:.1%} of the files are refused, {share_before:.1%} were; "
                f"retraining.maximum_refused_rise is {settings.maximum_refused_rise:.1%}"
            )
    divergence = drift(np.array(now.histogram), np.array(before.histogram))
    if divergence > settings.maximum_drift:
        found.append(
            f"the colours of the training photos are others: their divergence is {divergence:.3f} bit, "
            f"retraining.maximum_drift is {settings.maximum_drift:g}"
        )
    return found


def _share(state: DataState, dataset: str) -> float:
    return state.refused[dataset] / max(1, state.listed[dataset])


def _counts(path: Path) -> dict[str, int]:
    try:
        counts: dict[str, int] = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing: run 'dvc repro' first") from error
    return counts
