"""The log of a run: `log.jsonl`, one JSON object a line, consistent with the checkpoint a run resumes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from colorize.storage import write_bytes

Record = dict[str, Any]


def read_log(path: Path) -> list[Record]:
    """All whole records of a log; a last line that a killed run left unfinished is left out. Empty without a file."""
    if not path.exists():
        return []
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def rewind(path: Path, step: int) -> None:
    """Drop what was logged after a step: a run that resumes there logs it again."""
    kept = [record for record in read_log(path) if record["step"] <= step]
    write_bytes(path, "".join(_line(record) for record in kept).encode())


def append(path: Path, record: Record) -> None:
    """Add one record, as a single write of a whole line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(_line(record))


def _line(record: Record) -> str:
    return json.dumps(record) + "\n"
