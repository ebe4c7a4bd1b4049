"""A run kept in a store beside the folder it trains in: what a lost machine had done is fetched from there.

Below `<address>/runs/<run>/` lie, each put once and never changed:

- `checkpoints/epoch-00003-<digits>/…` and then `checkpoints/epoch-00003-<digits>.json`, which names the files with
  their SHA-256: a checkpoint without it is not there yet. The digits follow from the content, so that an epoch that is
  trained again does not meet what was left of the first time.
- `log.jsonl/…` and `workers/rank-0.log/…`: numbered pieces; the first line of each says how many bytes of what the
  pieces before it tell still hold, the rest what follows them. So a log that was cut and continued is told, too.
- `weights/…`: published weights that the run begins with.
- `done-<digits>/…` and then, last of all, `done.json`.

The two newest checkpoints stay; the second is for the case that the first cannot be read.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from colorize.storage import TEMPORARY_PREFIX, atomic_folder, sha256_file, write_bytes
from colorize.stores import DamagedError, Store, open_store

_LOG: Final = "log.jsonl"
_DONE: Final = "done.json"
_CHECKPOINTS: Final = "checkpoints/"
_WORKERS: Final = "workers/"
_KEPT: Final = 2  # checkpoints
_DIGITS: Final = 12
_FINAL: Final = ("run.json", _DONE)  # files that go with the model

_logger = logging.getLogger(__name__)


class Mirror:
    """One run's place in a store. One process at a time pushes what worker 0 writes; any number fetch.

    Args:
        address: `s3://bucket/prefix`, `file:///folder` or the path of a folder.
        run: the run's name.

    Raises:
        StorageError: the address is none of these.
    """

    def __init__(self, address: str, run: str) -> None:
        self._store = open_store(f"{address.rstrip('/')}/runs/{run}")
        self._logs: dict[str, _Log] = {}
        self._pushed: set[str] = set()  # checkpoints, by their names here: none is written twice while this lives

    @property
    def address(self) -> str:
        """The run's place."""
        return self._store.address

    def is_done(self) -> bool:
        """Whether the whole run is there. Raises as `fetch` does."""
        return self._store.read(_DONE) is not None

    def push(self, folder: Path) -> None:
        """Put there what is new of a run's folder: log, workers' logs, whole checkpoints and, when it is done, the end.

        Raises:
            ValueError: the store refuses, or a file changes while it is read.
            SourceUnavailableError: the store cannot be reached, after all retries; what was put is kept.
            OSError: a file cannot be read.
        """
        folder = Path(folder)
        self.push_logs(folder)
        whole = sorted(folder.glob(f"{_CHECKPOINTS}epoch-*"))
        for path in [path for path in whole[-_KEPT:] if path.name not in self._pushed]:
            self._put(f"{_CHECKPOINTS}{path.name}", _files(path))
            self._pushed.add(path.name)
            self._remove_old()
        if (folder / _DONE).exists():
            files = {f"model/{name}": path for name, path in _files(folder / "model").items()}
            self._put("done", files | {name: folder / name for name in _FINAL}, marker=_DONE)

    def push_logs(self, folder: Path, name: str | None = None) -> None:
        """Put there what is new of the logs, or of one of them, such as `workers/rank-0.log`. Raises as `push` does."""
        names = (
            [name] if name else [_LOG, *(f"{_WORKERS}{path.name}" for path in Path(folder).glob(f"{_WORKERS}*.log"))]
        )
        for each in names:
            if (Path(folder) / each).exists():
                self._log(each).push((Path(folder) / each).read_bytes())

    def fetch(self, folder: Path) -> None:
        """Bring a folder up to what is there: the whole run where it is done, else log and newest whole checkpoint.

        If the newest checkpoint's files turn out damaged, it is the one before. Nothing there: nothing happens.

        Raises:
            ValueError: the store refuses, or what is there of a finished run is damaged.
            SourceUnavailableError: the store cannot be reached, after all retries.
            OSError: a file cannot be written.
        """
        folder = Path(folder)
        self.follow(folder)
        done = self._store.read(_DONE)
        if done is not None:
            return self._fetch_done(folder, done)
        for marker in reversed(self._markers()):
            try:
                return self._fetch_files(self._store.read(marker), folder / _CHECKPOINTS / _epoch(marker))
            except DamagedError as error:
                _logger.warning("%s/%s: %s; the checkpoint before is taken", self.address, marker, error)
        return None

    def follow(self, folder: Path) -> None:
        """Bring only the logs up to what is there: to show how far a run has come. Raises as `fetch` does."""
        folder = Path(folder)
        names = {_LOG} | {name.rpartition("/")[0] for name in self._store.names(_WORKERS)}
        for name in sorted(names):
            content = self._log(name).read()
            path = folder / name
            if content and not (path.is_file() and path.read_bytes() == content):
                write_bytes(path, content)

    def push_weights(self, weights: Path) -> None:
        """Put there the published weights that the run begins with, a folder of that name. Raises as `push` does."""
        self._put(f"weights/{weights.name}", _files(weights), marker=f"weights/{weights.name}.json")

    def fetch_weights(self, names: Iterable[str], folder: Path) -> Path:
        """Bring those published weights that are there into folders of their names in `folder`. Raises as `fetch`."""
        for name in names:
            if (marker := self._store.read(f"weights/{name}.json")) is not None:
                self._fetch_files(marker, folder / name)
        return folder

    def _fetch_done(self, folder: Path, marker: bytes) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=folder) as place:
            got = Path(place) / "done"
            self._fetch_files(marker, got)
            with atomic_folder(folder / "model") as model:
                for path in (got / "model").iterdir():
                    path.rename(model / path.name)
            for name in _FINAL:
                (got / name).replace(folder / name)

    def _fetch_files(self, marker: bytes | None, target: Path) -> None:
        """Bring what a marker names.

        Raises:
            DamagedError: it is no marker, or a file is missing or has other bytes.
        """
        try:
            content = json.loads(marker or b"")
            below, digests = str(content["folder"]), dict(content["files"])
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedError(f"the list of its files is damaged ({error!r})") from error
        if any(Path(name).is_absolute() or ".." in Path(name).parts for name in digests):
            raise DamagedError(f"it names files outside of its folder: {', '.join(digests)}")
        with atomic_folder(target) as building:
            for name, sha256 in digests.items():
                self._store.fetch(f"{below}/{name}", building / name, str(sha256))

    def _put(self, name: str, files: Mapping[str, Path], marker: str | None = None) -> None:
        """Put files there and then the marker that makes them be there."""
        digests = {key: sha256_file(path) for key, path in sorted(files.items())}
        folder = f"{name}-{hashlib.sha256(json.dumps(digests).encode()).hexdigest()[:_DIGITS]}"
        marker = marker or f"{folder}.json"
        if self._store.read(marker) is not None:
            return
        for key, path in files.items():
            self._store.create(f"{folder}/{key}", path, digests[key])
        _create(self._store, marker, json.dumps({"format": 1, "folder": folder, "files": digests}).encode())

    def _markers(self) -> list[str]:
        """Of the whole checkpoints, oldest first."""
        return [name for name in self._store.names(_CHECKPOINTS) if name.endswith(".json") and name.count("/") == 1]

    def _remove_old(self) -> None:
        """Remove what is older than the newest checkpoints: marker first, so that no half checkpoint looks whole."""
        epochs = sorted({_epoch(marker) for marker in self._markers()})
        if len(epochs) < _KEPT:
            return
        old = [name for name in self._store.names(_CHECKPOINTS) if _epoch(name) < epochs[-_KEPT]]
        for name in sorted(old, key=lambda name: (name.count("/") > 1, name)):
            self._store.remove(name)

    def _log(self, name: str) -> _Log:
        return self._logs.setdefault(name, _Log(self._store, f"{name}/"))


