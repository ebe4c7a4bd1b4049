"""`colorize dedupe`: which photos of a folder or an archive are the same picture; nothing is removed or changed."""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import combinations, islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from colorize.commands.looking import Files, Row, Rules, find_files, judge_files, safe, size_text, text_of
from colorize.commands.project import find_root

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_AT_ONCE: Final = 1024
_PAIRS_UP_TO: Final = 64  # photos of a split group, copies included
_GROUPS_SHOWN: Final = 20
_COPIES_SHOWN: Final = 10
_PAIRS_SHOWN: Final = 20


def dedupe(
    path: Annotated[Path, typer.Argument(help="A folder, a zip, tar or tar.gz archive, or one photo.")],
    as_json: Annotated[bool, typer.Option("--json", help="Everything found, as JSON on standard output.")] = False,
    sheet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with the pictures to this HTML file.")
    ] = None,
) -> None:
    """Find the photos that are the same picture. Nothing is removed or changed.

    Of each group of copies (equal files, re-encoded, resized, cropped a little, ...) one photo is canonical: the one
    with most pixels. Related photos are no copies, but show the same picture (mirrored, turned, without colour, or
    possibly copies): both would stay, in the same split. All photos take part that ingest would not reject.

    JSON: "groups" of at least two photos, each with "canonical" and "members" (all others, without the canonical one);
    "related" pairs of photos of different groups: all such pairs among up to 64 related photos and their copies; among
    more only neighbours in the order of their names, without copies; "rejected" files with "reason" and "detail";
    "counts". Paths are relative to the folder.
    """
    from pyarrow.dataset import dataset as in_memory

    from colorize.data.dedupe import group

    if sheet is not None and sheet.is_dir():
        raise ValueError(f"{safe(sheet)} is a folder; name an HTML file to write")
    rules = Rules.of_the_project(find_root)
    # A compressed tar has to be expanded to be read; $TMPDIR says where.
    with tempfile.TemporaryDirectory(prefix="colorize-") as scratch:
        files = find_files(path, rules.archives, Path(scratch))
        photos = _judged(files, rules)
        found = findings(photos, *group(in_memory(photos), rules.dedupe, scratch=Path(scratch)))
        if as_json:
            json.dump({"path": text_of(path), **found.answer()}, sys.stdout, indent=1, allow_nan=False)
            print()
        else:
            _print(path, rules.name, found, with_sheet=sheet is not None)
        if sheet is not None:
            from colorize.commands.dedupe_sheet import write_sheet

            write_sheet(sheet, files, rules.images, photos, found)
            print(f"The pictures are in {safe(sheet)}", file=sys.stderr if as_json else sys.stdout)


def _judged(files: Files, rules: Rules) -> pa.Table:
    """All files as rows of a manifest."""
    import pyarrow as pa

    from colorize.data.manifest import SCHEMA
    from colorize.progress import track

    tables = [SCHEMA.empty_table()]
    with closing(judge_files(files, rules, SCHEMA.names)) as judged:
        rows = track(judged, f"dedupe {safe(files.path)}", len(files))
        while some := [{**row, "dataset": "", "version": row["version"] or ""} for row in islice(rows, _ROWS_AT_ONCE)]:
            tables.append(pa.Table.from_pylist(some, schema=SCHEMA))
    return pa.concat_tables(tables)


