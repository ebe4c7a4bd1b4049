"""`colorize doctor`: what is installed, found and reachable, and how much disk the present profile takes."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer
from rich.console import Console
from rich.table import Table

from colorize.commands.project import find_root

if TYPE_CHECKING:
    from colorize.data.sources import Source
    from colorize.settings import Settings
    from colorize.settings.sections import ArchiveSettings, DatasetSettings

State = Literal["ok", "note", "broken"]
_MARKS = {"ok": "[green]ok[/green]", "note": "[yellow]note[/yellow]", "broken": "[red]broken[/red]"}
_TELEMETRY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
# Measured on the sample profile: a photo's original bytes are kept once in a raw shard and once in DVC's cache.
_COPIES = 2
_TYPICAL_PHOTO_BYTES = 120_000


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    subject: str
    state: State
    text: str


def doctor() -> None:
    """Look at everything a run needs and say what is wrong with it; exit code 1 if something is broken."""
    findings = list(examine(find_root()))
    table = Table("", "what", "found", show_edge=False)
    for finding in findings:
        table.add_row(_MARKS[finding.state], finding.subject, finding.text)
    # A pipe or a log has no width of its own; the default of 80 would cut paths in the middle.
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)


def examine(root: Path) -> Iterator[Finding]:
    """All findings about a project folder, from the ground up."""
    yield from _environment(root)
    yield from _accelerator()
    yield from _machine(root)
    settings, finding = _settings(root)
    yield finding
    if settings is not None:
        yield from _sources(root, settings)
        yield from _made(root, settings)
    yield _telemetry()


def _environment(root: Path) -> Iterator[Finding]:
    version = platform.python_version()
    fits = sys.version_info[:2] == (3, 11)
    yield Finding("Python", "ok" if fits else "broken", version if fits else f"{version}; this project needs 3.11")
    lock = root / "requirements.lock"
    if lock.is_file():
        wrong = list(_differences(lock.read_text(encoding="utf-8")))
        text = "as requirements.lock says" if not wrong else f"{', '.join(wrong[:6])} ('make setup' installs the lock)"
        yield Finding("packages", "broken" if wrong else "ok", text)
    for tool, use in (("git", "lineage and dvc need it"), ("make", "or run the commands of the Makefile by hand")):
        path = shutil.which(tool)
        yield Finding(tool, "ok" if path else "note", path or f"not found; {use}")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    yield Finding("browser", "ok" if browser else "note", browser or "no Chromium; tests that look at pages will skip")


def _differences(lock: str) -> Iterator[str]:
    """Packages whose installed version is not the pinned one (a local version such as +cpu counts as the same)."""
    for name, wanted in re.findall(r"^([A-Za-z0-9_.\-]+)==([^\s;]+)", lock, flags=re.MULTILINE):
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield f"{name} {wanted} is missing"
            continue
        if installed.partition("+")[0] != wanted.partition("+")[0]:
            yield f"{name} is {installed}, not {wanted}"


def _accelerator() -> Iterator[Finding]:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        yield Finding("GPU", "ok", f"{', '.join(names)} (torch {torch.__version__})")
    else:
        yield Finding("GPU", "note", f"none; training runs on the CPU (torch {torch.__version__})")


def _machine(root: Path) -> Iterator[Finding]:
    import psutil

    memory = psutil.virtual_memory()
    cores = len(os.sched_getaffinity(0))
    yield Finding(
        "machine", "ok", f"{cores} cores, {memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free"
    )
    address = os.environ.get("RAY_ADDRESS")
    if address and address.startswith("ray://"):
        text = f"RAY_ADDRESS={address}: ray:// loses long runs when the network drops; use http://head:8265 or auto"
        yield Finding("Ray", "broken", text)
    else:
        yield Finding("Ray", "ok", f"RAY_ADDRESS={address}" if address else "local (RAY_ADDRESS is not set)")
    writable = os.access(root, os.W_OK)
    yield Finding("project folder", "ok" if writable else "broken", f"{root}{'' if writable else ' is not writable'}")


def _settings(root: Path) -> tuple[Settings | None, Finding]:
    from colorize.settings import SettingsError, load_settings

    try:
        settings = load_settings(root / "params.yaml")
    except SettingsError as error:
        return None, Finding("params.yaml", "broken", str(error))
    chosen = ", ".join(settings.architectures.chosen()) or "none"
    return settings, Finding("params.yaml", "ok", f"{len(settings.datasets)} datasets; trains {chosen}")


@dataclass(frozen=True)
class _Look:
    """What a cheap look at a source shows: nothing is fetched for it.

    Attributes:
        photos: how many it holds; None where nobody can say yet.
        bytes: their size, estimated where the source does not tell.
        fetched: whether it is downloaded as a whole, and so takes its bytes once more.
        finding: for people.
    """

    photos: int | None
    bytes: int
    fetched: bool
    finding: Finding


def _sources(root: Path, settings: Settings) -> Iterator[Finding]:
    from colorize.data.sources import SourceError

    looks = []
    for name, dataset in settings.datasets.items():
        try:
            looks.append(_look(root, name, dataset, settings.archives))
            yield looks[-1].finding
        except (SourceError, OSError) as error:
            yield Finding(name, "broken", str(error))
    photos = sum(look.photos or 0 for look in looks)
    raw = sum(look.bytes for look in looks)
    downloads = sum(look.bytes for look in looks if look.fetched)
    needed = _COPIES * (raw + photos * 3 * settings.shards.size**2) + downloads
    free = shutil.disk_usage(root).free
    kinds = "downloads, raw and LAB shards" if downloads else "raw and LAB shards"
    text = f"about {_size(needed)} for this profile's {kinds}, with DVC's cache; {_size(free)} free"
    if unknown := [look.finding.subject for look in looks if look.photos is None]:
        text += f" (not counting {', '.join(unknown)}: their size is not known yet)"
    yield Finding("disk", "ok" if free > needed else "broken", text)


def _look(root: Path, name: str, dataset: DatasetSettings, archives: ArchiveSettings) -> _Look:
    """What there is on this machine. Folders are listed; of everything else the last listing tells, if there is one.

    Raises:
        SourceError: the source's address is wrong, or there is nothing on this machine where there should be.
    """
    from colorize.data.sources import DOWNLOADS, open_source
    from colorize.data.sources.file import FolderSource
    from colorize.data.sources.layouts import is_photo
    from colorize.data.sources.sample import SampleSource

    source = open_source(dataset.source, archives, root / DOWNLOADS)
    fetched = dataset.source.startswith(("https://", "kaggle://"))
    if isinstance(source, FolderSource | SampleSource):
        entries = (entry for entry in source.list() if not entry.refused)
        sizes = [entry.size for entry in entries if is_photo(dataset.layout, entry.path) == "photo"]
        text = f"{len(sizes)} photos at {dataset.source}"
    elif (listed := _listed_sizes(root, name, dataset.source)) is not None:
        sizes = listed
        text = f"{len(sizes)} photos listed last time, of {dataset.source}"
    else:
        number = dataset.expected
        about = "" if number is None else f" about {number:,} photos;"
        text = f"{dataset.source}:{about} not looked at yet, 'make data' {'fetches' if fetched else 'lists'} it"
        return _Look(number, (number or 0) * _TYPICAL_PHOTO_BYTES, fetched, Finding(name, "note", text))
    total = sum(_TYPICAL_PHOTO_BYTES if size is None else size for size in sizes)
    state: State = "ok" if sizes else "broken"
    if dataset.expected not in (None, len(sizes)):
        text, state = f"{text}; {dataset.expected} are expected", "note"
    if fetched and not _is_here(source):
        text, state = f"{text}; no copy in {DOWNLOADS} any more, 'make data' fetches it again", "note"
    return _Look(len(sizes), total, fetched, Finding(name, state, text))


def _is_here(source: Source) -> bool:
    """Whether what a source downloads as a whole is on this disk; nobody is asked whether it is the newest."""
    from colorize.data.sources.https import HttpsSource
    from colorize.data.sources.kaggle import KaggleSource

    if isinstance(source, KaggleSource):
        return source.complete_version() is not None
    return isinstance(source, HttpsSource) and source.path.is_file()


def _listed_sizes(root: Path, name: str, source: str) -> list[int | None] | None:
    """Sizes of the photos in the listing that an earlier run made of this very source; None if there is none."""
    import pyarrow.parquet as pq

    from colorize.data.sources.listing import Listing

    path = root / "data" / "sources" / f"{name}.parquet"
    if not path.is_file() or Listing.read(path).source != source:
        return None
    sizes: list[int | None] = pq.read_table(path, columns=["size"])["size"].to_pylist()
    return sizes


def _made(root: Path, settings: Settings) -> Iterator[Finding]:
    """What earlier runs have left: shards, runs, registered versions."""
    index = root / "data" / "lab" / "index.json"
    found: list[tuple[str, bool, Callable[[], str], str]] = [
        ("LAB shards", index.is_file(), lambda: str(index.parent), "none yet; 'dvc repro' makes them"),
        ("registry", (root / "registry").is_dir(), lambda: _champion(root, settings), "none yet; 'make run' makes it"),
        ("report", (root / "reports/index.html").is_file(), lambda: str(root / "reports/index.html"), "none yet"),
    ]
    for subject, there, text, otherwise in found:
        yield Finding(subject, "ok" if there else "note", text() if there else otherwise)


def _champion(root: Path, settings: Settings) -> str:
    from colorize.registry import Registry

    versions = Registry(settings.registry, root).list()
    champion = next((version for version in versions if "champion" in version.aliases), None)
    return f"{len(versions)} versions; " + (
        f"champion is version {champion.number} ({champion.architecture})" if champion else "no champion"
    )


def _telemetry() -> Finding:
    on = [name for name, value in _TELEMETRY.items() if os.environ.get(name, "").lower() != value]
    if not on:
        return Finding("telemetry", "ok", "off")
    return Finding("telemetry", "note", f"make and the flows switch it off; in this shell {', '.join(on)} are not set")


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
