"""`s3://bucket/prefix`: photos in an object store. Every object is read as it was listed, or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from colorize.data.sources import Entry, PhotoUnavailableError, SourceError
from colorize.data.sources.members import odd_name, printable
from colorize.retry import TransientError, with_retries

_CONNECTIONS: Final = 32  # so many reading threads of one process do not wait for each other
_CONNECT_SECONDS: Final = 10
_READ_SECONDS: Final = 60  # between two pieces of an answer
_LOCK: Final = threading.Lock()
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9]")
_BUCKET_LENGTHS: Final = range(3, 64)
_ARCHIVED: Final = ("GLACIER", "DEEP_ARCHIVE")
_ARCHIVED_DETAIL: Final = "the object is in an archive that takes hours to read; copy it to another storage class"
_MD5: Final = re.compile(r"[0-9a-f]{32}")
_NO_MD5_BUCKET: Final = "--x-s3"  # ends the name of a directory bucket; ETags are random there
_SAME_DAMAGE: Final = 3  # a network does not damage an object in the same way so often
_WHERE_SETTINGS_ARE: Final = "check what boto3 is told in ~/.aws and in the variables AWS_…"

_DENIED: Final = (401, 403)
_NOT_FOUND: Final = 404
_PRECONDITION_FAILED: Final = 412
_BUSY_STATUS: Final = (408, 429)
_SERVER_ERROR: Final = 500
_NOT_IMPLEMENTED: Final = 501
_BUSY: Final = ("RequestLimitExceeded", "RequestTimeout", "SlowDown", "Throttling", "ThrottlingException")
_CREDENTIALS: Final = (  # they are wrong, whatever is asked for
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
)


@dataclass(frozen=True, slots=True)
class S3Source:
    """Objects below one prefix of a bucket, at Amazon or in any store that speaks S3.

    Address and credentials are found by boto3 (AWS_ENDPOINT_URL, AWS_PROFILE, AWS_REGION, the role of a machine, …).
    Where it finds no credentials, requests are not signed, which is enough for public buckets.

    Attributes:
        bucket: its name.
        prefix: folder in the bucket, without a slash at its end; empty for the whole bucket.
    """

    bucket: str
    prefix: str

    @classmethod
    def from_url(cls, url: str) -> S3Source:
        """The source of an `s3://` address. The prefix is taken as it is: %20 means these three characters.

        Raises:
            SourceError: the bucket's name is missing or cannot be one.
        """
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket:
            raise SourceError(f"{url}: the bucket is missing; write s3://bucket/folder")
        if len(bucket) not in _BUCKET_LENGTHS:
            raise SourceError(
                f"{url}: the bucket '{bucket}' has {len(bucket)} characters; names of buckets have 3 to 63"
            )
        if not _BUCKET.fullmatch(bucket):
            raise SourceError(
                f"{url}: '{bucket}' cannot be a bucket; expected letters, digits, dots and hyphens (another store than "
                "Amazon's is named by the environment variable AWS_ENDPOINT_URL)"
            )
        return cls(bucket, prefix.removesuffix("/"))

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    def list(self) -> Iterator[Entry]:
        """Every object below the prefix, a page of up to 1,000 in memory at a time; markers of folders are left out.

        Archived objects ("archived-object") and names with control characters ("odd-name") are refused.

        Raises:
            SourceError: bucket or prefix are missing or empty, access is denied, or the credentials are wrong.
            SourceUnavailableError: the store cannot be reached, after all retries.
        """
        folder = f"{self.prefix}/" if self.prefix else ""
        request = {"Bucket": self.bucket, "Prefix": folder}
        found = False
        while True:
            page = self._page(request)
            for item in page.get("Contents", ()):
                if not item["Key"].endswith("/"):
                    found = True
                    yield _entry(item, item["Key"].removeprefix(folder))
            if not page.get("IsTruncated"):
                break
            request["ContinuationToken"] = page["NextContinuationToken"]
        if not found:
            raise SourceError(
                f"{self} holds no objects. What follows the bucket is a folder: s3://bucket/photos means photos/…, not "
                "photos2/…; correct 'source' in params.yaml, or put photos there"
            )

    def read(self, entry: Entry) -> bytes:
        """The bytes of one listed object: of the size and ETag listed, and of its MD5 where the ETag is that.

        Raises:
            PhotoUnavailableError: "vanished", "changed", "unreadable", "archived-object", or "broken-object": the
                store hands out the same wrong bytes each time.
            SourceError: the bucket is gone, or the credentials are not accepted any more.
            SourceUnavailableError: the store cannot be reached, after all retries.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        key = f"{self.prefix}/{entry.path}" if self.prefix else entry.path
        damages: Counter[str] = Counter()
        try:
            return with_retries(lambda: self._get(key, entry, damages), f"s3://{self.bucket}/{key}", is_transient)
        except ClientError as error:
            raise _refusal_of_object(self, error.response) from error
        except BotoCoreError as error:
            raise SourceError(f"{self}: {error}; {_WHERE_SETTINGS_ARE}") from error

    def _get(self, key: str, entry: Entry, damages: Counter[str]) -> bytes:
        """One attempt. `damages` counts what was wrong with the bytes in the attempts before."""
        from botocore.exceptions import FlexibleChecksumError

        etag = entry.version.rpartition("-")[0]
        condition = {"IfMatch": f'"{etag}"'} if etag else {}
        answer = client(os.getpid()).get_object(Bucket=self.bucket, Key=key, **condition)
        try:
            with closing(answer["Body"]) as body:
                # Asked before the body is read: an object that has grown must not fill the memory.
                if answer.get("ContentLength", entry.size) != entry.size:
                    raise PhotoUnavailableError("changed", "the object has not the size that was listed; list again")
                data: bytes = body.read()
        except FlexibleChecksumError as error:  # a checksum that the uploader left with the object
            raise _damage(damages, str(error).rstrip(".")) from error
        if len(data) != entry.size:
            raise TransientError(f"{len(data)} of {entry.size} bytes arrived")
        if self._is_md5(etag, answer) and (digest := hashlib.md5(data, usedforsecurity=False).hexdigest()) != etag:
            raise _damage(damages, f"its ETag is {etag}, but the MD5 of what arrives {digest}")
        return data

    def _page(self, request: dict[str, str]) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        def get() -> dict[str, Any]:
            page: dict[str, Any] = client(os.getpid()).list_objects_v2(**request)
            return page

        try:
            return with_retries(get, f"the listing of {self}", is_transient)
        except ClientError as error:
            raise _refusal(self, error.response) from error
        except BotoCoreError as error:
            raise SourceError(f"{self}: {error}; {_WHERE_SETTINGS_ARE}") from error

    def _is_md5(self, etag: str, answer: dict[str, Any]) -> bool:
        """Whether an ETag is an MD5: not of what was uploaded in parts, or encrypted with a key of the owner's."""
        return (
            _MD5.fullmatch(etag) is not None
            and answer.get("ServerSideEncryption") in (None, "AES256")
            and "SSECustomerAlgorithm" not in answer
            and not self.bucket.endswith(_NO_MD5_BUCKET)
        )


