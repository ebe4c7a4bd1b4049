"""Parts of an evaluation, each measured by whichever process takes it: the same rows, whoever that is.

A part is one batch of the test split, in the order of the shards. It is always the same photos, and worked on by one
thread, so nothing that is measured depends on how many processes there are, on this machine or on a cluster.

Importing this module takes seconds. Workers are forked from a process that has done it (`colorize.data.execution`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from colorize.data.loader import Loader
from colorize.data.statistics import load_statistics, rebalancing_weights
from colorize.metrics.colorizers import Colorizer, Colors, Known, Predict
from colorize.metrics.networks import Networks, Seen
from colorize.metrics.rows import SPLIT, Rgb, measure
from colorize.training.precision import choose_device, reproducible

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a process has to know to measure parts.

    Attributes:
        colorizer: what is measured.
        lab: folder of the LAB shards.
        statistics: `statistics.json` of the training split.
        weights: folder of imported published weights.
        batch_size: photos of a part.
        keep: ids whose colorized photos are wanted.
        hint_share: of each photo's pixels whose true colours the colorizer is told.
        nonce: no two evaluations have the same: files under the same paths may have changed between them.
    """

    colorizer: Colorizer
    lab: Path
    statistics: Path
    weights: Path
    batch_size: int
    keep: frozenset[str]
    hint_share: float
    nonce: str


@dataclass(slots=True)
class Seconds:
    """Where the time of measuring goes, of one thread.

    Attributes:
        colorizing: in the colorizer, one answer a photo.
        beside: in its further draws, and in the networks that look at photos.
        all: these, reading and measuring.
    """

    colorizing: float = 0.0
    beside: float = 0.0
    all: float = 0.0

    def add(self, other: Seconds) -> None:
        """Add another's up."""
        self.colorizing += other.colorizing
        self.beside += other.beside
        self.all += other.all


@dataclass(frozen=True, slots=True)
class Part:
    """What was measured of a part.

    Attributes:
        rows: one a photo.
        pictures: the colorized photos that are wanted, by id: H×W×3, uint8.
        seen: what networks saw of them.
        seconds: how long it took, loading left out.
    """

    rows: list[dict[str, object]]
    pictures: dict[str, Rgb]
    seen: Seen
    seconds: Seconds = field(default_factory=Seconds)


def measure_part(evaluation: Evaluation, number: int) -> Part:
    """Measure one part.

    Args:
        evaluation: of which it is a part.
        number: from 0.
    """
    with reproducible(choose_device(), threads=1):
        ready = _load(evaluation)
        begin, colorizing, beside = perf_counter(), _Clock(), _Clock()
        colors_of = colorizing.of(ready.predict)

        def predict(lightness: NDArray[np.float32], known: Known | None = None, /) -> Colors:
            colors = colors_of(lightness, known)
            return colors if colors.draws is None else replace(colors, draws=beside.of(colors.draws))

        batch = next(ready.loader.batches(epoch=0, start=number))
        measured = measure(predict, batch, ready.class_weights, evaluation.hint_share)
        seen = beside.of(ready.networks.look)(measured.predicted, measured.truth)
        seconds = Seconds(colorizing.seconds, beside.seconds, perf_counter() - begin)
    photos = zip(batch.ids, measured.predicted, strict=True)
    pictures = {identity: rgb for identity, rgb in photos if identity in evaluation.keep}
    return Part(measured.rows, pictures, seen, seconds)


def photos_in_order(lab: Path, batch_size: int) -> Loader:
    """The test split as it is measured: in the order of the shards, a batch a part."""
    return Loader(lab, SPLIT, batch_size, seed=0, shuffle=False, workers=0)


class _Clock:
    """Adds up how long calls take."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def of(self, function: Callable[P, T]) -> Callable[P, T]:
        def timed(*args: P.args, **kwargs: P.kwargs) -> T:
            begin = perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += perf_counter() - begin

        return timed


@dataclass(frozen=True, slots=True)
class _Ready:
    """An evaluation loaded into this process."""

    predict: Predict
    loader: Loader
    class_weights: NDArray[np.float64]
    networks: Networks


@lru_cache(maxsize=1)
def _load(evaluation: Evaluation) -> _Ready:
    return _Ready(
        evaluation.colorizer.load(),
        photos_in_order(evaluation.lab, evaluation.batch_size),
        rebalancing_weights(load_statistics(evaluation.statistics).histogram),
        Networks(evaluation.weights, choose_device()),
    )


def forget() -> None:
    """Let go of what was loaded to measure parts in this process."""
    _load.cache_clear()
