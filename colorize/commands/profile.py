"""`make profile NAME=full|sample`: a committed profile takes the place of params.yaml."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any

import typer

from colorize.commands.project import find_root
from colorize.settings import Settings, SettingsError, load_settings
from colorize.storage import write_bytes

ABSENT = "(absent)"


def profile(
    name: Annotated[str, typer.Argument(help="Name of a file of profiles/, without .yaml.")],
    force: Annotated[bool, typer.Option("--force", help="Drop edits of params.yaml.")] = False,
) -> None:
    """Put a profile in place of params.yaml, and say what that changes."""
    root = find_root()
    params = root / "params.yaml"
    before: Settings | None = None
    # Whoever has broken params.yaml may well want a whole one in its place.
    with suppress(SettingsError):
        before = load_settings(params)
    text = put(root, name, force=force)
    print(f"params.yaml is profiles/{name}.yaml now")
    if before is not None:
        changes = list(differences(before, load_settings(params)))
        print(f"{len(changes)} settings changed", *changes, sep="\n  ")
    comment = takewhile(lambda line: line.startswith("#"), text.splitlines())
    print("", *(line.removeprefix("#").removeprefix(" ") for line in comment), sep="\n")
    print("\nNext: make data, or make run. 'colorize doctor' says whether the disk is large enough.")


def put(root: Path, name: str, *, force: bool) -> str:
    """Replace params.yaml by a profile, as a whole.

    Args:
        root: the project's folder.
        name: stem of a file in `profiles/`.
        force: drop what is in params.yaml, even if no profile has it.

    Returns:
        The profile's text.

    Raises:
        ValueError: there is no such profile, it is not valid, or params.yaml has edits that would be lost.
    """
    params = root / "params.yaml"
    profiles = {path.stem: path for path in sorted((root / "profiles").glob("*.yaml"))}
    if name not in profiles:
        raise ValueError(f"no profile is named '{name}'; write make profile NAME={'|'.join(profiles)}")
    load_settings(profiles[name])
    known = {path.read_bytes() for path in profiles.values()}
    if params.is_file() and params.read_bytes() not in known and not force:
        raise ValueError(
            "params.yaml has edits that are in no profile. To keep them: cp params.yaml profiles/mine.yaml, and run "
            f"this again (make profile NAME=mine brings them back). To drop them: make profile NAME={name} FORCE=1"
        )
    content = profiles[name].read_bytes()
    write_bytes(params, content)
    return content.decode("utf-8")


def differences(before: Settings, after: Settings) -> Iterator[str]:
    """What changed between two sets of settings: a line a setting, in the order of the newer one."""
    old, new = _flat(before), _flat(after)
    for key in {**new, **old}:
        if old.get(key) != new.get(key):
            yield f"{key}: {old.get(key, ABSENT)} -> {new.get(key, ABSENT)}"


def _flat(settings: Settings) -> dict[str, str]:
    """Each setting as text, by its dotted name."""

    def walk(value: Any, name: str) -> Iterator[tuple[str, str]]:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                yield from walk(inner, f"{name}.{key}" if name else key)
        else:
            yield name, str(value)

    return dict(walk(settings.model_dump(mode="json"), ""))


if __name__ == "__main__":
    try:
        typer.run(profile)
    except (ValueError, OSError) as problem:
        sys.exit(f"error: {problem}")
