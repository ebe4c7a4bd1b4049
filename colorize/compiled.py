"""Loops compiled by numba when their module is imported, kept on disk for the next process.

numba itself throws away what it has kept when the file of a function has another time or size. That misses two cases:
constants and functions of *other* files that were compiled in, and a file that was installed with the old one's time.
So everything here is kept in a folder named by the digest of all files that have a part in it: whatever changes, the
old machine code is never looked at again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final, TypeVar

import numba

_Function = TypeVar("_Function", bound=Callable[..., object])

_PACKAGE: Final = Path(__file__).parent
# Every file with compiled functions, and those whose constants they take. A test asks that none is missing.
CODE: Final = (
    "color.py",
    "color_kernel.py",
    "compiled.py",
    "data/agreement.py",
    "data/description.py",
    "data/grouping.py",
    "data/likeness.py",
    "data/near_codes.py",
    "data/overlay.py",
    "images/resizing.py",
)


def compiled(*signatures: str) -> Callable[[_Function], _Function]:
    """Compile a function for the types given, and for no others; or, without any, together with the one that calls it.

    The machine code is kept beside the package, else in the user's cache folder (NUMBA_CACHE_DIR, where set, comes
    first); where no folder can be written to, every process compiles for itself. Of several processes that need the
    same function at a time one compiles it and the others wait for it. A killed one leaves nothing half-written.

    Args:
        signatures: in numba's notation, such as "void(uint8[::1], int32[::1])". A function without any is not kept by
            itself: it costs nothing when its caller is found on disk.
    """

    compile_with: Any = numba.njit  # its own types say less than ours

    def compile_function(function: _Function) -> _Function:
        if not signatures:
            part: _Function = compile_with(function)
            return part
        if (folder := _folder()) is not None:
            try:
                with _alone(folder / f"{function.__module__}.{function.__qualname__}.lock"), _kept_in(folder):
                    kept: _Function = compile_with(list(signatures), cache=True)(function)
                    return kept
            except (OSError, EOFError, UnpicklingError):
                pass  # the folder is full, was removed, or what is in it is damaged
        unkept: _Function = compile_with(list(signatures))(function)
        return unkept

    return compile_function


@lru_cache(maxsize=1)
def _folder() -> Path | None:
    """Where machine code is kept; None where nothing can be."""
    digest = hashlib.sha256(b"".join(hashlib.sha256((_PACKAGE / name).read_bytes()).digest() for name in CODE))
    name = f"colorize-{digest.hexdigest()[:16]}"
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")  # noqa: PTH111, PTH118
    places = [_PACKAGE / "__pycache__", Path(caches)]
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        places.insert(0, Path(chosen))
    for place in places:
        try:
            (place / name).mkdir(parents=True, exist_ok=True)
            with (place / name / "writable.lock").open("ab"):
                return place / name
        except OSError:
            continue
    return None


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other process is at the same function. The system lets go of the lock when a process ends."""
    with path.open("ab") as file:
        if file.tell() == 0:
            _say_once(path.parent)
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
        if file.tell() == 0:
            file.write(b".")  # by the next process, the function is found


@lru_cache(maxsize=1)
def _say_once(folder: Path) -> None:
    if sys.stderr.isatty():
        print(f"Compiling loops into {folder}: once, up to half a minute", file=sys.stderr)


@contextmanager
def _kept_in(folder: Path) -> Iterator[None]:
    """numba asks for its folder when a function is given to it."""
    config: Any = numba.config  # makes its names up as it is imported
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder)
    try:
        yield
    finally:
        config.CACHE_DIR = before
