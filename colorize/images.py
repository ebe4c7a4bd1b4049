"""One photo file in, upright sRGB pixels out, or the reason why not."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from colorize.settings.sections import ImageSettings

# Our own limit is checked before anything is decoded; Pillow's would only warn, at another number.
Image.MAX_IMAGE_PIXELS = None

_ORIENTATION = 0x0112  # EXIF tag
_UPRIGHT = {  # what makes a photo of that orientation upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDES_SWAPPED = range(5, 9)
_GREY_16_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
_MODE_OF_PROFILE = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a photo is refused.

    Attributes:
        reason: short kebab-case, for counting: "empty", "not-an-image", "format-not-allowed", "too-small",
            "too-many-pixels", "too-elongated", "pixels-not-supported", "truncated" or "decoder-error".
        detail: a sentence for people.
    """

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says about its photo before its pixels are decoded.

    Attributes:
        format: Pillow's name, one of `images.formats`.
        width: pixels, after the orientation is undone.
        height: pixels, after the orientation is undone.
        orientation: EXIF orientation, 1..8.
        mode: Pillow's name of the pixel format.
        profile: colour profile; "broken" means it cannot be used and the photo is taken for sRGB.
    """

    format: str
    width: int
    height: int
    orientation: int
    mode: str
    profile: Literal["none", "embedded", "broken"]


def read_header(data: bytes, settings: ImageSettings) -> Header | Rejection:
    """Judge a photo by its header: what it is, not what its name says. Nothing is decoded."""
    with _quiet():
        opened = _open(data, settings)
        return opened if isinstance(opened, Rejection) else opened[1]


def decode(data: bytes, settings: ImageSettings) -> np.ndarray | Rejection:
    """Decode a photo to upright sRGB.

    Embedded profiles are converted to sRGB, CMYK too; 16-bit grey is scaled; transparency lies on white; of several
    frames the first counts. A file that ends early is refused, never filled up with grey.

    Returns:
        uint8 array of height x width x 3, C-contiguous, or the rejection.
    """
    with _quiet():
        opened = _open(data, settings)
        if isinstance(opened, Rejection):
            return opened
        image, header = opened
        try:
            image.load()
            if header.format != "TIFF":  # Pillow turns TIFF files itself, and only them
                turn = _UPRIGHT.get(_orientation(image))
                image = image.transpose(turn) if turn is not None else image
            return np.ascontiguousarray(np.asarray(_to_srgb(image), dtype=np.uint8))
        except _PixelsNotSupportedError as error:
            return Rejection("pixels-not-supported", str(error))
        except Exception as error:  # hostile bytes make decoders fail in every way there is
            return _decoder_rejection(error)


def _open(data: bytes, settings: ImageSettings) -> tuple[Image.Image, Header] | Rejection:
    if not data:
        return Rejection("empty", "the file has no bytes")
    try:
        image = Image.open(io.BytesIO(data), formats=settings.formats)
    except UnidentifiedImageError:
        return _not_identified(data, settings)
    except Exception as error:  # a broken header can fail in every way, like broken pixels
        return _decoder_rejection(error)
    file_format = "JPEG" if image.format == "MPO" else str(image.format)  # MPO: a JPEG with further pictures behind it
    orientation = _orientation(image)
    width, height = image.size
    if orientation in _SIDES_SWAPPED and file_format != "TIFF":
        width, height = height, width
    header = Header(file_format, width, height, orientation, image.mode, _profile_state(image))
    return _check(header, settings) or (image, header)


def _not_identified(data: bytes, settings: ImageSettings) -> Rejection:
    allowed = ", ".join(settings.formats)
    try:
        found = Image.open(io.BytesIO(data)).format
    except Exception:  # whatever it is, no decoder that is allowed or known makes sense of it
        return Rejection("not-an-image", f"the content is none of {allowed}, or its header is broken")
    return Rejection("format-not-allowed", f"the content is {found}; images.formats allows {allowed}")


def _check(header: Header, settings: ImageSettings) -> Rejection | None:
    short, long = sorted((header.width, header.height))
    size = f"{header.width}x{header.height} pixels"
    if short < settings.minimum_side:
        return Rejection("too-small", f"{size}; images.minimum_side is {settings.minimum_side}")
    if short * long > settings.maximum_pixels:
        return Rejection("too-many-pixels", f"{size}; images.maximum_pixels is {settings.maximum_pixels}")
    if long > short * settings.maximum_aspect:
        return Rejection("too-elongated", f"{size}; images.maximum_aspect is {settings.maximum_aspect}")
    return None


def _decoder_rejection(error: Exception) -> Rejection:
    text = f"{type(error).__name__}: {error}"
    cut = isinstance(error, EOFError) or any(words in text.lower() for words in ("truncated", "unexpected end"))
    return Rejection("truncated" if cut else "decoder-error", text)


def _orientation(image: Image.Image) -> int:
    try:
        # The base class's method: that of PNG files would decode the pixels to look for a tag behind them.
        orientation = Image.Image.getexif(image).get(_ORIENTATION, 1)
    except Exception:  # broken EXIF is common and no reason to refuse a photo
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


class _PixelsNotSupportedError(ValueError):
    pass


def _to_srgb(image: Image.Image) -> Image.Image:
    """8-bit sRGB of a decoded image, on white where it is transparent."""
    profile = image.info.get("icc_profile")
    alpha = None
    if image.mode in _GREY_16_BIT:
        image = Image.fromarray(((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise _PixelsNotSupportedError(f"pixels of mode {image.mode} (32 bits) have no known black and white")
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        image = image.convert("RGB")
    elif image.mode not in ("L", "RGB", "CMYK"):
        try:
            image = image.convert("L" if image.mode == "1" else "RGB")
        except ValueError as error:
            raise _PixelsNotSupportedError(f"pixels of mode {image.mode} cannot be converted to RGB") from error
    convert = _profile_conversion(profile, image.mode) if profile else None
    image = convert(image) if convert else image.convert("RGB")
    if alpha is not None:
        image = Image.composite(image, Image.new("RGB", image.size, "white"), alpha)
    return image


def _profile_state(image: Image.Image) -> Literal["none", "embedded", "broken"]:
    profile = image.info.get("icc_profile")
    if not profile:
        return "none"
    mode = image.mode if image.mode in ("L", "CMYK") else "RGB"
    return "embedded" if _profile_conversion(profile, mode) else "broken"


# Photos of one camera or one collection share a few profiles, and building a transform costs milliseconds.
@lru_cache(maxsize=16)
def _profile_conversion(profile: bytes, mode: str) -> Callable[[Image.Image], Image.Image] | None:
    """How to take pixels of a mode from a profile to sRGB; None when the profile is broken or of another mode."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        expected = _MODE_OF_PROFILE[source.profile.xcolor_space.strip()]
        if mode != expected and (mode, expected) != ("L", "RGB"):  # grey pixels with an RGB profile are common
            return None
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), expected, "RGB")
    except (ImageCms.PyCMSError, OSError, KeyError):
        return None

    def convert(image: Image.Image) -> Image.Image:
        converted = transform.apply(image if image.mode == expected else image.convert(expected))
        assert isinstance(converted, Image.Image)
        return converted

    return convert


@contextmanager
def _quiet() -> Iterator[None]:
    """Pillow warns about broken tags; what matters of it becomes a rejection."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
