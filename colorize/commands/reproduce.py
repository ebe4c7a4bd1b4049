"""`colorize models reproduce NAME`: train a version again, and say whether the weights are the same."""

from __future__ import annotations

from typing import Annotated

import typer

from colorize.commands.project import find_root


def reproduce(
    name: Annotated[str, typer.Argument(help="An alias such as 'champion', an architecture, or a version's number.")],
) -> None:
    """Train a version again from its commit, parameters and data, and say whether the weights are the same.

    It happens in a clone in a temporary folder, with the recorded number of workers and threads; the project and its
    registry stay as they are. Nothing is trained where data, parameters, code or lock file are not those of then.
    On the CPU the weights should be the same, byte for byte.

    Exit code: 0 the same, 1 others, or not to be trained again; the message says why.
    """
    from colorize.registry import Registry
    from colorize.reproduction import reproduce as train_again
    from colorize.settings import load_settings

    root = find_root()
    settings = load_settings(root / "params.yaml")
    done = train_again(name, Registry(settings.registry, root), root, lambda line: print(line, flush=True))
    if done.same:
        print("\nthe same weights, byte for byte")
        return
    print("\nother weights, from the same data, parameters, code and lock file:")
    for line in done.differences:
        print(f"  {line}")
    print(f"the new run is in {done.folder}")
    raise typer.Exit(1)
