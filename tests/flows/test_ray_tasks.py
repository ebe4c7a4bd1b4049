"""The same work on a real Ray cluster of two nodes: same results, bounded look-ahead, dead workers replaced."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from colorize.data.execution import WorkerDiedError, map_ordered

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes with one CPU each; RAY_ADDRESS says where."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")  # the nodes talk over the loopback interface only
        from ray.cluster_utils import Cluster

        # Ray puts a Unix socket some 60 characters below its folder, and such a path may have 107.
        folder = tempfile.mkdtemp(prefix="c", dir="/tmp")
        patch.setenv("RAY_TMPDIR", folder)
        Path(folder, "ray").mkdir()  # where Ray writes the cluster's address, before it makes the folder
        node = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=node)
        try:
            cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
            patch.setenv("RAY_ADDRESS", cluster.address)
            yield cluster
        finally:
            cluster.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


def eventually(condition: Callable[[], bool]) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("it did not happen within a minute")


# `eval` and `exec`, since nodes cannot import a function of this file.
def test_same_results_as_processes(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [f"({i}, sum(range({i})), __import__('time').sleep({(7 - i % 8) / 200}))" for i in range(40)]
    on_ray = list(map_ordered(eval, items, chunk=3))
    monkeypatch.delenv("RAY_ADDRESS")
    assert on_ray == list(map_ordered(eval, items, 2, chunk=3)) == [eval(item) for item in items]


def test_both_nodes_work_in_our_folder(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = tmp_path / "seen"
    seen.mkdir()
    monkeypatch.chdir(tmp_path)
    # Each item keeps its node's only CPU until the other one has come, too.
    code = """
import os, pathlib, ray, time
pathlib.Path("seen", ray.get_runtime_context().get_node_id()).write_text(os.getcwd())
for _ in range(600):
    if len(os.listdir("seen")) == 2:
        break
    time.sleep(0.1)
"""
    list(map_ordered(exec, [code] * 2, chunk=1))
    expected = {node.node_id: str(tmp_path) for node in cluster.list_all_nodes()}
    assert {path.name: path.read_text() for path in seen.iterdir()} == expected
    assert len(expected) == 2


def test_items_are_drawn_as_results_are_taken(cluster: Any) -> None:
    drawn = 0

    def items() -> Iterator[int]:
        nonlocal drawn
        for i in range(1000):
            drawn += 1
            yield i

    # More than once: calling work off while tasks finish is a race, and once crashed this process.
    for _ in range(4):
        drawn = 0
        with closing(map_ordered(sqrt, items(), chunk=2)) as results:
            assert [next(results) for _ in range(10)] == [sqrt(i) for i in range(10)]
            assert drawn <= 10 + 3 * 2 * 2 + 2


def test_an_exception_comes_with_its_item_and_as_itself(cluster: Any) -> None:
    results = map_ordered(sqrt, [4.0, -1.0, 9.0], chunk=1)
    assert next(results) == 2.0
    with pytest.raises(ValueError, match=r"math domain|nonnegative") as caught:
        next(results)
    assert type(caught.value) is ValueError
    code = "from colorize.data.sandbox import SandboxError\nraise SandboxError('decoder-crash', 'why')"
    from colorize.data.sandbox import SandboxError

    with pytest.raises(SandboxError) as refused:
        list(map_ordered(exec, [code] * 2, chunk=1))
    assert type(refused.value) is SandboxError
    assert refused.value.detail == "why"


def test_a_killed_worker_is_replaced(cluster: Any, tmp_path: Path) -> None:
    # The third item kills its worker the first time, in the middle of its work.
    mark = tmp_path / "mark"
    deadly = f"open({str(mark)!r}, 'x') and __import__('signal').raise_signal(9)"
    items = [f"{i} if {i} != 3 or __import__('os').path.exists({str(mark)!r}) else ({deadly})" for i in range(12)]
    assert list(map_ordered(eval, items, chunk=2)) == list(range(12))
    assert mark.exists()


def test_a_lost_node_is_made_up_for(cluster: Any, tmp_path: Path) -> None:
    lost = cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    try:
        cluster.wait_for_nodes()
        node = "__import__('ray').get_runtime_context().get_node_id()"
        items = [
            f"({i}, open({str(tmp_path)!r} + '/' + {node}, 'w'), __import__('time').sleep(0.4))[0]" for i in range(24)
        ]
        results = map_ordered(eval, items, workers=3, chunk=1)
        first = next(results)
        eventually((tmp_path / lost.node_id).exists)  # it is at work
    finally:
        cluster.remove_node(lost, allow_graceful=False)
    assert [first, *results] == list(range(24))


def test_work_that_always_kills_its_worker_is_given_up(cluster: Any, tmp_path: Path) -> None:
    attempt = f"__import__('tempfile').mkdtemp(dir={str(tmp_path)!r})"
    code = f"{attempt} and __import__('signal').raise_signal(9)"
    with pytest.raises(WorkerDiedError, match="4 times for the same work"):
        list(map_ordered(eval, [code], chunk=1))
    assert len(list(tmp_path.iterdir())) == 4
    assert list(map_ordered(sqrt, [4.0, 9.0])) == [2.0, 3.0]


def test_closing_ends_what_is_under_way(cluster: Any, tmp_path: Path) -> None:
    code = f"open({str(tmp_path)!r} + '/' + str(__import__('os').getpid()), 'w') and __import__('time').sleep(600)"
    with closing(map_ordered(eval, ["1", *[code] * 4], chunk=1)) as results:
        assert next(results) == 1
        eventually(lambda: any(tmp_path.iterdir()))
        pids = [int(path.name) for path in tmp_path.iterdir()]
    _, alive = psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=30)
    assert not alive
    assert list(map_ordered(sqrt, [4.0, 9.0])) == [2.0, 3.0]  # no CPU of the cluster is held by them


def test_a_node_without_the_package_says_so(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("only_here")
    exec("def double(x): return 2 * x", module.__dict__)
    monkeypatch.setitem(sys.modules, "only_here", module)
    with pytest.raises(ConnectionError, match=r"same version of this package(?s:.*)only_here"):
        list(map_ordered(partial(module.double), [1, 2]))


def test_a_sandbox_in_a_task(cluster: Any) -> None:
    code = """
