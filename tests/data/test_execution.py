"""Results come in order from any number of workers; dead workers and dead parents are noticed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from math import sqrt
from pathlib import Path

import pytest

from colorize.data.execution import WorkerDiedError, check_ray_address, map_ordered, worker_count


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_order_is_that_of_the_items(workers: int) -> None:
    # The first items take longest: without care the last ones would come first.
    delays = [0.05, 0.04, 0.03, 0.0, 0.0, 0.0, 0.0]
    assert list(map_ordered(time.sleep, delays, workers, chunk=1)) == [None] * 7
    assert list(map_ordered(sqrt, range(50), workers)) == [sqrt(i) for i in range(50)]


def test_no_items() -> None:
    assert list(map_ordered(sqrt, [], 2)) == []


def test_items_are_drawn_as_results_are_taken() -> None:
    drawn = 0

    def items() -> Iterator[int]:
        nonlocal drawn
        for i in range(1000):
            drawn += 1
            yield i

    with closing(map_ordered(sqrt, items(), 2, chunk=2)) as results:
        for _ in range(10):
            next(results)
        assert drawn <= 10 + 3 * 2 * 2 + 2


def test_an_error_comes_with_its_item() -> None:
    results = map_ordered(sqrt, [4.0, -1.0, 9.0], 2, chunk=1)
    assert next(results) == 2.0
    with pytest.raises(ValueError, match=r"math domain|nonnegative"):
        next(results)


def test_a_killed_worker_is_an_error_that_says_so() -> None:
    with pytest.raises(WorkerDiedError, match="COLORIZE_WORKERS=1"):
        list(map_ordered(signal.raise_signal, [signal.SIGKILL], 2))


def test_workers_end_when_their_parent_is_killed() -> None:
    code = """
import os, time
from colorize.data.execution import map_ordered
pids = map_ordered(eval, ["__import__('os').getpid()", "__import__('time').sleep(60)"], 2, chunk=1)
print(next(pids), flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
    for _ in range(100):
        with suppress(ProcessLookupError):
            os.kill(worker, 0)
            time.sleep(0.05)
            continue
        return
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker outlived its parent by 5 seconds")


def test_no_cluster_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("", "local"):
        monkeypatch.setenv("RAY_ADDRESS", address)
        assert list(map_ordered(sqrt, [4.0, 9.0], 2)) == [2.0, 3.0]
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert list(map_ordered(sqrt, [4.0, 9.0], 1)) == [2.0, 3.0]


def test_a_cluster_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:1: no Ray cluster.*unset RAY_ADDRESS"):
        list(map_ordered(sqrt, [4.0, 9.0]))


def test_addresses_of_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [check_ray_address(good) for good in (None, "", "auto", "10.0.0.1:6379")] == [
        None,
        None,
        "auto",
        "10.0.0.1:6379",
    ]
    for refused, why in (
        ("ray://head:10001", "30 s without network"),
        ("http://head:8265", "ray job submit.*-- python "),
    ):
        with pytest.raises(ValueError, match=why):
            check_ray_address(refused)
        monkeypatch.setenv("RAY_ADDRESS", refused)
        with pytest.raises(ValueError, match=why):
            list(map_ordered(sqrt, [4.0, 9.0]))


def test_worker_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLORIZE_WORKERS", raising=False)
    assert worker_count() == len(os.sched_getaffinity(0))
    monkeypatch.setenv("COLORIZE_WORKERS", "7")
    assert worker_count() == 7
    for wrong in ("0", "-1", "two", ""):
        monkeypatch.setenv("COLORIZE_WORKERS", wrong)
        with pytest.raises(ValueError, match="COLORIZE_WORKERS"):
            worker_count()


def test_what_is_to_stay_on_this_machine_asks_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://head:8265")
    with pytest.raises(ValueError, match="where Ray takes jobs"):
        list(map_ordered(sqrt, [4.0, 9.0], 1))
    assert list(map_ordered(sqrt, [4.0, 9.0], 1, cluster=False)) == [2.0, 3.0]
    assert list(map_ordered(sqrt, [4.0, 9.0], cluster=False)) == [2.0, 3.0]


@pytest.mark.parametrize(
    ("address", "storage", "cluster"),
    [(None, None, True), ("auto", None, True), ("auto", "s3://bucket/runs", False), ("http://head:8265", None, False)],
)
def test_a_cluster_measures_only_where_this_process_is_on_it_and_its_nodes_see_the_project(
    address: str | None, storage: str | None, cluster: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from colorize.settings import Settings
    from pipelines.results import photos_of

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if address is not None:
        monkeypatch.setenv("RAY_ADDRESS", address)
    settings = Settings.model_validate({"datasets": {}, "scaling": {"storage": storage}})
    assert photos_of(settings, tmp_path).cluster is cluster
