"""Pictures inside the page: thumbnails and the map of colours, as data URIs."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

#: Half the side, in CIELAB units, of the part of the ab plane that is drawn; every sRGB colour lies inside.
AB_RANGE = 110
_DENSITY_LIGHTNESS = 58.0


def data_uri(picture: Image.Image, quality: int = 82) -> str:
    """A picture as a `data:` address, in WebP."""
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def thumbnail(picture: Image.Image, side: int, quality: int = 72) -> str:
    """A small copy of a picture, its long side at most `side` pixels."""
    small = picture.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return data_uri(small, quality)


def thumbnail_of_bytes(data: bytes, side: int) -> str | None:
    """A small copy of an encoded photo, upright; None where it cannot be decoded."""
    try:
        with Image.open(io.BytesIO(data)) as opened:
            opened.draft("RGB", (2 * side, 2 * side))
            return thumbnail(ImageOps.exif_transpose(opened), side)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def thumbnail_of_file(path: Path, quality: int = 82) -> str | None:
    """A picture file at its own size; None where there is none."""
    try:
        with Image.open(path) as opened:
            return data_uri(opened.convert("RGB"), quality)
    except OSError:
        return None


def ab_density(histogram: NDArray[np.int64]) -> str:
    """The ab plane in its own colours, the more opaque the more pixels have them (root of a log scale).

    Args:
        histogram: 256×256 pixel counts by the codes of a (first axis) and b.

    Returns:
        A PNG data URI; a grows to the right, b upwards, both from -`AB_RANGE` to `AB_RANGE`.
    """
    from colorize.color import lab_to_rgb

    window = slice(128 - AB_RANGE, 128 + AB_RANGE + 1)
    counts = histogram[window, window].T[::-1].astype(np.float64)
    # The root, so that what is rare can still be seen against a light page.
    frequency = np.sqrt(np.log1p(counts) / max(1.0, float(np.log1p(counts.max()))))
    axis = np.arange(-AB_RANGE, AB_RANGE + 1, dtype=np.float32)
    a, b = np.meshgrid(axis, axis[::-1])
    lab = np.stack([np.full_like(a, _DENSITY_LIGHTNESS), a, b], axis=-1)
    rgba = np.dstack([lab_to_rgb(lab), np.round(frequency * 255).astype(np.uint8)])
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgba), "RGBA").save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
