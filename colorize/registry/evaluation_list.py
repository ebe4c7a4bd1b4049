"""The frozen list of photos that champions and challengers are compared on, and what a version was trained on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.parquet as pq

from colorize.registry.errors import RegistryError
from colorize.registry.store import Registry
from colorize.registry.version import Version

#: File of a version: one column, `id`.
TRAINING_IDS = "training_ids.parquet"

_TAG = "evaluation"
_FOLDER = "evaluation"


def frozen(registry: Registry) -> frozenset[str] | None:
    """Ids of the frozen list; None where none was frozen yet.

    Raises:
        RegistryError: the list's file is gone, or has other content.
    """
    digest = registry.tag(_TAG)
    if digest is None:
        return None
    path = registry.artefacts.folder / _FOLDER / f"{digest}.json"
    content = registry.artefacts.read_shared(f"{_FOLDER}/{digest}.json", digest)
    if content is None:
        raise RegistryError(f"{path} is missing: bring it back, or run 'colorize models freeze'")
    if hashlib.sha256(content).hexdigest() != digest:
        raise RegistryError(f"{path} has other content than was frozen: bring it back, or run 'colorize models freeze'")
    return frozenset(json.loads(content))


def freeze(registry: Registry, ids: Iterable[str]) -> str:
    """Make these photos the list; returns its digest. Decisions made before keep the digest of theirs.

    Raises:
        ValueError: there are none.
        OSError: the artefact folder cannot be written to.
    """
    chosen = sorted(set(ids))
    if not chosen:
        raise ValueError("an evaluation list without photos compares nothing")
    content = json.dumps(chosen, indent=0).encode()
    digest = hashlib.sha256(content).hexdigest()
    registry.artefacts.keep_shared(f"{_FOLDER}/{digest}.json", content, digest)
    registry.set_tag(_TAG, digest)
    return digest


def training_ids(registry: Registry, version: Version) -> frozenset[str]:
    """Ids of the photos that a version was trained on; none where it keeps no list (published weights).

    Raises:
        RegistryError: it kept one, which is gone.
    """
    if TRAINING_IDS not in version.files:
        return frozenset()
    return frozenset(pq.read_table(registry.file(version, TRAINING_IDS))["id"].to_pylist())


def training_ids_file(ids: Iterable[str]) -> bytes:
    """The file that a version keeps of its training photos."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": pa.array(sorted(ids), pa.string())}), sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content
