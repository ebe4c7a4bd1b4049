"""Where a training stands, read from the log that it writes: for the console and for Prefect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# One record covers a second or less of a small run: an estimate from it alone jumps.
_RECORDS_OF_SPEED = 20


@dataclass(frozen=True, slots=True)
class Progress:
    """The last word of a training.

    Attributes:
        epoch: the one under way, counted from 1.
        step: optimizer steps done, of `steps`.
        steps: of the whole run.
        loss: mean since the record before.
        images_per_second: over all workers, mean of the last records.
        seconds_left: of training steps, at the present speed; None where that cannot be told yet.
        validation_loss: after the last epoch that ended, None before the first did.
    """

    epoch: int
    step: int
    steps: int
    loss: float
    images_per_second: float
    seconds_left: float | None
    validation_loss: float | None

    @property
    def percent(self) -> float:
        """Share of the steps that are done, 0…100."""
        return 100.0 * self.step / self.steps


class Workers:
    """What the workers of a run have written to their files, each line once; what is there already is told too.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, int] = {}  # bytes

    def news(self) -> list[str]:
        """The whole lines that are new, `worker 0: …`, one worker after another."""
        lines: list[str] = []
        for path in sorted((self._folder / "workers").glob("rank-*.log")):
            begin = self._read.get(path.name, 0)
            with path.open("rb") as file:
                file.seek(begin)
                whole = file.read().rpartition(b"\n")[0]
            if whole:
                self._read[path.name] = begin + len(whole) + 1
                name = path.stem.replace("rank-", "worker ")
                lines += [f"{name}: {line}" for line in whole.decode(errors="replace").splitlines()]
        return lines


def progress(records: Sequence[dict[str, Any]], batch_size: int) -> Progress | None:
    """The state that a log tells; None before its first training record.

    Args:
        records: of `log.jsonl`.
        batch_size: photos per optimizer step, over all workers.
    """
    steps = [record for record in records if "loss" in record]
    if not steps:
        return None
    last = steps[-1]
    validation = next((record["validation_loss"] for record in reversed(records) if "validation_loss" in record), None)
    speed = _mean_speed([float(record["images_per_second"]) for record in steps[-_RECORDS_OF_SPEED:]])
    left = (last["steps"] - last["step"]) * batch_size / speed if speed > 0 else None
    return Progress(last["epoch"], last["step"], last["steps"], float(last["loss"]), speed, left, validation)


def _mean_speed(speeds: Sequence[float]) -> float:
    """Photos per second over intervals of equally many photos; 0 if one of them stood still."""
    return len(speeds) / sum(1 / speed for speed in speeds) if min(speeds) > 0 else 0.0


def sentence(name: str, state: Progress, epochs: int) -> str:
    """One line for the console."""
    parts = [
        f"{name}: epoch {state.epoch} of {epochs}",
        f"step {state.step} of {state.steps}",
        f"loss {state.loss:.4g}",
    ]
    if state.validation_loss is not None:
        parts.append(f"validation {state.validation_loss:.4g}")
    parts.append(f"{state.images_per_second:.0f} images/s")
    if state.seconds_left is not None:
        minutes, seconds = divmod(round(state.seconds_left), 60)
        parts.append(f"{minutes} min {seconds:02} s left" if minutes else f"{seconds} s left")
    return ", ".join(parts)
