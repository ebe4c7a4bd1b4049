"""`colorize publish`: put the LAB shards where others train from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def publish(
    target: Annotated[str, typer.Argument(help="s3://bucket/prefix, file:///folder or a folder.")],
    lab: Annotated[Path, typer.Option("--from", help="Folder of the LAB shards.")] = Path("data/lab"),
) -> None:
    """Upload the LAB shards as a version that never changes; again, it uploads what is missing: mostly nothing."""
    from colorize.data.publish import publish as publish_shards

    done = publish_shards(lab, target)
    print(f"{done.uploaded:,} files uploaded ({done.uploaded_bytes:,} bytes), {done.present:,} were there before")
    state = "complete since now" if done.created else "was complete before"
    print(f"{done.address}: {state}, {done.bytes:,} bytes")
