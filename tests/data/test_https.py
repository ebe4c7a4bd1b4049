"""https:// sources against a real TLS server that cuts, lies, refuses, replaces files and goes away."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import random
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from colorize.data.sources import SourceError, SourceUnavailableError, open_source
from colorize.data.sources.https import HttpsSource, read_lock
from colorize.settings.sections import ArchiveSettings


def archive(seed: int = 1, photos: int = 6, size: int = 20_000) -> bytes:
    """A zip of bytes that look like nothing; the same seed gives the same bytes."""
    draw = random.Random(seed)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for number in range(photos):
            file.writestr(zipfile.ZipInfo(f"photos/{number}.jpg"), draw.randbytes(size))
    return buffer.getvalue()


@dataclass
class Request:
    """One request as the server saw it, with the bytes of body it sent."""

    method: str
    path: str
    headers: dict[str, str]
    status: int = 0
    sent: int = 0


@dataclass
class Site:
    """What the server offers at every path but those below /to-, and how it misbehaves."""

    content: bytes = field(default_factory=archive)
    etag: str | None = '"one"'
    modified: str | None = None
    url: str = ""
    head: int = 200
    ranges: bool = True
    conditions: bool = True  # whether If-Range is understood
    shift: int = 0  # bytes by which a range begins too late
    lie: int = 0  # added to every length that is told
    framing: str = "length"  # or "chunked", or "close": the end of the body is the end of the connection
    headers: dict[str, str] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)  # bytes of body after which the next answers break
    reset: bool = False  # break with a reset, not with an end
    errors: list[tuple[int, dict[str, str]]] = field(default_factory=list)  # the next answers
    offline: bool = False
    hold: int | None = None  # bytes of body after which an answer waits for `go`
    go: threading.Event = field(default_factory=threading.Event)
    log: list[Request] = field(default_factory=list)

    def bodies(self) -> list[Request]:
        """The requests for the file itself."""
        return [one for one in self.log if one.method == "GET"]


class Handler(BaseHTTPRequestHandler):
    """Answers as the site says."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_HEAD(self) -> None:
        site, request = self.server.site, self.logged()
        if site.head != 200:
            self.short(request, site.head, {})
        elif not self.passed_by(request):
            self.begin(request, 200, len(site.content), {})

    def do_GET(self) -> None:
        site, request = self.server.site, self.logged()
        if self.passed_by(request):
            return
        body, status, extra, start = site.content, 200, {}, 0
        asked = request.headers.get("range")
        fresh = not site.conditions or request.headers.get("if-range") in (None, site.etag or site.modified)
        if asked and site.ranges and fresh:
            start = int(asked.removeprefix("bytes=").split("-")[0]) + site.shift
            if start >= len(body):
                self.short(request, 416, {"Content-Range": f"bytes */{len(body)}"})
                return
            end = int(asked.split("-")[1] or len(body) - 1)
            extra["Content-Range"] = f"bytes {start}-{end}/{len(body) + site.lie}"
            body, status = body[start : end + 1], 206
        self.begin(request, status, len(body), extra)
        self.send(request, body)

    def logged(self) -> Request:
        request = Request(self.command, self.path, {key.lower(): value for key, value in self.headers.items()})
        self.server.site.log.append(request)
        return request

    def passed_by(self, request: Request) -> bool:
        site = self.server.site
        if self.path.startswith("/to-"):
            kind = self.path.removeprefix("/to-").partition("/")[0]
            target = {"http": f"http://localhost:{self.server.server_port}/a.zip", "https": site.url}.get(
                kind, self.path
            )
            self.short(request, 302, {"Location": target})
            return True
        if site.errors and request.method == "GET":
            self.short(request, *site.errors.pop(0))
            return True
        return False

    def short(self, request: Request, status: int, headers: dict[str, str]) -> None:
        request.status = status
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def begin(self, request: Request, status: int, length: int, extra: dict[str, str]) -> None:
        site = self.server.site
        request.status = status
        self.send_response(status)
        headers = dict(extra) | site.headers
        if site.framing == "length":
            headers["Content-Length"] = str(length + site.lie)
        elif site.framing == "chunked":
            headers["Transfer-Encoding"] = "chunked"
        if site.etag:
            headers["ETag"] = site.etag
        if site.modified:
            headers["Last-Modified"] = site.modified
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def send(self, request: Request, body: bytes) -> None:
        site = self.server.site
        cut = site.cuts.pop(0) if site.cuts else None
        chunked = site.framing == "chunked"
        for begin in range(0, len(body), 1000):
            piece = body[begin : begin + 1000]
            if cut is not None and begin + len(piece) > cut:
                piece = body[begin:cut]
            if site.hold is not None and begin >= site.hold:
                self.wfile.flush()
                site.go.wait(30)
            if piece:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
                request.sent += len(piece)
            if cut is not None and begin + len(piece) >= cut:
                self.break_off()
                return
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        if site.framing == "close" or site.lie > 0:
            self.break_off()

    def break_off(self) -> None:
        self.close_connection = True
        if self.server.site.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        else:
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:
        """Standard error belongs to what is tested."""


