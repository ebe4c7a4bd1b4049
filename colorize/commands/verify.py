"""`colorize verify`: check LAB shards against their index."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def verify(folder: Annotated[Path, typer.Argument(help="Folder with index.json and the shards.")]) -> None:
    """Read every byte of every shard and compare with the index; exit code 1 and one line per problem."""
    from colorize.data.shards import verify as find_problems

    problems = find_problems(folder)
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        typer.echo(f"{folder}: {len(problems)} problem(s); 'dvc repro --force shard' writes the shards again", err=True)
        raise typer.Exit(1)
    print(f"{folder}: every shard is as it was written")
