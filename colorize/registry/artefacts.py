"""The files of versions: in a folder of the project, or in an object store with a folder before it that keeps a copy.

In a folder a version's files are `<folder>/<run>/<file>`, where they can be looked at. In an object store they are
`<address>/<run>/<sha256>/<file>`: what is there is never replaced, so a version that is measured anew gets new objects
beside the old ones, and the list of its files, one tag of the version, goes from the old to the new at once.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from colorize.registry.errors import RegistryError
from colorize.storage import atomic_folder, sha256_file, write_bytes
from colorize.stores import S3, StorageError, Stored, open_store

WEIGHTS: Final = "model.safetensors"
#: What a version needs to colorize. They never change; measurements of the same model may be made anew.
MODEL: Final = (WEIGHTS, "model.json")

_CACHE = "registry/cache"

Files = dict[str, Stored]


class Artefacts:
    """Where the files of versions are.

    Args:
        place: `registry.artefacts` of `params.yaml`: a folder, or `s3://bucket/prefix`.
        root: the project's folder.
    """

    def __init__(self, place: str, root: Path) -> None:
        self.remote = place.rstrip("/") if place.startswith(S3) else None
        self.folder = root / (_CACHE if self.remote else place)

    def address(self, run: str) -> str:
        """Where a version's files are, for people."""
        return f"{self.remote}/{run}" if self.remote else (self.folder / run).as_uri()

    def keep(self, run: str, model: Path, files: Mapping[str, bytes | Path]) -> Files:
        """Put all files of a version in their place; those of an attempt that was killed are replaced.

        Raises:
            OSError: the folder cannot be written to.
            StorageError: the object store refuses.
        """
        with atomic_folder(self.folder / run) as building:
            shutil.copytree(model, building, dirs_exist_ok=True)
            for name, content in files.items():
                (building / name).write_bytes(_bytes(content))
        return self._send(run, sorted(path.name for path in (self.folder / run).iterdir() if path.is_file()))

    def replace(self, run: str, files: Mapping[str, bytes | Path]) -> Files:
        """Put new content in the place of some of a version's files, one by one; the model itself never changes."""
        for name, content in files.items():
            write_bytes(self.folder / run / name, _bytes(content))
        return self._send(run, sorted(files))

    def keep_shared(self, name: str, content: bytes, sha256: str) -> None:
        """Put a file beside the versions, under a name that says its content."""
        write_bytes(self.folder / name, content)
        if self.remote:
            open_store(self.remote).create(name, self.folder / name, sha256)

    def read_shared(self, name: str, sha256: str) -> bytes | None:
        """What `keep_shared` put there; None where it is missing. The caller checks its digest."""
        path = self.folder / name
        if self.remote and not path.is_file():
            if open_store(self.remote).describe(name) is None:
                return None
            open_store(self.remote).fetch(name, path, sha256)
        return path.read_bytes() if path.is_file() else None

    def fetch(self, run: str, name: str, known: Stored) -> Path:
        """The local path of a version's file, brought from the object store where it is not here yet.

        Raises:
            RegistryError: it is missing, or has other bytes than were registered.
            SourceUnavailableError: the object store cannot be reached, after all retries.
        """
        path = self.folder / run / name
        if self.remote is None:
            if not path.is_file():
                raise RegistryError(f"{path} is missing")
            return path
        if not path.is_file() or sha256_file(path) != known.sha256:
            try:
                open_store(self.remote).fetch(_object(run, name, known), path, known.sha256)
            except StorageError as error:
                raise RegistryError(str(error)) from error
        return path

    def check(self, run: str, files: Files) -> None:
        """See that the files are there, and that the model's have the bytes that were registered.

        Measurements only have to be there: while they are made anew they may be newer than the list.

        Raises:
            RegistryError: they are not.
            SourceUnavailableError: the object store cannot be reached, after all retries.
        """
        for name in (*MODEL, *files):
            known = files.get(name)
            there = self._describe(run, name, known)
            if there is None:
                raise RegistryError(f"{self._called(run, name)} is missing")
            if name in MODEL and known is not None and known.sha256 and there.sha256 != known.sha256:
                raise RegistryError(f"{self._called(run, name)} has other bytes than were registered")

    def found(self, run: str, weights: str) -> Files:
        """What a folder holds of a version that was registered when no list was kept yet.

        Args:
            run: of the version.
            weights: SHA-256 of its weights; empty where it was not kept either.
        """
        folder = self.folder / run
        paths = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
        return {path.name: Stored(path.stat().st_size, weights if path.name == WEIGHTS else "") for path in paths}

    def _describe(self, run: str, name: str, known: Stored | None) -> Stored | None:
        if self.remote:
            return None if known is None else open_store(self.remote).describe(_object(run, name, known))
        path = self.folder / run / name
        if not path.is_file():
            return None
        return Stored(path.stat().st_size, sha256_file(path) if name in MODEL else "")

    def _called(self, run: str, name: str) -> str:
        return f"{self.remote}/{run}/…/{name}" if self.remote else str(self.folder / run / name)

    def _send(self, run: str, names: list[str]) -> Files:
        paths = {name: self.folder / run / name for name in names}
        files = {name: Stored(path.stat().st_size, sha256_file(path)) for name, path in paths.items()}
        if self.remote:
            store = open_store(self.remote)
            for name, known in files.items():
                store.create(_object(run, name, known), paths[name], known.sha256)
        return files


def to_tag(files: Files) -> str:
    """The list of a version's files as the tag that it keeps."""
    return json.dumps({name: [known.size, known.sha256] for name, known in sorted(files.items())})


def from_tag(tag: str) -> Files:
    """The inverse of `to_tag`."""
    return {name: Stored(*known) for name, known in json.loads(tag).items()}


def _object(run: str, name: str, known: Stored) -> str:
    return f"{run}/{known.sha256}/{name}"


def _bytes(content: bytes | Path) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()