class Server(ThreadingHTTPServer):
    """A TLS server for one site; the handshake is done by the thread that answers."""

    daemon_threads = True
    site: Site

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return not self.site.offline

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that were killed or do not trust us are part of the tests."""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def context(authority: trustme.CA) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(made)
    return made


@pytest.fixture
def site(
    authority: trustme.CA, context: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(bundle)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    monkeypatch.setenv("NO_PROXY", "localhost")
    monkeypatch.setenv("COLORIZE_RETRY_SECONDS", "0")
    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.site = Site(url=f"https://localhost:{server.server_port}/sets/photos.zip")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.site
        server.site.go.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "project" / "downloads"


def source(site: Site, folder: Path, path: str = "", **limits: int) -> HttpsSource:
    url = site.url.rsplit("/sets", 1)[0] + path if path else site.url
    return HttpsSource(url, ArchiveSettings(**limits), folder, folder.parent / "sources.lock")


def fetched(source: HttpsSource) -> bytes:
    """List, and the bytes of the copy that the listing is of."""
    assert list(source.list())
    return source.path.read_bytes()


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def part_of(source: HttpsSource) -> Path:
    return source.path.with_name(source.path.name + ".part")


# What a whole download is and leaves behind


def test_members_are_listed_and_read_and_the_hash_is_recorded(site: Site, folder: Path) -> None:
    opened = pickle.loads(pickle.dumps(source(site, folder)))
    entries = {entry.path: entry for entry in opened.list()}
    site.offline = True
    with zipfile.ZipFile(io.BytesIO(site.content)) as file:
        assert {path: opened.read(entry) for path, entry in entries.items()} == {
            name: file.read(name) for name in file.namelist()
        }
    name = f"{digest(site.url.encode())[:12]}-photos.zip"
    assert files(folder.parent) == [f"downloads/{name}", f"downloads/{name}.json", "sources.lock"]
    known = {"bytes": len(site.content), "sha256": digest(site.content)}
    assert json.loads((folder.parent / "sources.lock").read_text()) == {site.url: known}
    record = json.loads((folder / f"{name}.json").read_text())
    assert record.items() >= {"url": site.url, "etag": '"one"', **known}.items()
    assert {one.headers["accept-encoding"] for one in site.log} == {"identity"}


def test_open_source_opens_https_addresses_with_the_lock_of_the_current_folder(tmp_path: Path) -> None:
    opened = open_source("https://localhost/a.zip", ArchiveSettings(), tmp_path)
    assert isinstance(opened, HttpsSource)
    assert opened.lock == Path("sources.lock")


def test_the_lock_is_sorted_and_keeps_other_addresses(site: Site, folder: Path) -> None:
    for name in ("/z.zip", "/a.zip", "/m.zip"):
        fetched(source(site, folder, name))
    addresses = list(json.loads((folder.parent / "sources.lock").read_text()))
    assert [address.rsplit("/", 1)[1] for address in addresses] == ["a.zip", "m.zip", "z.zip"]


@pytest.mark.parametrize(
    "path", ["/..%2f..%2f..%2fevil.zip", "/a/%2e%2e/", "/%00%0a.zip", "/" + "x" * 400, "/.zip.part", "/?a=../../b.zip"]
)
def test_nothing_is_written_outside_whatever_the_address_and_the_headers_say(
    path: str, site: Site, folder: Path, tmp_path: Path
) -> None:
    site.headers = {"Content-Disposition": 'attachment; filename="../../../evil.zip"', "Content-Location": "/evil.zip"}
    before = set(files(tmp_path))
    opened = source(site, folder, path)
    assert fetched(opened) == site.content
    copy = f"project/downloads/{opened.path.name}"
    assert set(files(tmp_path)) - before == {copy, f"{copy}.json", "project/sources.lock"}
    assert opened.path.parent == folder


@pytest.mark.parametrize(
    "url", ["https://", "https:///a.zip", "http://a/b.zip", "https://a:99999/b.zip", "https://[/b"]
)
def test_wrong_addresses_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not an https address"):
        HttpsSource(url, ArchiveSettings(), tmp_path)


def test_a_password_in_the_address_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="netrc") as caught:
        HttpsSource("https://me:secret@host/a.zip", ArchiveSettings(), tmp_path)
    assert "secret" not in str(caught.value)


# Lines that break


@pytest.mark.parametrize("reset", [False, True])
def test_cuts_are_resumed_where_they_were(reset: bool, site: Site, folder: Path) -> None:
    site.cuts, site.reset = [1, 999, 40_000, 0, 17], reset
    assert fetched(source(site, folder)) == site.content
    bodies = site.bodies()
    assert len(bodies) == 6
    if not reset:  # a reset may throw away what was under way
        assert sum(one.sent for one in bodies) == len(site.content)
        assert [one.headers.get("range") for one in bodies[:4]] == [None, "bytes=1-", "bytes=1000-", "bytes=41000-"]
    assert {one.headers["if-range"] for one in bodies if "range" in one.headers} == {'"one"'}


def test_more_cuts_than_the_budget_are_fine_as_long_as_there_is_progress(site: Site, folder: Path) -> None:
    site.cuts = [3_000] * 30
    assert fetched(source(site, folder)) == site.content
    assert len(site.bodies()) == 31
    assert sum(one.sent for one in site.bodies()) == len(site.content)


def test_attempts_without_a_new_byte_end_with_a_clear_error_and_keep_what_arrived(site: Site, folder: Path) -> None:
    site.cuts = [50_000] + [0] * 10
    opened = source(site, folder)
    with pytest.raises(
        SourceUnavailableError, match=r"photos\.zip: tried 10 times.*is kept; run the same command again"
    ):
        opened.list()
    assert part_of(opened).stat().st_size == 50_000
    site.log.clear()
    assert fetched(opened) == site.content
    assert [one.headers["range"] for one in site.bodies()] == ["bytes=50000-"]
    assert files(folder) == sorted([opened.path.name, f"{opened.path.name}.json"])


def test_errors_that_pass_are_waited_for(site: Site, folder: Path) -> None:
    site.errors = [
        (500, {}),
        (503, {"Retry-After": "0"}),
        (429, {}),
        (408, {}),
        (425, {}),
        (502, {"Retry-After": "soon"}),
    ]
    site.errors += [(504, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})]
    assert fetched(source(site, folder)) == site.content
    assert [one.status for one in site.bodies()] == [500, 503, 429, 408, 425, 502, 504, 200]


def test_errors_that_do_not_pass_end_the_budget_with_the_status(site: Site, folder: Path) -> None:
    site.errors = [(503, {})] * 10
    with pytest.raises(
        SourceUnavailableError, match=r"the server answers 503 Service Unavailable.*make profile NAME=sample"
    ):
        source(site, folder).list()
    assert not site.errors


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_refusals_are_told_at_once(status: int, site: Site, folder: Path) -> None:
    site.errors, site.head = [(status, {})], status
    with pytest.raises(SourceError, match=f"the server answers {status}.*check the address") as caught:
        source(site, folder).list()
    assert not isinstance(caught.value, SourceUnavailableError)
    assert len(site.log) == 2
    assert files(folder.parent) == []


@pytest.mark.parametrize("validators", [(None, None), ('W/"weak"', None)])
def test_without_a_way_to_recognise_the_file_a_cut_begins_again(
    validators: tuple[str | None, str | None], site: Site, folder: Path
) -> None:
    (site.etag, site.modified), site.cuts = validators, [70_000]
    assert fetched(source(site, folder)) == site.content
    assert [one.headers.get("range") for one in site.bodies()] == [None, None]


def test_the_date_of_change_recognises_the_file_where_there_is_no_etag(site: Site, folder: Path) -> None:
    site.etag, site.modified, site.cuts = None, "Tue, 01 Jul 2025 10:00:00 GMT", [70_000]
    assert fetched(source(site, folder)) == site.content
    assert site.bodies()[1].headers["if-range"] == site.modified
    assert sum(one.sent for one in site.bodies()) == len(site.content)


def test_a_server_without_ranges_sends_all_again(site: Site, folder: Path) -> None:
    site.ranges, site.cuts = False, [70_000, 80_000]
    assert fetched(source(site, folder)) == site.content
    assert [one.status for one in site.bodies()] == [200, 200, 200]


def test_a_server_without_ranges_that_always_cuts_at_one_place_is_given_up(site: Site, folder: Path) -> None:
    site.ranges, site.cuts = False, [70_000] * 30
    with pytest.raises(SourceUnavailableError, match="tried 10 times"):
        source(site, folder).list()
    assert len(site.bodies()) == 11  # the first one made progress


def test_a_range_that_begins_elsewhere_is_not_used(site: Site, folder: Path) -> None:
    site.shift, site.cuts = 5, [70_000]
    assert fetched(source(site, folder)) == site.content


def test_a_body_shorter_than_told_is_never_taken_for_whole(site: Site, folder: Path) -> None:
    site.lie = 100
    with pytest.raises(SourceUnavailableError, match="tried 10 times"):
        source(site, folder).list()
    assert not (folder.parent / "sources.lock").exists()


def test_a_chunked_body_is_taken_when_it_ends_well(site: Site, folder: Path) -> None:
    site.framing, site.cuts = "chunked", [70_000, 2_000]
    assert fetched(source(site, folder)) == site.content
    assert sum(one.sent for one in site.bodies()) == len(site.content)


def test_a_body_of_unknown_length_is_refused(site: Site, folder: Path) -> None:
    site.framing = "close"
    with pytest.raises(SourceError, match="does not say how long the file is"):
        source(site, folder).list()


def test_a_body_that_is_compressed_on_the_way_is_refused(site: Site, folder: Path) -> None:
    site.headers = {"Content-Encoding": "gzip"}
    with pytest.raises(SourceError, match="re-encodes the file"):
        source(site, folder).list()


DOWNLOAD = """
import sys
from pathlib import Path
from colorize.data.sources.https import HttpsSource
from colorize.settings.sections import ArchiveSettings
url, folder = sys.argv[1], Path(sys.argv[2])
if len(sys.argv) > 3:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
HttpsSource(url, ArchiveSettings(), folder, folder.parent / "sources.lock").list()
"""


@pytest.mark.parametrize("point", [20_000, 101_000])
def test_a_killed_download_goes_on_where_it_was(point: int, site: Site, folder: Path) -> None:
    opened, site.hold = source(site, folder), point
    process = subprocess.Popen([sys.executable, "-c", DOWNLOAD, site.url, str(folder)])
    try:
        deadline = time.monotonic() + 60
        while not part_of(opened).exists() or part_of(opened).stat().st_size < point - 10_000:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    held = part_of(opened).stat().st_size
    assert not opened.path.exists()
    site.hold = None
    site.go.set()
    site.log.clear()
    assert fetched(opened) == site.content
    assert [one.headers["range"] for one in site.bodies()] == [f"bytes={held}-"]


def test_a_disk_that_takes_no_more_is_an_oserror_and_what_arrived_is_kept(site: Site, folder: Path) -> None:
    opened = source(site, folder)
    command = [sys.executable, "-c", DOWNLOAD, site.url, str(folder), "65536"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "OSError: [Errno 27]" in ended.stderr
    assert part_of(opened).stat().st_size == 65_536
    site.log.clear()
    assert fetched(opened) == site.content
    assert sum(one.sent for one in site.bodies()) == len(site.content) - 65_536


def test_a_download_that_was_killed_just_before_its_end_costs_one_byte(site: Site, folder: Path) -> None:
    opened = source(site, folder)
    fetched(opened)
    opened.path.rename(part_of(opened))
    part_of(opened).with_name(part_of(opened).name + ".json").write_text(
        json.dumps({"size": len(site.content), "etag": site.etag, "last_modified": None})
    )
    site.log.clear()
    assert fetched(opened) == site.content
    assert sum(one.sent for one in site.bodies()) == 1


def test_two_downloads_of_one_address_do_not_mix(site: Site, folder: Path) -> None:
    opened, site.hold = source(site, folder), 50_000
    first = threading.Thread(target=opened.list)
    first.start()
    deadline = time.monotonic() + 60
    while not site.bodies() or site.bodies()[0].sent < 50_000:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with pytest.raises(SourceError, match="another process is downloading it"):
        opened.list()
    site.go.set()
    first.join()
    assert opened.path.read_bytes() == site.content


# Files that change


def test_an_unchanged_file_costs_no_body(site: Site, folder: Path) -> None:
    opened = source(site, folder)
    fetched(opened)
    site.log.clear()
    fetched(opened)
    assert [(one.method, one.sent) for one in site.log] == [("HEAD", 0)]


@pytest.mark.parametrize("status", [403, 404, 405, 501])
def test_where_head_is_refused_one_byte_is_asked_for(status: int, site: Site, folder: Path) -> None:
    site.head = status
    opened = source(site, folder)
    fetched(opened)
    site.log.clear()
    fetched(opened)
    assert [(one.method, one.sent) for one in site.log] == [("HEAD", 0), ("GET", 1)]


def test_a_replaced_file_of_another_size_is_refused_without_a_download(site: Site, folder: Path) -> None:
    opened = source(site, folder)
    old = fetched(opened)
    site.content, site.etag = archive(2, size=30_000), '"two"'
    site.log.clear()
    told = rf"now has {len(site.content):,} bytes, but .*sources\.lock says {len(old):,}.*delete its entry"
    with pytest.raises(SourceError, match=told):
        opened.list()
    assert [one.method for one in site.log] == ["HEAD"]
    assert opened.path.read_bytes() == old


def test_a_replaced_file_of_the_same_size_is_refused_by_its_hash_until_its_entry_is_deleted(
    site: Site, folder: Path
) -> None:
    opened = source(site, folder)
    old = fetched(opened)
    site.content, site.etag = archive(2), '"two"'
    assert len(old) == len(site.content)
    for bodies in (len(old), 1):  # what arrived is kept: refusing it again costs one byte
        site.log.clear()
        with pytest.raises(SourceError, match=f"{digest(site.content)}.*{digest(old)}.*delete its entry"):
            opened.list()
        assert sum(one.sent for one in site.bodies()) == bodies
        assert opened.path.read_bytes() == old
    opened.lock.unlink()
    assert fetched(opened) == site.content
    assert read_lock(opened.lock)[site.url].sha256 == digest(site.content)


def test_a_new_etag_for_the_same_bytes_is_accepted(site: Site, folder: Path) -> None:
    opened = source(site, folder)
    fetched(opened)
    site.etag = '"two"'
    fetched(opened)
    site.log.clear()
    fetched(opened)
    assert [one.method for one in site.log] == ["HEAD"]


@pytest.mark.parametrize("conditions", [True, False])
@pytest.mark.parametrize("photos", [6, 7])
def test_a_file_replaced_between_cut_and_resume_arrives_whole(
    conditions: bool, photos: int, site: Site, folder: Path
) -> None:
    site.cuts, site.conditions = [60_000] + [0] * 10, conditions
    opened = source(site, folder)
    with pytest.raises(SourceUnavailableError):
        opened.list()
    site.content, site.etag = archive(2, photos), '"two"'
    site.log.clear()
    assert fetched(opened) == site.content
    assert [one.status for one in site.bodies()] == ([200] if conditions else [206, 200])


def test_a_file_replaced_between_cut_and_resume_is_refused_if_another_is_locked(site: Site, folder: Path) -> None:
    opened = source(site, folder)
    old = fetched(opened)
    opened.path.unlink()
    site.cuts = [60_000] + [0] * 10
    with pytest.raises(SourceUnavailableError):
        opened.list()
    site.content, site.etag = archive(2), '"two"'
    with pytest.raises(SourceError, match=f"{digest(site.content)}.*{digest(old)}"):
        opened.list()
    assert not opened.path.exists()


def test_a_page_instead_of_an_archive_is_refused_and_not_recorded(site: Site, folder: Path) -> None:
    good, site.content = site.content, b"<html>Please log in</html>"
    opened = source(site, folder)
    with pytest.raises(SourceError, match=r"no zip, tar or tar\.gz"):
        opened.list()
    assert not opened.lock.exists()
    site.content = good
    assert fetched(opened) == good


@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
def test_a_copy_that_was_altered_is_healed(
    damage: str, site: Site, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = source(site, folder)
    fetched(opened)
    data = bytearray(site.content)
    if damage == "flip":
        data[1234] ^= 1
    elif damage == "cut":
        del data[-100:]
    opened.path.unlink() if damage == "delete" else opened.path.write_bytes(data)
    assert fetched(opened) == site.content
    assert ("was altered" in capsys.readouterr().err) == (damage != "delete")


def test_a_copy_that_was_only_touched_is_used(site: Site, folder: Path) -> None:
    opened = source(site, folder)
    fetched(opened)
    os.utime(opened.path, (1, 1))
    site.log.clear()
    fetched(opened)
    assert site.bodies() == []
    assert opened.path.stat().st_mtime != 1


def test_a_listing_is_the_same_on_every_machine_and_after_every_download(site: Site, folder: Path) -> None:
    opened = source(site, folder)
    first = list(opened.list())
    os.utime(opened.path, (1, 1))
    assert list(opened.list()) == first
    opened.path.unlink()
    assert list(opened.list()) == first
    assert list(source(site, folder.parent / "elsewhere").list()) == first


def test_a_copy_put_there_by_hand_is_used_if_its_hash_is_locked(site: Site, folder: Path) -> None:
    opened = source(site, folder)
    fetched(opened)
    (folder / f"{opened.path.name}.json").unlink()
    site.offline = True
    assert fetched(opened) == site.content


@pytest.mark.parametrize("text", ["", "[]", '{"bytes": 1, "sha256": 2}', '{"bytes": null, "sha256": "x"}'])
def test_a_spoilt_record_is_made_again(text: str, site: Site, folder: Path) -> None:
    opened = source(site, folder)
    fetched(opened)
    record = folder / f"{opened.path.name}.json"
    record.write_text(text)
    fetched(opened)
    assert json.loads(record.read_text())["sha256"] == digest(site.content)


def test_a_lock_from_a_colleague_makes_an_old_copy_come_again(site: Site, folder: Path) -> None:
    opened = source(site, folder)
    fetched(opened)
    site.content, site.etag = archive(2), '"two"'
    opened.lock.write_text(json.dumps({site.url: {"bytes": len(site.content), "sha256": digest(site.content)}}))
    assert fetched(opened) == site.content


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"https://a/b": 1}',
        '{"https://a/b": {"bytes": 1}}',
        '{"https://a/b": {"bytes": 1, "sha256": "x"}}',
        "<<<<<<< HEAD\n{}",
    ],
)
def test_a_spoilt_lock_is_named(text: str, site: Site, folder: Path) -> None:
    opened = source(site, folder)
    opened.lock.parent.mkdir(parents=True)
    opened.lock.write_text(text)
    with pytest.raises(SourceError, match=r"sources\.lock cannot be understood.*git checkout"):
        opened.list()


# No network, wrong servers, no room


def test_offline_with_a_copy_says_so_and_goes_on(site: Site, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened = source(site, folder)
    fetched(opened)
    site.offline = True
    capsys.readouterr()
    assert fetched(opened) == site.content
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "cannot be reached" in said
    assert opened.path.name in said


def test_offline_with_an_altered_copy_is_no_copy(site: Site, folder: Path) -> None:
    opened = source(site, folder)
    fetched(opened)
    opened.path.write_bytes(site.content[:-1])
    site.offline = True
    with pytest.raises(SourceUnavailableError, match="needs the internet"):
        opened.list()


def test_offline_without_a_copy_says_what_needs_no_internet(site: Site, folder: Path) -> None:
    site.offline = True
    with pytest.raises(SourceUnavailableError, match="needs the internet; `make profile NAME=sample`"):
        source(site, folder).list()
    assert files(folder.parent) == []


def test_a_refusal_with_a_copy_says_how_to_go_on_with_it(site: Site, folder: Path) -> None:
    opened = source(site, folder)
    fetched(opened)
    site.errors, site.head = [(404, {})], 404
    with pytest.raises(SourceError, match=f"404 Not Found.*set the source to file://{opened.path}"):
        opened.list()


def test_a_redirect_to_https_is_followed_and_any_other_refused(site: Site, folder: Path) -> None:
    assert fetched(source(site, folder, "/to-https/a.zip")) == site.content
    for path, told in (("/to-http/a.zip", "not https"), ("/to-itself/a.zip", "redirects")):
        with pytest.raises(SourceError, match=told) as caught:
            source(site, folder, path).list()
        assert not isinstance(caught.value, SourceUnavailableError)


def test_a_certificate_of_nobody_is_refused_at_once(
    site: Site, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    with pytest.raises(SourceError, match="certificate is not trusted") as caught:
        source(site, folder).list()
    assert not isinstance(caught.value, SourceUnavailableError)


def test_a_file_that_does_not_fit_is_refused_with_the_numbers(site: Site, folder: Path) -> None:
    site.lie = 10**17
    with pytest.raises(SourceError, match=r"100,000,000,[\d,]+ bytes are to come, but .* has room for [\d,]+;"):
        source(site, folder, maximum_bytes=2**62).list()
    with pytest.raises(SourceError, match=r"archives\.maximum_bytes in params\.yaml allows 1,000"):
        source(site, folder, maximum_bytes=1000).list()
    assert sum(part.stat().st_size for part in folder.glob("*.part")) == 0


def test_a_terminal_sees_a_bar_of_bytes(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    site.content = archive(3, photos=40, size=50_000)
    assert fetched(source(site, folder)) == site.content
    assert "2.0" in capsys.readouterr().err
