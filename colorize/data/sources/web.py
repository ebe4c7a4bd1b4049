"""Talking to web servers: requests over https alone, answers understood, failures sorted into passing and lasting."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import responses
from typing import TYPE_CHECKING

from colorize.data.sources import SourceError
from colorize.retry import ATTEMPTS, TransientError, with_retries

if TYPE_CHECKING:
    from requests import Response, Session

TIMEOUTS = (15.0, 60.0)
"""Seconds to connect, and between two pieces of an answer."""
_MAY_PASS = (408, 425, 429)
_HEADER = re.compile(r"[\x20-\x7e]{1,200}")


@dataclass(frozen=True, slots=True)
class Offer:
    """What a server says about a file; None where it does not.

    Attributes:
        size: bytes.
        etag: as sent, with its quotation marks.
        last_modified: as sent.
    """

    size: int | None = None
    etag: str | None = None
    last_modified: str | None = None

    def differs(self, other: Offer) -> bool:
        """Whether two offers are surely of different content: another size, or another ETag; without those, time."""
        if None not in (self.size, other.size) and self.size != other.size:
            return True
        if None not in (self.etag, other.etag):
            return self.etag != other.etag
        return None not in (self.last_modified, other.last_modified) and self.last_modified != other.last_modified

    def validator(self) -> str | None:
        """What makes a server send the rest of this very file or else the whole new one (RFC 9110, If-Range)."""
        if self.etag is not None and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified


def probe(url: str, attempts: int = ATTEMPTS) -> Offer:
    """What the server says about a file, without its bytes.

    Raises:
        SourceUnavailableError: no usable answer after all attempts.
        SourceError: the server refuses (the status is named), its certificate is not trusted, or it redirects to
            something that is not https.
    """
    with open_session() as session:
        return with_retries(lambda: _probe(session, url), url, is_transient, attempts)


def _probe(session: Session, url: str) -> Offer:
    with request(session, "HEAD", url) as response:
        if response.status_code == 200:
            offer = offer_of(response)
            return Offer(offer.size or None, offer.etag, offer.last_modified)  # some answer HEAD with a length of 0
    with request(session, "GET", url, {"Range": "bytes=0-0"}) as response:  # HEAD is refused here and there
        require_status(url, response)
        return offer_of(response)


def open_session() -> Session:
    """A session that asks for files as they are; proxies, certificates and ~/.netrc are taken from the environment."""
    import requests

    session = requests.Session()
    session.headers.update({"Accept-Encoding": "identity", "User-Agent": "colorize"})
    del session.adapters["http://"]  # redirects cannot leave https
    return session


@contextmanager
def request(session: Session, method: str, url: str, headers: dict[str, str] | None = None) -> Iterator[Response]:
    """An answer whose body is still to be read.

    Raises:
        TransientError: the line broke, also while the block reads the body.
        SourceError: what broke will not pass: a certificate, an address that is not https.
    """
    from requests import RequestException
    from urllib3.exceptions import HTTPError

    try:
        # Redirects of HEAD are followed only where that is said.
        with session.request(method, url, headers=headers, stream=True, timeout=TIMEOUTS, allow_redirects=True) as got:
            yield got
    except (RequestException, HTTPError) as error:
        raise _translated(url, error) from error


def _translated(url: str, error: Exception) -> Exception:
    from requests import exceptions
    from urllib3.exceptions import HTTPError

    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return SourceError(
            f"{url}: the server's certificate is not trusted; behind a proxy of your own, put its certificate into a "
            "file and set REQUESTS_CA_BUNDLE to it"
        )
    if isinstance(error, exceptions.InvalidSchema):
        return SourceError(f"{url}: the server redirects to an address that is not https; use its https address")
    passing = (exceptions.ConnectionError, exceptions.Timeout, exceptions.ChunkedEncodingError, HTTPError)
    return TransientError(_innermost(error)) if isinstance(error, passing) else SourceError(f"{url}: {error}")


def _innermost(error: BaseException) -> str:
    """What people understand of an error wrapped in others: the words of the first one."""
    while True:
        nested = getattr(error, "reason", None) or next((a for a in error.args if isinstance(a, BaseException)), None)
        inner = nested if isinstance(nested, BaseException) else error.__cause__ or error.__context__
        if inner is None:
            return str(error) or type(error).__name__
        error = inner


def is_transient(error: Exception) -> bool:
    """Whether `request` or `require_status` found that it may pass."""
    return isinstance(error, TransientError)


def require_status(url: str, response: Response) -> None:
    """Return if the answer brings the file or a part of it, as it is.

    Raises:
        TransientError: 408, 425, 429 or 5xx, with the wait that the server asks for.
        SourceError: any other status, or the body is compressed on the way.
    """
    status = response.status_code
    told = f"the server answers {status} {responses.get(status, '')}".rstrip()
    if status in _MAY_PASS or status >= 500:
        raise TransientError(told, _seconds(response.headers.get("Retry-After")))
    if status not in (200, 206):
        raise SourceError(f"{url}: {told}; check the address in params.yaml, and that it needs no login")
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding not in ("identity", ""):
        raise SourceError(f"{url}: the server re-encodes the file ({encoding!r:.40}) though asked not to")


def offer_of(response: Response) -> Offer:
    """What the headers of an answer 200 or 206 say about the whole file; what is malformed counts as not said."""
    headers = response.headers
    _, total = _content_range(response)
    size = total if response.status_code == 206 else whole_number(headers.get("Content-Length"))
    etag, modified = (_HEADER.fullmatch(headers.get(name, "").strip()) for name in ("ETag", "Last-Modified"))
    return Offer(size, etag and etag[0], modified and modified[0])


def start_of(response: Response) -> int | None:
    """Where in the file the body of an answer 200 or 206 begins; None if it does not say that and the file's size."""
    return _content_range(response)[0] if response.status_code == 206 else 0


def _content_range(response: Response) -> tuple[int | None, int | None]:
    found = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})", response.headers.get("Content-Range", ""))
    return (int(found[1]), int(found[2])) if found else (None, None)


def whole_number(text: str | None) -> int | None:
    """The number in a header; None where there is none, or something else."""
    return int(text) if text and re.fullmatch(r"[0-9]{1,18}", text) else None


def _seconds(retry_after: str | None) -> float | None:
    """A Retry-After header: seconds, or a date."""
    if (seconds := whole_number(retry_after)) is not None:
        return float(seconds)
    try:
        return max(0.0, parsedate_to_datetime(retry_after or "").timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
