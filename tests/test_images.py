"""Every kind of photo file comes out upright and in sRGB, or is refused with the right reason."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
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


def test_white_is_zero_and_twelve_bits_are_understood() -> None:
    ramp = np.linspace(0, 65535, 96 * 64).astype(np.uint16).reshape(64, 96)
    data = bytearray(encode(Image.fromarray(ramp), "TIFF"))
    struct.pack_into("<H", data, tag_value(data, 262), 0)  # photometric interpretation: white is zero
    rgb = decoded(bytes(data))
    assert rgb[0, 0].tolist() == [255, 255, 255]
    assert rgb[-1, -1].tolist() == [0, 0, 0]
    twelve = Image.new("I;16", (96, 64), 4095)
    data = bytearray(encode(twelve, "TIFF"))
    struct.pack_into("<H", data, tag_value(data, 258), 12)  # bits per sample; all bits set, packed or not
    start = tag_value(data, 273)
    offset = struct.unpack_from("<I", data, start)[0]
    data[offset:] = b"\xff" * (len(data) - offset)
    assert decoded(bytes(data)).min() == 255


def tag_value(data: bytes | bytearray, tag: int) -> int:
    """Where the value of a tag of a little-endian TIFF's first page lies."""
    start = struct.unpack_from("<I", data, 4)[0]
    for index in range(struct.unpack_from("<H", data, start)[0]):
        position = int(start + 2 + 12 * index)
        if struct.unpack_from("<H", data, position)[0] == tag:
            return position + 8
    raise AssertionError(f"no tag {tag}")


def png(width: int, height: int, bits: int, colour: int, rows: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)),
        *extra,
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


@pytest.mark.parametrize(
    ("bits", "colour", "pixels", "key"),
    [
        (8, 2, bytes((10, 20, 30)) * 64, struct.pack(">3H", 10, 20, 30)),
        (8, 0, bytes((10,)) * 64, struct.pack(">H", 10)),
        (4, 0, bytes((0x33,)) * 32, struct.pack(">H", 3)),
        (2, 0, bytes((0x55,)) * 16, struct.pack(">H", 1)),
        (1, 0, bytes(8), struct.pack(">H", 0)),
        (16, 0, struct.pack(">H", 12345) * 64, struct.pack(">H", 12345)),
        (16, 2, struct.pack(">3H", 12345, 500, 60000) * 64, struct.pack(">3H", 12345, 500, 60000)),
    ],
)
def test_transparent_colour_of_a_png_in_every_depth(bits: int, colour: int, pixels: bytes, key: bytes) -> None:
    rows = (b"\0" + pixels) * 64
    assert decoded(png(64, 64, bits, colour, rows, (b"tRNS", key))).min() == 255
    assert decoded(png(64, 64, bits, colour, rows)).min() < 128


def test_rows_that_a_png_lacks_are_noticed() -> None:
    row = b"\0" + bytes(range(192))
    assert decoded(png(64, 64, 8, 2, row * 64)).shape == (64, 64, 3)
    assert decoded(png(64, 64, 8, 2, (b"\0" + bytes(192)) * 64)).max() == 0
    assert refused(png(64, 64, 8, 2, row * 63)) == "truncated"
    assert refused(png(64, 400, 8, 2, row * 64)) == "truncated"


def test_png_with_wrong_checksum_or_without_end_is_refused() -> None:
    data = encode(scene(), "PNG", compress_level=0)
    middle = len(data) // 2
    flipped = data[:middle] + bytes((data[middle] ^ 1,)) + data[middle + 1 :]
    assert refused(flipped) == "damaged"
    assert refused(data[:-12]) == "truncated"
    assert_quarters(decoded(data + b"whatever comes behind the end"))


def test_gamma_without_profile_is_ignored() -> None:
    gamma = (b"gAMA", struct.pack(">I", 100000))
    assert decoded(png(64, 64, 8, 2, (b"\0" + b"\x80" * 192) * 64, gamma))[5, 5].tolist() == [128, 128, 128]


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


