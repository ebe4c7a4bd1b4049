"""`colorize gc`: collect what nothing refers to any more."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from colorize.commands.project import find_root

_UNTOUCHED_SECONDS = 3600.0


@dataclass(frozen=True)
class Garbage:
    """A file or folder that can go, and why."""

    path: Path
    reason: str


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
) -> None:
    """Remove superseded runs, leftovers of killed writers and dead Ray sessions; registered versions stay."""
    root = find_root()
    garbage = [*_old_runs(root), *_leftovers(root), *_dead_ray_sessions()]
    freed = 0
    for item in garbage:
        size = _size(item.path)
        freed += size
        print(f"{'would remove' if dry_run else 'removed'} {item.path} ({size / 2**20:.1f} MiB): {item.reason}")
        if not dry_run:
            shutil.rmtree(item.path) if item.path.is_dir() else item.path.unlink(missing_ok=True)
    print(f"{len(garbage)} item(s), {freed / 2**20:.1f} MiB{' would be freed' if dry_run else ' freed'}")


def _old_runs(root: Path) -> list[Garbage]:
    """Runs that are not what params.yaml and the data ask for now. Registered versions keep files of their own."""
    from colorize.settings import load_settings
    from colorize.training.identity import specify

    index = root / "data" / "lab" / "index.json"
    if not index.is_file() or not (root / "runs").is_dir():
        return []
    settings = load_settings(root / "params.yaml")
    wanted = {specify(settings, name, index.parent, root).name for name in settings.architectures.chosen()}
    return [
        Garbage(folder, "a run of other parameters, data or code than the present ones")
        for folder in sorted((root / "runs").iterdir())
        if folder.is_dir() and _is_superseded(folder, wanted)
    ]


def _is_superseded(folder: Path, wanted: set[str]) -> bool:
    """An unfinished run that was written to in the last hour may belong to a training under way: it stays."""
    if folder.name in wanted or not (folder / "log.jsonl").is_file():
        return False
    return (folder / "done.json").is_file() or _untouched(folder / "log.jsonl")


def _leftovers(root: Path) -> list[Garbage]:
    return [
        Garbage(path, "left behind by a killed writer")
        for place in ("data", "runs", "registry", "reports", "weights")
        for path in sorted((root / place).rglob(".tmp-*"))
        if _untouched(path)
    ]


def _dead_ray_sessions() -> list[Garbage]:
    """Session folders of Ray in its default place whose head process is gone."""
    import tempfile

    import psutil

    sessions = sorted(Path(tempfile.gettempdir(), "ray").glob("session_2*"))
    alive = {int(session.name.rsplit("_", 1)[-1]): session for session in sessions if session.name[-1].isdigit()}
    return [
        Garbage(session, "a Ray session whose driver is gone")
        for process, session in alive.items()
        if not psutil.pid_exists(process) and _untouched(session)
    ]


def _untouched(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > _UNTOUCHED_SECONDS


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.lstat().st_size for file in path.rglob("*") if file.is_file() and not file.is_symlink())
