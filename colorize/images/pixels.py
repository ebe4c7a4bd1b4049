"""Decoded pixels of every kind in, 8-bit sRGB out."""

from __future__ import annotations

import numpy as np
from PIL import Image, TiffImagePlugin

from colorize.images.icc import conversion_to_srgb

GREY_16_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
_GREY = ("1", "L", "LA", "La", *GREY_16_BIT)
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # TIFF tags, and a value


class UnsupportedPixelsError(ValueError):
    """Pixels that cannot be brought to 8-bit sRGB, or not in a way that is sure."""


def pixels_of_profile(mode: str) -> str:
    """Which pixels a photo's profile must be for, of Pillow's "L", "RGB" and "CMYK", by the photo's own mode."""
    if mode == "CMYK":
        return "CMYK"
    return "L" if mode in _GREY else "RGB"


def load(image: Image.Image, data: bytes) -> Image.Image:
    """Load the pixels of an opened image, with not more than 8 bits a channel.

    Args:
        image: as Pillow opened it from `data`; its pixels are loaded.
        data: the file.

    Raises:
        Exception: whatever Pillow's decoder raises.
    """
    largest, inverted = 65535, False
    if isinstance(image, TiffImagePlugin.TiffImageFile):  # before the pixels are loaded: loading drops tags
        largest = 2 ** image.tag_v2.get(_BITS_PER_SAMPLE, (16,))[0] - 1
        inverted = image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    image.load()
    key = image.info.get("transparency")
    if image.mode in GREY_16_BIT:
        # Pillow would clip these, leaves white-is-zero as it is, and does not tell 12 bits from 16.
        levels = np.asarray(image).astype(np.uint32)
        alpha = np.where(levels == key, 0, 255).astype(np.uint8) if isinstance(key, int) else None
        grey = ((np.minimum(levels, largest) * 255 + largest // 2) // largest).astype(np.uint8)
        loaded = Image.fromarray(255 - grey if inverted else grey)
        return loaded if alpha is None else Image.merge("LA", (loaded, Image.fromarray(alpha)))
    if image.format == "PNG" and key is not None:
        image.info["transparency"] = _key_in_eight_bits(key, image.mode, data[24])
    return image


def _key_in_eight_bits(key: object, mode: str, bits: int) -> object:
    """The transparent colour of a PNG, which it gives in its own bits, as Pillow's pixels have it."""
    if mode == "RGB" and bits == 16 and isinstance(key, tuple):
        return tuple(level >> 8 for level in key)
    if mode == "L" and bits < 8 and isinstance(key, int):
        return key * 255 // (2**bits - 1)
    return key


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """8-bit sRGB of a loaded image, on white where it is transparent.

    Args:
        image: of any mode that `load` returns.
        profile: the ICC profile it comes with; one that cannot be used counts as sRGB.

    Raises:
        UnsupportedPixelsError: the pixels have no known black and white, or no known colour.
    """
    mode, alpha = pixels_of_profile(image.mode), None
    if image.mode in ("I", "F"):
        raise UnsupportedPixelsError(f"pixels of mode {image.mode} (32 bits) have no known black and white")
    try:
        if image.has_transparency_data:
            image = image.convert("RGBA")
            alpha = image.getchannel("A")
            image = image.getchannel("R") if mode == "L" else image.convert("RGB")
        elif image.mode != mode:
            image = image.convert(mode)
    except ValueError as error:
        raise UnsupportedPixelsError(f"pixels of mode {image.mode} cannot be converted to RGB") from error
    convert = conversion_to_srgb(profile, mode) if profile else None
    image = convert(image) if convert else image.convert("RGB")
    if alpha is not None:
        image = Image.composite(image, Image.new("RGB", image.size, "white"), alpha)
    return image
