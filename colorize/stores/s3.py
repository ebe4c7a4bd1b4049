"""`s3://` for what is published: objects are created once, and read by ranges over pyarrow.fs.

Address and credentials are found by boto3 (AWS_ENDPOINT_URL, AWS_PROFILE, AWS_REGION, the role of a machine, …).
Modules import this one only when they meet an `s3://` address.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from colorize.data.sources.s3 import S3Source, client, is_transient
from colorize.retry import with_retries
from colorize.stores import S3, StorageError, Stored, check_bytes

_PART: Final = 2**24  # bytes; larger files go up in parts, of which S3 takes 10,000
_EXISTS: Final = 412  # precondition failed: somebody else has created it
_CONFLICT: Final = 409  # two creations at the same moment: the store asks the loser to try again
_MISSING: Final = 404
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
        """The answer to one request, tried again while it may pass; None for the status `accepted`."""
        from botocore.exceptions import BotoCoreError, ClientError

        key = f"{self.prefix}/{name}" if self.prefix else name
        what = f"{S3}{self.bucket}/{key}"

        def ask() -> dict[str, Any]:
            answer: dict[str, Any] = getattr(client(os.getpid()), request)(Bucket=self.bucket, Key=key, **values)
            return answer

        try:
            return with_retries(ask, what, lambda error: _status(error) == _CONFLICT or is_transient(error))
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
    from botocore import UNSIGNED
    from pyarrow import fs

    known = client(process).meta
    url = urlsplit(known.endpoint_url)
    options: dict[str, Any] = {
        "anonymous": known.config.signature_version is UNSIGNED,
        "retry_strategy": fs.AwsDefaultS3RetryStrategy(max_attempts=1),  # the one budget is that of with_retries
    }
    if (url.hostname or "").endswith(_AMAZON):
        return fs.S3FileSystem(region=fs.resolve_s3_region(bucket), **options)
    return fs.S3FileSystem(endpoint_override=url.netloc, scheme=url.scheme, region=known.region_name, **options)
