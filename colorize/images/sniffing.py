"""What a file is by its first bytes: no decoder is asked, so none that is not allowed ever sees them."""

from __future__ import annotations

import re
import struct

# Where a prefix is given with an offset, what lies before it is free (a RIFF's size, the length of an `ftyp` box).
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (8, b"CR\x02", "CR2 (raw)"),  # before TIFF, which it is built on
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (4, b"ftypavi", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftypmsf1", "HEIC"),
    (4, b"ftypcrx", "CR3 (raw)"),
    (4, b"ftyp", "a video or another ISO media file"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"%PDF-", "PDF"),
    (0, b"%!PS", "EPS"),
    (0, b"\xc5\xd0\xd3\xc6", "EPS"),
    (0, b"8BPS", "PSD"),
    (0, b"\0\0\1\0", "ICO"),
    (0, b"icns", "ICNS"),
    (0, b"FUJIFILMCCD-RAW", "RAF (raw)"),
    (0, b"IIRO", "ORF (raw)"),
    (0, b"IIU\0", "RW2 (raw)"),
    (0, b"qoif", "QOI"),
    (0, b"DDS ", "DDS"),
    (0, b"v/1\1", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"gimp xcf", "XCF"),
    (0, b"SIMPLE  =", "FITS"),
    (0, b"AT&TFORM", "DjVu"),
    (0, b"\xd7\xcd\xc6\x9a", "WMF"),
)
_PORTABLE_MAP = re.compile(rb"P[1-7f][\s#]")
_SVG = re.compile(rb"\s*(<\?xml[^>]*>|<!--.*?-->|<!DOCTYPE[^>]*>|\s)*<svg[\s>]", re.DOTALL | re.IGNORECASE)
_BITMAP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # sizes that exist: "BM" alone starts many a text


def format_of(data: bytes) -> str | None:
    """The format of an image file, told by its first bytes.

    Returns:
        Pillow's name for what Pillow may decode here ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"), a name for people
        for other formats of images, None when the content is none that is known.
    """
    for offset, magic, name in _MAGIC:
        if data.startswith(magic, offset):
            return name
    if data.startswith(b"RIFF") and data.startswith(b"WEBP", 8):
        return "WEBP"
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in _BITMAP_HEADERS:
        return "BMP"
    start = data[:4096].removeprefix(b"\xef\xbb\xbf")
    if _PORTABLE_MAP.match(start):
        return "PNM"
    return "SVG" if _SVG.match(start) else None


def webp_canvas(data: bytes) -> tuple[int, int] | None:
    """Width and height of a WebP in pixels, without its decoder, which allots memory for two canvases to be asked.

    Returns:
        None where the header is too short to tell.
    """
    if len(data) < 30:
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def is_cut(file_format: str, data: bytes) -> bool:
    """Whether the file's own header says that there should be more of it (JPEG, WebP, TIFF, GIF)."""
    if file_format == "JPEG":  # no end, not even a thumbnail's
        return b"\xff\xd9" not in data
    if file_format == "WEBP":
        return len(data) < 12 or 8 + int.from_bytes(data[4:8], "little") > len(data)
    if file_format == "TIFF":
        order = "<" if data.startswith(b"II") else ">"
        if data[2:4] in (b"+\0", b"\0+"):  # BigTIFF
            return len(data) < 16 or struct.unpack_from(order + "Q", data, 8)[0] + 8 > len(data)
        start = struct.unpack_from(order + "I", data, 4)[0] if len(data) >= 8 else len(data)
        if start + 2 > len(data):
            return True
        entries: int = struct.unpack_from(order + "H", data, start)[0]
        return bool(start + 2 + 12 * entries > len(data))
    if file_format == "GIF":  # the screen's description, its palette, and then at least something
        return len(data) < 13 or len(data) <= 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    return False
