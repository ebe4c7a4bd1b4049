"""Photos in an object store: a real S3 server over a socket, and a proxy before it that fails on purpose."""

from __future__ import annotations

import hashlib
import http.client
import io
import itertools
import logging
import pickle
import random
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.config import Config
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer
from PIL import Image

from colorize.data.ingest import ingest
from colorize.data.removals import NONE
from colorize.data.sources import Entry, PhotoUnavailableError, SourceError, SourceUnavailableError, open_source, s3
from colorize.data.sources.listing import make_listing
from colorize.data.sources.s3 import S3Source
from colorize.retry import ATTEMPTS
from colorize.settings.sections import ArchiveSettings, DatasetSettings, ImageSettings, IngestSettings

ERROR = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>on purpose</Message></Error>"
READERS = 8
ACCOUNT = "123456789012"  # the only one that moto knows


class Proxy(ThreadingHTTPServer):
    """Passes requests on to the store; a share of them fails in one of the ways that networks and stores fail.

    Attributes:
        requests: method, path and headers of every request that came in.
        rate: share of the requests that fail, 0 … 1.
        refusals: status and code of S3 with which requests are answered whose path holds the key.
        damaged: part of a path; one bit of the answer's body is wrong, always the same.
    """

    daemon_threads = True

    def __init__(self, store: tuple[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.store = store
        self.lock = threading.Lock()
        self.reset(0.0)

    def reset(self, rate: float, seed: int = 0) -> None:
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.rate = rate
        self.chance = random.Random(seed)
        self.failed: list[str] = []
        self.refusals: dict[str, tuple[int, str]] = {}
        self.damaged = ""

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

    def setup(self) -> None:
        super().setup()
        self.store = http.client.HTTPConnection(*self.server.store)

    def finish(self) -> None:
        self.store.close()
        super().finish()

    def do_GET(self) -> None:
        self.server.requests.append((self.command, self.path, dict(self.headers)))
        for part, (status, code) in self.server.refusals.items():
            if part in self.path:
                return self.refuse(status, code)
        failures = ["500", "503", "slow-down", "timeout", "reset", "cut"]
        if "list-type" not in self.path:  # plain HTTP has nothing that could show damage in a listing
            failures.append("damage")
        failure, place = self.server.draw(failures)
        answers = {
            "500": (500, "InternalError"),
            "503": (503, "ServiceUnavailable"),
            "slow-down": (503, "SlowDown"),
            "timeout": (400, "RequestTimeout"),
        }
        if failure in answers:
            return self.refuse(*answers[failure])
        if failure == "reset":
            return self.break_off()
        self.store.request("GET", self.path, headers=dict(self.headers))
        answer = self.store.getresponse()
        body = bytearray(answer.read())
        if self.server.damaged and self.server.damaged in self.path:
            body[0] ^= 1
        elif failure == "damage":
            body[int(place * len(body))] ^= 1 << int(place * 1e6) % 8
        headers = {name: value for name, value in answer.getheaders() if name not in ("Content-Length", "Connection")}
        headers.pop("Transfer-Encoding", None)
        self.answer(answer.status, headers, bytes(body), cut=place if failure == "cut" else None)
        return None

    def refuse(self, status: int, code: str) -> None:
        self.answer(status, {"Content-Type": "application/xml"}, ERROR.format(code=code).encode())

    def answer(self, status: int, headers: dict[str, str], body: bytes, cut: float | None = None) -> None:
        self.send_response_only(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
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
def store() -> Iterator[tuple[str, int]]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield server.get_host_and_port()
    server.stop()


@pytest.fixture(scope="module")
def owner(store: tuple[str, int]) -> Any:
    """A client of the person who fills the store, straight to it."""
    keys = {"aws_access_key_id": "owner", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    # Without checksums of its own, as objects of many other programs are: then the ETag is all there is.
    config = Config(request_checksum_calculation="when_required")
    return boto3.client("s3", endpoint_url="http://{}:{}".format(*store), config=config, **keys)


@pytest.fixture(scope="module")
def running_proxy(store: tuple[str, int]) -> Iterator[Proxy]:
    proxy = Proxy(store)
    threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}).start()
    yield proxy
    proxy.shutdown()
    proxy.server_close()


@pytest.fixture
def proxy(running_proxy: Proxy, take_for_s3: Callable[[str, str], None]) -> Iterator[Proxy]:
    """What boto3 takes for the store."""
    take_for_s3(f"http://127.0.0.1:{running_proxy.server_port}", "reader")
    running_proxy.reset(0.0)
    yield running_proxy
    s3._make_client.cache_clear()


_numbers = itertools.count()


@pytest.fixture
def bucket(owner: Any) -> str:
    name = f"bucket-{next(_numbers)}"
    owner.create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="module")
def many(owner: Any) -> tuple[str, dict[str, bytes]]:
    """A bucket with 200 small objects below `photos/`; it is only read."""
    chance = random.Random(5)
    objects = {f"{i % 7}/im{i}.jpg": chance.randbytes(chance.randrange(1, 3000)) for i in range(200)}
    owner.create_bucket(Bucket="many")
    for path, data in objects.items():
        owner.put_object(Bucket="many", Key=f"photos/{path}", Body=data)
    return "many", objects


def only(source: S3Source) -> Entry:
    (entry,) = source.list()
    return entry


def reason(source: S3Source, entry: Entry) -> str:
    with pytest.raises(PhotoUnavailableError) as caught:
        source.read(entry)
    return caught.value.reason


@pytest.mark.parametrize(("rate", "seed"), [(0.01, 3), (0.1, 1), (0.3, 1)])
def test_faults_change_no_entry_and_no_byte(
    proxy: Proxy, many: tuple[str, dict[str, bytes]], rate: float, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, objects = many
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "9")  # as many pages as a store of 20,000 photos has
    source = S3Source.from_url(f"s3://{bucket}/photos")
    proxy.reset(rate, seed)
    entries = list(source.list())
    with ThreadPoolExecutor(READERS) as readers:
        read = dict(zip((entry.path for entry in entries), readers.map(source.read, entries), strict=True))
    assert {entry.path: (entry.size, entry.version) for entry in entries} == {
        path: (len(data), f"{hashlib.md5(data).hexdigest()}-{len(data)}") for path, data in objects.items()
    }
    assert read == objects
    assert len(proxy.failed) >= rate * 100
    assert len(proxy.requests) == len(objects) // 9 + 1 + len(objects) + len(proxy.failed)


def test_a_store_that_always_fails_is_asked_so_often_and_no_more(
    proxy: Proxy, bucket: str, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner.put_object(Bucket=bucket, Key="a.jpg", Body=b"a")
    source = S3Source.from_url(f"s3://{bucket}")
    entry = only(source)
    proxy.reset(0.0)
    proxy.refusals = {"": (503, "SlowDown")}
    with pytest.raises(
        SourceUnavailableError, match=rf"listing of s3://{bucket}.*SlowDown.*run the same command again"
    ):
        list(source.list())
    assert len(proxy.requests) == ATTEMPTS
    with pytest.raises(SourceUnavailableError, match=rf"s3://{bucket}/a\.jpg"):
        source.read(entry)
    assert len(proxy.requests) == 2 * ATTEMPTS


def test_a_store_that_is_not_there(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    s3._make_client.cache_clear()
    with pytest.raises(SourceUnavailableError, match=address):
        list(S3Source.from_url("s3://photos").list())


def test_objects_that_are_deleted_or_replaced_after_the_listing(proxy: Proxy, bucket: str, owner: Any) -> None:
    source = S3Source.from_url(f"s3://{bucket}")
    for name in ("stays", "goes", "changes", "grows"):
        owner.put_object(Bucket=bucket, Key=name, Body=b"before")
    entries = {entry.path: entry for entry in source.list()}
    owner.delete_object(Bucket=bucket, Key="goes")
    owner.put_object(Bucket=bucket, Key="changes", Body=b"after!")
    owner.put_object(Bucket=bucket, Key="grows", Body=b"before and after")
    assert source.read(entries["stays"]) == b"before"
    assert reason(source, entries["goes"]) == "vanished"
    assert reason(source, entries["changes"]) == "changed"
    assert reason(source, entries["grows"]) == "changed"
    # Of a store that knows no ETags, the size is all there is.
    assert reason(source, replace(entries["grows"], version="-6")) == "changed"
    now = {entry.path: entry for entry in source.list()}
    assert now["stays"] == entries["stays"]
    assert now["changes"].version != entries["changes"].version
    owner.delete_object(Bucket=bucket, Key="stays")


def test_a_bucket_that_is_deleted_after_the_listing_is_no_fault_of_the_photo(
    proxy: Proxy, bucket: str, owner: Any
) -> None:
    owner.put_object(Bucket=bucket, Key="a.jpg", Body=b"a")
    source = S3Source.from_url(f"s3://{bucket}")
    entry = only(source)
    owner.delete_object(Bucket=bucket, Key="a.jpg")
    owner.delete_bucket(Bucket=bucket)
    with pytest.raises(SourceError, match=f"no bucket '{bucket}'"):
        source.read(entry)


def test_a_thousand_objects_come_page_by_page(proxy: Proxy, bucket: str) -> None:
    names = [f"photos/{i:04}.jpg" for i in range(1003)]
    for name in names:  # the server runs in this process: a thousand uploads would take as long as all other tests
        s3_backends[ACCOUNT]["aws"].put_object(bucket, name, b"photo")
    listing = S3Source.from_url(f"s3://{bucket}/photos/").list()
    first = next(listing)
    assert len(proxy.requests) == 1
    assert [first.path, *(entry.path for entry in listing)] == [name.removeprefix("photos/") for name in names]
    assert len(proxy.requests) == 2


def test_a_prefix_is_a_folder(proxy: Proxy, bucket: str, owner: Any) -> None:
    for key in ("photos/", "photos/a.jpg", "photos/sub/", "photos/sub/b.jpg", "photos2/c.jpg", "photos.jpg"):
        owner.put_object(Bucket=bucket, Key=key, Body=b"" if key.endswith("/") else key.encode())
    for url in (f"s3://{bucket}/photos", f"s3://{bucket}/photos/"):
        source = S3Source.from_url(url)
        assert {entry.path: source.read(entry) for entry in source.list()} == {
            "a.jpg": b"photos/a.jpg",
            "sub/b.jpg": b"photos/sub/b.jpg",
        }
    whole = S3Source.from_url(f"s3://{bucket}")
    assert {entry.path: source_bytes for entry in whole.list() if (source_bytes := whole.read(entry))} == {
        key: key.encode() for key in ("photos/a.jpg", "photos/sub/b.jpg", "photos2/c.jpg", "photos.jpg")
    }


def test_odd_names_are_read_and_unprintable_ones_refused(proxy: Proxy, bucket: str, owner: Any) -> None:
    odd = [
        "ö 1.jpg",
        "100%.jpg",
        "a%20b.jpg",
        "a+b&c=d?.jpg",
        "写真\u3000一.jpg",
        "quote'\"<>.jpg",
        "../up.jpg",
        "👩‍🚀.jpg",
    ]
    for key in odd:
        owner.put_object(Bucket=bucket, Key=f"in {key}/{key}", Body=key.encode())
    owner.put_object(Bucket=bucket, Key="tab\there\x1b[2J.jpg", Body=b"x")
    source = S3Source.from_url(f"s3://{bucket}")
    entries = {entry.path: entry for entry in source.list()}
    refused = entries.pop(r"tab\x09here\x1b[2J.jpg")
    assert (refused.refused, refused.size) == ("odd-name", 1)
    assert {path: source.read(entry) for path, entry in entries.items()} == {
        f"in {key}/{key}": key.encode() for key in odd
    }
    below = S3Source.from_url(f"s3://{bucket}/in 100%.jpg")
    assert below.read(only(below)) == b"100%.jpg"


def test_archived_objects_are_refused_and_those_archived_later_are_no_failure_of_the_run(
    proxy: Proxy, bucket: str, owner: Any
) -> None:
    owner.put_object(Bucket=bucket, Key="a.jpg", Body=b"a")
    source = S3Source.from_url(f"s3://{bucket}")
    entry = only(source)
    owner.put_object(Bucket=bucket, Key="a.jpg", Body=b"a", StorageClass="DEEP_ARCHIVE")
    assert only(source).refused == "archived-object"
    assert reason(source, entry) == "archived-object"


def test_without_credentials_nothing_is_signed(
    proxy: Proxy, bucket: str, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner.put_object(Bucket=bucket, Key="public.jpg", Body=b"public", ACL="public-read")
    owner.put_object(Bucket=bucket, Key="private.jpg", Body=b"private")
    source = S3Source.from_url(f"s3://{bucket}")
    private, public = source.list()
    assert (source.read(private), source.read(public)) == (b"private", b"public")
    assert all("Authorization" in headers for _, _, headers in proxy.requests)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    s3._make_client.cache_clear()
    proxy.reset(0.0)
    assert list(source.list()) == [private, public]
    assert source.read(public) == b"public"
    assert reason(source, private) == "unreadable"
    assert len(proxy.requests) == 3
    assert not any("Authorization" in headers for _, _, headers in proxy.requests)


def test_objects_uploaded_in_parts_have_no_md5_to_check(proxy: Proxy, bucket: str, owner: Any) -> None:
    upload = owner.create_multipart_upload(Bucket=bucket, Key="big.jpg")["UploadId"]
    where = {"Bucket": bucket, "Key": "big.jpg", "UploadId": upload}
    part = owner.upload_part(**where, PartNumber=1, Body=b"in one part")
    owner.complete_multipart_upload(**where, MultipartUpload={"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]})
    source = S3Source.from_url(f"s3://{bucket}")
    entry = only(source)
    assert entry.version.endswith("-1-11")
    assert source.read(entry) == b"in one part"


@pytest.mark.parametrize("checksum", ["etag", "of-the-uploader", "none"])
def test_bytes_that_are_wrong_each_time_are_the_fault_of_the_object(
    proxy: Proxy, bucket: str, owner: Any, checksum: str
) -> None:
    options = {
        "etag": {},
        "of-the-uploader": {"ChecksumAlgorithm": "SHA256"},
        "none": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "mine"},  # then the ETag is not the MD5
    }[checksum]
    owner.put_object(Bucket=bucket, Key="rotten.jpg", Body=b"apple", **options)
    source = S3Source.from_url(f"s3://{bucket}")
    entry = only(source)
    assert source.read(entry) == b"apple"
    proxy.reset(0.0)
    proxy.damaged = "rotten"
    if checksum == "none":
        assert source.read(entry) == b"`pple"
    else:
        assert reason(source, entry) == "broken-object"
        assert len(proxy.requests) == 3


def test_what_one_photo_is_refused_for_and_what_stops_the_run(proxy: Proxy, bucket: str, owner: Any) -> None:
    owner.put_object(Bucket=bucket, Key="a.jpg", Body=b"a")
    source = S3Source.from_url(f"s3://{bucket}")
    entry = only(source)
    proxy.refusals = {"a.jpg": (403, "AccessDenied")}
    assert reason(source, entry) == "unreadable"
    proxy.refusals = {"a.jpg": (400, "ExpiredToken")}
    with pytest.raises(SourceError, match=r"does not accept the credentials.*ExpiredToken"):
        source.read(entry)
    proxy.refusals = {"list-type": (403, "AccessDenied")}
    with pytest.raises(SourceError, match=r"access denied.*s3:ListBucket") as caught:
        list(source.list())
    assert not isinstance(caught.value, SourceUnavailableError)
    proxy.refusals = {"list-type": (403, "SignatureDoesNotMatch")}
    with pytest.raises(SourceError, match="does not accept the credentials"):
        list(source.list())


def test_missing_and_empty_places(proxy: Proxy, bucket: str, owner: Any) -> None:
    with pytest.raises(SourceError, match="no bucket 'nowhere'"):
        list(S3Source.from_url("s3://nowhere/photos").list())
    with pytest.raises(SourceError, match="holds no objects"):
        list(S3Source.from_url(f"s3://{bucket}").list())
    owner.put_object(Bucket=bucket, Key="photos/a.jpg", Body=b"a")
    with pytest.raises(SourceError, match=rf"s3://{bucket}/photo holds no objects.*folder"):
        list(S3Source.from_url(f"s3://{bucket}/photo").list())


def test_settings_of_boto3_that_cannot_be_used(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    s3._make_client.cache_clear()
    with pytest.raises(SourceError, match=r"profile \(nobody\).*AWS_"):
        list(S3Source.from_url("s3://photos").list())
    monkeypatch.delenv("AWS_PROFILE")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost")
    with pytest.raises(SourceError, match=r"Invalid endpoint.*AWS_"):
        list(S3Source.from_url("s3://photos").list())


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://", "bucket is missing"),
        ("s3:///photos", "bucket is missing"),
        ("s3://ab/photos", "'ab' has 2 characters"),
        ("s3://" + "a" * 64, "64 characters"),
        ("s3://my bucket/photos", "'my bucket' cannot be a bucket"),
        ("s3://localhost:9000/photos", "AWS_ENDPOINT_URL"),
        ("s3://key:secret@bucket/photos", "cannot be a bucket"),
    ],
)
def test_addresses_that_cannot_be_right(url: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        open_source(url, ArchiveSettings())


def test_sources_can_be_pickled_and_opened_by_address(proxy: Proxy, bucket: str, owner: Any) -> None:
    owner.put_object(Bucket=bucket, Key="photos/a.jpg", Body=b"a")
    source = open_source(f"s3://{bucket}/photos", ArchiveSettings())
    assert source == S3Source(bucket, "photos")
    copy = pickle.loads(pickle.dumps(source))
    assert copy.read(only(source)) == b"a"


def test_ingest_through_faults_fetches_each_object_once_and_then_only_what_changed(
    proxy: Proxy, bucket: str, owner: Any, tmp_path: Path
) -> None:
    def put(number: int, seed: int) -> None:
        pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        stream = io.BytesIO()
        Image.fromarray(pixels).resize((64, 48), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
        owner.put_object(Bucket=bucket, Key=f"photos/{number}.jpg", Body=stream.getvalue())

    def run(folder: str) -> dict[str, bytes]:
        chosen = DatasetSettings(source=f"s3://{bucket}/photos")
        source = open_source(chosen.source, ArchiveSettings())
        listing = make_listing(chosen, source, tmp_path / folder / "set.parquet", 0.5)
        settings = IngestSettings(shard_photos=8, maximum_refused=0.0)
        out = tmp_path / folder / "raw"
        ingest("set", listing, source, out, images=ImageSettings(), settings=settings, removals=NONE, workers=1)
        return {path.name: path.read_bytes() for path in out.iterdir()}

    def fetched() -> list[str]:
        return sorted(path.rsplit("/", 1)[-1].partition("?")[0] for _, path, _ in proxy.requests if ".jpg" in path)

    for number in range(30):
        put(number, number)
    calm = run("calm")
    assert fetched() == sorted(f"{number}.jpg" for number in range(30))
    proxy.reset(0.3, seed=5)
    assert run("stormy") == calm
    assert len(proxy.failed) > 5
    put(7, 700)
    put(30, 30)
    owner.delete_object(Bucket=bucket, Key="photos/12.jpg")
    proxy.reset(0.0)
    changed = run("stormy")
    assert fetched() == ["30.jpg", "7.jpg"]
    assert changed == run("fresh")
    assert changed != calm
