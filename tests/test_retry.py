"""Trying again: how often, how long, what passes through, and what people are told."""

from __future__ import annotations

import itertools

import pytest

from colorize.data.sources import SourceUnavailableError
from colorize.retry import ATTEMPTS, BASE_SECONDS, LONGEST_SECONDS, TransientError, base_seconds, delay_seconds
from colorize.retry import with_retries as retried


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORIZE_RETRY_SECONDS", "0")


class Failing:
    """A call that fails a number of times, in order, and then works."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = iter(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        for error in self.errors:
            raise error
        return "done"


def always(error: Exception) -> bool:
    return True


def test_delays_double_up_to_the_longest_and_half_is_chance() -> None:
    whole = [delay_seconds(attempt, 0.1, 1.0) for attempt in range(12)]
    assert whole[:4] == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert whole[-1] == LONGEST_SECONDS
    assert all(later >= earlier for earlier, later in itertools.pairwise(whole))
    assert [delay_seconds(attempt, 0.1, 0.0) for attempt in range(12)] == pytest.approx([x / 2 for x in whole])
    assert delay_seconds(100_000, 0.1, 1.0) == LONGEST_SECONDS  # 2.0 ** 100000 would overflow


def test_the_base_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLORIZE_RETRY_SECONDS")
    assert base_seconds() == BASE_SECONDS
    monkeypatch.setenv("COLORIZE_RETRY_SECONDS", "0.5")
    assert base_seconds() == 0.5


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf", "21", ""])
def test_a_wrong_base_is_refused_with_the_range(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORIZE_RETRY_SECONDS", text)
    with pytest.raises(ValueError, match=r"COLORIZE_RETRY_SECONDS=.*between 0 and 20"):
        retried(lambda: 1, "thing", always)


def test_what_passes_is_tried_until_it_works() -> None:
    call = Failing(*(TransientError("busy") for _ in range(ATTEMPTS - 1)))
    assert retried(call, "thing", always) == "done"
    assert call.calls == ATTEMPTS


def test_the_budget_ends_with_the_name_the_count_and_the_last_error() -> None:
    call = Failing(*(TransientError(f"busy {number}") for number in range(ATTEMPTS)))
    with pytest.raises(
        SourceUnavailableError, match=r"^s3://photos: tried 10 times, last with: busy 9\. .*run"
    ) as caught:
        retried(call, "s3://photos", always)
    assert call.calls == ATTEMPTS
    assert isinstance(caught.value.__cause__, TransientError)


def test_an_error_without_words_is_told_by_its_class() -> None:
    with pytest.raises(SourceUnavailableError, match="tried once, last with: TimeoutError"):
        retried(Failing(TimeoutError()), "thing", always, attempts=1)


def test_what_does_not_pass_is_raised_at_once() -> None:
    call = Failing(TransientError("busy"), KeyError("gone"))
    with pytest.raises(KeyError, match="gone"):
        retried(call, "thing", lambda error: isinstance(error, TransientError))
    assert call.calls == 2


def test_the_wait_that_the_other_side_asks_for_is_kept_within_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    call = Failing(TransientError("busy", 7.0), TransientError("busy"), TransientError("busy", 86_400.0))
    assert retried(call, "thing", always) == "done"
    assert waits == [7.0, 0.0, 120.0]
