"""Decisions about models, one JSON object a line: promoted, rejected, skipped or stopped, and why."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

Outcome = Literal["promoted", "rejected", "skipped", "stopped"]

#: Where a project keeps them.
PATH = Path("reports/decisions.jsonl")


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about one architecture, or about all.

    Attributes:
        architecture: its name; "all" where the data stopped a retraining before any was looked at.
        decision: what was decided.
        reason: why, with figures, for people.
        time: ISO 8601, UTC, seconds.
        alias: the place that it was about, such as `champion-unet`; None where none was.
        version: number of the challenger; None where there was none.
        against: number of the version that held the place; None where nobody did.
        figures: as `colorize.gate` gives them, and `evaluation_digest`.
        fingerprint: of the run that was asked for.
    """

    architecture: str
    decision: Outcome
    reason: str
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    alias: str | None = None
    version: int | None = None
    against: int | None = None
    figures: dict[str, Any] = field(default_factory=dict)
    fingerprint: str | None = None

    def to_json(self) -> str:
        """One line, without its end.

        Raises:
            ValueError: a figure is no number.
        """
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False)


def record(path: Path, decisions: Sequence[Decision]) -> None:
    """Append decisions: all of them or none, whole lines, whoever else writes at the same time.

    A line that a killed writer left unfinished is removed first.

    Raises:
        OSError: the file cannot be written.
    """
    if not decisions:
        return
    text = "".join(decision.to_json() + "\n" for decision in decisions).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> list[Decision]:
    """All decisions, oldest first; none where there is no file. What a killed writer left of a line does not count.

    Raises:
        ValueError: a line is no decision; the message has its number.
    """
    if not path.is_file():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(Decision(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}, line {number} is no decision: {error}; mend or remove that line") from error
    return found
