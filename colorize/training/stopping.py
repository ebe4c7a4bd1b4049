"""When training has gone on long enough: decided from one held-out figure an epoch."""

from __future__ import annotations

from collections.abc import Sequence


def best_epoch(figures: Sequence[float], begin: int = 0) -> int | None:
    """The epoch, counted from 1, after which the figure was smallest, the first of several; None before there is any.

    Args:
        figures: one for each finished epoch; smaller is better.
        begin: finished epochs whose figures do not count: preparation.
    """
    counted = list(figures[begin:])
    return begin + 1 + counted.index(min(counted)) if counted else None


def is_over(figures: Sequence[float], patience: int | None, begin: int = 0) -> bool:
    """Whether the last `patience` epochs have brought nothing better (Prechelt, "Early stopping - but when?", 1998).

    Args:
        figures: one for each finished epoch; smaller is better.
        patience: epochs; None: never.
        begin: finished epochs whose figures do not count.
    """
    best = best_epoch(figures, begin)
    return patience is not None and best is not None and len(figures) - best >= patience
