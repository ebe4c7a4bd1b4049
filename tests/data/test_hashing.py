"""Perceptual codes survive what copies go through, differ for other pictures, and have fixed bits."""

from __future__ import annotations

import hashlib
import io
import math

import numpy as np
from PIL import Image

from colorize.data import hashing
from colorize.data.hashing import mirrored_code, perceptual_code, thumbnail


def picture(seed: int, height: int = 180, width: int = 240) -> np.ndarray:
    """A smooth picture with some structure at every scale."""
    generator = np.random.default_rng(seed)
    total = np.zeros((height, width))
    for side in (3, 6, 12, 24):
        noise = Image.fromarray(generator.random((side, side)).astype(np.float32))
        total += np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC)) / side**0.5
    total = (total - total.min()) / (total.max() - total.min())
    return np.stack([total * 255, total * 200 + 20, 255 - total * 180], axis=-1).astype(np.uint8)


def code(rgb: np.ndarray) -> int:
    return perceptual_code(thumbnail(rgb))


def test_the_basis_is_the_cosine() -> None:
    assert list(hashing._COSINE) == [round(math.cos(j * math.pi / 64) * 2**14) for j in range(33)]
    expected = [[round(math.cos((2 * x + 1) * k * math.pi / 64) * 2**14) for x in range(32)] for k in range(11)]
    assert hashing._BASIS.tolist() == expected


def test_bits_are_the_same_on_every_machine() -> None:
    pixels = np.frombuffer(hashlib.shake_256(b"pixels").digest(1024), np.uint8).reshape(32, 32)
    assert perceptual_code(pixels) == 0x2FDF091C8D5AEC44
    assert mirrored_code(pixels) == 0x17857E5443FCF141


def test_copies_stay_near() -> None:
    for seed in range(5):
        rgb = picture(seed)
        image = Image.fromarray(rgb)
        buffer = io.BytesIO()
        image.resize((150, 120)).save(buffer, "JPEG", quality=40)
        brighter = (rgb * 0.7 + 60).astype(np.uint8)
        for copy in (np.asarray(Image.open(buffer)), brighter, np.asarray(image.convert("L").convert("RGB"))):
            assert (code(rgb) ^ code(copy)).bit_count() <= 4


def test_other_pictures_are_far() -> None:
    codes = [code(picture(seed)) for seed in range(30)]
    assert min((a ^ b).bit_count() for i, a in enumerate(codes) for b in codes[:i]) > 12


def test_mirrored_code_is_the_code_of_the_mirrored_picture() -> None:
    rgb = picture(3)
    assert (mirrored_code(thumbnail(rgb)) ^ code(np.ascontiguousarray(rgb[:, ::-1]))).bit_count() <= 2
    assert (mirrored_code(thumbnail(rgb)) ^ code(rgb)).bit_count() > 12


def test_half_of_the_bits_are_set_and_one_grey_has_none() -> None:
    assert code(picture(1)).bit_count() == 32
    assert code(np.full((50, 50, 3), 77, np.uint8)) == 0


def test_thumbnail_shape() -> None:
    for shape in ((32, 500, 3), (500, 32, 3), (1, 1, 3)):
        small = thumbnail(np.zeros(shape, np.uint8))
        assert small.shape == (32, 32)
        assert small.dtype == np.uint8
