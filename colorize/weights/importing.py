"""Published weights in the project: fetched, checked, converted to safetensors and described."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colorize.storage import atomic_folder, sha256_file, write_json
from colorize.training.pretrained import DESCRIPTION, FOLDER, TENSORS
from colorize.weights.catalogue import Published, PublishedFile, WeightsError, find, hash_in

#: No published file is nearly as large; what a server sends beyond is not kept.
_LARGEST_FILE = 4 * 2**30
_DOWNLOADS = ".downloads"


@dataclass(frozen=True, slots=True)
class Imported:
    """Weights in the project's folder.

    Attributes:
        published: the network they are of.
        folder: holds `model.safetensors`, tensors by their published names, and `model.json`.
        description: content of `model.json`.
    """

    published: Published
    folder: Path
    description: dict[str, Any]


def import_file(name: str, path: Path, root: Path, origin: PublishedFile | None = None) -> Imported:
    """Check a file of weights and put them into `weights/<name>/` of a project, in place of those that were there.

    A folder that can be seen is complete: it takes its name last of all.

    Args:
        name: of the published network.
        path: the file, as published or as safetensors.
        root: the project's folder.
        origin: the published file that it is; None: told by its SHA-256, where that is published, and by its name.

    Raises:
        WeightsError: the file does not fit the network, or is not the published file whose hash it carries in its name.
        OSError: it cannot be read, or the folder cannot be written.
    """
    import safetensors.torch

    from colorize.models.files import weights
    from colorize.weights.loading import load_published

    published = find(name)
    if path.is_dir():
        raise WeightsError(f"{path}: a folder; name the file of weights in it")
    digest = sha256_file(path)
    expected = hash_in(path.name) if origin is None else origin.sha256_prefix
    _check_hash(path, digest, expected)
    origin = origin or _recognised(published, path, digest)
    network = load_published(name, path)
    folder = root / FOLDER / name
    # A user's own weights under the name of a published network are nobody's publication.
    source = origin.url if origin else path.name
    with atomic_folder(folder) as building:
        safetensors.torch.save_file(weights(network), building / TENSORS)
        description = {
            "format": 1,
            "published": name,
            "variant": origin.variant if origin else None,
            "kind": published.kind,
            **_architecture(published),
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
            "source": source,
            "page": published.page,
            "licence": published.licence if origin else "that of whoever trained them",
            "file": origin.file_name if origin else path.name,
            "file_sha256": digest,
            "hash_checked": expected is not None or bool(origin and origin.sha256_prefix),
            "sha256": sha256_file(building / TENSORS),
        }
        write_json(building / DESCRIPTION, description)
    return Imported(published, folder, description)


def imported(name: str, root: Path) -> Imported | None:
    """The weights of a published network in a project; None where they are not there, or damaged."""
    folder = root / FOLDER / name
    try:
        description = json.loads((folder / DESCRIPTION).read_bytes())
    except (OSError, ValueError):
        return None
    return Imported(find(name), folder, description) if (folder / TENSORS).is_file() else None


def fetch(name: str, root: Path, variant: str | None = None) -> Imported:
    """Download published weights, going on where an earlier attempt stopped, and import them.

    Raises:
        WeightsError: nothing is published under that name, or what arrived is not what was published.
        SourceUnavailableError: the server cannot be reached; what arrived is kept for the next attempt.
        SourceError: the server refuses.
        OSError: the disk is full or cannot be written to.
    """
    from colorize.data.sources.download import state_of, transfer

    file = find(name).file(variant)
    downloads = root / FOLDER / _DOWNLOADS
    part = downloads / f"{name}-{file.variant}-{file.file_name}"
    transfer(file.url, part, _LARGEST_FILE)
    try:
        result = import_file(name, part, root, file)
    except WeightsError:
        # Whole, but not what it should be: the next attempt must not go on with it.
        _remove(part, state_of(part))
        raise
    _remove(part, state_of(part))
    return result


def _remove(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _check_hash(path: Path, digest: str, prefix: str | None) -> None:
    if prefix is not None and not digest.startswith(prefix):
        raise WeightsError(
            f"{path}: its SHA-256 begins with {digest[: len(prefix)]}, not with {prefix} as published: the file was "
            "cut or changed on its way; get it again. Weights of your own take any name without such digits"
        )


def _recognised(published: Published, path: Path, digest: str) -> PublishedFile | None:
    """The published file that this is: by its hash, or by its name where no hash is published."""
    for file in published.files:
        if file.sha256_prefix and digest.startswith(file.sha256_prefix):
            return file
        if file.sha256_prefix is None and file.file_name == path.name:
            return file
    return None


def _architecture(published: Published) -> dict[str, Any]:
    """What `load_model` needs beside the tensors: generators are networks of the registry, at their defaults."""
    if published.architecture is None:
        return {}
    from colorize.models.registry import settings_of

    settings = settings_of(published.architecture, {})
    return {
        "architecture": published.architecture,
        "settings": settings.model_dump(mode="json"),
        "size": published.size,
    }
