"""Stage `split`: decide which photos train, validate and test, and say which ones have changed sides."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from colorize.data.splits import SCHEMA, SPLITS, assign, moves
from colorize.settings import Settings
from colorize.storage import atomic_path, write_bytes, write_json
from stages import _shell

OUT: Final = Path("data/splits.parquet")
MOVES: Final = Path("data/moves.jsonl")
"""All moves there ever were here, oldest first: a history, and so neither an output of DVC nor part of the metrics."""


def main(settings: Settings) -> None:
    """Write `data/splits.parquet` and its counts; add to `data/moves.jsonl` what was in another split before."""
    groups = pq.read_table("data/groups.parquet")
    splits, counts = assign(groups, settings.split)
    previous = _previous()
    moved = moves(previous, groups, settings.split) if previous is not None else []
    # Recorded first: when this run is killed after the new splits are in place, the next one finds nothing moved.
    _record(moved)
    with atomic_path(OUT) as temporary:
        pq.write_table(splits, temporary, compression="none", row_group_size=4096)
    write_json(Path("reports/metrics/data/split.json"), counts)
    ways = Counter(f"{move['from']} to {move['to']}" for move in moved)
    _shell.say("split", counts | ({"moved": dict(sorted(ways.items())) or 0} if previous is not None else {}))
    if moved:
        print(
            f"warning: {len(moved)} photos are in another split than before, as their groups were joined or settings "
            f"changed: {_first(moved)}; {MOVES} has all. Models of before may have trained on what is tested now",
            file=sys.stderr,
        )
    for split in SPLITS:
        if not counts[split]:
            print(
                f"warning: no photo in the split '{split}'; add photos or change 'split' in params.yaml",
                file=sys.stderr,
            )


def _previous() -> pa.Table | None:
    """The splits in force until now; DVC leaves them in place (`persist`)."""
    if not OUT.is_file():
        return None
    try:
        return pq.read_table(OUT, schema=SCHEMA)
    except (OSError, ValueError) as error:
        print(f"warning: {OUT} cannot be read ({error}), so no move can be told; made anew", file=sys.stderr)
        return None


def _record(moved: list[dict[str, str]]) -> None:
    """Add moves to the history, unless they are its end already: a run was killed before it could act on them."""
    lines = [json.dumps(move) for move in moved]
    known = MOVES.read_text(encoding="utf-8").splitlines() if MOVES.is_file() else []
    if lines and known[-len(lines) :] != lines:
        write_bytes(MOVES, "".join(f"{line}\n" for line in [*known, *lines]).encode())


def _first(moved: list[dict[str, str]]) -> str:
    names = [f"{move['dataset']}/{move['path']} ({move['from']} to {move['to']})" for move in moved[:3]]
    return ", ".join(names) + (", …" if len(moved) > len(names) else "")


if __name__ == "__main__":
    _shell.run(main)
