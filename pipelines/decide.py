"""What a scheduled retraining does with today's data: stop, skip or train. Pure: files are read by others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from colorize.data.state import DataState, problems
from colorize.settings.sections import RetrainingSettings
from pipelines.plan import Plan

WAY_OUT = "look at them, then 'python -m pipelines.retrain --accept-data' trains on them"


@dataclass(frozen=True, slots=True)
class Choice:
    """What is done.

    Attributes:
        action: of the whole retraining.
        reason: why, for people.
        train: what has to be trained; empty unless the action is that.
    """

    action: Literal["stop", "skip", "train"]
    reason: str
    train: tuple[Plan, ...] = ()


def choose(
    now: DataState,
    before: DataState | None,
    plans: Sequence[Plan],
    settings: RetrainingSettings,
    *,
    accept_data: bool = False,
) -> Choice:
    """Decide from the state of the data and the plan of each architecture.

    Args:
        now: today's data.
        before: those of the newest registered model; None where there is none.
        plans: what `pipelines.plan` would do, all architectures.
        settings: the limits beyond which data look wrong.
        accept_data: somebody has looked at them.
    """
    changed = before is not None and before.digest != now.digest
    if before is not None and changed and not accept_data and (found := problems(now, before, settings)):
        return Choice("stop", f"the data look wrong: {'; '.join(found)}; {WAY_OUT}")
    wanted = tuple(item for item in plans if item.action != "skip")
    if not wanted:
        return Choice("skip", "data, parameters, code and lock file are those that every model was trained with")
    names = ", ".join(item.specification.architecture for item in wanted)
    if before is None:
        return Choice("train", f"{names}: no model is registered yet", wanted)
    return Choice(
        "train", f"{names}: {'the data changed' if changed else 'parameters, code or lock file changed'}", wanted
    )
