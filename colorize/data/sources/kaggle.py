"""`kaggle://owner/dataset`: a set of Kaggle, downloaded as a whole by kagglehub and then read where it lies."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from colorize.data.sources import Entry, PhotoUnavailableError, SourceError, SourceUnavailableError
from colorize.data.sources.file import FolderSource
from colorize.data.sources.web import TIMEOUTS
from colorize.retry import ATTEMPTS, TransientError, with_retries
from colorize.storage import write_json

T = TypeVar("T")

_ADDRESS: Final = re.compile(
    r"kaggle://(?P<owner>[A-Za-z0-9][\w-]*)/(?P<dataset>[A-Za-z0-9][\w-]*)(?:/versions/(?P<version>[1-9][0-9]{0,8}))?/?",
    re.ASCII,
)
_ATTEMPTS_WITH_COPY: Final = 3
_MAY_PASS: Final = (408, 425, 429)
_SERVER_ERROR: Final = 500
_DENIED: Final = (401, 403)
_NOT_FOUND: Final = 404
_NO_SUCH_RANGE: Final = 416
_BROKEN_ARCHIVE: Final = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError)


@dataclass(frozen=True, slots=True)
class KaggleSource:
    """The files of one dataset, of its newest version or of a stated one.

    Each version is downloaded and unpacked by kagglehub into a folder of its own. A credential is used where kagglehub
    finds one (KAGGLE_API_TOKEN, ~/.kaggle); public sets need none.

    Attributes:
        owner: as in the dataset's address.
        dataset: as in the dataset's address.
        version: number of the version; None for the newest.
        downloads: folder for what is downloaded.
    """

    owner: str
    dataset: str
    version: int | None
    downloads: Path

    @classmethod
    def from_url(cls, url: str, downloads: Path) -> KaggleSource:
        """The source of a `kaggle://` address.

        Raises:
            SourceError: the address has another form.
        """
        if (found := _ADDRESS.fullmatch(url)) is None:
            raise SourceError(f"{url}: expected kaggle://owner/dataset or kaggle://owner/dataset/versions/3")
        return cls(found["owner"], found["dataset"], int(found["version"]) if found["version"] else None, downloads)

    def __str__(self) -> str:
        return f"kaggle://{self._handle(self.version)}"

    def list(self) -> Iterator[Entry]:
        """Every file of the dataset, downloaded first where it is not here. Older versions are removed at the end.

        An interrupted download goes on where it was. A stated version that is here needs no network; without one, the
        newest version that is here is used.

        Raises:
            SourceUnavailableError: Kaggle cannot be reached, and there is no copy. What arrived is kept.
            SourceError: there is no such dataset, or it may not be read.
            OSError: the disk is full or cannot be written to. What arrived is kept.
        """
        version = self.version or self._newest()
        if version != self.complete_version():
            self._download(version)
        for entry in FolderSource(self._files(version)).list():
            yield replace(entry, locator=str(version))
        self._remove_all_but(version)

    def read(self, entry: Entry) -> bytes:
        """The bytes of one file; the network is not used.

        Raises:
            PhotoUnavailableError: the file is gone, was changed, or cannot be read.
            SourceError: the version that was listed is not on this disk.
        """
        version = int(entry.locator)
        try:
            return FolderSource(self._files(version)).read(entry)
        except (SourceError, PhotoUnavailableError) as error:
            if self._files(version).is_dir():
                raise
            raise SourceError(
                f"{self}: version {version}, which was listed, is not in {self._root} any more; run the stage "
                "'sources' of this dataset again, which downloads it"
            ) from error

    @property
    def _root(self) -> Path:
        """Everything of this address. A stated version has a folder apart, which no newer version clears away."""
        name = "newest" if self.version is None else f"version-{self.version}"
        return self.downloads / "kaggle" / self.owner / self.dataset / name

    @property
    def _cache(self) -> Path:
        """Where kagglehub puts this dataset below the folder that it is told: `3.archive`, `3.complete`, `versions/3`.

        Its parameter `output_dir` would be shorter, but nothing that was interrupted is resumed there.
        """
        return self._root / "datasets" / self.owner / self.dataset

    @property
    def _record(self) -> Path:
        return self._root / "complete.json"

    def _files(self, version: int) -> Path:
        return self._cache / "versions" / str(version)

    def _handle(self, version: int | None) -> str:
        return f"{self.owner}/{self.dataset}" + (f"/versions/{version}" if version else "")

    def complete_version(self) -> int | None:
        """The version that is here and whole."""
        try:
            version = int(json.loads(self._record.read_bytes())["version"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return version if self._files(version).is_dir() else None

    def _newest(self) -> int:
        here = self.complete_version()
        try:
            return self._asked(self._ask_for_newest, None, ATTEMPTS if here is None else _ATTEMPTS_WITH_COPY)
        except SourceUnavailableError:
            if here is None:
                raise
            print(f"{self} cannot be reached; version {here}, which is here, is used", file=sys.stderr)
            return here

    def _ask_for_newest(self) -> int:
        from kagglehub.clients import build_kaggle_client
        from kagglesdk.datasets.types.dataset_api_service import ApiGetDatasetRequest

        request = ApiGetDatasetRequest()
        request.owner_slug = self.owner
        request.dataset_slug = self.dataset
        with build_kaggle_client() as client:
            version = client.datasets.dataset_api_client.get_dataset(request).current_version_number
        if not isinstance(version, int) or version < 1:
            raise SourceError(f"{self}: Kaggle names no version ({version!r}); look at the dataset's page")
        return version

    def _download(self, version: int) -> None:
        self._asked(lambda: self._ask_for_files(version), version, ATTEMPTS)
        # Unpacked files bear the time of unpacking. With a time that follows from the version alone, the listing is
        # the same on every machine, and a file that somebody changes later is noticed.
        for folder, _, names in os.walk(self._files(version)):
            for name in names:
                os.utime(Path(folder, name), (version, version), follow_symlinks=False)
        write_json(self._record, {"version": version})

    def _ask_for_files(self, version: int) -> None:
        import kagglehub

        try:
            kagglehub.dataset_download(self._handle(version))
            if not any(self._files(version).iterdir()):
                raise tarfile.ReadError("nothing is in it")  # a file of zeros is a valid tar
        except (*_BROKEN_ARCHIVE, _RangeIgnoredError, ValueError) as error:
            if isinstance(error, ValueError) and "Unsupported archive" not in str(error):
                raise
            # kagglehub itself would take a broken archive of the right size for a complete one, for ever.
            for kind in ("archive", "complete"):
                (self._cache / f"{version}.{kind}").unlink(missing_ok=True)
            shutil.rmtree(self._files(version), ignore_errors=True)
            raise TransientError(f"what arrived is no whole archive ({error})") from error

    def _asked(self, question: Callable[[], T], version: int | None, attempts: int) -> T:
        """What kagglehub answers, after retries; its failures as ours."""
        import requests

        page = f"https://www.kaggle.com/datasets/{self.owner}/{self.dataset}"
        try:
            with _kagglehub(self._root):
                return with_retries(question, str(self), _is_transient, attempts)
        except SourceUnavailableError as error:
            raise SourceUnavailableError(
                f"{error}. This source needs the internet; `make profile NAME=sample` sets up data that needs none"
            ) from error
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            if status == _NOT_FOUND:
                which = f"no version {version} of this dataset" if version else "no such dataset"
                raise SourceError(f"{self}: Kaggle has {which}; look at {page}{self._way_out()}") from error
            if status in _DENIED:
                raise SourceError(
                    f"{self}: Kaggle does not hand it out ({status}). Look whether {page} exists and asks to accept "
                    "terms; then set KAGGLE_API_TOKEN to a token of an account that has accepted them"
                    f"{self._way_out()}"
                ) from error
            raise SourceError(f"{self}: Kaggle refuses ({status}: {error}); look at {page}") from error
        except SourceError:
            raise
        except ValueError as error:  # such as a file of credentials that is no JSON
            raise SourceError(f"{self}: kagglehub cannot ask for it ({error})") from error

    def _way_out(self) -> str:
        here = self.complete_version()
        return (
            "" if here is None else f". To go on with the copy, set the source to file://{self._files(here).absolute()}"
        )

    def _remove_all_but(self, version: int) -> None:
        for path in [*self._cache.glob("*.archive"), *self._cache.glob("*.complete"), *self._cache.glob("versions/*")]:
            if path.stem != str(version):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


class _RangeIgnoredError(Exception):
    """A server that was asked for the rest of a file sent something else."""


def _is_transient(error: Exception) -> bool:
    import requests
    from kagglehub.exceptions import DataCorruptionError

    if isinstance(error, requests.HTTPError):
        status = error.response.status_code if error.response is not None else _SERVER_ERROR
        return status in _MAY_PASS or status >= _SERVER_ERROR
    network = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    garbled = (requests.exceptions.ContentDecodingError, requests.JSONDecodeError, DataCorruptionError, TransientError)
    return isinstance(error, (*network, *garbled))


@contextmanager
def _kagglehub(folder: Path) -> Iterator[None]:
    """Have kagglehub keep what it fetches in `folder`, say nothing but its progress, and never wait for ever.

    Environment and `requests` of this process are changed meanwhile: there is no other way to tell it.
    """
    import requests

    settings = {"KAGGLEHUB_CACHE": str(folder), "DISABLE_KAGGLE_CACHE": "1", "DISABLE_COLAB_CACHE": "1"}
    before = {name: os.environ.get(name) for name in settings}
    original = requests.Session.send

    def send(session: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        # Its own requests have no limit of time.
        response = original(session, request, **{"timeout": TIMEOUTS, **options})
        if "Range" in request.headers:
            # It appends whatever comes to the file, be it the whole file again or a page about an error.
            if response.status_code in (requests.codes.ok, _NO_SUCH_RANGE):
                raise _RangeIgnoredError(f"the server answers {response.status_code} instead of sending the rest")
            response.raise_for_status()
        return response

    os.environ.update(settings)
    requests.Session.send = send  # type: ignore[method-assign, assignment]
    try:
        with redirect_stdout(sys.stderr):  # standard output is for results
            import kagglehub  # noqa: F401 - sets its logger up

            logging.getLogger("kagglehub").setLevel(logging.ERROR)
            yield
    finally:
        requests.Session.send = original  # type: ignore[method-assign]
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
