"""Decode, crop, resize, LAB code: CPU time per photo of ours and of peers over decoding alone, and how near ours comes.

Usage: python bench/decode_to_lab.py [FOLDER_OF_JPEGS [SIZE]]; without a folder, photos of noise and gradients are made
up. On one core all ways go through all photos in turn, round after round, so that all see the same machine; medians of
the rounds' CPU time are printed.

The limit is libjpeg-turbo's decoding to RGB, at the best of its scales 1, 1/2, 1/4, 1/8. OpenCV's bicubic filter is the
fastest, but does not average when it makes photos smaller; its area filter does, and so does Pillow's bicubic.
"""

from __future__ import annotations

import io
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab

from colorize.color_kernel import code_planes
from colorize.data.shard_pixels import lab_square, make_row
from colorize.images import Rejection, decode_reduced
from colorize.images.resizing import resize
from colorize.settings.sections import ImageSettings, ShardSettings

PHOTOS = 120
ROUNDS = 9
IMAGES = ImageSettings()
Way = Callable[[bytes, int], object]


def made_up(width: int, height: int) -> list[bytes]:
    """JPEG photos with about the detail of real ones."""
    generator = np.random.default_rng(1)
    photos = []
    for _ in range(PHOTOS):
        coarse = Image.fromarray(generator.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
        noisy = np.clip(smooth + generator.normal(0, 8, smooth.shape[:2])[..., None], 0, 255)
        stream = io.BytesIO()
        Image.fromarray(noisy.astype(np.uint8)).save(stream, "JPEG", quality=90)
        photos.append(stream.getvalue())
    return photos


def reduction(data: bytes, size: int) -> int:
    """The largest of 1, 2, 4, 8 by which a photo can be divided and is no smaller than `size`."""
    short = min(simplejpeg.decode_jpeg_header(data)[:2])
    return next(by for by in (8, 4, 2, 1) if by == 1 or -(-short // by) >= size)


def limit(data: bytes, size: int) -> np.ndarray:
    """Decoding alone: the least anybody has to do."""
    height, width = simplejpeg.decode_jpeg_header(data)[:2]
    by = reduction(data, size)
    return simplejpeg.decode_jpeg(data, min_height=-(-height // by), min_width=-(-width // by))


def ours(data: bytes, size: int) -> object:
    """What the stage `shard` does for a photo."""
    return make_row("", data, ShardSettings(size=size), IMAGES)


def middle(rgb: np.ndarray) -> np.ndarray:
    """The largest square in the middle."""
    side = min(rgb.shape[:2])
    top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
    return rgb[top : top + side, left : left + side]


def finished_by_opencv(rgb: np.ndarray, size: int, smaller: int, order: int) -> bytes:
    """The rest of the way in OpenCV."""
    square = middle(rgb)
    filter_ = smaller if square.shape[0] > size else cv2.INTER_CUBIC
    lab = cv2.cvtColor(cv2.resize(square, (size, size), interpolation=filter_), order)
    return bytes(lab.transpose(2, 0, 1).tobytes())


def opencv(data: bytes, size: int, smaller: int) -> object:
    """OpenCV throughout."""
    flags = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}
    flag = flags.get(reduction(data, size), cv2.IMREAD_REDUCED_COLOR_8)
    return finished_by_opencv(cv2.imdecode(np.frombuffer(data, np.uint8), flag), size, smaller, cv2.COLOR_BGR2LAB)


def simplejpeg_opencv(data: bytes, size: int, smaller: int) -> object:
    """The fastest decoder, and OpenCV for the rest."""
    return finished_by_opencv(limit(data, size), size, smaller, cv2.COLOR_RGB2LAB)


def square_by_pillow(data: bytes, size: int) -> np.ndarray:
    """Full-size decoding and Pillow's bicubic filter."""
    square = Image.fromarray(middle(np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))))
    return np.asarray(square.resize((size, size), Image.Resampling.BICUBIC))


def pillow_opencv(data: bytes, size: int) -> object:
    """Pillow, and OpenCV's LAB."""
    return cv2.cvtColor(square_by_pillow(data, size), cv2.COLOR_RGB2LAB).transpose(2, 0, 1).tobytes()


def pillow_skimage(data: bytes, size: int) -> object:
    """What most projects do."""
    lab = rgb2lab(square_by_pillow(data, size))
    return np.rint(lab * [2.55, 1, 1] + [0, 128, 128]).astype(np.uint8).transpose(2, 0, 1).tobytes()


WAYS: dict[str, Way] = {
    "limit: decoding alone": limit,
    "ours": ours,
    "simplejpeg + OpenCV, area": partial(simplejpeg_opencv, smaller=cv2.INTER_AREA),
    "OpenCV throughout, area": partial(opencv, smaller=cv2.INTER_AREA),
    "simplejpeg + OpenCV, bicubic": partial(simplejpeg_opencv, smaller=cv2.INTER_CUBIC),
    "OpenCV throughout, bicubic": partial(opencv, smaller=cv2.INTER_CUBIC),
    "Pillow + OpenCV LAB": pillow_opencv,
    "Pillow + scikit-image": pillow_skimage,
}


def steps(data: bytes, size: int) -> dict[str, Callable[[], object]]:
    """Ours, step by step."""
    decoded = decode_reduced(data, IMAGES, 2 * size)
    assert not isinstance(decoded, Rejection)
    square = np.ascontiguousarray(middle(decoded.pixels))
    small = resize(square[None], size) if square.shape[0] > size else square.transpose(2, 0, 1)
    codes = code_planes(small)
    resized = square[None] if square.shape[0] > size else codes[..., None]
    return {
        "  decode and check": lambda: decode_reduced(data, IMAGES, 2 * size),
        "  resize": lambda: resize(resized, size),
        "  code": lambda: code_planes(small),
    }


def measure(photos: list[bytes], size: int) -> dict[str, float]:
    """CPU milliseconds per photo of each way, and of our steps: medians of rounds in which they take turns."""
    todo = [{name: partial(way, data, size) for name, way in WAYS.items()} | steps(data, size) for data in photos]
    times: dict[str, list[float]] = {name: [] for name in todo[0]}
    for number in range(ROUNDS + 1):
        for name, values in times.items():
            start = time.process_time()
            for ways in todo:
                ways[name]()
            if number:  # the first round fills caches
                values.append((time.process_time() - start) / len(photos))
    return {name: 1000 * statistics.median(values) for name, values in times.items()}


def print_quality(photos: list[bytes], size: int) -> None:
    """How far ours is from full-size decoding, Pillow's bicubic filter and unrounded LAB."""
    distances, squares = [], []
    for data in photos:
        decoded = decode_reduced(data, IMAGES, 2 * size)
        assert not isinstance(decoded, Rejection)
        lab = lab_square(decoded.pixels, size).transpose(1, 2, 0) / [2.55, 1, 1] - [0, 128, 128]
        exact = rgb2lab(square_by_pillow(data, size))
        distances.append(deltaE_ciede2000(exact, lab).ravel())
        squares.append(np.square(exact - lab).mean(axis=(0, 1)))
    everywhere = np.concatenate(distances)
    noise = 20 * np.log10(100) - 10 * np.log10(np.mean(squares, axis=0)[0])
    print(
        f"  from full-size decoding, Pillow's filter, unrounded LAB: dE2000 mean {everywhere.mean():.2f}, "
        f"99 % below {np.percentile(everywhere, 99):.2f}; lightness PSNR {noise:.1f} dB"
    )


def main() -> None:
    """Print a table for each set of photos."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    size = int(sys.argv[2]) if len(sys.argv) > 2 else 256
    if len(sys.argv) > 1:
        paths = sorted(Path(sys.argv[1]).rglob("*.jp*g"))[:PHOTOS]
        sets = {sys.argv[1]: [path.read_bytes() for path in paths]}
    else:
        sets = {"500x375": made_up(500, 375), "150x150": made_up(150, 150), "1024x768": made_up(1024, 768)}
    for name, photos in sets.items():
        times = measure(photos, size)
        print(f"{name}: {len(photos)} photos to {size}x{size}, CPU ms per photo")
        for way, value in times.items():
            print(f"  {way:30}{value:8.3f}{value / times['limit: decoding alone']:8.2f} x limit")
        print_quality(photos[:40], size)


if __name__ == "__main__":
    main()
