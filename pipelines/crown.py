"""Which version is the champion: decided on photos that both contenders were measured on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from colorize.metrics.comparison import LARGER_IS_BETTER, best, compare
from colorize.metrics.evaluation import summarise


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to an alias.

    Attributes:
        version: the version it points to from now on.
        changed: whether it pointed elsewhere, or nowhere, before.
        reason: why, with the figures.
    """

    version: int
    changed: bool
    reason: str


def crown(contenders: Mapping[int, pa.Table], present: tuple[int, pa.Table] | None, metric: str) -> Decision:
    """Choose between the versions of this run and the present holder of an alias.

    Args:
        contenders: per-photo rows by number of the version; at least one.
        present: number and rows of the version that the alias points to now, None where there is none.
        metric: the column that decides; its direction is the metric's own.

    Raises:
        ValueError: the metric is no column of the rows.
    """
    for rows in contenders.values():
        if metric not in rows.column_names:
            raise ValueError(f"evaluation.primary is '{metric}'; there are: {', '.join(rows.column_names[2:])}")
    scores = {str(number): summarise(rows)[metric] for number, rows in contenders.items()}
    winner = int(best(scores, metric))
    score = f"{metric} {scores[str(winner)]:.3f}"
    if present is None:
        return Decision(winner, True, f"version {winner} is the best of {len(scores)} ({score}); there was none before")
    number, rows = present
    if number == winner:
        return Decision(number, False, f"version {number} holds it already ({score})")
    if not set(rows["id"].to_pylist()) & set(contenders[winner]["id"].to_pylist()):
        return Decision(winner, True, f"version {winner} ({score}); version {number} was measured on other photos")
    pair = compare(contenders[winner], rows, metric)
    better = pair.difference > 0 if metric in LARGER_IS_BETTER else pair.difference < 0
    figures = (
        f"{metric} {pair.first:.3f} against {pair.second:.3f} of version {number} on {pair.photos} photos "
        f"(95 % interval of the difference {pair.low:+.3f} to {pair.high:+.3f})"
    )
    if better:
        return Decision(winner, True, f"version {winner} is better: {figures}")
    return Decision(number, False, f"version {winner} is not better: {figures}")
