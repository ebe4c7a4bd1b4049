"""One photo file in, upright sRGB pixels out, or the reason why not."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from colorize.images.icc import conversion_to_srgb
from colorize.images.jpeg import DamagedError, whole_jpeg
from colorize.images.pixels import UnsupportedPixelsError, load, pixels_of_profile, to_srgb
from colorize.images.sniffing import format_of, is_cut, webp_canvas
from colorize.images.wholeness import check_png, check_png_rows, check_tiff
from colorize.settings.sections import ImageSettings

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


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a photo is refused.

    Attributes:
        reason: short kebab-case, for counting: "empty", "not-an-image", "format-not-allowed", "too-small",
            "too-many-pixels", "too-elongated", "pixels-not-supported", "truncated" (it ends early), "damaged" (what is
            there contradicts itself) or "decoder-error".
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


@dataclass(frozen=True, slots=True)
class Decoded:
    """A photo as upright sRGB, perhaps with fewer pixels than it has.

    Attributes:
        pixels: uint8, height x width x 3, C-contiguous.
        width: of the photo itself, in pixels.
        height: of the photo itself, in pixels.
    """

    pixels: np.ndarray
    width: int
    height: int


def read_header(data: bytes, settings: ImageSettings) -> Header | Rejection:
    """Judge a photo by its header: what it is, not what its name says. Nothing is decoded.

    Raises:
        MemoryError: there is not enough to open it.
    """
    with _pillow(settings):
        opened = _open(data, settings)
        return opened if isinstance(opened, Rejection) else opened[1]


def decode(data: bytes, settings: ImageSettings) -> np.ndarray | Rejection:
    """Decode a photo to upright sRGB.

    Embedded profiles are converted to sRGB, CMYK too; 16 bits are scaled to 8; transparency lies on white; of several
    frames the first counts. A file that ends early is refused, never filled up with grey. The table in
    `docs/ingest.md` says what becomes of everything else.

    Returns:
        uint8 array of height x width x 3, C-contiguous, or the rejection.

    Raises:
        MemoryError: there is not enough for the pixels.
    """
    decoded = _decode(data, settings, None)
    return decoded if isinstance(decoded, Rejection) else decoded.pixels


def decode_reduced(data: bytes, settings: ImageSettings, side: int) -> Decoded | Rejection:
    """Decode a photo to upright sRGB, a large JPEG to fewer pixels: of each block it takes the low frequencies only.

    All else is as in `decode`: what that refuses is refused, for the same reason.

    Args:
        data: the file.
        settings: the `images` section.
        side: pixels that the shorter side must keep; JPEGs are decoded at the smallest of 1/8, 1/4, 1/2 of their size,
            rounded up, at which it does.

    Returns:
        The photo, or the rejection.

    Raises:
        MemoryError: there is not enough for the pixels.
    """
    return _decode(data, settings, side)


def _decode(data: bytes, settings: ImageSettings, side: int | None) -> Decoded | Rejection:
    with _pillow(settings):
        opened = _open(data, settings)
        if isinstance(opened, Rejection):
            return opened
        image, header = opened
        profile = image.info.get("icc_profile")
        # Pillow turns TIFF files itself, and only them.
        turn = _UPRIGHT.get(header.orientation) if header.format != "TIFF" else None
        reduction = 1
        try:
            if header.format == "JPEG":
                short = min(image.size)
                reduction = next((by for by in (8, 4, 2) if side is not None and -(-short // by) >= side), 1)
                pixels = whole_jpeg(data, image.mode, image.size, reduction)
                if image.mode == "RGB" and not profile and turn is None:
                    # Most photos; what follows would copy them three times.
                    return Decoded(pixels, header.width, header.height)
                decoded = Image.fromarray(pixels, image.mode) if image.mode == "CMYK" else Image.fromarray(pixels)
            else:
                decoded = _whole(image, header, data)
            decoded = decoded.transpose(turn) if turn is not None else decoded
            pixels = np.ascontiguousarray(np.asarray(to_srgb(decoded, profile), dtype=np.uint8))
            width, height = (header.width, header.height) if reduction > 1 else pixels.shape[1::-1]
            return Decoded(pixels, width, height)
        except MemoryError:
            raise
        except UnsupportedPixelsError as error:
            return Rejection("pixels-not-supported", str(error))
        except DamagedError as error:
            return Rejection(error.reason, str(error))
        except Exception as error:  # hostile bytes make decoders fail in every way there is
            return _decoder_rejection(error)


def _open(data: bytes, settings: ImageSettings) -> tuple[Image.Image, Header] | Rejection:
    if not data:
        return Rejection("empty", "the file has no bytes")
    file_format = format_of(data)
    allowed = ", ".join(settings.formats)
    if file_format is None:
        return Rejection("not-an-image", f"the content is none of {allowed}")
    if file_format not in settings.formats:
        return Rejection("format-not-allowed", f"the content is {file_format}; images.formats allows {allowed}")
    ends = file_format == "JPEG" and data.endswith(b"\xff\xd9")  # most do; it spares a search through all of it
    if not ends and is_cut(file_format, data):
        return Rejection("truncated", f"the {file_format} is shorter than its header says")
    try:
        canvas = webp_canvas(data) if file_format == "WEBP" else None
        if canvas and canvas[0] * canvas[1] > settings.maximum_pixels:
            return _too_many(f"{canvas[0]}x{canvas[1]} pixels", settings)
        image = Image.open(io.BytesIO(data), formats=[file_format])
        width, height = image.size
        orientation = _orientation(image)
        if orientation in _SIDES_SWAPPED and file_format != "TIFF":
            width, height = height, width
        header = Header(file_format, width, height, orientation, image.mode, _profile_state(image))
    except Image.DecompressionBombError as error:
        return _too_many(str(error).partition(" exceeds")[0], settings)
    except MemoryError:
        raise
    except UnidentifiedImageError:
        return Rejection("damaged", f"it starts like a {file_format}, but its header is broken or of an unknown kind")
    except Exception as error:  # a broken header can fail in every way, like broken pixels
        return _decoder_rejection(error)
    return _check(header, settings) or (image, header)


def _whole(image: Image.Image, header: Header, data: bytes) -> Image.Image:
    """The decoded pixels of an opened image that is no JPEG, all of them.

    Raises:
        DamagedError: some are missing.
        UnsupportedPixelsError: they mean nothing in 8-bit sRGB.
        Exception: whatever else a decoder raises.
    """
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        check_tiff(image, data)
    if header.format != "PNG":
        return load(image, data)
    check_png(data)
    loaded = load(image, data)
    check_png_rows(loaded, data)
    return loaded


def _check(header: Header, settings: ImageSettings) -> Rejection | None:
    short, long = sorted((header.width, header.height))
    size = f"{header.width}x{header.height} pixels"
    if short < settings.minimum_side:
        return Rejection("too-small", f"{size}; images.minimum_side is {settings.minimum_side}")
    if short * long > settings.maximum_pixels:
        return _too_many(size, settings)
    if long > short * settings.maximum_aspect:
        return Rejection("too-elongated", f"{size}; images.maximum_aspect is {settings.maximum_aspect}")
    return None


def _too_many(size: str, settings: ImageSettings) -> Rejection:
    return Rejection("too-many-pixels", f"{size}; images.maximum_pixels is {settings.maximum_pixels}")


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


def _profile_state(image: Image.Image) -> Literal["none", "embedded", "broken"]:
    profile = image.info.get("icc_profile")
    if not profile:
        return "none"
    return "embedded" if conversion_to_srgb(profile, pixels_of_profile(image.mode)) else "broken"


@contextmanager
def _pillow(settings: ImageSettings) -> Iterator[None]:
    """Pillow set up for hostile bytes, and as it was before afterwards.

    It warns about broken tags; what matters of it becomes a rejection. Some decoders allot memory for the pixels when
    they are opened: it refuses what has twice as many as allowed; our own limit, which is exact, comes later.
    """
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = settings.maximum_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
