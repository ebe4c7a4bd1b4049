"""`colorize inspect`: what ingest would do with each file of a folder or an archive, and why; nothing is written."""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, TextIO

import typer

from colorize.commands.looking import Row, Rules, find_files, judge_files, safe, text_of
from colorize.commands.project import find_root

__all__ = ["FIELDS", "counts", "inspect", "safe", "write_json"]

FIELDS: Final = ("path", "status", "reason", "detail", "id", "format", "width", "height")
_FILES_SHOWN: Final = 20


def inspect(
    path: Annotated[Path, typer.Argument(help="A folder, a zip, tar or tar.gz archive, or one photo.")],
    as_json: Annotated[bool, typer.Option("--json", help="Every file, as JSON on standard output.")] = False,
) -> None:
    """Judge every file as ingest would; exit code 0 when all could be looked at, whatever was found."""
    from colorize.progress import track

    rules = Rules.of_the_project(find_root)
    # A compressed tar has to be expanded to be read; $TMPDIR says where.
    with tempfile.TemporaryDirectory(prefix="colorize-") as downloads:
        files = find_files(path, rules.archives, Path(downloads))
        with closing(judge_files(files, rules, FIELDS)) as rows:
            tracked = track(rows, f"inspect {safe(path)}", len(files))
            if as_json:
                write_json(path, tracked, sys.stdout)
            else:
                _Report(path, rules.name).print(tracked)


def write_json(path: Path, rows: Iterable[Row], out: TextIO) -> None:
    """Write `{"path", "rows", "counts"}` a row at a time: however many there are, none is kept.

    Raises:
        Exception: what `rows` raised. The JSON is complete all the same, with the message as `"error"`.
    """
    outcomes: Counter[tuple[str, str | None]] = Counter()
    out.write(f'{{"path": {json.dumps(text_of(path))}, "rows": [')
    failure: dict[str, str] = {}
    try:
        for row in rows:
            out.write(",\n" if outcomes else "\n")
            out.write(json.dumps(row, allow_nan=False))
            outcomes[row["status"], row["reason"]] += 1
    except Exception as error:
        failure = {"error": str(error)}
        raise
    finally:
        rest = json.dumps({"counts": counts(outcomes), **failure})
        out.write(f"\n], {rest[1:]}\n")


def counts(outcomes: Counter[tuple[str, str | None]]) -> dict[str, Any]:
    """`manifest.counts`, in which all files are `files`: nobody has made a listing."""
    from colorize.data import manifest

    found = manifest.counts(outcomes)
    return {"files": found.pop("listed"), **found}


@dataclass
class _Report:
    """The answer for people: counts that add up, then the files that were not simply accepted, by reason."""

    path: Path
    rules: str
    outcomes: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    files: defaultdict[tuple[str, str | None], list[str]] = field(default_factory=lambda: defaultdict(list))

    def print(self, rows: Iterable[Row]) -> None:
        for row in rows:
            outcome = row["status"], row["reason"]
            self.outcomes[outcome] += 1
            if row["status"] != "accepted" and len(self.files[outcome]) < _FILES_SHOWN:
                detail = f": {safe(row['detail'])}" if row["detail"] else ""
                self.files[outcome].append(safe(row["path"]) + detail)
        print(f"{safe(self.path)}, judged by {self.rules}")
        self._print_counts()
        for status in ("rejected", "flagged"):
            for (found, reason), number in self.outcomes.most_common():
                if found == status:
                    self._print_files(found, reason, number)
        self._print_hints()

    def _print_counts(self) -> None:
        from rich.console import Console
        from rich.table import Table

        number = counts(self.outcomes)
        table = Table("", "files", "by reason", show_edge=False)
        table.columns[1].justify = "right"
        for status in ("accepted", "flagged", "rejected"):
            reasons = number.get(f"{status}_by_reason", {})
            table.add_row(status, f"{number[status]:,}", ", ".join(f"{reasons[one]:,} {one}" for one in reasons))
        table.add_section()
        table.add_row("all", f"{number['files']:,}", "")
        Console(width=None if sys.stdout.isatty() else 160).print(table)

    def _print_files(self, status: str, reason: str | None, number: int) -> None:
        print(f"\n{status}: {reason} ({number:,})")
        shown = self.files[status, reason]
        for line in shown:
            print(f"  {line}")
        if number > len(shown):
            print(f"  … and {number - len(shown):,} more: --json lists all")

    def _print_hints(self) -> None:
        from colorize.data.sources.archive import is_archive

        statuses = {status for status, _ in self.outcomes}
        print()
        if "rejected" in statuses:
            print("Rejected files are left out; ingest keeps a record of each with its reason.")
        if "flagged" in statuses:
            print("Flagged photos are kept but not trained on, unless split.include_flagged names the reason.")
        if "accepted" in statuses:
            source = self.path if self.path.is_dir() or is_archive(self.path) else self.path.parent
            address = f'"{source.resolve().as_uri()}"'
            print(f"To use the accepted ones, put source: {address} under 'datasets' in params.yaml, then 'make data'.")
        else:
            print("Nothing here could be trained on.")
