"""What every stage does around its work: read the settings, turn errors that people can mend into one line."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

from colorize.settings import load_settings

T = TypeVar("T")


def run(stage: Callable[..., None], *names: str) -> NoReturn:
    """Run a stage as a command and exit: 0, or 1 with `error: ...` on standard error, or 130 after Ctrl-C.

    Args:
        stage: called with the settings and one text per name.
        names: what the command takes, such as "dataset".
    """
    arguments = sys.argv[1:]
    if len(arguments) != len(names):
        module = stage.__globals__["__spec__"].name
        sys.exit(f"usage: python -m {module} {' '.join(name.upper() for name in names)}".rstrip())
    try:
        stage(load_settings(), *arguments)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        sys.exit(f"error: {place}{error.strerror or error}{_way_out(error)}")
    except ValueError as error:
        sys.exit(f"error: {error}")
    sys.exit(0)


def one_of(datasets: Mapping[str, T], name: str) -> T:
    """The settings of one dataset.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in datasets:
        raise ValueError(f"no dataset '{name}' in params.yaml; there are: {', '.join(datasets)}")
    return datasets[name]


def say(title: str, counts: Mapping[str, Any]) -> None:
    """Print counts as one readable line, those by reason in brackets."""
    print(f"{title}: {_text(counts)}", flush=True)


def _text(counts: Mapping[str, Any]) -> str:
    parts = []
    for name, value in counts.items():
        words = name.replace("_", " ")
        if isinstance(value, Mapping):
            if value:
                parts.append(f"{words} ({_text(value)})")
        else:
            parts.append(f"{words} {value}")
    return ", ".join(parts)


def _way_out(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "; free some space and run again: what is complete is kept"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "; make the folder writable and run again"
    return ""
