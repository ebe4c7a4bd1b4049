"""Loops compiled by numba when their module is imported, kept on disk for the next process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

_Function = TypeVar("_Function", bound=Callable[..., object])


def compiled(*signatures: str) -> Callable[[_Function], _Function]:
    """Compile a function for the types given, and for no others.

    numba keeps the machine code beside the source, else in the user's cache folder (or NUMBA_CACHE_DIR), each file
    written at once or not at all, so several processes may do so at a time. Where no folder can be written to, every
    process compiles for itself.

    What is kept is thrown away when the file of the function changes, but not when another file does: call functions of
    the same file only, and hand in tables and constants of other modules as arguments.

    Args:
        signatures: in numba's notation, such as "void(uint8[::1], int32[::1])".
    """

    compile_with: Any = numba.njit  # its own types say less than ours

    def compile_function(function: _Function) -> _Function:
        try:
            kept: _Function = compile_with(list(signatures), cache=True)(function)
        except (RuntimeError, OSError) as error:
            if isinstance(error, RuntimeError) and "cannot cache function" not in str(error):
                raise
            alone: _Function = compile_with(list(signatures))(function)
            return alone
        return kept

    return compile_function