@dataclass(frozen=True, slots=True)
class Copies:
    """A group of at least two photos: the one that would stay, and the others in natural path order."""

    canonical: str
    members: list[str]


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found, in natural path order throughout.

    Attributes:
        groups: by their canonical photos.
        related: pairs of photos, copies included, that are in different groups but belong into the same split.
        staying: those of them both of which stay.
        rejected: path, reason and detail of the files that took no part.
        counts: files = rejected + canonical + exact_copies + near_copies, and more about them.
    """

    groups: list[Copies]
    related: list[tuple[str, str]]
    staying: list[tuple[str, str]]
    rejected: list[Row]
    counts: dict[str, Any]

    def answer(self) -> dict[str, Any]:
        """The findings as they are written to JSON."""
        groups = [{"canonical": group.canonical, "members": group.members} for group in self.groups]
        return {"groups": groups, "related": self.related, "rejected": self.rejected, "counts": self.counts}

    def largest(self) -> list[Copies]:
        """The groups, those with most photos first."""
        return sorted(self.groups, key=lambda group: -len(group.members))


def findings(photos: pa.Table, groups: pa.Table, counts: dict[str, Any]) -> Findings:
    """What the groups of photos mean for the one whose photos they are.

    Args:
        photos: rows of a manifest of one dataset, in natural path order.
        groups: the table that `dedupe.group` makes of them, in the same order.
        counts: what it counted.
    """
    copies: defaultdict[str, list[str]] = defaultdict(list)
    canonical: dict[str, str] = {}
    families: defaultdict[str, list[tuple[str, str, bool]]] = defaultdict(list)
    for row in groups.select(["path", "duplicate_group", "canonical", "split_group"]).to_pylist():
        families[row["split_group"]].append((row["path"], row["duplicate_group"], row["canonical"]))
        if row["canonical"]:
            canonical[row["duplicate_group"]] = row["path"]
        else:
            copies[row["duplicate_group"]].append(row["path"])
    rows = photos.select(["path", "status", "reason", "detail", "bytes"]).to_pylist()
    rejected = [{name: row[name] for name in ("path", "reason", "detail")} for row in rows if _is_rejected(row)]
    sizes = {row["path"]: row["bytes"] or 0 for row in rows if not _is_rejected(row)}
    related = list(related_pairs(families.values()))
    stays = set(canonical.values())
    reasons = Counter(row["reason"] for row in rejected)
    return Findings(
        # Canonical photos come in the order of the table.
        groups=[Copies(path, copies[name]) for name, path in canonical.items() if name in copies],
        related=related,
        staying=[pair for pair in related if stays.issuperset(pair)],
        rejected=rejected,
        counts={
            "files": len(rows),
            "rejected": len(rejected),
            **counts,
            "related_pairs": len(related),
            "bytes_of_copies": sum(sizes[path] for some in copies.values() for path in some),
            "rejected_by_reason": dict(sorted(reasons.items())),
        },
    )


def related_pairs(families: Iterable[list[tuple[str, str, bool]]]) -> Iterator[tuple[str, str]]:
    """Pairs of photos of different groups within each family: all of a small one; of a large one, neighbours that stay.

    Args:
        families: photos that belong into one split: path, group, and whether it stays, in the order of paths.
    """
    for family in families:
        few = len(family) <= _PAIRS_UP_TO
        pairs = combinations(family, 2) if few else pairwise([photo for photo in family if photo[2]])
        yield from ((one, other) for (one, group, _), (other, another, _) in pairs if group != another)


def _is_rejected(row: Row) -> bool:
    from colorize.data.manifest import REJECTED

    return bool(row["status"] == REJECTED)


def _print(path: Path, rules: str, found: Findings, with_sheet: bool) -> None:
    """For people: counts that add up, then the groups, largest first, and the pairs."""
    print(f"{safe(path)}, judged by {rules}")
    _print_counts(found.counts)
    more = "--json lists all" + (", and the page shows them" if with_sheet else ", --sheet FILE.html shows them")
    if found.groups:
        size = size_text(found.counts["bytes_of_copies"])
        print(f"\n{len(found.groups):,} pictures occur more than once; removing the copies would free {size}")
    for group in found.largest()[:_GROUPS_SHOWN]:
        print(f"  {safe(group.canonical)}")
        for member in group.members[:_COPIES_SHOWN]:
            print(f"    = {safe(member)}")
        if len(group.members) > _COPIES_SHOWN:
            print(f"    … and {len(group.members) - _COPIES_SHOWN:,} more")
    if len(found.groups) > _GROUPS_SHOWN:
        print(f"  … and {len(found.groups) - _GROUPS_SHOWN:,} more: {more}")
    if found.staying:
        print(f"\n{len(found.staying):,} related pairs: mirrored, turned, without colour, or not surely the same")
    for one, other in found.staying[:_PAIRS_SHOWN]:
        print(f"  {safe(one)} ~ {safe(other)}")
    if len(found.staying) > _PAIRS_SHOWN:
        print(f"  … and {len(found.staying) - _PAIRS_SHOWN:,} more: {more}")
    if not found.groups and not found.staying:
        print("\nNo picture occurs twice.")
    if found.rejected:
        print("\n'colorize inspect' says why files were rejected.")


def _print_counts(counts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    reasons = counts["rejected_by_reason"]
    table = Table("", "files", "", show_edge=False)
    table.columns[1].justify = "right"
    table.add_row("different pictures", f"{counts['canonical']:,}", "")
    table.add_row("exact copies", f"{counts['exact_copies']:,}", "equal files")
    table.add_row("near copies", f"{counts['near_copies']:,}", "the same picture in another file")
    table.add_row("rejected", f"{counts['rejected']:,}", ", ".join(f"{reasons[one]:,} {one}" for one in reasons))
    table.add_section()
    table.add_row("all", f"{counts['files']:,}", "")
    Console(width=None if sys.stdout.isatty() else 160).print(table)
