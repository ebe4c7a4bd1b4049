"""Trying again: the one budget that everything reaching over a network shares."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable
from typing import TypeVar

from colorize.data.sources import SourceUnavailableError

T = TypeVar("T")

ATTEMPTS = 10
BASE_SECONDS = 0.1
"""The first delay at most; COLORIZE_RETRY_SECONDS in the environment overrides it, also in worker processes."""
LONGEST_SECONDS = 20.0
LONGEST_ASKED_SECONDS = 120.0
"""How much of a delay that a server asks for (Retry-After) is honoured."""


class TransientError(Exception):
    """A failure that may be gone the next time.

    Args:
        message: what failed.
        seconds: the delay that the other side asked for (Retry-After); None where it named none.
    """

    def __init__(self, message: str, seconds: float | None = None) -> None:
        super().__init__(message, seconds)
        self.message = message
        self.seconds = seconds

    def __str__(self) -> str:
        return self.message


def base_seconds() -> float:
    """The base delay in seconds, 0 … 20.

    Raises:
        ValueError: COLORIZE_RETRY_SECONDS is no such number.
    """
    text = os.environ.get("COLORIZE_RETRY_SECONDS")
    if text is None:
        return BASE_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= LONGEST_SECONDS:
        raise ValueError(
            f"COLORIZE_RETRY_SECONDS={text!r}: expected seconds between 0 and {LONGEST_SECONDS:g}, such as "
            f"{BASE_SECONDS:g}; unset it to get that"
        )
    return seconds


def delay_seconds(attempt: int, base: float, chance: float) -> float:
    """How long to wait after a failed attempt: twice as long each time, half of it left to chance.

    The chance keeps many workers that failed together from coming back together.

    Args:
        attempt: 0 after the first attempt.
        base: seconds, from `base_seconds`.
        chance: 0 … 1, uniform.

    Returns:
        Seconds between half of and all of min(LONGEST_SECONDS, base · 2^attempt).
    """
    return min(LONGEST_SECONDS, base * 2.0 ** min(attempt, 64)) * (0.5 + 0.5 * chance)


def with_retries(
    call: Callable[[], T], what: str, is_transient: Callable[[Exception], bool], attempts: int = ATTEMPTS
) -> T:
    """The result of `call`, which is tried again while it fails in ways that may pass.

    Args:
        call: what is tried; must be safe to repeat.
        what: names it in the error, such as the address that is read.
        is_transient: whether an error may be gone the next time; all others pass through at once. After an
            `TransientError` the wait is at least as long as asked for, up to LONGEST_ASKED_SECONDS.
        attempts: 1 or more.

    Raises:
        SourceUnavailableError: all attempts failed.
        ValueError: COLORIZE_RETRY_SECONDS is no number in range.
    """
    base = base_seconds()
    for attempt in range(attempts):
        try:
            return call()
        except Exception as error:
            if not is_transient(error):
                raise
            if attempt + 1 == attempts:
                times = "once" if attempts == 1 else f"{attempts} times"
                raise SourceUnavailableError(
                    f"{what}: tried {times}, last with: {str(error) or type(error).__name__}. "
                    "What was done so far is kept; run the same command again when it can be reached"
                ) from error
            asked = error.seconds if isinstance(error, TransientError) else None
            time.sleep(max(delay_seconds(attempt, base, random.random()), min(asked or 0.0, LONGEST_ASKED_SECONDS)))
    raise ValueError(f"{what}: attempts={attempts}; expected 1 or more")
