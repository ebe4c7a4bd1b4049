"""Known colours of known colour spaces come out as the same colours of sRGB; the profiles are built here, by the book.

Primaries and curves: Adobe RGB (1998), SMPTE EG 432-1 (Display P3), ROMM RGB (ProPhoto); profiles: ICC.1:2001-04.
"""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from colorize.images import Header, decode, read_header
from colorize.settings.sections import ImageSettings

SETTINGS = ImageSettings()
D50 = np.array([0.9642, 1.0, 0.8249])
D65_XY, D50_XY = (0.3127, 0.3290), (0.3457, 0.3585)
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), D65_XY)
# primaries, white and exponent; Display P3's curve is sRGB's, given as a table
SPACES = {
    "Adobe RGB": (((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), D65_XY), 2.19921875),
    "Display P3": (((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), D65_XY), None),
    "ProPhoto": (((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), D50_XY), 1.8),
}
COLOURS = ((128, 128, 128), (200, 60, 50), (60, 170, 80), (50, 70, 190), (240, 220, 120), (255, 255, 255))


def to_xyz(space: tuple[tuple[float, float], ...]) -> np.ndarray:
    """Linear RGB to XYZ under D50: columns are the primaries, adapted by Bradford's method."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in space]).T
    primaries, white = columns[:, :3], columns[:, 3]
    matrix = primaries * np.linalg.solve(primaries, white)
    adapt = np.linalg.inv(BRADFORD) @ np.diag((BRADFORD @ D50) / (BRADFORD @ white)) @ BRADFORD
    return np.asarray(adapt @ matrix)


def linear_of_srgb(levels: np.ndarray) -> np.ndarray:
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def srgb_of_linear(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def curve(exponent: float | None) -> bytes:
    if exponent is None:
        table = np.round(linear_of_srgb(np.linspace(0, 1, 1024)) * 65535).astype(">u2")
        return b"curv\0\0\0\0" + struct.pack(">I", 1024) + table.tobytes()
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(exponent * 256))


def profile_of(colours: bytes, kind: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    text = b"made by a test\0"
    described = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text\0\0\0\0" + text,
        b"wtpt": b"XYZ \0\0\0\0" + fixed(*D50),
        **tags,
    }
    table, bodies = struct.pack(">I", len(described)), b""
    start = 128 + 4 + 12 * len(described)
    for name, body in described.items():
        table += name + struct.pack(">II", start + len(bodies), len(body))
        bodies += body + bytes(-len(body) % 4)
    header = struct.pack(">I4sI4s4s4s", start + len(bodies), b"\0" * 4, 0x02400000, kind, colours, connection)
    header += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + fixed(*D50)
    return header.ljust(128, b"\0") + table + bodies


def matrix_profile(name: str) -> bytes:
    space, exponent = SPACES[name]
    matrix = to_xyz(space)
    tags = {
        channel + b"XYZ": b"XYZ \0\0\0\0" + fixed(*matrix[:, index]) for index, channel in enumerate((b"r", b"g", b"b"))
    }
    tags |= {channel + b"TRC": curve(exponent) for channel in (b"r", b"g", b"b")}
    return profile_of(b"RGB ", b"mntr", b"XYZ ", tags)


def grey_profile() -> bytes:
    """Grey whose levels are linear light."""
    return profile_of(b"GRAY", b"mntr", b"XYZ ", {b"kTRC": b"curv\0\0\0\0\0\0\0\0"})


def press_profile() -> bytes:
    """A press with the wrong inks: cyan prints red, magenta prints green, yellow prints blue, two print black."""
    lab = {0: (100, 0, 0), 8: (54.3, 80.8, 69.9), 4: (87.8, -79.3, 81.0), 2: (29.6, 68.3, -112.0)}
    grid = bytearray()
    for inks in range(16):  # the first ink is the highest bit
        lightness, a, b = lab.get(inks, (0, 0, 0))
        grid += bytes((round(lightness * 2.55), round(a + 128), round(b + 128)))
    ramp = bytes(range(256))
    identity = fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + identity + ramp * 4 + bytes(grid) + ramp * 3
    return profile_of(b"CMYK", b"prtr", b"Lab ", {b"A2B0": table})


def encode(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def decoded(data: bytes) -> np.ndarray:
    header, pixels = read_header(data, SETTINGS), decode(data, SETTINGS)
    assert isinstance(header, Header)
    assert header.profile == "embedded"
    assert isinstance(pixels, np.ndarray), pixels
    return pixels


def in_space(name: str, colour: tuple[int, int, int]) -> tuple[int, ...]:
    """The 8-bit pixel of another space that looks like a pixel of sRGB."""
    space, exponent = SPACES[name]
    light = np.linalg.solve(to_xyz(space), to_xyz(SRGB) @ linear_of_srgb(np.array(colour) / 255)).clip(0, 1)
    levels = srgb_of_linear(light) if exponent is None else light ** (1 / exponent)
    return tuple(int(level) for level in np.round(levels * 255))


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("name", list(SPACES))
def test_known_colours_of_wide_spaces(name: str, file_format: str) -> None:
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(file_format, {})
    for colour in COLOURS:
        image = Image.new("RGB", (48, 40), in_space(name, colour))
        pixels = decoded(encode(image, file_format, icc_profile=matrix_profile(name), **options))
        assert np.abs(pixels[20, 24].astype(int) - colour).max() <= 4, (colour, pixels[20, 24])


def test_green_of_srgb_in_adobe_rgb_has_the_published_value() -> None:
    image = Image.new("RGB", (48, 40), (144, 255, 60))
    pixels = decoded(encode(image, "PNG", icc_profile=matrix_profile("Adobe RGB")))
    assert np.abs(pixels[20, 24].astype(int) - (0, 255, 0)).max() <= 4
    assert isinstance(untagged := decode(encode(image, "PNG"), SETTINGS), np.ndarray)
    assert untagged[20, 24].tolist() == [144, 255, 60]


@pytest.mark.parametrize(
    ("inks", "colour"),
    [((255, 0, 0, 0), (255, 0, 0)), ((0, 255, 0, 0), (0, 255, 0)), ((0, 0, 255, 0), (0, 0, 255))],
)
def test_press_profile_decides_what_inks_look_like(inks: tuple[int, ...], colour: tuple[int, ...]) -> None:
    image = Image.new("CMYK", (48, 40), inks)
    for file_format in ("JPEG", "TIFF"):
        pixels = decoded(encode(image, file_format, icc_profile=press_profile()))
        assert np.abs(pixels[20, 24].astype(int) - colour).max() <= 12, pixels[20, 24]


def test_grey_profile_applies_to_every_kind_of_grey() -> None:
    grey = Image.new("L", (48, 40), 128)
    deep = Image.fromarray(np.full((40, 48), 128 * 257, np.uint16))
    for image in (grey, deep, Image.merge("LA", (grey, Image.new("L", grey.size, 255)))):
        pixels = decoded(encode(image, "PNG", icc_profile=grey_profile()))
        assert np.abs(pixels[20, 24].astype(int) - 188).max() <= 2, (image.mode, pixels[20, 24])


def test_profile_of_other_pixels_counts_as_broken() -> None:
    data = encode(Image.new("RGB", (48, 40), (10, 200, 30)), "PNG", icc_profile=press_profile())
    header, pixels = read_header(data, SETTINGS), decode(data, SETTINGS)
    assert isinstance(header, Header)
    assert header.profile == "broken"
    assert isinstance(pixels, np.ndarray)
    assert pixels[20, 24].tolist() == [10, 200, 30]
