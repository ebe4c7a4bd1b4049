"""Whether PNG and TIFF files hold all of their first picture: what Pillow does not check, or only warns of."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image, TiffImagePlugin

from colorize.images.jpeg import DamagedError, whole_jpeg
from colorize.images.pixels import UnsupportedPixelsError

_PNG_SIGNATURE = 8  # bytes
_PNG_OVERHEAD = 12  # bytes of a chunk's length, name and checksum
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by type of colour
_PNG_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_PNG_AT_ONCE = 2**16  # bytes
_KIND_OF_PAGE, _WIDTH, _HEIGHT, _SAMPLES, _PLANES = 254, 256, 257, 277, 284  # TIFF tags
_STRIP_OFFSETS, _ROWS_PER_STRIP, _STRIP_BYTES = 273, 278, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES, _JPEG_TABLES = 322, 323, 324, 325, 347
# Those whose decoders notice when something is missing. Fax codes fill up with white; old JPEG is a guessing game.
_TIFF_COMPRESSIONS = ("raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "zstd", "jpeg")
_REDUCED_PICTURE = 1


def check_png(data: bytes) -> None:
    """Follow the chunks of a PNG to its end.

    Raises:
        DamagedError: the end is missing, or a critical chunk does not match its checksum (Pillow checks no pixels).
    """
    for name, start, end in _png_chunks(data):
        if name[:1].isupper():
            checksum = struct.unpack_from(">I", data, end)[0]
            if zlib.crc32(memoryview(data)[start - 4 : end]) != checksum:
                raise DamagedError("damaged", f"checksum of a PNG's {name.decode('latin-1')} chunk does not match")
        if name == b"IEND":
            return
    raise DamagedError("truncated", "the PNG's end chunk is missing")


def check_png_rows(image: Image.Image, data: bytes) -> None:
    """Refuse a loaded PNG whose pixels end before its last row, though its chunks are all there.

    Pillow leaves missing rows at zero, so unpacking again is only called for where the last row is zero, or where rows
    come interlaced.

    Raises:
        DamagedError: rows are missing.
    """
    width, height, bits, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    if not interlaced and np.asarray(image.crop((0, height - 1, width, height))).any():
        return
    bits_per_pixel = bits * _PNG_CHANNELS[colour]
    sizes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in _PNG_PASSES] if interlaced else []
    expected = sum(h * (1 + -(-w * bits_per_pixel // 8)) for w, h in sizes or [(width, height)] if w > 0 and h > 0)
    unpacker, found = zlib.decompressobj(), 0
    for name, start, end in _png_chunks(data):
        if name == b"IDAT":
            rest = data[start:end]
            while rest and found < expected:
                found += len(unpacker.decompress(rest, _PNG_AT_ONCE))
                rest = unpacker.unconsumed_tail
    # What the unpacker still holds back.
    while found < expected and (more := len(unpacker.decompress(unpacker.unconsumed_tail, _PNG_AT_ONCE))):
        found += more
    if found < expected:
        raise DamagedError("truncated", f"{found} bytes of pixels in the PNG instead of {expected}")


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name of each chunk, and where its body starts and ends; stops before a chunk that is not all there."""
    position = _PNG_SIGNATURE
    while position + _PNG_OVERHEAD <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + _PNG_OVERHEAD + length
        if end > len(data):
            return
        yield name, position + 8, end - 4
        position = end


def check_tiff(image: TiffImagePlugin.TiffImageFile, data: bytes) -> None:
    """Look whether a TIFF's first page is the photo itself, can be checked, and has all of its strips or tiles.

    Raises:
        UnsupportedPixelsError: a compression whose decoder fills up what is missing, or only a preview.
        DamagedError: strips or tiles are missing, or a JPEG in one of them is not whole.
    """
    tags = image.tag_v2
    compression = image.info.get("compression", "raw")
    if compression not in _TIFF_COMPRESSIONS:
        raise UnsupportedPixelsError(f"TIFF compression {compression} cannot be checked for missing pixels")
    if int(tags.get(_KIND_OF_PAGE, 0)) & _REDUCED_PICTURE:
        raise UnsupportedPixelsError("the first page of the TIFF is a preview, as in a camera's raw file")
    pieces = _pieces(tags)
    offsets = tags.get(_TILE_OFFSETS) or tags[_STRIP_OFFSETS]
    sizes = tags.get(_TILE_BYTES) or tags.get(_STRIP_BYTES, ())
    if len(offsets) < len(pieces):
        raise DamagedError("truncated", f"{len(offsets)} strips or tiles of the TIFF instead of {len(pieces)}")
    if compression == "raw":  # Pillow needs no sizes here and asks for all the bytes it needs
        return
    tables = bytes(tags.get(_JPEG_TABLES, b""))[:-2]  # a JPEG without a picture: its end is cut off
    for offset, size, (width, height) in zip(offsets, sizes, pieces, strict=False):
        if offset + size > len(data):
            raise DamagedError("truncated", "a strip or tile of the TIFF lies behind the end of the file")
        if compression == "jpeg":
            piece = data[offset : offset + size]
            _check_jpeg(tables + piece[2:] if tables else piece, width, height)


def _pieces(tags: Mapping[int, Any]) -> list[tuple[int, int]]:
    """Width and height in pixels of each of the strips or tiles that the size of a TIFF page asks for."""
    width, height = tags[_WIDTH], tags[_HEIGHT]
    planes = tags.get(_SAMPLES, 1) if tags.get(_PLANES, 1) == 2 else 1
    if _TILE_OFFSETS in tags:
        size = (tags[_TILE_WIDTH], tags[_TILE_HEIGHT])
        return [size] * (-(-width // size[0]) * -(-height // size[1]) * planes)
    rows = min(tags.get(_ROWS_PER_STRIP, height), height)
    return [(width, min(rows, height - top)) for top in range(0, height, rows)] * planes


def _check_jpeg(data: bytes, width: int, height: int) -> None:
    try:
        found_height, found_width, colour_space, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        raise DamagedError("damaged", f"a JPEG in the TIFF has a broken header: {error}") from error
    if found_width < width or found_height < height:
        raise DamagedError(
            "truncated", f"a JPEG in the TIFF has {found_width}x{found_height} pixels instead of {width}x{height}"
        )
    whole_jpeg(data, {"Gray": "L", "CMYK": "CMYK", "YCCK": "CMYK"}.get(colour_space, "RGB"))
