"""From a listing to raw shards and a manifest: every photo looked at once, every listed photo accounted for."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from colorize.data.execution import map_ordered
from colorize.data.manifest import FILE_NAME, REJECTED, SCHEMA, counts
from colorize.data.raw_plan import plan
from colorize.data.raw_shard import Job, Outcomes, make, overlapping, read_complete, read_old
from colorize.data.removals import Removals
from colorize.data.sources import Source
from colorize.data.sources.listing import Listing
from colorize.progress import track
from colorize.settings.sections import ImageSettings, IngestSettings
from colorize.storage import TEMPORARY_PREFIX, atomic_path, remove_temporaries, write_bytes

# Files that never promised to be photos, and photos that were taken out on purpose, say nothing against a source.
_NO_REFUSAL = {"not-a-photo", "removed"}
_MANIFEST_ROWS_AT_ONCE = 1024


class TooManyRefusedError(ValueError):
    """So many photos of a source are refused that something else must be wrong."""


def ingest(
    dataset: str,
    listing: Listing,
    source: Source,
    folder: Path,
    *,
    images: ImageSettings,
    settings: IngestSettings,
    removals: Removals,
    workers: int | None = None,
) -> dict[str, Any]:
    """Read every listed photo, keep the usable ones, and note what became of each.

    Photos are read and judged a raw shard at a time, by as many workers as there are. What an earlier run, finished or
    killed, left in the folder is used: a shard that is as planned stays, a photo that did not change is not asked for
    again. Bytes depend neither on that nor on the workers.

    Args:
        dataset: name, for the manifest.
        listing: what to read.
        source: of that listing, open.
        folder: where `manifest.parquet` and the raw shards go; everything else in it is removed.
        images: which photos are usable.
        settings: how raw shards are cut, and how many photos may be refused.
        removals: photos that were taken out for good.
        workers: processes; None takes all CPUs.

    Returns:
        `manifest.counts`, and `ignored`: files of the source that are no photos, by reason.

    Raises:
        TooManyRefusedError: more photos are refused than `maximum_refused` allows. Finished shards stay.
        SourceError: the source is gone or cannot be reached. Finished shards stay.
        OSError: the folder cannot be written to or the disk is full. Finished shards stay.
        WorkerDiedError: a worker process was killed. Finished shards stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_temporaries(folder)
    names: list[str] = []
    missing: set[str] = set()
    outcomes: Outcomes = Counter()
    for shard in plan(listing.photos(), dataset, listing.source, images, settings):
        names.append(shard.name)
        found = read_complete(folder / shard.name, shard, dataset, removals)
        if found is None:
            missing.add(shard.name)
        else:
            outcomes += found
    _check(dataset, outcomes, listing.number, settings)
    old = [one for path in _others(folder, names) if (one := read_old(path)) is not None]
    # A shard that has to be made again though its plan is the same is a place to find bytes in, too.
    old += [one for name in sorted(missing) if (one := read_old(folder / name)) is not None]
    with _witness(folder) as witness:

        def jobs() -> Iterator[Job]:
            for shard in plan(listing.photos(), dataset, listing.source, images, settings):
                if shard.name in missing:
                    near = overlapping(old, shard)
                    yield Job(shard, dataset, source, images, settings.row_group, removals, folder, witness, near)

        results = map_ordered(make, jobs(), workers, chunk=1)
        # Closing: on an error the workers end now, and not when the last reference to them is gone.
        with closing(results):
            for made in track(results, f"ingest {dataset}, shards", total=len(missing)):
                if made.file is not None:
                    write_bytes(folder / made.name, made.file)
                outcomes += made.outcomes
                _check(dataset, outcomes, listing.number, settings)
    _write_manifest(folder, names)
    for path in _others(folder, [*names, FILE_NAME]):
        path.unlink()
    return {**counts(outcomes), "ignored": listing.ignored}


def _check(dataset: str, outcomes: Outcomes, listed: int, settings: IngestSettings) -> None:
    """Stop as soon as it is certain that too many photos are refused."""
    reasons = Counter({reason: number for (status, reason), number in outcomes.items() if status == REJECTED})
    refused = sum(number for reason, number in reasons.items() if reason not in _NO_REFUSAL)
    if refused <= settings.maximum_refused * listed:
        return
    by_reason = ", ".join(f"{number} {reason}" for reason, number in reasons.most_common() if reason not in _NO_REFUSAL)
    share, allowed = refused / listed, settings.maximum_refused
    raise TooManyRefusedError(
        f"{dataset}: {refused} of {listed} listed photos are refused already ({share:.1%}; {by_reason}), and "
        f"ingest.maximum_refused allows {allowed:.1%}. Look at the source ('colorize inspect' says what is wrong with "
        "each file); if it is as it should be, raise that value in params.yaml and run again"
    )


@contextmanager
def _witness(folder: Path) -> Iterator[Path]:
    path = folder / f"{TEMPORARY_PREFIX}witness-{secrets.token_hex(6)}"
    path.touch()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _others(folder: Path, names: Sequence[str]) -> list[Path]:
    """Files of the folder that are none of `names`, in order of name."""
    asked_for = set(names)
    return [
        Path(entry.path)
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name)
        if entry.name not in asked_for and not entry.name.startswith(TEMPORARY_PREFIX)
    ]


def _write_manifest(folder: Path, names: Sequence[str]) -> None:
    """The rows of all raw shards in one file."""
    with (
        atomic_path(folder / FILE_NAME) as temporary,
        pq.ParquetWriter(temporary, SCHEMA, compression="zstd", write_statistics=False) as manifest,
    ):
        waiting: list[pa.Table] = []
        for name in names:
            waiting.append(_rows_of(folder / name))
            # Large row groups: the writer remembers each of them until the end.
            if sum(map(len, waiting)) >= _MANIFEST_ROWS_AT_ONCE:
                manifest.write_table(pa.concat_tables(waiting))
                waiting.clear()
        if waiting:
            manifest.write_table(pa.concat_tables(waiting))


def _rows_of(path: Path) -> pa.Table:
    """The rows of a raw shard without the photos, and where the photos lie."""
    columns = [name for name in SCHEMA.names if name not in ("shard", "row")]
    with pq.ParquetFile(path) as file:  # threads would keep memory of their own
        rows = file.read(columns=columns, use_threads=False)
    usable = pc.not_equal(rows["status"], REJECTED)
    shard = pc.if_else(usable, pa.scalar(path.name), pa.scalar(None, pa.string()))
    number = pc.if_else(usable, pa.array(range(len(rows)), pa.int32()), pa.scalar(None, pa.int32()))
    return rows.append_column("shard", shard).append_column("row", number).cast(SCHEMA)
