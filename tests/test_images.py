"""Every kind of photo file comes out upright and in sRGB, or is refused with the right reason."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from colorize.images import Header, Rejection, decode, read_header
from colorize.settings.sections import ImageSettings

SETTINGS = ImageSettings()
RED, GREEN, BLUE, WHITE = (230, 30, 40), (40, 200, 60), (30, 60, 220), (250, 250, 250)


def scene(width: int = 96, height: int = 64) -> Image.Image:
    """Four differently coloured quarters: no two turns of it look the same."""
    image = Image.new("RGB", (width, height))
    for colour, corner in zip((RED, GREEN, BLUE, WHITE), ((0, 0), (1, 0), (0, 1), (1, 1)), strict=True):
        left, top = corner[0] * width // 2, corner[1] * height // 2
        image.paste(colour, (left, top, left + width // 2, top + height // 2))
    return image


def encode(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def decoded(data: bytes, settings: ImageSettings = SETTINGS) -> np.ndarray:
    result = decode(data, settings)
    assert isinstance(result, np.ndarray), result
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
    return result


def refused(data: bytes, settings: ImageSettings = SETTINGS) -> str:
    header, pixels = read_header(data, settings), decode(data, settings)
    assert isinstance(pixels, Rejection)
    assert isinstance(header, Header) or header == pixels
    assert pixels.detail
    return pixels.reason


def header_of(data: bytes) -> Header:
    header = read_header(data, SETTINGS)
    assert isinstance(header, Header), header
    return header


def assert_quarters(rgb: np.ndarray, tolerance: int = 12) -> None:
    height, width, _ = rgb.shape
    for colour, y, x in ((RED, 1, 1), (GREEN, 1, 3), (BLUE, 3, 1), (WHITE, 3, 3)):
        found = rgb[y * height // 4, x * width // 4].astype(int)
        assert np.abs(found - colour).max() <= tolerance, (colour, found)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_formats(file_format: str) -> None:
    data = encode(scene(), file_format)
    rgb = decoded(data)
    assert rgb.shape == (64, 96, 3)
    assert_quarters(rgb)
    header = header_of(data)
    assert (header.format, header.width, header.height, header.profile) == (file_format, 96, 64, "none")


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_undone(orientation: int, file_format: str) -> None:
    stored = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    image = scene() if stored is None else scene().transpose(stored)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(image, file_format, exif=exif)
    rgb, header = decoded(data), header_of(data)
    assert_quarters(rgb)
    assert (header.width, header.height, header.orientation) == (96, 64, orientation)
    assert rgb.shape == (64, 96, 3)


def test_broken_exif_is_no_reason_to_refuse() -> None:
    data = encode(scene(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff garbage")
    assert_quarters(decoded(data))
    assert header_of(data).orientation == 1


def test_cmyk_without_profile() -> None:
    data = encode(scene().convert("CMYK"), "JPEG")
    assert header_of(data).mode == "CMYK"
    assert_quarters(decoded(data), tolerance=30)


def test_profile_is_converted_to_srgb() -> None:
    # A matrix profile whose red and blue primaries have changed places: converting must exchange the channels.
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", profile[128:132])[0]
    tags = {bytes(profile[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    for one, other in ((b"rXYZ", b"bXYZ"),):
        profile[tags[one] : tags[one] + 4], profile[tags[other] : tags[other] + 4] = other, one
    data = encode(scene(), "PNG", icc_profile=bytes(profile))
    assert header_of(data).profile == "embedded"
    rgb = decoded(data)
    assert np.abs(rgb[16, 24].astype(int) - RED[::-1]).max() <= 12
    assert np.abs(rgb[48, 72].astype(int) - WHITE).max() <= 12


def test_srgb_profile_changes_nothing_to_speak_of() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for mode in ("RGB", "L", "RGBA"):
        plain = decoded(encode(scene().convert(mode), "PNG"))
        converted = decoded(encode(scene().convert(mode), "PNG", icc_profile=profile))
        assert np.abs(plain.astype(int) - converted).max() <= 2


def test_broken_profile_is_taken_for_srgb_and_noted() -> None:
    data = encode(scene(), "PNG", icc_profile=b"not a profile" * 20)
    assert header_of(data).profile == "broken"
    assert_quarters(decoded(data))


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 96 * 64).astype(np.uint16).reshape(64, 96)
    for file_format in ("PNG", "TIFF"):
        rgb = decoded(encode(Image.fromarray(ramp), file_format))
        assert rgb[0, 0].tolist() == [0, 0, 0]
        assert rgb[-1, -1].tolist() == [255, 255, 255]
        assert abs(int(rgb[32, 0, 0]) - 128) <= 1


def test_sixteen_bit_colour_png_is_scaled() -> None:
    rows = b"".join(b"\0" + struct.pack(">3H", 65535, 32896, 0) * 40 for _ in range(40))
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 40, 40, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    assert decoded(data)[20, 20].tolist() == [255, 128, 0]


def test_pixels_without_known_white_are_refused() -> None:
    for dtype in (np.float32, np.int32):
        data = encode(Image.fromarray(np.zeros((64, 64), dtype)), "TIFF")
        assert refused(data) == "pixels-not-supported"


def test_transparency_lies_on_white() -> None:
    image = scene().convert("RGBA")
    image.putalpha(Image.new("L", image.size, 0))
    assert decoded(encode(image, "PNG")).min() == 255
    half = scene().convert("RGBA")
    half.putalpha(128)
    assert np.abs(decoded(encode(half, "PNG"))[16, 24].astype(int) - (242, 142, 147)).max() <= 1


def test_palette_with_transparent_entry() -> None:
    image = scene().quantize(8)
    image.info["transparency"] = image.getpixel((10, 10))
    for file_format in ("PNG", "GIF"):
        rgb = decoded(encode(image, file_format, transparency=image.info["transparency"]))
        assert rgb[10, 10].tolist() == [255, 255, 255]
        assert np.abs(rgb[16, 72].astype(int) - GREEN).max() <= 12


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P"])
def test_other_pixel_formats(mode: str) -> None:
    rgb = decoded(encode(scene().convert(mode), "PNG"))
    assert rgb.shape == (64, 96, 3)
    assert rgb[48, 72].min() > 235


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_of_several_frames(file_format: str) -> None:
    others = [Image.new("RGB", (96, 64), BLUE)] * 2
    data = encode(scene(), file_format, save_all=True, append_images=others)
    assert_quarters(decoded(data))


def test_multi_picture_jpeg_is_a_jpeg() -> None:
    data = encode(scene(), "MPO", save_all=True, append_images=[Image.new("RGB", (96, 64), BLUE)])
    assert header_of(data).format == "JPEG"
    assert_quarters(decoded(data))


@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("GIF", {}),
    ],
)
def test_cut_files_are_refused_and_never_padded(file_format: str, options: dict[str, object]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise), file_format, **options)
    whole = decoded(data)
    for cut in {*range(1, len(data), max(1, len(data) // 60)), *range(len(data) - 30, len(data))}:
        result = decode(data[:cut], SETTINGS)
        # A cut behind the last pixel loses nothing.
        assert isinstance(result, Rejection) or np.array_equal(result, whole), cut
    assert refused(data[: len(data) // 2]) in ("truncated", "decoder-error", "not-an-image")


def test_cut_jpeg_is_called_truncated() -> None:
    data = encode(scene(400, 300), "JPEG")
    assert refused(data[: len(data) * 3 // 4]) == "truncated"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>404</html>", "not-an-image"),
        (b"\xff\xd8\xff\xe0 and then nothing", "truncated"),
        (b"\0" * 5000, "not-an-image"),
        (encode(scene(), "PPM"), "format-not-allowed"),
        (encode(scene(), "ICO"), "format-not-allowed"),
        (encode(scene(31, 64), "PNG"), "too-small"),
        (encode(scene(32, 257), "PNG"), "too-elongated"),
    ],
)
def test_refusals(data: bytes, reason: str) -> None:
    assert refused(data) == reason


def test_content_counts_not_the_allowed_list_of_another() -> None:
    settings = ImageSettings(formats=("PNG",))
    assert refused(encode(scene(), "JPEG"), settings) == "format-not-allowed"
    assert_quarters(decoded(encode(scene(), "PNG"), settings))


def test_a_bomb_is_refused_by_its_header() -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    idat = b"IDAT" + zlib.compress(b"\0" * 1000)
    data += struct.pack(">I", len(idat) - 4) + idat + struct.pack(">I", zlib.crc32(idat))
    assert refused(data) == "too-many-pixels"


def test_limits_are_inclusive() -> None:
    settings = ImageSettings(minimum_side=64, maximum_pixels=96 * 64, maximum_aspect=1.5)
    assert decoded(encode(scene(), "PNG"), settings).shape == (64, 96, 3)
    assert refused(encode(scene(97, 65), "PNG"), settings) == "too-many-pixels"