class _Log:
    """A file that grows, and may be cut before it grows on, as pieces in a store."""

    def __init__(self, store: Store, below: str) -> None:
        self._store, self._below = store, below
        self._known = b""
        self._pieces = 0

    def read(self) -> bytes:
        """What the pieces tell."""
        for name in self._store.names(self._below)[self._pieces :]:
            self._add(self._store.read(name) or b"0\n")
        return self._known

    def push(self, content: bytes) -> None:
        """Have the pieces tell this."""
        if not self._pieces:
            self.read()
        while content != self._known:
            kept = _common(self._known, content)
            piece = b"%d\n" % kept + content[kept:]
            if _create(self._store, f"{self._below}{self._pieces:06}", piece):
                self._add(piece)
            else:
                self.read()  # a piece of another writer, or ours, whose answer was lost

    def _add(self, piece: bytes) -> None:
        kept, _, rest = piece.partition(b"\n")
        self._known = self._known[: int(kept)] + rest
        self._pieces += 1


def _create(store: Store, name: str, content: bytes) -> bool:
    with TemporaryDirectory() as place:
        path = Path(place, "content")
        path.write_bytes(content)
        return store.create(name, path, hashlib.sha256(content).hexdigest())


def _common(first: bytes, second: bytes) -> int:
    """How many bytes two texts have in common at their beginning."""
    length = min(len(first), len(second))
    if first[:length] == second[:length]:
        return length
    return next(at for at in range(length) if first[at] != second[at])


def _epoch(name: str) -> str:
    """`epoch-00003`, of the name of a checkpoint's file or marker."""
    return name.removeprefix(_CHECKPOINTS)[: len("epoch-00003")]


def _files(folder: Path) -> dict[str, Path]:
    """Files of a folder, by POSIX path below it."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
