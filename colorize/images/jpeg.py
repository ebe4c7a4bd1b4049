"""JPEG pixels that are known to be whole.

libjpeg fills up what is missing with grey and only warns; Pillow drops the warning. simplejpeg (libjpeg-turbo as well:
the same pixels, bit by bit, in half the time) raises it. What neither warns of is a whole scan that is missing: that is
read off the markers.

Sources: ITU-T T.81 annexes B (markers) and G (progressive scans); libjpeg's `jerror.h` for the warnings.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

_COLOUR_SPACE = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
_PADDING = re.compile(r"Corrupt JPEG data: [12] extraneous bytes before marker 0xd9")
_DAMAGE = ("Corrupt JPEG data", "Unsupported marker type")
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")  # stuffed bytes and restart markers are part of a scan
_START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = (0xC2, 0xCA)
_START_OF_SCAN, _START_OF_IMAGE, _END_OF_IMAGE = 0xDA, 0xD8, 0xD9
# No 0xff, so no marker: pixels that a scan lacks would be made of it.
_FILLING = bytes(range(1, 255)) * 4


class DamagedError(ValueError):
    """A file that is not whole.

    Attributes:
        reason: "truncated" or "damaged".
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def whole_jpeg(data: bytes, mode: str, size: tuple[int, int] = (0, 0), reduction: int = 1) -> NDArray[np.uint8]:
    """Decode a JPEG, or say that pixels are missing.

    Args:
        data: the file; what follows the first picture is not looked at.
        mode: Pillow's name of its pixels: "L", "RGB" or "CMYK".
        size: width and height in pixels; only needed for a reduction.
        reduction: 1, or 2, 4, 8 to decode that fraction of each side, rounded up. All of the file is looked at still.

    Returns:
        uint8 of height x width (L) or height x width x 3 or 4, as Pillow decodes them; CMYK has 255 for no ink, as
        Adobe writes it, turned round: 0 for no ink.

    Raises:
        DamagedError: the file ends early, or its data contradict themselves.
        OSError, ValueError: Pillow cannot decode it.
    """
    _check_scans(data)
    # libjpeg-turbo offers all eighths; the smallest that keeps so many pixels is the one that is meant.
    width, height = (-(-length // reduction) if reduction > 1 else 0 for length in size)
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            data, _COLOUR_SPACE[mode], min_width=width, min_height=height
        )
    except ValueError as error:
        text = str(error)
        if text.startswith("Premature end") or "premature end" in text:
            raise DamagedError("truncated", text) from error
        if text.startswith(_DAMAGE) and not _PADDING.fullmatch(text):
            raise DamagedError("damaged", text) from error
        return _decoded_by_pillow(data, reduction)
    if mode == "CMYK":
        return 255 - pixels
    return pixels[..., 0] if mode == "L" else pixels


def _decoded_by_pillow(data: bytes, reduction: int) -> NDArray[np.uint8]:
    """Pixels of what simplejpeg cannot read (odd subsampling) or warns of without need (other kinds of warnings).

    A picture that lacks nothing stays the same when bytes are added in front of its end.
    """
    pixels = _pillow_pixels(data, reduction)
    end = _end_of_scans(data)
    filled = data[:end] + _FILLING + data[end:]
    if not np.array_equal(pixels, _pillow_pixels(filled, reduction)):
        raise DamagedError("truncated", "the last scan ends before the last pixel")
    return pixels


def _pillow_pixels(data: bytes, reduction: int) -> NDArray[np.uint8]:
    image = Image.open(io.BytesIO(data), formats=["JPEG"])
    image.draft(None, (image.width // reduction, image.height // reduction))
    return np.asarray(image)


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Markers of the first picture in a file and where what they mark starts; scans are leapt over."""
    match = _MARKER.search(data, 0)
    while match is not None:
        marker, position = match[1][0], match.end()
        yield marker, position
        if marker == _END_OF_IMAGE:
            return
        length = 0 if marker == _START_OF_IMAGE else int.from_bytes(data[position : position + 2], "big")
        match = _MARKER.search(data, position + length)


def _end_of_scans(data: bytes) -> int:
    """Where the end marker starts, with the bytes 0xff in front of it that belong to no scan."""
    end = next((start - 1 for marker, start in _segments(data) if marker == _END_OF_IMAGE), len(data))
    return len(data[:end].rstrip(b"\xff"))


def _check_scans(data: bytes) -> None:
    """Refuse a JPEG that ends between two scans: colours or details would be missing without a warning.

    Of every component all 64 coefficients must come, in a progressive file down to the last bit.
    """
    missing: dict[int, int] = {}  # component: bits of the coefficients that have not come yet
    progressive = False
    try:
        for marker, position in _segments(data):
            if marker in _START_OF_FRAME and not missing:
                progressive = marker in _PROGRESSIVE
                count = data[position + 7]
                missing = {data[position + 8 + 3 * index]: 2**64 - 1 for index in range(count)}
            elif marker == _START_OF_SCAN:
                count = data[position + 2]
                first, last, bits = struct.unpack_from("3B", data, position + 3 + 2 * count)
                if not progressive:
                    first, last, bits = 0, 63, 0
                if bits & 15 == 0:  # the lowest bit comes with this scan
                    for index in range(count):
                        component = data[position + 3 + 2 * index]
                        missing[component] = missing.get(component, 0) & ~(2 ** (last + 1) - 2**first)
                if not any(missing.values()):
                    return
    except (IndexError, struct.error):
        return  # the decoder knows better what to call it
    if missing:
        raise DamagedError("truncated", "the file ends before the last of its scans")
