"""Colorize photos of any size with a trained model, keeping every photo's own lightness."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from colorize.color import lab_to_rgb, rgb_to_lab
from colorize.images import Rejection, decode
from colorize.settings.sections import ImageSettings
from colorize.storage import atomic_path

if TYPE_CHECKING:
    from colorize.models import Colorization

Floats = NDArray[np.float32]

#: Any photo may be colorized, also one too small or too long to train on; the limit on pixels guards the memory.
_LIMITS = ImageSettings(minimum_side=1, maximum_aspect=1e6)
_DEFAULT_SIZE = 128
#: Long side of what the network sees, in short sides of its training photos: bounds the memory for panoramas.
_LONGEST = 16
#: Pixels that are converted at a time; all full-size float arrays have this size, whatever the photo's.
_STRIP_PIXELS = 2**19
#: A pixel whose colour the screen lacks is made paler until its L is off by no more than this (of 100).
_LIGHTNESS_TOLERANCE = 0.5
_BISECTIONS = 7


class Colorizer:
    """A trained model, ready to colorize.

    Attributes:
        name: what was loaded, for messages.
        size: short side, in pixels, of the photos it was trained on; it sees every photo at this scale.
    """

    def __init__(self, model: Colorization, name: str, size: int) -> None:
        self.model = model.eval()
        self.name = name
        self.size = size

    @classmethod
    def load(cls, what: str | Path = "champion", root: Path | str = ".") -> Colorizer:
        """Load a model.

        Args:
            what: a model's folder, or what the registry knows: an alias ("champion"), an architecture, a version.
            root: the project's folder, where the registry is.

        Raises:
            ValueError: there is no such folder, alias, architecture or version; the message says what there is.
        """
        from colorize.models import load_model

        folder = Path(what)
        if not (folder / "model.json").is_file():
            folder = _registered(str(what), Path(root))
        return cls(load_model(folder), str(what), _training_size(folder))

    def colorize(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Give a photo new colours at its full size; its lightness stays as it is, to rounding.

        A colour that no screen can show at that lightness is made paler, not clipped: clipping would change L.

        Args:
            rgb: sRGB, uint8, H×W×3, or grey H×W.

        Returns:
            H×W×3, uint8.

        Raises:
            ValueError: another shape or type, or no pixels.
        """
        if rgb.dtype != np.uint8 or rgb.ndim not in (2, 3) or (rgb.ndim == 3 and rgb.shape[2] != 3) or not rgb.size:
            raise ValueError(f"expected a uint8 photo, height×width×3 or height×width, got {rgb.dtype} {rgb.shape}")
        if rgb.ndim == 2:
            rgb = np.repeat(rgb[..., None], 3, axis=2)
        ab = self._predict(rgb)
        result = np.empty_like(rgb)
        for top, bottom in _strips(*rgb.shape[:2]):
            lab = rgb_to_lab(rgb[top:bottom])
            lab[..., 1:] = _enlarged(ab, rgb.shape[:2], top, bottom)
            result[top:bottom] = _rendered(lab)
        return result

    def colorize_file(self, path: Path | str, output: Path | str | None = None) -> Path:
        """Colorize a photo file: upright by its EXIF orientation, its colours read by its ICC profile.

        Args:
            path: the photo, in any format that `colorize.images` reads.
            output: the PNG to write; by default `<name>.colorized.png` beside the photo.

        Returns:
            The path written; complete or not there at all.

        Raises:
            ValueError: the file is no photo that can be read; the message says why.
            OSError: the photo cannot be opened or the result cannot be written.
        """
        path = Path(path)
        photo = decode(path.read_bytes(), _LIMITS)
        if isinstance(photo, Rejection):
            raise ValueError(f"{path} cannot be colorized: {photo.reason}" + f" ({photo.detail})" * bool(photo.detail))
        target = Path(output) if output is not None else path.with_name(f"{path.stem}.colorized.png")
        with atomic_path(target) as temporary:
            Image.fromarray(self.colorize(photo)).save(temporary, format="PNG", compress_level=4)
        return target

    def _predict(self, rgb: NDArray[np.uint8]) -> Floats:
        """ab as the network sees the photo: 2×h×w."""
        import torch

        height, width = rgb.shape[:2]
        scale = min(self.size / min(height, width), _LONGEST * self.size / max(height, width))
        seen = (max(1, round(width * scale)), max(1, round(height * scale)))
        # Bicubic, like the photos it was trained on.
        small = np.asarray(Image.fromarray(rgb).resize(seen, Image.Resampling.BICUBIC))
        lightness = np.ascontiguousarray(rgb_to_lab(small)[None, None, ..., 0], dtype=np.float32)
        device = next(self.model.parameters(), torch.empty(0)).device
        with torch.inference_mode():
            ab = self.model.predict_ab(torch.from_numpy(lightness).to(device))
        result: Floats = ab[0].float().cpu().numpy()
        return result


