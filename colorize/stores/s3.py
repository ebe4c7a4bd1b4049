"""`s3://` for what is kept there: objects are created once; shards are read by ranges over pyarrow.fs.

Address and credentials are found by boto3 (AWS_ENDPOINT_URL, AWS_PROFILE, AWS_REGION, the role of a machine, …).
Modules import this one only when they meet an `s3://` address.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from colorize.data.sources.s3 import S3Source, client, is_transient
from colorize.retry import TransientError, with_retries
from colorize.storage import atomic_path, sha256_file
from colorize.stores import S3, DamagedError, StorageError, Stored, check_bytes

_PART: Final = 2**24  # bytes; larger files go up in parts, of which S3 takes 10,000
_EXISTS: Final = 412  # precondition failed: somebody else has created it
_CONFLICT: Final = 409  # two creations at the same moment: the store asks the loser to try again
_MISSING: Final = 404
_READINGS: Final = 3  # of a whole object whose bytes are not the wanted ones, before it is called damaged
_AMAZON: Final = (".amazonaws.com", ".amazonaws.com.cn")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class S3Store:
    """A prefix of a bucket. Its only retries are those of `with_retries`: per request, so per part of a large file."""

    bucket: str
    prefix: str

    @classmethod
    def from_url(cls, url: str) -> S3Store:
        """The store of an `s3://` address.

        Raises:
            SourceError: the bucket's name is missing or cannot be one.
        """
        source = S3Source.from_url(url)
        return cls(source.bucket, source.prefix.strip("/"))

    @property
    def address(self) -> str:
        """See `Store`."""
        return f"{S3}{self.bucket}/{self.prefix}".rstrip("/")

    def describe(self, name: str) -> Stored | None:
        """See `Store`."""
        answer = self._ask(name, "head_object", {"ChecksumMode": "ENABLED"}, accepted=_MISSING)
        if answer is None:
            return None
        told = answer.get("Metadata", {}).get("sha256", "")
        whole = answer.get("ChecksumSHA256", "")  # of what other programs put there; that of parts has a hyphen
        if not told and whole and "-" not in whole:
            told = base64.b64decode(whole).hex()
        return Stored(int(answer["ContentLength"]), told)

    def create(self, name: str, file: Path, sha256: str) -> bool:
        """See `Store`."""
        kind = {"Metadata": {"sha256": sha256}}
        with file.open("rb") as opened:
            data = opened.read(_PART + 1)
            if len(data) <= _PART:
                check_bytes(file, hashlib.sha256(data).hexdigest(), sha256)
                sent = {"Body": data, "ChecksumSHA256": _base64(data), "IfNoneMatch": "*", **kind}
                return self._ask(name, "put_object", sent, accepted=_EXISTS) is not None
        begun = self._ask(name, "create_multipart_upload", {"ChecksumAlgorithm": "SHA256", **kind}) or {}
        upload = {"UploadId": begun["UploadId"]}
        try:
            parts = {"Parts": self._send_parts(name, file, sha256, upload)}
            sent = {"MultipartUpload": parts, "IfNoneMatch": "*", **upload}
            ended = self._ask(name, "complete_multipart_upload", sent, accepted=_EXISTS)
        except BaseException:
            self._abort(name, upload)
            raise
        if ended is None:
            self._abort(name, upload)
        return ended is not None

    def names(self, below: str) -> list[str]:
        """See `Store`."""
        start = f"{self.prefix}/" if self.prefix else ""
        found: list[str] = []
        asked: dict[str, Any] = {"Prefix": start + below}
        while True:
            page = self._try(below, lambda client: client.list_objects_v2(Bucket=self.bucket, **asked)) or {}
            found += [item["Key"].removeprefix(start) for item in page.get("Contents", ())]
            if not page.get("IsTruncated"):
                return sorted(found)
            asked["ContinuationToken"] = page["NextContinuationToken"]

    def read(self, name: str) -> bytes | None:
        """See `Store`."""
        told: dict[str, str] = {}
        for _ in range(_READINGS):
            data = self._get(name, None, told)
            if data is None or told.get("sha256") in (None, hashlib.sha256(data).hexdigest()):
                return data
        raise DamagedError(f"{self.address}/{name} has other bytes than were put there")

    def fetch(self, name: str, file: Path, sha256: str) -> None:
        """See `Store`. An object is read in parts, each with its own retries."""
        found = self.describe(name)
        if found is None:
            raise DamagedError(f"{self.address}/{name} is missing")
        for _ in range(_READINGS):
            with atomic_path(file) as temporary:
                with temporary.open("wb") as opened:
                    for start in range(0, found.size, _PART):
                        part = self._get(name, (start, min(start + _PART, found.size)), {})
                        opened.write(part or b"")
                if sha256_file(temporary) == sha256:
                    return
            file.unlink()
        raise DamagedError(f"{self.address}/{name}: its SHA-256 is not {sha256}, read {_READINGS} times")

    def remove(self, name: str) -> None:
        """See `Store`."""
        self._ask(name, "delete_object", {}, accepted=_MISSING)

    def _get(self, name: str, part: tuple[int, int] | None, told: dict[str, str]) -> bytes | None:
        """Bytes of an object, from start to stop or all; None if it is not there. `told` gets its metadata."""
        key = self._key(name)
        limits = {} if part is None else {"Range": f"bytes={part[0]}-{part[1] - 1}"}

        def get(client: Any) -> bytes:
            answer = client.get_object(Bucket=self.bucket, Key=key, **limits)
            with closing(answer["Body"]) as body:
                data: bytes = body.read()
            if len(data) != answer["ContentLength"] or (part is not None and len(data) != part[1] - part[0]):
                raise TransientError(f"{len(data)} bytes arrived, not {part or answer['ContentLength']}")
            told.update(answer.get("Metadata", {}))
            return data

        return self._try(name, get, accepted=_MISSING)

    def _send_parts(self, name: str, file: Path, sha256: str, upload: dict[str, str]) -> list[dict[str, Any]]:
        """Send all parts, one in memory at a time; only then is known that the file has the right bytes."""
        parts: list[dict[str, Any]] = []
        digest = hashlib.sha256()
        with file.open("rb") as opened:
            while data := opened.read(_PART):
                digest.update(data)
                part = {"PartNumber": len(parts) + 1, "ChecksumSHA256": _base64(data)}
                answer = self._ask(name, "upload_part", {"Body": data, **part, **upload}) or {}
                parts.append({**part, "ETag": answer["ETag"]})
        check_bytes(file, digest.hexdigest(), sha256)
        return parts

    def _abort(self, name: str, upload: dict[str, str]) -> None:
        with suppress(Exception):  # what is wrong is told by the error that led here
            self._ask(name, "abort_multipart_upload", upload, accepted=_MISSING)

    def _ask(self, name: str, request: str, values: dict[str, Any], accepted: int = 0) -> dict[str, Any] | None:
        """The answer to one request about an object; None for the status `accepted`."""
        key = self._key(name)

        def ask(client: Any) -> dict[str, Any]:
            answer: dict[str, Any] = getattr(client, request)(Bucket=self.bucket, Key=key, **values)
            return answer

        return self._try(name, ask, accepted)

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    def _try(self, name: str, ask: Callable[[Any], T], accepted: int = 0) -> T | None:
        """What `ask` returns for a client, tried again while it may pass; None for the status `accepted`."""
        from botocore.exceptions import BotoCoreError, ClientError, FlexibleChecksumError

        what = f"{S3}{self.bucket}/{self._key(name)}"

        def may_pass(error: Exception) -> bool:
            return _status(error) == _CONFLICT or isinstance(error, FlexibleChecksumError) or is_transient(error)

        try:
            return with_retries(lambda: ask(client(os.getpid())), what, may_pass)
        except ClientError as error:
            # A bucket that is not there is no missing object; an answer without a body has no code to tell it by.
            if _status(error) == accepted and error.response["Error"]["Code"] != "NoSuchBucket":
                return None
            raise StorageError(_refusal(what, self.bucket, error.response)) from error
        except BotoCoreError as error:
            raise StorageError(f"{what}: {error}; check what boto3 is told in ~/.aws and in AWS_…") from error


def _status(error: Exception) -> int:
    response = getattr(error, "response", None) or {}  # errors of the network have the attribute, and None in it
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _refusal(what: str, bucket: str, response: dict[str, Any]) -> str:
    code, message = (response.get("Error", {}).get(key, "") for key in ("Code", "Message"))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code == "NoSuchBucket":
        return f"{what}: there is no bucket '{bucket}'; create it, or correct the address"
    if status in (401, 403):
        return (
            f"{what}: access denied ({status} {code}: {message}). The credentials that boto3 finds must allow "
            "s3:PutObject, s3:GetObject and s3:ListBucket; choose them with AWS_PROFILE"
        )
    return f"{what}: the store answers {status} {code}: {message}; check AWS_ENDPOINT_URL, AWS_REGION and the address"


def _base64(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def open_object(address: str) -> Any:
    """A published object for reading by ranges, a pyarrow NativeFile; threads can share it.

    Raises:
        StorageError: it is not there, or the store refuses.
        SourceUnavailableError: the store cannot be reached, after all retries.
    """
    bucket, _, key = address.removeprefix(S3).partition("/")
    return reading(address, lambda: _filesystem(os.getpid(), bucket).open_input_file(f"{bucket}/{key}"))


def reading(address: str, read: Callable[[], T]) -> T:
    """The result of `read`, which reads from an object; tried again while that fails in ways that may pass.

    Raises:
        StorageError: the object is not there, or the store refuses.
        SourceUnavailableError: the store cannot be reached, after all retries.
    """

    def may_pass(error: Exception) -> bool:
        return isinstance(error, OSError) and not isinstance(error, FileNotFoundError) and not _refused(error)

    try:
        return with_retries(read, address, may_pass)
    except FileNotFoundError as error:
        raise StorageError(f"{address} is not there; correct the address, or publish again") from error
    except OSError as error:
        raise StorageError(
            f"{address}: access denied ({error}). The credentials must allow s3:GetObject; choose them with AWS_PROFILE"
        ) from error


def _refused(error: Exception) -> bool:
    return any(name in str(error) for name in ("ACCESS_DENIED", "INVALID_ACCESS_KEY", "SIGNATURE_DOES_NOT_MATCH"))


@lru_cache(maxsize=4)
def _filesystem(process: int, bucket: str) -> Any:
    """The file system of a bucket's store; `process` keeps a forked child from using its parent's."""
    return filesystem(process, bucket, attempts=1)  # the one budget is that of with_retries


def filesystem(process: int, bucket: str, attempts: int) -> Any:
    """A pyarrow file system of a bucket's store, which tries each request so often.

    Raises:
        SourceError: what boto3 is told is contradictory or incomplete.
    """
    from botocore import UNSIGNED
    from pyarrow import fs

    known = client(process).meta
    url = urlsplit(known.endpoint_url)
    options: dict[str, Any] = {
        "anonymous": known.config.signature_version is UNSIGNED,
        "retry_strategy": fs.AwsDefaultS3RetryStrategy(max_attempts=attempts),
    }
    if (url.hostname or "").endswith(_AMAZON):
        return fs.S3FileSystem(region=fs.resolve_s3_region(bucket), **options)
    return fs.S3FileSystem(endpoint_override=url.netloc, scheme=url.scheme, region=known.region_name, **options)