import os
from colorize.data.sandbox import Sandbox, SandboxError
with Sandbox(eval, 20, 2**30) as ours:
    assert ours(b'{"pid": __import__("os").getpid()}')["pid"] != os.getpid()
    try:
        ours(b'__import__("signal").raise_signal(11)')
    except SandboxError as error:
        assert error.reason == "decoder-crash"
    else:
        raise AssertionError("no crash")
    # Ray's main module, which takes a second to import, is not run again.
    assert ours(b'{"ray": "ray" in __import__("sys").modules}') == {"ray": False}
"""
    assert list(map_ordered(exec, [code] * 2, chunk=1)) == [None] * 2


def test_ingest_and_shard_write_the_same_bytes(cluster: Any, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    generator = np.random.default_rng(1)
    for number in range(60):
        pixels = generator.integers(0, 256, (4, 5, 3), np.uint8)
        Image.fromarray(pixels).resize((50, 40), Image.Resampling.BICUBIC).save(photos / f"{number}.jpg")
    (photos / "7.jpg").write_bytes((photos / "7.jpg").read_bytes()[:400])
    written = {}
    for where in ("here", "cluster"):
        project = tmp_path / where
        project.mkdir()
        settings = {
            "datasets": {"some": {"source": photos.as_uri()}},
            "ingest": {"shard_photos": 8},
            "shards": {"size": 32, "rows": 8, "row_group": 4},
        }
        (project / "params.yaml").write_text(json.dumps(settings))
        (project / "removed.jsonl").touch()
        environment = dict(os.environ)
        if where == "here":
            del environment["RAY_ADDRESS"]
        for stage in (["sources", "some"], ["ingest", "some"], ["dedupe"], ["split"], ["shard"]):
            command = [sys.executable, "-m", f"stages.{stage[0]}", *stage[1:]]
            subprocess.run(command, cwd=project, env=environment, check=True)
        files = sorted(path for path in (project / "data").rglob("*") if path.is_file())
        written[where] = {path.relative_to(project): path.read_bytes() for path in files}
    parts = [path.parts[1] for path in written["here"] if path.name.startswith("part-")]
    assert parts.count("raw") >= 7
    assert parts.count("lab") >= 7
    assert written["here"] == written["cluster"]


def test_an_evaluation_has_the_same_bytes(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from colorize.metrics.evaluation import NETWORKS, ROWS, SUMMARY, EvaluationData, evaluate_model
    from colorize.models import create, save_model
    from colorize.models.registry import settings_of
    from colorize.settings.sections import EvaluationSettings

    write_data(tmp_path / "data", photos=12)
    network = settings_of("unet", {"channels": 4, "depth": 1})
    save_model(tmp_path / "model", create("unet", network), "unet", network, {"size": 16})
    settings = EvaluationSettings(batch_size=4, gallery=2)
    photos = EvaluationData(tmp_path / "data/lab", tmp_path / "data/statistics.json", tmp_path / "weights", settings)
    evaluate_model("unet", tmp_path / "model", tmp_path / "cluster", photos)
    monkeypatch.delenv("RAY_ADDRESS")
    monkeypatch.setenv("COLORIZE_WORKERS", "1")
    evaluate_model("unet", tmp_path / "model", tmp_path / "here", photos)
    for file in (ROWS, SUMMARY, NETWORKS):
        assert (tmp_path / "cluster" / file).read_bytes() == (tmp_path / "here" / file).read_bytes()


def write_data(folder: Path, photos: int) -> None:
    """LAB shards of photos of noise, as many to train on as to test, with their statistics."""
    from colorize.data import statistics
    from colorize.data.shard_file import Row, write_shard
    from colorize.data.shard_index import read_entry, write_index
    from colorize.data.shard_plan import Photo, ShardPlan
    from colorize.settings.sections import ShardSettings
    from colorize.storage import write_json

    settings, entries, random = ShardSettings(size=16, row_group=4), [], np.random.default_rng(1)
    for first, split in ((0, "train"), (photos, "test")):
        rows = [
            Row(f"{number:064x}", random.bytes(16 * 16), random.bytes(2 * 16 * 16), 16, 16)
            for number in range(first, first + photos)
        ]
        plan = ShardPlan(split, "noise", 0, tuple(Photo(row.id, row.id) for row in rows), settings)
        write_shard(folder / "lab" / plan.path, plan, rows)
        entries.append(read_entry(folder / "lab", plan.path)[0])
    write_index(folder / "lab", entries, settings)
    write_json(folder / "statistics.json", statistics.gather(folder / "lab"))
