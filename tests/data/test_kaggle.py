"""Sets of Kaggle: kagglehub itself, against a server that answers as Kaggle and its storage do."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import pickle
import random
import socket
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from colorize.data.sources import PhotoUnavailableError, SourceError, SourceUnavailableError, open_source
from colorize.data.sources.file import FolderSource
from colorize.data.sources.kaggle import KaggleSource
from colorize.settings.sections import ArchiveSettings

URL = "kaggle://ann/hills"
SILENCE = 0
SMALL = {"color/1.jpg": b"one", "color/2.jpg": b"two", "gray/1.jpg": b"one, grey"}
LARGE = {"1.jpg": random.Random(1).randbytes(5 << 20), "2.jpg": b"two"}  # kagglehub keeps what arrived in whole MiB


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


class Kaggle(ThreadingHTTPServer):
    """What kagglehub 1.0 asks: the dataset's page for its version, and an archive that lies in another place.

    It is reached as a proxy: kagglehub knows no address but Kaggle's own, and http://localhost.

    Attributes:
        archives: by version.
        requests: method, last part of the path, and Range header of every request that came in.
        refusals: statuses that the next requests of a kind get, by the last part of the path; the last one stays.
        cuts: after how many bytes the next bodies break off.
        hashed: whether the storage tells the archive's MD5.
        ranged: whether the storage sends parts of an archive.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.archives: dict[int, bytes] = {}
        self.requests: list[tuple[str, str, str | None]] = []
        self.authorizations: list[str | None] = []
        self.refusals: dict[str, list[int]] = {}
        self.cuts: list[int] = []
        self.closing = threading.Event()
        self.hashed = True
        self.ranged = True

    def asked(self, last: str) -> int:
        return sum(path == last for _, path, _ in self.requests)

    @property
    def ranges(self) -> list[str]:
        return [asked for _, _, asked in self.requests if asked is not None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Kaggle

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.refused():
            assert (question["ownerSlug"], question["datasetSlug"]) == ("ann", "hills")
            if self.path.endswith("GetDataset"):
                self.answer(200, json.dumps({"currentVersionNumber": max(self.server.archives)}).encode(), json=True)
            elif question["datasetVersionNumber"] not in self.server.archives:
                self.answer(404, b'{"code": 404, "message": "not found"}', json=True)
            else:
                place = f"http://localhost/storage/{question['datasetVersionNumber']}"
                self.answer(302, b"", Location=place)

    def do_GET(self) -> None:
        body = self.server.archives[int(self.path.rpartition("/")[2])]
        headers = {"Accept-Ranges": "bytes"}
        if self.server.hashed:
            digest = base64.b64encode(hashlib.md5(body).digest()).decode()
            headers["x-goog-hash"] = f"crc32c=AAAAAA==,md5={digest}"
        if self.refused():
            return
        asked = self.headers.get("Range")
        cut = self.server.cuts.pop(0) if self.server.cuts else None
        if asked is None or not self.server.ranged:
            self.answer(200, body, cut, **headers)
        else:
            self.answer(206, body[int(asked.removeprefix("bytes=").removesuffix("-")) :], cut, **headers)

    def refused(self) -> bool:
        last = self.path.rpartition("/")[2]
        self.server.requests.append((self.command, last, self.headers.get("Range")))
        self.server.authorizations.append(self.headers.get("Authorization"))
        kind = "range" if "Range" in self.headers else last
        statuses = self.server.refusals.get(kind) or self.server.refusals.get("", [])
        if not statuses:
            return False
        status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        if status == 200:
            return False
        if status == SILENCE:
            self.close_connection = True
            self.server.closing.wait()
            return True
        self.answer(status, b"a page about an error " * 100)
        return True

    def answer(self, status: int, body: bytes, cut: int | None = None, json: bool = False, **headers: str) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json" if json else "application/octet-stream")
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(ConnectionError):  # kagglehub asks for the whole file and hangs up to ask for its rest
            self.wfile.write(body[:cut])
        if cut is not None:
            self.close_connection = True
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def kaggle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Kaggle]:
    server = Kaggle()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
    for name in [name for name in os.environ if "KAGGLE" in name or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("COLORIZE_RETRY_SECONDS", "0.0005")
    yield server
    server.closing.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    return tmp_path / "downloads"


def content(source: KaggleSource) -> dict[str, bytes]:
    return {entry.path: source.read(entry) for entry in source.list()}


def test_a_set_is_downloaded_once(kaggle: Kaggle, downloads: Path, capfd: pytest.CaptureFixture[str]) -> None:
    kaggle.archives[3] = zipped(SMALL)
    source = KaggleSource.from_url(URL, downloads)
    assert content(source) == SMALL  # no marker of kagglehub among them
    assert kaggle.asked("3") == 1
    assert content(source) == SMALL
    assert kaggle.asked("3") == 1
    assert kaggle.asked("GetDataset") == 2
    assert kaggle.authorizations == [None] * len(kaggle.authorizations)
    assert capfd.readouterr().out == ""
    assert "KAGGLEHUB_CACHE" not in os.environ


def test_listings_are_the_same_on_every_machine(kaggle: Kaggle, downloads: Path, tmp_path: Path) -> None:
    kaggle.archives[3] = zipped(SMALL)
    first = sorted(KaggleSource.from_url(URL, downloads).list(), key=lambda entry: entry.path)
    second = sorted(KaggleSource.from_url(URL, tmp_path / "elsewhere").list(), key=lambda entry: entry.path)
    assert first == second
    kaggle.archives[4] = zipped(SMALL)
    third = list(KaggleSource.from_url(URL, downloads).list())
    assert not {entry.version for entry in third} & {entry.version for entry in first}


def test_a_file_that_is_edited_after_the_listing_is_noticed(kaggle: Kaggle, downloads: Path) -> None:
    kaggle.archives[3] = zipped(SMALL)
    source = KaggleSource.from_url(URL, downloads)
    entries = {entry.path: entry for entry in source.list()}
    next(downloads.rglob("versions/3/color/1.jpg")).write_bytes(b"ONE")
    with pytest.raises(PhotoUnavailableError, match="changed"):
        source.read(entries["color/1.jpg"])


def test_reading_needs_no_network_in_any_process(kaggle: Kaggle, downloads: Path) -> None:
    kaggle.archives[3] = zipped(SMALL)
    source = open_source(URL, ArchiveSettings(), downloads)
    entries = list(source.list())
    kaggle.requests.clear()
    copy = pickle.loads(pickle.dumps(source))
    assert {entry.path: copy.read(entry) for entry in entries} == SMALL
    assert kaggle.requests == []


def test_a_new_version_takes_the_place_of_the_old_one_when_it_is_whole(kaggle: Kaggle, downloads: Path) -> None:
    kaggle.archives[3] = zipped(SMALL)
    source = KaggleSource.from_url(URL, downloads)
    old = next(entry for entry in source.list() if entry.path == "color/1.jpg")
    kaggle.archives[4] = zipped({"color/1.jpg": b"one, better"})
    kaggle.refusals["4"] = [503]
    with pytest.raises(SourceUnavailableError, match="503"):
        list(source.list())
    assert source.read(old) == b"one"
    kaggle.refusals.clear()
    listing = source.list()
    new = next(listing)
    assert source.read(old) == b"one"  # still here: the listing is not complete yet
    assert source.read(new) == b"one, better"
    assert list(listing) == []
    with pytest.raises(SourceError, match=r"version 3.*run the stage"):
        source.read(old)
    names = {path.name for path in downloads.rglob("*") if path.name[0] in "34"}
    assert names == {"4", "4.complete"}


def test_a_stated_version_stays_and_needs_no_network_once_it_is_here(kaggle: Kaggle, downloads: Path) -> None:
    kaggle.archives |= {3: zipped(SMALL), 4: zipped({"new.jpg": b"new"})}
    pinned = KaggleSource.from_url(f"{URL}/versions/3", downloads)
    assert content(pinned) == SMALL
    assert content(KaggleSource.from_url(URL, downloads)) == {"new.jpg": b"new"}
    kaggle.requests.clear()
    assert content(pinned) == SMALL
    assert kaggle.requests == []
    with pytest.raises(SourceError, match="no version 9 of this dataset"):
        list(KaggleSource.from_url(f"{URL}/versions/9", downloads).list())


@pytest.mark.parametrize("hashed", [True, False])
def test_a_download_that_is_cut_goes_on_where_it_was(kaggle: Kaggle, downloads: Path, hashed: bool) -> None:
    kaggle.archives[3] = zipped(LARGE)
    kaggle.hashed = hashed
    kaggle.cuts = [(2 << 20) + 5]
    assert content(KaggleSource.from_url(URL, downloads)) == LARGE
    assert kaggle.ranges == [f"bytes={2 << 20}-"]


def test_the_next_run_goes_on_where_the_last_one_gave_up(kaggle: Kaggle, downloads: Path) -> None:
    kaggle.archives[3] = zipped(LARGE)
    kaggle.cuts = [(3 << 20) + 5]
    kaggle.refusals["DownloadDataset"] = [200, 503]
    source = KaggleSource.from_url(URL, downloads)
    with pytest.raises(SourceUnavailableError, match=r"needs the internet.*NAME=sample"):
        list(source.list())
    kaggle.refusals.clear()
    assert content(source) == LARGE
    assert kaggle.ranges == [f"bytes={3 << 20}-"]


def test_an_error_in_answer_to_a_range_is_not_taken_for_the_rest_of_the_file(kaggle: Kaggle, downloads: Path) -> None:
    kaggle.archives[3] = zipped(LARGE)
    kaggle.hashed = False
    kaggle.cuts = [(2 << 20) + 5]
    kaggle.refusals["range"] = [503, 500, 200]
    assert content(KaggleSource.from_url(URL, downloads)) == LARGE
    assert kaggle.ranges == [f"bytes={2 << 20}-"] * 3


def test_a_server_that_falls_silent_is_not_waited_for_for_ever(
    kaggle: Kaggle, downloads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("colorize.data.sources.kaggle.TIMEOUTS", (5, 0.2))
    kaggle.archives[3] = zipped(SMALL)
    kaggle.refusals = {name: [SILENCE, 200] for name in ("GetDataset", "DownloadDataset", "3")}
    assert content(KaggleSource.from_url(URL, downloads)) == SMALL


def test_a_storage_that_sends_all_instead_of_the_rest(kaggle: Kaggle, downloads: Path) -> None:
    tarred = io.BytesIO()  # of a zip, what precedes it would do no harm
    with tarfile.open(fileobj=tarred, mode="w") as archive:
        for name, data in LARGE.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    kaggle.archives[3] = tarred.getvalue()
    kaggle.hashed = False
    kaggle.ranged = False
    kaggle.cuts = [(2 << 20) + 5]
    assert content(KaggleSource.from_url(URL, downloads)) == LARGE


def test_a_broken_archive_is_fetched_again(kaggle: Kaggle, downloads: Path) -> None:
    kaggle.archives[3] = zipped(LARGE)
    kaggle.hashed = False
    cache = downloads / "kaggle/ann/hills/newest/datasets/ann/hills"
    cache.mkdir(parents=True)
    # Of the right size, as a disk that was full or a machine that lost its power may leave it.
    (cache / "3.archive").write_bytes(bytes(len(kaggle.archives[3])))
    assert content(KaggleSource.from_url(URL, downloads)) == LARGE


def test_a_run_that_was_killed_while_unpacking_unpacks_again(kaggle: Kaggle, downloads: Path) -> None:
    kaggle.archives[3] = zipped(SMALL)
    cache = downloads / "kaggle/ann/hills/newest/datasets/ann/hills"
    (cache / "versions/3/color").mkdir(parents=True)
    (cache / "versions/3/color/1.jpg").write_bytes(b"on")
    (cache / "3.archive").write_bytes(kaggle.archives[3])
    assert content(KaggleSource.from_url(URL, downloads)) == SMALL
    assert not (cache / "3.archive").exists()


def test_names_that_lead_out_of_the_folder_stay_in_it(kaggle: Kaggle, downloads: Path, tmp_path: Path) -> None:
    kaggle.archives[3] = zipped({"../../../../../../../../up.jpg": b"up", "/root.jpg": b"root"})
    assert content(KaggleSource.from_url(URL, downloads)) == {"up.jpg": b"up", "root.jpg": b"root"}
    assert not list(tmp_path.glob("*.jpg"))


def test_without_network_a_copy_is_used_and_said_so(
    kaggle: Kaggle, downloads: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kaggle.archives[3] = zipped(SMALL)
    source = KaggleSource.from_url(URL, downloads)
    list(source.list())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free.getsockname()[1]}")
    capsys.readouterr()
    assert content(source) == SMALL
    assert capsys.readouterr().err == f"{URL} cannot be reached; version 3, which is here, is used\n"
    with pytest.raises(SourceUnavailableError, match=rf"{URL}.*tried 10 times.*needs the internet.*NAME=sample"):
        list(KaggleSource.from_url(URL, downloads / "empty").list())


def test_sets_that_do_not_exist_or_are_not_handed_out(kaggle: Kaggle, downloads: Path) -> None:
    kaggle.archives[3] = zipped(SMALL)
    source = KaggleSource.from_url(URL, downloads)
    for status, message in ((404, "no such dataset"), (403, r"accept terms.*KAGGLE_API_TOKEN"), (400, "refuses")):
        kaggle.refusals = {"GetDataset": [status]}
        with pytest.raises(SourceError, match=message) as caught:
            list(source.list())
        assert not isinstance(caught.value, SourceUnavailableError)
    assert kaggle.asked("GetDataset") == 3  # not tried again
    kaggle.refusals = {}
    list(source.list())
    kaggle.refusals = {"GetDataset": [404]}
    with pytest.raises(SourceError, match="file://") as caught:
        list(source.list())
    copy = Path(str(caught.value).rpartition("file://")[2])
    assert {entry.path for entry in FolderSource(copy).list()} == SMALL.keys()


def test_a_token_is_used_where_there_is_one(
    kaggle: Kaggle, downloads: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kaggle.archives[3] = zipped(SMALL)
    monkeypatch.setenv("KAGGLE_API_TOKEN", "secret")
    assert content(KaggleSource.from_url(URL, downloads)) == SMALL
    assert kaggle.authorizations[0] == "Bearer secret"
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "kaggle.json").write_text("no json")
    with pytest.raises(SourceError, match="credentials"):
        list(KaggleSource.from_url(URL, downloads).list())


@pytest.mark.parametrize(
    "url",
    [
        "kaggle://",
        "kaggle://owner",
        "kaggle://owner/..",
        "kaggle://../dataset",
        "kaggle://owner/data set",
        "kaggle://owner/dataset/versions",
        "kaggle://owner/dataset/versions/0",
        "kaggle://owner/dataset/versions/latest",
        "kaggle://owner/dataset/more",
    ],
)
def test_addresses_that_cannot_be_right(url: str, downloads: Path) -> None:
    with pytest.raises(SourceError, match="expected kaggle://owner/dataset"):
        KaggleSource.from_url(url, downloads)
