"""Decode, crop, resize, LAB code: CPU time per photo of ours and of Pillow + scikit-image, over decoding alone.

Usage: python bench/decode_to_lab.py [FOLDER_OF_JPEGS]; without a folder, photos of noise and gradients are made up.
The three ways take turns photo by photo, so that all see the same machine; medians of CPU time are printed.
"""

from __future__ import annotations

import io
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.color import rgb2lab

from colorize.color import rgb_to_lab_code
from colorize.data.shard_file import make_row
from colorize.images import decode
from colorize.settings.sections import ImageSettings

SIZE = 256
PHOTOS = 120


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


def limit(data: bytes) -> object:
    """Decoding alone: the least anybody has to do."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def ours(data: bytes) -> object:
    """What the stage `shard` does for a photo."""
    rgb = decode(data, ImageSettings())
    assert isinstance(rgb, np.ndarray)
    return make_row("", rgb, SIZE)


def peer(data: bytes) -> object:
    """What most projects do."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side)).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    lab = rgb2lab(np.asarray(square))
    return np.rint(lab * [2.55, 1, 1] + [0, 128, 128]).astype(np.uint8).transpose(2, 0, 1).tobytes()


def code_alone(data: bytes) -> Callable[[], object]:
    """The LAB step alone, on a decoded photo."""
    square = np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize((SIZE, SIZE)))
    return lambda: rgb_to_lab_code(square)


def measure(photos: list[bytes]) -> dict[str, float]:
    """Median CPU milliseconds per photo of each way."""
    ways: dict[str, Callable[[bytes], object]] = {
        "limit: decode alone": limit,
        "ours": ours,
        "Pillow + skimage": peer,
    }
    times: dict[str, list[float]] = {name: [] for name in (*ways, "ours, LAB step")}
    for data in photos[:3] + photos:
        for name, way in ways.items():
            start = time.process_time()
            way(data)
            times[name].append(time.process_time() - start)
        step = code_alone(data)
        start = time.process_time()
        step()
        times["ours, LAB step"].append(time.process_time() - start)
    return {name: 1000 * statistics.median(values[3:]) for name, values in times.items()}


def main() -> None:
    """Print a table for each set of photos."""
    if len(sys.argv) > 1:
        paths = sorted(Path(sys.argv[1]).rglob("*.jp*g"))[:PHOTOS]
        sets = {sys.argv[1]: [path.read_bytes() for path in paths]}
    else:
        sets = {"500x375": made_up(500, 375), "150x150": made_up(150, 150)}
    for name, photos in sets.items():
        times = measure(photos)
        print(f"{name}: {len(photos)} photos to {SIZE}x{SIZE}, CPU ms per photo (median)")
        for way, value in times.items():
            print(f"  {way:22}{value:8.2f}{value / times['limit: decode alone']:8.2f} x limit")
        print(f"  ours is {times['Pillow + skimage'] / times['ours']:.2f} x as fast as Pillow + skimage")


if __name__ == "__main__":
    main()