def _registered(what: str, root: Path) -> Path:
    from colorize.registry import Registry
    from colorize.settings import load_settings

    return Registry(load_settings(root / "params.yaml").registry, root).model_folder(what)


def _training_size(folder: Path) -> int:
    description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    return int(description.get("size", _DEFAULT_SIZE))


def _strips(height: int, width: int) -> Iterator[tuple[int, int]]:
    rows = max(1, _STRIP_PIXELS // width)
    return ((top, min(top + rows, height)) for top in range(0, height, rows))


def _enlarged(ab: Floats, shape: tuple[int, ...], top: int, bottom: int) -> Floats:
    """Rows top…bottom of 2×h×w enlarged bilinearly to `shape`: (bottom-top)×W×2. Pixels are squares with centres."""
    above, below, down = _neighbours(ab.shape[1], shape[0], top, bottom)
    left, right, across = _neighbours(ab.shape[2], shape[1], 0, shape[1])
    rows = ab[:, above] * (1 - down[:, None]) + ab[:, below] * down[:, None]
    wide = rows[:, :, left] * (1 - across) + rows[:, :, right] * across
    return wide.transpose(1, 2, 0).astype(np.float32, copy=False)


def _rendered(lab: Floats) -> NDArray[np.uint8]:
    """sRGB pixels that keep L: chroma is scaled down, hue kept, where plain clipping would change the lightness."""
    rgb = lab_to_rgb(lab)
    lost = np.abs(rgb_to_lab(rgb)[..., 0] - lab[..., 0]) > _LIGHTNESS_TOLERANCE
    if not lost.any():
        return rgb
    colors = lab[lost]
    # Scale 0 is grey, which every screen shows at any L; between it and 1 halve the interval.
    low, high = np.zeros((len(colors), 1), np.float32), np.ones((len(colors), 1), np.float32)
    for _ in range(_BISECTIONS):
        middle = ((low + high) / 2).astype(np.float32)
        paler = _scaled(colors, middle)
        kept = np.abs(rgb_to_lab(lab_to_rgb(paler))[:, :1] - colors[:, :1]) <= _LIGHTNESS_TOLERANCE
        low, high = np.where(kept, middle, low), np.where(kept, high, middle)
    rgb[lost] = lab_to_rgb(_scaled(colors, low))
    return rgb


def _scaled(lab: Floats, chroma: Floats) -> Floats:
    return np.concatenate([lab[:, :1], lab[:, 1:] * chroma], axis=1)


def _neighbours(small: int, large: int, start: int, stop: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """For the pixels start…stop of a side of `large`: the two pixels of the small one they lie between, and where."""
    position = np.clip((np.arange(start, stop) + 0.5) * (small / large) - 0.5, 0, small - 1)
    before = np.floor(position).astype(np.intp)
    return before, np.minimum(before + 1, small - 1), (position - before).astype(np.float32)
