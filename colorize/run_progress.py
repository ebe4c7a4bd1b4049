"""Where a training stands, read from the log that it writes; costs no import of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

# One record covers a second or less of a small run: an estimate from it alone jumps.
_RECORDS_OF_SPEED: Final = 20
_WORTH_TELLING: Final = 0.01  # share of the time


@dataclass(frozen=True, slots=True)
class Progress:
    """The last word of a training.

    Attributes:
        epoch: the one under way, counted from 1.
        step: optimizer steps done, of `steps`.
        steps: of the whole run.
        loss: mean since the record before.
        images_per_second: over all workers, mean of the last records.
        data_wait_share: of the time of these records in which worker 0 waited for data, 0 to 1.
        seconds_left: of training steps, at the present speed; None where that cannot be told yet.
        validation_loss: after the last epoch that ended, None before the first did.
    """

    epoch: int
    step: int
    steps: int
    loss: float
    images_per_second: float
    data_wait_share: float
    seconds_left: float | None
    validation_loss: float | None

    @property
    def percent(self) -> float:
        """Share of the steps that are done, 0…100."""
        return 100.0 * self.step / self.steps

    @property
    def time_left(self) -> str | None:
        """Such as `2 min 05 s`; None where that cannot be told yet."""
        if self.seconds_left is None:
            return None
        minutes, seconds = divmod(round(self.seconds_left), 60)
        hours, minutes = divmod(minutes, 60)
        if hours:
            return f"{hours} h {minutes:02} min"
        return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"

    @property
    def waiting(self) -> str | None:
        """Such as `waits for data 3 %`; None below 1 %."""
        return f"waits for data {self.data_wait_share:.0%}" if self.data_wait_share >= _WORTH_TELLING else None


def progress(records: Sequence[dict[str, Any]], batch_size: int) -> Progress | None:
    """The state that a log tells; None before its first training record.

    Args:
        records: of `log.jsonl`.
        batch_size: photos per optimizer step, over all workers.
    """
    steps = [record for record in records if "loss" in record]
    if not steps:
        return None
    last, recent = steps[-1], steps[-_RECORDS_OF_SPEED:]
    validation = next((record["validation_loss"] for record in reversed(records) if "validation_loss" in record), None)
    # Records are of equally many photos: their seconds are to each other as the inverse speeds.
    seconds = [1 / record["images_per_second"] for record in recent if record["images_per_second"] > 0]
    moving = len(seconds) == len(recent)
    speed = len(recent) / sum(seconds) if moving else 0.0
    shares = [float(record.get("data_wait_share", 0.0)) for record in recent]
    waited = sum(one * share for one, share in zip(seconds, shares, strict=True)) / sum(seconds) if moving else 0.0
    left = (last["steps"] - last["step"]) * batch_size / speed if moving else None
    return Progress(last["epoch"], last["step"], last["steps"], float(last["loss"]), speed, waited, left, validation)
