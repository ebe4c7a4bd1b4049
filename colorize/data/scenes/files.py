"""The bytes of a planned photo: the drawing, what was done to it since, and its file format."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from colorize.data import scenes
from colorize.data.scenes.plan import Planned

# Where the pixels have to go so that the EXIF orientation brings them back.
_STORED = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
_ORIENTATION_TAG = 0x0112

_HTML = """<!DOCTYPE html>
<html><head><title>404 Not Found</title></head>
<body><h1>Not Found</h1><p>The photo you asked for has moved.</p></body></html>
"""
_TEXT = "This file was exported as text by mistake; the picture is in another folder.\n" * 4


def photo(plan: Planned) -> Image.Image:
    """The upright picture of a photo, as someone who opens the file should see it."""
    image = Image.fromarray(scenes.draw(plan.kind, plan.scene, plan.width, plan.height))
    width, height = image.size
    if plan.special == "mirrored":
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if plan.special == "resized":
        scale = (3, 4) if max(width, height) > 256 else (4, 3)
        size = (width * scale[0] // scale[1], height * scale[0] // scale[1])
        return image.resize(size, Image.Resampling.BICUBIC)
    if plan.special == "cropped":
        left, top = max(1, width // 50), max(1, height // 50)
        inner = image.crop((left, top, width - left, height - top))
        return inner.resize((width, height), Image.Resampling.BICUBIC) if max(width, height) <= 256 else inner
    if plan.special in ("grey", "grey-copy"):
        return image.convert("L")
    if plan.special == "grey-rgb":
        return image.convert("L").convert("RGB")
    return image


def encode(plan: Planned) -> bytes:
    """The file of a photo, byte for byte."""
    if plan.special == "empty":
        return b""
    if plan.special == "fake-html":
        return _HTML.encode()
    if plan.special == "fake-text":
        return _TEXT.encode()
    image = photo(plan)
    if plan.special == "png":
        return _save(image, "PNG", optimize=False)
    if plan.special == "webp":
        return _save(image, "WEBP", quality=plan.quality, method=2)
    if plan.special == "cmyk":
        return _save(_printing_colours(image), "JPEG", quality=plan.quality)
    if plan.special == "rotated":
        exif = Image.Exif()
        exif[_ORIENTATION_TAG] = plan.orientation
        return _save(image.transpose(_STORED[plan.orientation]), "JPEG", quality=plan.quality, exif=exif)
    data = _save(image, "JPEG", quality=plan.quality)
    return data[: len(data) * 3 // 5] if plan.special == "truncated" else data


def grey_twin(plan: Planned) -> bytes:
    """The grey version that some datasets keep beside each colour photo."""
    return _save(photo(plan).convert("L"), "JPEG", quality=plan.quality)


def _printing_colours(image: Image.Image) -> Image.Image:
    """CMYK with the grey part moved to the black plate, and no profile: what it looks like depends on no file."""
    rest = 255 - np.asarray(image).astype(np.int32)
    black = rest.min(axis=2, keepdims=True)
    ink = (rest - black) * 255 // np.maximum(255 - black, 1)
    return Image.fromarray(np.concatenate([ink, black], axis=2).astype(np.uint8), "CMYK")


def _save(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