def noise(mode: str) -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 2}, {"restart_marker_rows": 1}])
def test_jpeg_that_was_cut_and_closed_again_is_refused(mode: str, options: dict[str, object]) -> None:
    data = encode(noise(mode), "JPEG", **options)
    whole = decoded(data)
    for cut in range(2, len(data) - 2, max(1, len(data) // 70)):
        result = decode(data[:cut] + b"\xff\xd9", SETTINGS)
        assert isinstance(result, Rejection) or np.array_equal(result, whole), cut
    assert refused(data[: len(data) // 2] + b"\xff\xd9") == "truncated"


def test_jpeg_that_ends_between_two_scans_is_refused() -> None:
    data = encode(noise("RGB"), "JPEG", progressive=True)
    scans = [position for position in range(len(data)) if data.startswith(b"\xff\xda", position)]
    assert len(scans) > 5
    for position in scans[1:]:
        assert refused(data[:position] + b"\xff\xd9") == "truncated"


def test_jpeg_with_contradictions_is_damaged_and_padding_is_not() -> None:
    data = encode(noise("RGB"), "JPEG")
    assert refused(data[:-2] + bytes(range(100)) + data[-2:]) == "damaged"
    assert np.array_equal(decoded(data[:-2] + b"\0\0" + data[-2:]), decoded(data))
    assert np.array_equal(decoded(data + b"behind the end"), decoded(data))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    "options",
    [
        *({}, {"progressive": True}, {"restart_marker_blocks": 3}, {"keep_rgb": True}, {"quality": 5}),
        *({"subsampling": kind} for kind in (0, 1, 2, "4:1:1")),
    ],
)
def test_jpeg_pixels_are_those_of_pillow(mode: str, options: dict[str, object]) -> None:
    for size in ((64, 48), (61, 47), (33, 129)):
        data = encode(noise(mode).resize(size), "JPEG", **options)
        assert np.array_equal(decoded(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_jpeg_of_inks_coded_as_ycck() -> None:
    data = bytearray(encode(noise("CMYK"), "JPEG"))
    data[data.find(b"Adobe") + 11] = 2
    assert np.array_equal(decoded(bytes(data)), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_pixels_missing_from_a_tiff_are_noticed() -> None:
    data = bytearray(encode(noise("RGB"), "TIFF"))
    rows = tag_value(data, 278)
    struct.pack_into("<I" if data[rows - 6] == 4 else "<H", data, rows, 24)  # 48 rows in strips of 24, but one strip
    assert refused(bytes(data)) == "truncated"
    jpeg = bytearray(encode(noise("RGB"), "TIFF", compression="jpeg"))
    size = tag_value(jpeg, 279)
    assert decoded(bytes(jpeg)).shape == (48, 64, 3)
    length = struct.unpack_from("<I" if jpeg[size - 6] == 4 else "<H", jpeg, size)[0]
    struct.pack_into("<I" if jpeg[size - 6] == 4 else "<H", jpeg, size, length // 2)
    assert refused(bytes(jpeg)) == "truncated"
    tall = bytearray(encode(noise("RGB"), "TIFF", compression="jpeg"))
    for tag in (257, 278):
        position = tag_value(tall, tag)
        struct.pack_into("<I" if tall[position - 6] == 4 else "<H", tall, position, 96)
    assert refused(bytes(tall)) == "truncated"


def test_tiff_that_holds_a_preview_or_a_fax_is_refused() -> None:
    preview = encode(scene(), "TIFF", tiffinfo={254: 1})
    assert refused(preview) == "pixels-not-supported"
    assert refused(encode(scene().convert("1"), "TIFF", compression="group4")) == "pixels-not-supported"


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n", "EPS"),
        (b"%PDF-1.7\n", "PDF"),
        (b'<?xml version="1.0"?>\n<!-- drawn --><svg xmlns="http://www.w3.org/2000/svg">', "SVG"),
        (b"\0\0\1\0\1\0\x10\x10", "ICO"),
        (b"8BPS\0\1", "PSD"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "AVIF"),
        (b"\xff\x0a", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"II*\0\x10\0\0\0CR\2\0", "CR2"),
        (b"P6\n100 100\n255\n", "PNM"),
        (b"qoif\0\0\0\x10", "QOI"),
    ],
)
def test_known_formats_that_are_not_allowed_are_named(start: bytes, name: str) -> None:
    result = decode(start + bytes(500), SETTINGS)
    assert isinstance(result, Rejection)
    assert result.reason == "format-not-allowed"
    assert name in result.detail


def test_other_decoders_never_see_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr("PIL.EpsImagePlugin.EpsImageFile._open", asked.append)
    monkeypatch.setattr("PIL.PpmImagePlugin.PpmImageFile._open", asked.append)
    assert refused(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\n") == "format-not-allowed"
    assert refused(encode(scene(), "PPM")) == "format-not-allowed"
    assert asked == []


def peak_memory_of(data: bytes) -> int:
    """MiB by which the largest memory of a new process grows over reading a header."""
    program = """
import resource, sys
from colorize.images import Rejection, read_header
from colorize.settings.sections import ImageSettings
data = sys.stdin.buffer.read()
read_header(b"x", ImageSettings())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert isinstance(read_header(data, ImageSettings()), Rejection)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    found = subprocess.run([sys.executable, "-c", program], input=data, capture_output=True, check=True)
    return int(found.stdout)


def test_huge_canvases_and_unpacked_texts_take_no_memory() -> None:
    gif = b"GIF89a" + struct.pack("<HHBBB", 65000, 65000, 0xF0, 0, 0) + bytes(6)
    gif += b"!\xf9\4\x08\0\0\0\0" + b"," + struct.pack("<HHHHB", 0, 0, 65000, 65000, 0) + b"\2\1\0\0;"
    assert refused(gif) == "too-many-pixels"
    assert peak_memory_of(gif) < 100
    body = b"\x2f" + struct.pack("<I", 16382 | 16382 << 14) + bytes(20)
    webp = b"RIFF" + struct.pack("<I", len(body) + 13) + b"WEBPVP8L" + struct.pack("<I", len(body)) + body + b"\0"
    assert refused(webp) == "too-many-pixels"
    assert peak_memory_of(webp) < 100
    packed = zlib.compress(bytes(500 * 2**20), 9)
    bomb = png(64, 64, 8, 2, (b"\0" + bytes(192)) * 64, (b"iCCP", b"p\0\0" + packed), (b"zTXt", b"t\0\0" + packed))
    assert refused(bomb) == "decoder-error"
    assert peak_memory_of(bomb) < 100


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>404</html>", "not-an-image"),
        (b"\xff\xd8\xff\xe0 and then nothing", "truncated"),
        (b"\0" * 5000, "not-an-image"),
        (b"BM, said the text, and many more words follow", "not-an-image"),
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
