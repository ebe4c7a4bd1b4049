"""Publishing shards: complete versions that never change, and training from them, over a real S3 server on a socket."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ConnectionClosedError
from moto.server import ThreadedMotoServer

from colorize.commands import main
from colorize.data.loader import Batch, Loader
from colorize.data.publish import Published, publish
from colorize.data.shard_file import Row, write_shard
from colorize.data.shard_index import read_entry, write_index
from colorize.data.shard_plan import Photo, ShardPlan, cut
from colorize.data.sources import s3
from colorize.data.statistics import gather
from colorize.settings.sections import ShardSettings
from colorize.storage import sha256_file, write_json
from colorize.stores import open_store
from colorize.stores import s3 as s3_store

PHOTOS = {("train", "birds"): 37, ("train", "trees"): 64, ("test", "birds"): 9}
RACERS = 8
_numbers = itertools.count()


def write_lab(folder: Path, compression: str = "none", seed: int = 0) -> Path:
    """Made-up shards and their statistics."""
    settings = ShardSettings(size=16, rows=12, row_group=5, compression=compression)
    entries = []
    for (split, dataset), count in PHOTOS.items():
        ids = [hashlib.sha256(f"{split}{dataset}{number}".encode()).hexdigest() for number in range(count)]
        for number, part in enumerate(cut([Photo(name, f"{name}.jpg") for name in ids], settings.rows)):
            plan = ShardPlan(split, dataset, number, part, settings)
            rows = []
            for photo in part:
                planes = np.random.default_rng([int(photo.id[:16], 16), seed]).integers(0, 256, (3, 16, 16), np.uint8)
                rows.append(Row(photo.id, planes[0].tobytes(), planes[1:].tobytes(), 40, 30))
            write_shard(folder / plan.path, plan, rows)
            entries.append(read_entry(folder, plan.path)[0])
    write_index(folder, entries, settings)
    write_json(folder.parent / "statistics.json", gather(folder))
    return folder


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lab(tmp_path_factory.mktemp("data") / "lab")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    yield "http://{}:{}".format(*running.get_host_and_port())
    running.stop()


def forget() -> None:
    """What processes keep of the store."""
    s3._make_client.cache_clear()
    s3_store._filesystem.cache_clear()


@pytest.fixture
def client(server: str, take_for_s3: Callable[[str, str], None]) -> Iterator[Any]:
    take_for_s3(server, "publisher")
    forget()
    yield s3.client(os.getpid())
    forget()


@pytest.fixture
def bucket(client: Any) -> str:
    name = f"published-{next(_numbers)}"  # servers in one process share their buckets
    client.create_bucket(Bucket=name)
    return name


def objects(client: Any, bucket: str) -> dict[str, str]:
    """Keys and ETags of all objects."""
    return {item["Key"]: item["ETag"] for item in client.list_objects_v2(Bucket=bucket).get("Contents", ())}


def settled(client: Any, bucket: str) -> dict[str, str]:
    """The same, when the server has answered all that a killed process had sent it."""
    found = objects(client, bucket)
    for _ in range(100):
        time.sleep(0.5)
        before, found = found, objects(client, bucket)
        if found == before:
            return found
    pytest.fail("objects still appear after 50 s")


def version(lab: Path) -> str:
    return str(json.loads((lab / "index.json").read_bytes())["digest"][:16])


def files(lab: Path) -> dict[str, Path]:
    """What a version holds, by name."""
    found = {path.relative_to(lab).as_posix(): path for path in lab.rglob("*") if path.is_file()}
    return found | {"statistics.json": lab.parent / "statistics.json"}


def assert_complete(client: Any, bucket: str, lab: Path) -> None:
    wanted = {f"sets/{version(lab)}/{name}": path.read_bytes() for name, path in files(lab).items()}
    found = {key: client.get_object(Bucket=bucket, Key=key) for key in objects(client, bucket)}
    assert {key: answer["Body"].read() for key, answer in found.items()} == wanted
    assert {key: answer["Metadata"]["sha256"] for key, answer in found.items()} == {
        key: hashlib.sha256(data).hexdigest() for key, data in wanted.items()
    }


def batches(place: Path | str, **options: Any) -> list[Batch]:
    return list(Loader(place, "train", 8, 3, flip=True, **options).batches(1))


def assert_same(first: list[Batch], second: list[Batch]) -> None:
    assert [(batch.ids, batch.datasets) for batch in first] == [(batch.ids, batch.datasets) for batch in second]
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.l, other.l)
        np.testing.assert_array_equal(one.ab, other.ab)


# A bucket


def test_all_is_there_and_the_second_time_nothing_is_sent(client: Any, bucket: str, lab: Path) -> None:
    sent: list[str] = []
    client.meta.events.register("before-send.s3", lambda request, **_: sent.append(request.method) and None)
    first = publish(lab, f"s3://{bucket}/sets/")
    total = sum(path.stat().st_size for path in files(lab).values())
    address = f"s3://{bucket}/sets/{version(lab)}"
    assert first == Published(address, len(files(lab)), 0, total, total, created=True)
    assert_complete(client, bucket, lab)
    sent.clear()
    assert publish(lab, f"s3://{bucket}/sets") == Published(address, 0, len(files(lab)), 0, total, created=False)
    assert set(sent) == {"HEAD"}


def test_the_index_is_put_last(client: Any, bucket: str, lab: Path) -> None:
    sent: list[str] = []

    def note(request: Any, **_: Any) -> None:
        if request.method == "PUT":
            sent.append(request.url.partition(f"{version(lab)}/")[2])

    client.meta.events.register("before-send.s3", note)
    publish(lab, f"s3://{bucket}/sets")
    assert sent[-1] == "index.json"
    assert len(sent) == len(files(lab))


def test_racing_publishers_agree(client: Any, bucket: str, lab: Path) -> None:
    start = Barrier(RACERS)

    def race(_: int) -> Published:
        start.wait()
        return publish(lab, f"s3://{bucket}/sets")

    with ThreadPoolExecutor(RACERS) as racers:
        results = list(racers.map(race, range(RACERS)))
    assert sum(result.created for result in results) == 1
    assert len({result.address for result in results}) == 1
    assert sum(result.uploaded for result in results) == len(files(lab))
    assert_complete(client, bucket, lab)


@pytest.mark.parametrize("seed", [1, 2])
def test_lost_requests_and_lost_answers_change_nothing(client: Any, bucket: str, lab: Path, seed: int) -> None:
    chance = random.Random(seed)
    lost = []

    def lose(**_: Any) -> None:
        if chance.random() < 0.15:  # of requests, and of answers
            lost.append(1)
            raise ConnectionClosedError(endpoint_url="on purpose")

    client.meta.events.register("before-send.s3", lose)
    client.meta.events.register("response-received.s3", lose)  # the store has done what it was asked for
    publish(lab, f"s3://{bucket}/sets")
    client.meta.events.unregister("before-send.s3", lose)
    client.meta.events.unregister("response-received.s3", lose)
    assert len(lost) > 5
    assert_complete(client, bucket, lab)


KILLED = """
import os, signal, sys
from colorize.commands import main
from colorize.data.sources import s3
left = int(sys.argv.pop(1))
def kill(request, **_):
    global left
    if request.method == "PUT":
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
s3.client(os.getpid()).meta.events.register("before-send.s3", kill)
main()
"""


@pytest.mark.parametrize(
    "puts", [pytest.param(0, marks=pytest.mark.slow), 5, pytest.param("last", marks=pytest.mark.slow)]
)
def test_killed_and_run_again(client: Any, bucket: str, lab: Path, repository: Path, puts: int | str) -> None:
    number = len(files(lab)) - 1 if puts == "last" else int(puts)
    command = [sys.executable, "-c", KILLED, str(number), "publish", f"s3://{bucket}/sets", "--from", str(lab)]
    assert subprocess.run(command, cwd=repository, check=False).returncode == -signal.SIGKILL
    there = settled(client, bucket)
    assert len(there) <= number
    assert f"sets/{version(lab)}/index.json" not in there
    again = publish(lab, f"s3://{bucket}/sets")
    assert (again.present, again.created) == (len(there), True)
    assert_complete(client, bucket, lab)
    assert there.items() <= objects(client, bucket).items()


def test_large_files_go_in_parts(client: Any, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_store, "_PART", 5 * 2**20)
    file = tmp_path / "large.bin"
    file.write_bytes(random.Random(1).randbytes(11 * 2**20))
    store = open_store(f"s3://{bucket}")
    digest = sha256_file(file)
    assert store.create("large.bin", file, digest)
    found = client.get_object(Bucket=bucket, Key="large.bin")
    assert found["ETag"].endswith('-3"')
    assert found["Body"].read() == file.read_bytes()
    described = store.describe("large.bin")
    assert described is not None
    assert (described.size, described.sha256) == (file.stat().st_size, digest)
    assert not store.create("large.bin", file, digest)
    with pytest.raises(ValueError, match=r"large\.bin: its SHA-256 is .*, not 0000.*colorize verify"):
        store.create("other.bin", file, "0" * 64)
    assert list(objects(client, bucket)) == ["large.bin"]
    assert not client.list_multipart_uploads(Bucket=bucket).get("Uploads")


def test_what_is_published_is_never_replaced(client: Any, bucket: str, lab: Path, tmp_path: Path) -> None:
    publish(lab, f"s3://{bucket}/sets")
    before = objects(client, bucket)
    packed = write_lab(tmp_path / "lab", "lz4")
    assert version(packed) == version(lab)
    with pytest.raises(ValueError, match=r"index\.json holds other bytes .*never replaced.*another prefix"):
        publish(packed, f"s3://{bucket}/sets")
    assert objects(client, bucket) == before
    other = write_lab(tmp_path / "other" / "lab", seed=1)
    assert publish(other, f"s3://{bucket}/sets").created
    assert before.items() < objects(client, bucket).items()


def test_another_shard_under_the_name_is_told(client: Any, bucket: str, lab: Path) -> None:
    name = next(name for name in files(lab) if name.endswith(".parquet"))
    client.put_object(Bucket=bucket, Key=f"sets/{version(lab)}/{name}", Body=b"other")
    with pytest.raises(ValueError, match=rf"{name} holds other bytes \(5, SHA-256 "):
        publish(lab, f"s3://{bucket}/sets")
    assert f"sets/{version(lab)}/index.json" not in objects(client, bucket)


def test_errors_say_what_to_do(client: Any, bucket: str, lab: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no bucket 'nowhere'; create it"):
        publish(lab, "s3://nowhere/sets")
    with pytest.raises(ValueError, match="the bucket is missing"):
        publish(lab, "s3://")
    with pytest.raises(ValueError, match=r"gs://bucket.*: expected s3://bucket/prefix, file:///folder or the path"):
        publish(lab, "gs://bucket/sets")
    with pytest.raises(ValueError, match=r"index\.json is missing: run 'dvc repro shard'"):
        publish(tmp_path, f"s3://{bucket}")
    stale = write_lab(tmp_path / "lab", seed=2)
    (tmp_path / "statistics.json").write_bytes((lab.parent / "statistics.json").read_bytes())
    with pytest.raises(ValueError, match=r"counted from other shards .*dvc repro statistics"):
        publish(stale, f"s3://{bucket}")
    write_json(tmp_path / "statistics.json", gather(stale))
    shard = next(path for path in stale.rglob("*.parquet"))
    data = bytearray(shard.read_bytes())
    data[100] ^= 1
    shard.write_bytes(data)
    with pytest.raises(ValueError, match=rf"{shard.name}: its SHA-256 is .*, not .*dvc repro --force shard"):
        publish(stale, f"s3://{bucket}")
    with pytest.raises(ValueError, match=r"index\.json is not there; correct the address"):
        Loader(f"s3://{bucket}/sets/0123456789abcdef", "train", 4, 1)


def test_the_command_says_what_was_done(
    bucket: str, lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["colorize", "publish", f"s3://{bucket}", "--from", str(lab)])
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
    first, state, second, again = capsys.readouterr().out.splitlines()
    total = sum(path.stat().st_size for path in files(lab).values())
    assert first == f"{len(files(lab))} files uploaded ({total:,} bytes), 0 were there before"
    assert second == f"0 files uploaded (0 bytes), {len(files(lab))} were there before"
    assert (state, again) == (
        f"s3://{bucket}/{version(lab)}: complete since now, {total:,} bytes",
        f"s3://{bucket}/{version(lab)}: was complete before, {total:,} bytes",
    )


# A folder


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_folder_is_a_target_too(lab: Path, tmp_path: Path, scheme: str) -> None:
    target = f"{scheme}{tmp_path / 'out'}"
    first, second = publish(lab, target), publish(lab, target)
    folder = tmp_path / "out" / version(lab)
    assert first.address == second.address == str(folder)
    assert (first.created, second.created, second.uploaded, second.present) == (True, False, 0, len(files(lab)))
    assert {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == {
        name: path.read_bytes() for name, path in files(lab).items()
    }
    assert_same(batches(folder), batches(lab))


# Training from there


@pytest.mark.parametrize("compression", ["none", "lz4"])
def test_batches_are_those_of_the_folder(client: Any, bucket: str, tmp_path: Path, compression: str) -> None:
    lab = write_lab(tmp_path / "lab", compression)
    address = publish(lab, f"s3://{bucket}/a/b").address
    here = batches(lab)
    for options in ({}, {"workers": 0}, {"workers": 2}):
        assert_same(batches(address, **options), here)
    assert_same(batches(Path(address)), here)  # as a Path it has lost a slash
    assert_same(
        list(Loader(address, "train", 8, 3, rank=1, world_size=2).batches(2, 5)),
        list(Loader(lab, "train", 8, 3, rank=1, world_size=2).batches(2, 5)),
    )


def test_public_buckets_need_no_credentials(
    client: Any, bucket: str, lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    address = publish(lab, f"s3://{bucket}").address
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    forget()
    assert_same(batches(address), batches(lab))


def test_a_shard_that_is_gone_is_named(client: Any, bucket: str, lab: Path) -> None:
    address = publish(lab, f"s3://{bucket}/sets").address
    key = next(key for key in objects(client, bucket) if "split=train" in key)
    client.delete_object(Bucket=bucket, Key=key)
    with pytest.raises(ValueError, match=rf"{key} is not there; .* publish again"):
        batches(address)
    client.put_object(Bucket=bucket, Key=key, Body=bytes(900))
    with pytest.raises(ValueError, match=rf"{key}: no LAB shard, or damaged"):
        batches(address)
