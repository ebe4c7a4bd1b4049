"""What a photo is and whether it can be used, from its bytes alone. Imports little: it runs in a process of its own."""

from __future__ import annotations

import hashlib
from typing import Any

from colorize.data.flags import flag_of
from colorize.data.hashing import describe, packed
from colorize.images import Rejection, decode, read_header
from colorize.settings.sections import ImageSettings


def judge(images: ImageSettings, data: bytes) -> dict[str, Any]:
    """Look at one photo.

    Args:
        images: which photos are usable.
        data: the file, whatever it is.

    Returns:
        Fields of the manifest as far as they could be found out, fit for JSON (what is kept to find copies, the fields
        of `colorize.data.description`, in hexadecimal digits); always `id`, `usable` and `reason`. A usable photo has a
        reason when it is flagged.
    """
    row: dict[str, Any] = {"id": hashlib.sha256(data).hexdigest(), "usable": False}
    try:
        header = read_header(data, images)
        if isinstance(header, Rejection):
            return row | {"reason": header.reason, "detail": header.detail}
        row |= {"format": header.format, "orientation": header.orientation, "mode": header.mode}
        row |= {"width": header.width, "height": header.height}
        rgb = decode(data, images)
        if isinstance(rgb, Rejection):
            return row | {"reason": rgb.reason, "detail": rgb.detail}
        description = packed(describe(rgb))
        flag = flag_of(rgb, images)
    except MemoryError:
        return row | {"reason": "too-much-memory", "detail": "decoding it takes more memory than its pixels warrant"}
    row |= {"height": rgb.shape[0], "width": rgb.shape[1], "usable": True}
    row |= {name: value.hex() for name, value in description.items()}
    if flag is not None:
        return row | {"reason": flag.reason, "detail": flag.detail}
    note = "its colour profile is broken; taken for sRGB" if header.profile == "broken" else None
    return row | {"reason": None, "detail": note}