def _damage(damages: Counter[str], description: str) -> Exception:
    damages[description] += 1
    if damages[description] < _SAME_DAMAGE:
        return TransientError(description)
    return PhotoUnavailableError("broken-object", f"{description}, each time it is read; upload it again")


def client(process: int) -> Any:
    """The S3 client of this process; threads share it.

    Args:
        process: its number, so that a forked child makes its own instead of sharing sockets with its parent.

    Raises:
        SourceError: what boto3 is told is contradictory or incomplete.
    """
    with _LOCK:  # making one takes half a second: not once in each thread
        return _make_client(process)


@lru_cache(maxsize=1)
def _make_client(process: int) -> Any:  # noqa: ARG001 - it is the key of the cache
    from boto3.session import Session
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        max_pool_connections=_CONNECTIONS,
        retries={"total_max_attempts": 1},  # the one budget is that of with_retries
    )
    try:
        session = Session()
        if session.get_credentials() is None:
            config = config.merge(Config(signature_version=UNSIGNED))
        return session.client("s3", config=config)
    except (BotoCoreError, ValueError) as error:
        raise SourceError(f"S3 cannot be used: {error}; {_WHERE_SETTINGS_ARE}") from error


def _entry(item: dict[str, Any], path: str) -> Entry:
    version = f"{item.get('ETag', '').strip(chr(34))}-{item['Size']}"
    if (odd := odd_name(path)) is not None:
        return Entry(printable(path), item["Size"], version, refused=odd.reason, detail=odd.detail)
    if item.get("StorageClass") in _ARCHIVED:
        return Entry(path, item["Size"], version, refused="archived-object", detail=_ARCHIVED_DETAIL)
    return Entry(path, item["Size"], version)


def is_transient(error: Exception) -> bool:
    """Whether the same request may be answered if it is sent again."""
    from botocore.exceptions import (
        ClientError,
        ConnectionError,
        HTTPClientError,
        IncompleteReadError,
    )
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError

    if isinstance(error, ClientError):
        code, status, _ = _told(error.response)
        return code in _BUSY or status in _BUSY_STATUS or (status >= _SERVER_ERROR and status != _NOT_IMPLEMENTED)
    network = (ConnectionError, HTTPClientError, HTTPError, OSError)
    damage = (IncompleteReadError, ResponseParserError, TransientError)
    return isinstance(error, (*network, *damage))


def _told(response: dict[str, Any]) -> tuple[str, int, str]:
    """What the store says in an error: its code, the status of HTTP, and both with its message for people."""
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    message = response.get("Error", {}).get("Message", "no reason given")
    return code, status, f"{status} {code}: {message}"


def _refusal_of_object(source: S3Source, response: dict[str, Any]) -> Exception:
    code, status, sentence = _told(response)
    if code == "NoSuchBucket" or code in _CREDENTIALS:
        return _refusal(source, response)
    if status == _NOT_FOUND:
        return PhotoUnavailableError("vanished", "the object was there when it was listed; list again")
    if status == _PRECONDITION_FAILED:
        return PhotoUnavailableError("changed", "the object is not the one that was listed; list again")
    if code == "InvalidObjectState":
        return PhotoUnavailableError("archived-object", _ARCHIVED_DETAIL)
    return PhotoUnavailableError("unreadable", f"{sentence}; check the object's permissions and encryption")


def _refusal(source: S3Source, response: dict[str, Any]) -> SourceError:
    code, status, sentence = _told(response)
    store = client(os.getpid()).meta.endpoint_url
    if code == "NoSuchBucket":
        return SourceError(f"{source}: {store} has no bucket '{source.bucket}'; correct 'source' in params.yaml")
    if code in _CREDENTIALS:
        return SourceError(f"{source}: {store} does not accept the credentials ({sentence}); {_WHERE_SETTINGS_ARE}")
    if status in _DENIED:
        return SourceError(
            f"{source}: access denied ({sentence}). The credentials that boto3 finds must allow s3:ListBucket and "
            "s3:GetObject, choose them with AWS_PROFILE; without credentials only public buckets can be read"
        )
    return SourceError(f"{source}: {store} answers {sentence}; correct 'source' in params.yaml")
