"""Thousands of damaged image files: each becomes an array of the declared size or a reason, and nothing else."""

from __future__ import annotations

import io
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from colorize.data.judgement import judge
from colorize.data.sandbox import Sandbox
from colorize.images import Header, Rejection, read_header
from colorize.settings.sections import ImageSettings

SETTINGS = ImageSettings(minimum_side=8, maximum_pixels=4_000_000)
MEMORY = 512 * 2**20  # bytes: a child that wants more is told so, or dies
SECONDS = 20.0
MUTANTS_OF_EACH = 400
REASONS = {
    *("not-an-image", "format-not-allowed", "too-small", "too-many-pixels", "too-elongated", "pixels-not-supported"),
    *("truncated", "damaged", "decoder-error", "empty", "too-much-memory"),
}
FLAGS = {"flat", "grey", "near-grey", "sepia"}


def encode(image: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    # Copies: Pillow leaves one format's options behind for the next.
    if "append_images" in options:
        options["append_images"] = [other.copy() for other in options["append_images"]]
    image.copy().save(buffer, file_format, **options)
    return buffer.getvalue()


def seeds() -> dict[str, bytes]:
    generator = np.random.default_rng(7)
    coarse = Image.fromarray(generator.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    photo = coarse.resize((72, 54), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6
    extras = {"exif": exif, "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()}
    others = [photo.rotate(180), photo.rotate(90)]
    ramp = np.linspace(0, 65535, 72 * 54).astype(np.uint16).reshape(54, 72)
    files = {
        "jpeg": encode(photo, "JPEG", **extras),
        "jpeg-progressive": encode(photo, "JPEG", progressive=True, restart_marker_rows=1),
        "jpeg-cmyk": encode(photo.convert("CMYK"), "JPEG"),
        "jpeg-odd-cmyk": encode(photo.convert("CMYK"), "JPEG", subsampling=2),
        "jpeg-grey": encode(photo.convert("L"), "JPEG"),
        "mpo": encode(photo, "MPO", save_all=True, append_images=others),
        "png": encode(photo, "PNG", **extras),
        "png-16": encode(Image.fromarray(ramp), "PNG"),
        "png-palette": encode(photo.quantize(16), "PNG", transparency=3),
        "apng": encode(photo, "PNG", save_all=True, append_images=others),
        "webp": encode(photo, "WEBP", **extras),
        "webp-lossless": encode(photo.convert("RGBA"), "WEBP", lossless=True),
        "webp-animated": encode(photo, "WEBP", save_all=True, append_images=others),
        "gif": encode(photo, "GIF"),
        "gif-animated": encode(photo, "GIF", save_all=True, append_images=others, disposal=2),
        "bmp": encode(photo, "BMP"),
        "bmp-palette": encode(photo.quantize(16), "BMP"),
        "tiff-16": encode(Image.fromarray(ramp), "TIFF"),
        "tiff-pages": encode(photo, "TIFF", save_all=True, append_images=others, **extras),
    }
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group4"):
        mode = "1" if compression == "group4" else "RGB"
        files[f"tiff-{compression}"] = encode(photo.convert(mode), "TIFF", compression=compression)
    return files


def with_valid_checksums(data: bytes) -> bytes:
    """A PNG whose chunks match their checksums again, so that a decoder goes on to look at what is in them."""
    fixed, position = bytearray(data), 8
    while position + 12 <= len(fixed):
        length = struct.unpack_from(">I", fixed, position)[0]
        if position + 12 + length > len(fixed):
            break
        checksum = zlib.crc32(fixed[position + 4 : position + 8 + length])
        struct.pack_into(">I", fixed, position + 8 + length, checksum)
        position += 12 + length
    return bytes(fixed)


def mutants(name: str, data: bytes, others: list[bytes], generator: np.random.Generator) -> Iterator[bytes]:
    for number in range(MUTANTS_OF_EACH):
        mutant = bytearray(data)
        first, second = sorted(generator.integers(0, len(data), 2).tolist())
        kind = number % 8
        if kind == 0:  # single bits
            for position in generator.integers(0, len(data), int(generator.integers(1, 6))):
                mutant[position] ^= 1 << int(generator.integers(8))
        elif kind == 1:  # the header is where the sizes are
            for position in generator.integers(0, min(80, len(data)), 2):
                mutant[position] = int(generator.choice([0, 1, 0x7F, 0x80, 0xFF]))
        elif kind == 2:  # a cut
            del mutant[first:]
        elif kind == 3:  # a hole
            del mutant[first : min(second, first + 200)]
        elif kind == 4:  # a length, a size or an offset that is huge
            struct.pack_into(">I" if number % 16 < 8 else "<I", mutant, min(first, len(data) - 4), 2**32 - 1 - number)
        elif kind == 5:  # the tail of another file
            other = others[int(generator.integers(len(others)))]
            mutant = mutant[:first] + other[int(generator.integers(len(other))) :]
        elif kind == 6:  # bytes twice
            mutant[first:first] = mutant[first:second]
        else:  # noise
            noise = generator.integers(0, 256, min(64, len(data) - first), dtype=np.uint8)
            mutant[first : first + len(noise)] = noise.tobytes()
        result = bytes(mutant)
        yield with_valid_checksums(result) if "png" in name and number % 3 else result


@pytest.mark.slow
def test_mutated_images_never_do_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    originals = seeds()
    outcomes: Counter[str] = Counter()
    with Sandbox(partial(judge, SETTINGS), SECONDS, MEMORY) as sandbox:
        for index, (name, data) in enumerate(originals.items()):
            whole = sandbox(data)
            assert whole["usable"] or name == "tiff-group4", (name, whole)
            generator = np.random.default_rng([20, index])
            for number, mutant in enumerate(mutants(name, data, list(originals.values()), generator)):
                row, header = sandbox(mutant), read_header(mutant, SETTINGS)
                if row["usable"]:
                    assert isinstance(header, Header), (name, number)
                    assert (row["width"], row["height"]) == (header.width, header.height), (name, number)
                    assert row["reason"] in {None, *FLAGS}, (name, number, row)
                else:
                    assert row["reason"] in REASONS, (name, number, row)
                    assert row["detail"], (name, number, row)
                    assert isinstance(header, Header | Rejection)
                outcomes["usable" if row["usable"] else row["reason"]] += 1
    print(dict(outcomes))
    assert outcomes.total() >= 5000
    assert outcomes["usable"] > 100  # mutations that a decoder cannot see, or that fall behind the picture
    assert outcomes["truncated"] > 500
    assert list(tmp_path.iterdir()) == []
