"""What a flow tells people: on the console, and in the log of its run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger


def say(line: str) -> None:
    """Print a line, and keep it with the flow run or task run that says it."""
    print(line, flush=True)
    with suppress(MissingContextError):  # outside of a run
        get_run_logger().info(line)


def keep(lines: Sequence[str]) -> None:
    """Keep lines with the run alone: what workers say would flood the console."""
    with suppress(MissingContextError):
        for line in lines:
            get_run_logger().info(line)
