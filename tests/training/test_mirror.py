"""Runs kept in a store: whole or not there, damaged ones passed over, over a network that fails on purpose."""

from __future__ import annotations

import http.client
import itertools
import json
import logging
import os
import random
import shutil
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from colorize import stores
from colorize.data.sources import SourceUnavailableError, s3
from colorize.retry import ATTEMPTS
from colorize.storage import remove_temporaries
from colorize.stores import DamagedError
from colorize.stores import s3 as s3_store
from colorize.training.identity import RunSpecification
from colorize.training.log import read_log
from colorize.training.loop import train
from colorize.training.mirror import Mirror

Run = Callable[..., RunSpecification]
ERROR = b"<?xml version='1.0'?><Error><Code>%s</Code><Message>on purpose</Message></Error>"
_numbers = itertools.count()


class Proxy(ThreadingHTTPServer):
    """Passes requests on to the store; a share `rate` of them fails in one of the ways of networks and stores."""

    daemon_threads = True

    def __init__(self, store: tuple[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.store, self.lock = store, threading.Lock()
        self.reset(0.0)

    def handle_error(self, *_: object) -> None:
        """Quiet: whoever is broken off on purpose hangs up as well."""

    def reset(self, rate: float, seed: int = 0) -> None:
        self.rate, self.chance = rate, random.Random(seed)
        self.failed: list[str] = []

    def draw(self, failures: list[str]) -> tuple[str, float]:
        """The next failure ("" for none), and where it hits, 0 … 1."""
        with self.lock:
            failure = self.chance.choice(failures) if self.chance.random() < self.rate else ""
            if failure:
                self.failed.append(failure)
            return failure, self.chance.random()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def handle_any(self) -> None:
        data = self.body()
        failures = ["500", "503", "reset", "lost answer"]
        if self.command == "GET":
            failures.append("cut")
            if "list-type" not in self.path:  # plain HTTP has nothing that could show damage in a listing
                failures.append("damage")
        failure, place = self.server.draw(failures)
        if failure in ("500", "503"):
            return self.answer(int(failure), {}, ERROR % (b"InternalError" if failure == "500" else b"SlowDown"))
        if failure == "reset":
            return self.break_off()
        headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
        headers.pop("Transfer-Encoding", None)
        store = http.client.HTTPConnection(*self.server.store)
        store.request(self.command, self.path, data, headers)
        answer = store.getresponse()
        body = bytearray(answer.read())
        store.close()
        if failure == "lost answer":
            return self.break_off()
        if failure == "damage" and body:
            body[int(place * len(body))] ^= 1 << int(place * 1e6) % 8
        kept = {name: value for name, value in answer.getheaders() if name not in ("Connection", "Transfer-Encoding")}
        self.answer(answer.status, kept, bytes(body), cut=place if failure == "cut" else None)
        return None

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any  # noqa: N815

    def body(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            pass  # BaseHTTPRequestHandler has sent it
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pytest.fail("a body in chunks")

    def answer(self, status: int, headers: dict[str, str], body: bytes, cut: float | None = None) -> None:
        self.send_response_only(status)
        lengths = {"Content-Length": headers.pop("Content-Length", str(len(body)))}
        if self.command != "HEAD":
            lengths = {"Content-Length": str(len(body))}
        for name, value in {**headers, **lengths}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if cut is None else body[: int(cut * len(body))])
        if cut is not None:
            self.break_off()

    def break_off(self) -> None:
        """Reset the connection instead of closing it."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with suppress(OSError):
            self.wfile.close()
            self.rfile.close()
        self.connection.close()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def running_proxy() -> Iterator[Proxy]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    proxy = Proxy(server.get_host_and_port())
    threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}).start()
    yield proxy
    proxy.shutdown()
    proxy.server_close()
    server.stop()


@pytest.fixture
def proxy(running_proxy: Proxy, take_for_s3: Callable[[str, str], None]) -> Iterator[Proxy]:
    """What boto3 takes for the store."""
    take_for_s3(f"http://127.0.0.1:{running_proxy.server_port}", "trainer")
    running_proxy.reset(0.0)
    yield running_proxy
    running_proxy.reset(0.0)
    s3._make_client.cache_clear()


@pytest.fixture
def bucket(proxy: Proxy) -> str:
    name = f"runs-{next(_numbers)}"
    s3.client(os.getpid()).create_bucket(Bucket=name)
    return f"s3://{name}/colorize"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def grow(folder: Path, epoch: int, chance: random.Random, size: int = 3000) -> None:
    """What an epoch of a training leaves, without the training."""
    place = folder / "checkpoints" / f"epoch-{epoch:05}"
    place.mkdir(parents=True)
    for name in ("model.safetensors", "optimizer.safetensors", "state.json"):
        (place / name).write_bytes(chance.randbytes(size))
    with (folder / "log.jsonl").open("a") as log:
        log.writelines(json.dumps({"step": 3 * epoch + step, "loss": chance.random()}) + "\n" for step in range(3))
    (folder / "workers").mkdir(exist_ok=True)
    (folder / "workers" / "rank-0.log").open("a").write(f"epoch {epoch}\n")
    for old in sorted((folder / "checkpoints").iterdir())[:-2]:
        shutil.rmtree(old)


def end(folder: Path, chance: random.Random) -> None:
    (folder / "model").mkdir()
    (folder / "model" / "model.safetensors").write_bytes(chance.randbytes(5000))
    (folder / "model" / "model.json").write_text("{}")
    (folder / "run.json").write_text("{}")
    (folder / "done.json").write_text('{"epochs": 3}')


def newest(folder: Path) -> dict[str, bytes]:
    """The newest checkpoint of a folder, with its name."""
    found = sorted((folder / "checkpoints").glob("epoch-*"))
    return {f"{found[-1].name}/{name}": data for name, data in contents(found[-1]).items()} if found else {}


@pytest.mark.parametrize("store", ["folder", "s3"])
def test_training_goes_on_elsewhere_with_what_was_kept(
    store: str, run: Run, lab: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    address = request.getfixturevalue("bucket") if store == "s3" else str(tmp_path / "store")
    specification = run("unet")
    arguments: dict[str, Any] = {"device": "cpu", "threads": 1}
    train(specification, lab, tmp_path / "whole", **arguments)

    class LostError(Exception):
        pass

    def lose(record: dict[str, Any]) -> None:
        if record["step"] == 8:
            raise LostError

    mirror = Mirror(address, specification.name)
    with pytest.raises(LostError):
        train(specification, lab, tmp_path / "first", **arguments, keep=mirror.push, report=lose)
    second = Mirror(address, specification.name)
    second.fetch(tmp_path / "second")
    assert newest(tmp_path / "second") == newest(tmp_path / "first")
    resumed: list[dict[str, Any]] = []
    train(specification, lab, tmp_path / "second", **arguments, keep=second.push, report=resumed.append)
    assert resumed[0]["step"] == 7

    home = tmp_path / "home"
    Mirror(address, specification.name).fetch(home)
    expected = contents(tmp_path / "second")
    assert contents(home) == {name: data for name, data in expected.items() if not name.startswith("checkpoints/")}
    assert contents(home / "model") == contents(tmp_path / "whole" / "model")
    assert [record["step"] for record in read_log(home / "log.jsonl") if "loss" in record] == list(range(1, 10))
    train(specification, Path("nowhere"), home, report=lambda _: pytest.fail("trained again"))


def test_an_interrupted_push_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create, budget = stores._FolderStore.create, itertools.count()

    class KilledError(Exception):
        pass

    def limited(*arguments: Any) -> bool:
        if next(budget) >= limit:
            raise KilledError
        return create(*arguments)

    whole = 0
    for limit in range(40):
        chance, folder = random.Random(1), tmp_path / f"run-{limit}"
        mirror = Mirror(str(tmp_path / "store"), folder.name)
        folder.mkdir()
        for epoch in (1, 2, 3):
            grow(folder, epoch, chance)
            if epoch < 3:
                mirror.push(folder)
        end(folder, chance)
        before = {name: data for name, data in contents(folder).items() if "epoch-00002" in name}
        after = {name: data for name, data in contents(folder).items() if "epoch-00003" in name}
        budget = itertools.count()
        with monkeypatch.context() as patch:
            patch.setattr(stores._FolderStore, "create", limited)
            with suppress(KilledError):
                mirror.push(folder)
                whole += 1
        got = tmp_path / f"got-{limit}"
        Mirror(str(tmp_path / "store"), folder.name).fetch(got)
        found = contents(got)
        if "done.json" in found:
            assert contents(got / "model") == contents(folder / "model")
        else:
            kept = {name: data for name, data in found.items() if name.startswith("checkpoints/")}
            assert kept in (before, after)
            assert not whole, "what was pushed to the end is done"
        # Whoever goes on with the push brings it to its end.
        Mirror(str(tmp_path / "store"), folder.name).push(folder)
        Mirror(str(tmp_path / "store"), folder.name).fetch(got)
        assert (got / "done.json").exists()
        assert read_log(got / "log.jsonl") == read_log(folder / "log.jsonl")
    assert whole > 20


@pytest.mark.parametrize("damage", ["changed", "missing", "marker"])
@pytest.mark.parametrize("store", ["folder", "s3"])
def test_a_damaged_checkpoint_is_passed_over(
    store: str, damage: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    address = request.getfixturevalue("bucket") if store == "s3" else str(tmp_path / "store")
    chance, folder, mirror = random.Random(2), tmp_path / "run", Mirror(address, "one")
    folder.mkdir()
    grow(folder, 1, chance)
    mirror.push(folder)
    before = newest(folder)
    grow(folder, 2, chance)
    mirror.push(folder)
    held = mirror._store
    (marker,) = [name for name in held.names("checkpoints/epoch-00002") if name.endswith(".json") and "/epo" in name][
        :1
    ]
    assert marker.count("/") == 1
    name = marker if damage == "marker" else marker.replace(".json", "/optimizer.safetensors")
    held.remove(name)
    if damage != "missing":
        other = tmp_path / "other"
        other.write_bytes(b'{"files": 3}' if damage == "marker" else chance.randbytes(3000))
        held.create(name, other, stores.sha256_file(other))
    Mirror(address, "one").fetch(tmp_path / "got")
    assert newest(tmp_path / "got") == before
    # The epoch is trained again, with other seconds in its state, and that is whole.
    remove_temporaries(tmp_path / "got" / "checkpoints")
    grow(tmp_path / "got", 2, chance)
    again = newest(tmp_path / "got")
    Mirror(address, "one").push(tmp_path / "got")
    for epoch in (3, 4):
        Mirror(address, "one").fetch(tmp_path / f"new-{epoch}")
        assert newest(tmp_path / f"new-{epoch}")
    assert any(newest(tmp_path / f"new-{epoch}") == again for epoch in (3, 4)) or damage == "marker"


def test_a_damaged_end_is_an_error(tmp_path: Path) -> None:
    folder, mirror = tmp_path / "run", Mirror(str(tmp_path / "store"), "one")
    folder.mkdir()
    grow(folder, 1, random.Random(3))
    end(folder, random.Random(3))
    mirror.push(folder)
    (model,) = (tmp_path / "store").glob("runs/one/done-*/model/model.safetensors")
    model.write_bytes(b"other")
    with pytest.raises(DamagedError, match=r"model\.safetensors: its SHA-256 is"):
        mirror.fetch(tmp_path / "got")
    assert not (tmp_path / "got" / "done.json").exists()


def test_a_log_that_is_cut_and_goes_on_is_told_as_it_is(tmp_path: Path) -> None:
    folder, mirror = tmp_path / "run", Mirror(str(tmp_path / "store"), "one")
    folder.mkdir()
    log = folder / "log.jsonl"
    for text in ("a\nb\n", "a\nb\nc\nd\n", "a\nb\nx\n", "a\nb\nx\nyy\n", "a\n", "", "new\n"):
        log.write_text(text)
        mirror.push(folder)
        Mirror(str(tmp_path / "store"), "one").follow(tmp_path / "got")
        assert (tmp_path / "got" / "log.jsonl").read_text() == text or not text
    # Two who push at once: the pieces stay in order, and tell what one of them wrote last.
    other = Mirror(str(tmp_path / "store"), "one")
    other.follow(tmp_path / "other")
    log.write_text("new\n1\n")
    mirror.push(folder)
    (tmp_path / "other" / "log.jsonl").write_text("new\n2\n")
    other.push(tmp_path / "other")
    Mirror(str(tmp_path / "store"), "one").follow(tmp_path / "got")
    assert (tmp_path / "got" / "log.jsonl").read_text() == "new\n2\n"


def test_two_checkpoints_stay(tmp_path: Path, bucket: str) -> None:
    for address in (str(tmp_path / "store"), bucket):
        folder, mirror, chance = tmp_path / f"run{len(address)}", Mirror(address, "one"), random.Random(4)
        folder.mkdir()
        for epoch in range(1, 6):
            grow(folder, epoch, chance)
            mirror.push(folder)
        epochs = {name.split("/")[1][:11] for name in mirror._store.names("checkpoints/")}
        assert epochs == {"epoch-00004", "epoch-00005"}


@pytest.mark.slow
@pytest.mark.parametrize("faults", [(0.01, 3), (0.1, 1), (0.3, 1)])
def test_faults_of_the_store_change_no_byte(
    proxy: Proxy, bucket: str, faults: tuple[float, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate, seed = faults
    # As many parts as big networks have; S3 itself takes none below 5 MiB.
    monkeypatch.setattr(s3_store, "_PART", 50_000)
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 50_000)
    folder, chance = tmp_path / "run", random.Random(5)
    folder.mkdir()
    proxy.reset(rate, seed)
    for epoch in range(1, 9):
        grow(folder, epoch, chance, size=120_000)
        Mirror(bucket, "one").push(folder)  # each time by a worker that has just begun
        got = tmp_path / f"got-{epoch}"
        Mirror(bucket, "one").fetch(got)
        assert newest(got) == newest(folder)
        assert contents(got)["log.jsonl"] == contents(folder)["log.jsonl"]
    end(folder, chance)
    Mirror(bucket, "one").push(folder)
    Mirror(bucket, "one").fetch(tmp_path / "home")
    assert contents(tmp_path / "home" / "model") == contents(folder / "model")
    kinds = {"500", "503", "reset", "lost answer", "cut", "damage"}
    assert proxy.failed if rate < 0.1 else set(proxy.failed) == kinds


def test_a_store_that_is_down_ends_within_the_budget_with_its_cause(proxy: Proxy, bucket: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    grow(folder, 1, random.Random(6))
    proxy.reset(1.0)
    for work in (Mirror(bucket, "one").push, Mirror(bucket, "one").fetch):
        proxy.failed.clear()
        with pytest.raises(SourceUnavailableError, match=rf"s3://.*: tried {ATTEMPTS} times, last with: "):
            work(folder)
        assert len(proxy.failed) == ATTEMPTS


def test_the_hook_changes_no_weight_and_comes_after_every_epoch(run: Run, lab: Path, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"device": "cpu", "threads": 1}
    seen: list[tuple[int, bool]] = []

    def keep(folder: Path) -> None:
        seen.append((len(list((folder / "checkpoints").glob("epoch-*"))), (folder / "done.json").exists()))

    specification = run(epochs=3, checkpoint_every=2)
    train(specification, lab, tmp_path / "with", **arguments, keep=keep)
    train(specification, lab, tmp_path / "without", **arguments)
    assert contents(tmp_path / "with" / "model") == contents(tmp_path / "without" / "model")
    assert seen == [(0, False), (1, False), (2, False), (2, True)]
