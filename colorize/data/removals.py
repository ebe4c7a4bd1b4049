"""Photos taken out for good: a committed file of lines that every run honours, whatever the sources still hold."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from colorize.storage import write_bytes

FILE_NAME: Final = "removed.jsonl"
ALLOWED: Final = (
    'a line is {"id": the 64 hexadecimal digits of a SHA-256} or {"dataset": name, "path": path in it}, '
    'the latter with an "id" or without'
)
_KEYS: Final = {"dataset", "path", "id"}


@dataclass(frozen=True, slots=True)
class Removal:
    """One photo that is taken out, by its content, by its place, or by both.

    Attributes:
        id: SHA-256 of its bytes, 64 lower-case hexadecimal digits.
        place: its dataset, and its path there.
    """

    id: str | None = None
    place: tuple[str, str] | None = None


@dataclass(frozen=True)
class Removals:
    """All photos that are taken out.

    Attributes:
        ids: SHA-256 of their bytes.
        paths: dataset, and path there.
    """

    ids: frozenset[str] = frozenset()
    paths: frozenset[tuple[str, str]] = frozenset()

    def cover(self, dataset: str, path: str, identity: str | None) -> bool:
        """Whether a photo is taken out: these bytes under any name, or whatever lies at this place.

        Args:
            dataset: name of the dataset.
            path: in that dataset.
            identity: SHA-256 of the bytes; None where they are not known.
        """
        return identity in self.ids or (dataset, path) in self.paths


NONE: Final = Removals()


def read_removals(path: Path) -> Removals:
    """Read `removed.jsonl`. Empty lines and those that begin with # are left out.

    Raises:
        ValueError: a line is not what it should be; the message has its number.
        FileNotFoundError: there is no such file: going on would bring photos back that were taken out.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path} is missing: it says which photos were taken out for good. 'git checkout {FILE_NAME}' brings it "
            f"back; if there never was one, make it: touch {FILE_NAME}"
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 ({error}); 'git checkout {FILE_NAME}' brings it back") from error
    removals = [
        _parsed(line, f"{path}, line {number}")
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip() and not line.startswith("#")
    ]
    return Removals(
        ids=frozenset(one.id for one in removals if one.id is not None),
        paths=frozenset(one.place for one in removals if one.place is not None),
    )


def add_removals(path: Path, removals: Iterable[Removal]) -> list[Removal]:
    """Append what is not covered yet; the file is replaced as a whole, and made if it does not exist.

    Returns:
        What was new.

    Raises:
        ValueError: a line of the file or a removal is not what it should be; nothing is written.
        OSError: the file cannot be written.
    """
    with _alone(path.parent):
        before = path.read_bytes() if path.exists() else b""
        known = read_removals(path) if before else NONE
        ids: set[str | None] = set(known.ids)
        paths: set[tuple[str, str] | None] = set(known.paths)
        added: list[Removal] = []
        lines: list[str] = []
        for removal in removals:
            if (removal.id is None or removal.id in ids) and (removal.place is None or removal.place in paths):
                continue
            line = json.dumps(_as_json(removal))
            added.append(_parsed(line, "to take out"))
            lines.append(f"{line}\n")
            ids |= {added[-1].id} - {None}
            paths |= {added[-1].place} - {None}
        if lines:
            separator = b"" if not before or before.endswith(b"\n") else b"\n"
            write_bytes(path, before + separator + "".join(lines).encode())
        return added


def _as_json(removal: Removal) -> dict[str, str]:
    fields = {} if removal.place is None else {"dataset": removal.place[0], "path": removal.place[1]}
    return fields if removal.id is None else {**fields, "id": removal.id}


def _parsed(line: str, where: str) -> Removal:
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: not JSON ({error}); {ALLOWED}") from error
    if not isinstance(value, dict) or not all(isinstance(one, str) and one for one in value.values()):
        raise ValueError(f"{where}: {line.strip()[:200]} is no object of texts; {ALLOWED}")
    if unknown := sorted(value.keys() - _KEYS):
        raise ValueError(f"{where}: unknown key '{unknown[0]}'; {ALLOWED}")
    if value.keys() not in ({"id"}, {"dataset", "path"}, _KEYS):
        raise ValueError(f"{where}: {', '.join(sorted(value)) or 'nothing'} alone names no photo; {ALLOWED}")
    identity = value.get("id")
    if identity is not None and not re.fullmatch("[0-9a-f]{64}", identity.lower(), re.ASCII):
        raise ValueError(f"{where}: '{identity[:200]}' is no id; {ALLOWED}")
    place = (value["dataset"], value["path"]) if "path" in value else None
    return Removal(identity and identity.lower(), place)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let no other process append at the same time: one of the two would be lost."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
