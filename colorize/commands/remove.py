"""`colorize remove`: take photos out for good, whatever their source still holds."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from colorize.commands.inspect import safe
from colorize.commands.project import find_root

if TYPE_CHECKING:
    from pyarrow.compute import Expression

    from colorize.data.removals import Removal

Row = dict[str, Any]
_SHORTEST: Final = 8  # digits of an id
_SHOWN_DIGITS: Final = 16
_ROWS_SHOWN: Final = 20


def remove(
    what: Annotated[
        list[str],
        typer.Argument(help="SHA-256, the first 8 digits or more of a known one, DATASET/PATH, PATH in it, or a file."),
    ],
) -> None:
    """Record photos in removed.jsonl: later runs leave them out. Commit that file."""
    from colorize.data.removals import FILE_NAME, add_removals, read_removals
    from colorize.settings import load_settings

    root = find_root()
    path = root / FILE_NAME
    read_removals(path)
    photos = _Table(sorted((root / "data/raw").glob("*/manifest.parquet")))
    datasets = sorted({*load_settings(root / "params.yaml").datasets, *photos.datasets()})
    targets = [find(text, photos, datasets) for text in what]
    added = add_removals(path, (target.removal for target in targets))
    for target in targets:
        _print_target(target, is_new=target.removal in added)
    covered = photos.rows_of(target.removal for target in targets)
    _print_covered(covered)
    _print_near_copies(root, covered)
    print(f"\n{FILE_NAME} has {len(added)} new {'line' if len(added) == 1 else 'lines'}. Next:")
    print(f"  make data     makes the data without them (make run: and trains on it); commit {FILE_NAME} with it")
    print("  make gc       then drops their bytes from DVC's cache on this machine")
    print("Models that are trained already do not change; the next training is without them.")


@dataclass(frozen=True)
class Target:
    """What somebody asked to remove.

    Attributes:
        text: what was asked for.
        found: what that was taken to be, for people.
        removal: what is recorded.
        known: whether a manifest has it.
    """

    text: str
    found: str
    removal: Removal
    known: bool


class _Table:
    """Rows of the manifests, or of data/groups.parquet, found without holding all of them."""

    def __init__(self, files: list[Path]) -> None:
        import pyarrow as pa
        import pyarrow.dataset as ds

        names = ("dataset", "path", "id", "status", "reason", "duplicate_group")
        schema = pa.schema([(name, pa.string()) for name in names])
        self._dataset = ds.dataset([str(file) for file in files], schema=schema, format="parquet")
        self._files = files

    def datasets(self) -> set[str]:
        return {file.parent.name for file in self._files}

    def where(self, condition: Expression) -> list[Row]:
        rows: list[Row] = self._dataset.to_table(filter=condition).to_pylist() if self._files else []
        return rows

    def rows_of(self, removals: Iterable[Removal]) -> list[Row]:
        """What removals cover, copies of the same bytes under other names too."""

        removals = list(removals)
        ids = {removal.id for removal in removals if removal.id is not None}
        places = {removal.place for removal in removals if removal.place is not None}
        rows = self.among("id", ids) + self.among("path", {path for _, path in places})
        unique = {(row["dataset"], row["path"], row["id"]): row for row in rows}
        return [row for row in unique.values() if row["id"] in ids or (row["dataset"], row["path"]) in places]

    def among(self, column: str, values: set[str]) -> list[Row]:
        import pyarrow.compute as pc

        return self.where(pc.field(column).isin(sorted(values))) if values else []


def find(text: str, photos: _Table, datasets: list[str]) -> Target:
    """What a text means.

    Raises:
        ValueError: it means nothing, or more than one thing; the message says how to tell them apart.
    """
    from colorize.data.removals import Removal

    on_disk = Path(text)
    as_file = _file(text) if on_disk.is_file() else None
    # Written like this it can be nothing else.
    if as_file is not None and text.startswith(("./", "../", "/")):
        return _with_knowledge(as_file, photos)
    as_photo = _hash(text, photos) or _place(text, photos, datasets)
    if as_photo is None or as_file is None:
        found = as_photo or as_file
    elif as_photo.removal.id in (None, as_file.removal.id):
        both = Removal(as_file.removal.id, as_photo.removal.place)
        found = Target(text, f"{as_photo.found}, and the file here", both, as_photo.known)
    else:
        raise ValueError(
            f"{safe(text)} is both a file here and {as_photo.found}, and they differ. Write "
            f"{shlex.quote('./' + safe(text))} for the file, {as_photo.removal.id} for the other"
        )
    if found is not None:
        return _with_knowledge(found, photos)
    if text and on_disk.is_dir():
        raise ValueError(f"{safe(text)} is a folder; name the photos in it one by one")
    raise ValueError(
        f"{safe(text)}: no such photo or file. Expected the 64 digits of a SHA-256, the first {_SHORTEST} or more of "
        f"one in the manifests, a file, or DATASET/PATH; datasets are {', '.join(datasets)}"
    )


def _file(text: str) -> Target:
    from colorize.data.removals import Removal
    from colorize.storage import sha256_file

    return Target(text, "a file on this disk", Removal(sha256_file(Path(text))), known=False)


def _hash(text: str, photos: _Table) -> Target | None:
    """A text of hexadecimal digits as an id, or as the beginning of one."""
    import pyarrow.compute as pc

    from colorize.data.removals import Removal

    digits = text.lower()
    if not re.fullmatch(f"[0-9a-f]{{{_SHORTEST},64}}", digits, re.ASCII):
        return None
    if len(digits) == 64:
        return Target(text, "a SHA-256", Removal(digits), known=False)
    ids = sorted({row["id"] for row in photos.where(pc.starts_with(pc.field("id"), digits))})
    if len(ids) > 1:
        shown = "\n".join(f"  {one}" for one in ids[:_ROWS_SHOWN])
        raise ValueError(f"{len(ids)} photos have an id that begins with {digits}; write more of it:\n{shown}")
    return Target(text, f"the photo with the id {ids[0]}", Removal(ids[0]), known=True) if ids else None


def _place(text: str, photos: _Table, datasets: list[str]) -> Target | None:
    """A text as DATASET/PATH, else as a path inside of one dataset."""
    import pyarrow.compute as pc

    from colorize.data.removals import Removal

    named = [(name, text[len(name) + 1 :]) for name in datasets if text.startswith(f"{name}/") and text != f"{name}/"]
    rows = [row for name, path in named for row in _at(photos, name, path)]
    rows = rows or photos.where(pc.field("path") == text)
    places = sorted({(row["dataset"], row["path"]) for row in rows})
    if len(places) > 1:
        shown = "\n".join(f"  {safe(f'{dataset}/{path}')}" for dataset, path in places)
        raise ValueError(f"{safe(text)} is in several datasets; write the one that is meant:\n{shown}")
    if not places:
        # Nothing has been ingested yet, or the photo is new: the name of the dataset says enough.
        return Target(text, f"a path in {named[0][0]}", Removal(place=named[0]), known=False) if named else None
    # Two members of an archive may bear one name; the one that was read has an id.
    identity = next((row["id"] for row in rows if row["id"] is not None), None)
    return Target(text, f"{places[0][1]} of {places[0][0]}", Removal(identity, places[0]), known=True)


def _at(photos: _Table, dataset: str, path: str) -> list[Row]:
    import pyarrow.compute as pc

    return photos.where((pc.field("dataset") == dataset) & (pc.field("path") == path))


def _with_knowledge(target: Target, photos: _Table) -> Target:
    known = target.known or bool(photos.rows_of([target.removal]))
    return Target(target.text, target.found, target.removal, known)


def _print_target(target: Target, is_new: bool) -> None:
    print(f"{safe(target.text)}: {safe(target.found)}; {'recorded' if is_new else 'was recorded before'}")
    if target.removal.id is not None:
        print(f"  id {target.removal.id}")
    if not target.known:
        typer.echo(
            "  warning: no manifest knows it, so nothing that was ingested goes; it will be left out should it turn up",
            err=True,
        )


def _print_covered(rows: list[Row]) -> None:
    if rows:
        print(f"\nLeft out from now on, the same bytes under other names too ({len(rows)}):")
    _print_rows(rows)


def _print_near_copies(root: Path, covered: list[Row]) -> None:
    """Near copies are the same picture in other bytes: they stay, and the best of them takes the photo's place."""
    groups = root / "data/groups.parquet"
    ids = {row["id"] for row in covered if row["id"] is not None}
    if not ids or not groups.is_file():
        return
    members = _Table([groups])
    concerned = {row["duplicate_group"] for row in members.among("id", ids)}
    near = [row for row in members.among("duplicate_group", concerned) if row["id"] not in ids]
    if not near:
        return
    print(f"\nNear copies, in other bytes, stay unless they are removed as well ({len(near)}):")
    _print_rows(near)
    ids_of_copies = dict.fromkeys(row["id"][:_SHOWN_DIGITS] for row in near)
    print(f"  colorize remove {' '.join(ids_of_copies)}")


def _print_rows(rows: list[Row]) -> None:
    for row in rows[:_ROWS_SHOWN]:
        print(f"  {safe(row['dataset'] + '/' + row['path'])}")
    if len(rows) > _ROWS_SHOWN:
        print(f"  … and {len(rows) - _ROWS_SHOWN:,} more")
