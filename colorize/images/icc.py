"""ICC profiles: from a photo's own colours to sRGB."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache

from PIL import Image, ImageCms

_MODE_OF_PROFILE = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_LARGEST = 8 * 2**20  # bytes; profiles of presses have up to 3 MB


def conversion_to_srgb(profile: bytes, mode: str) -> Callable[[Image.Image], Image.Image] | None:
    """How to take pixels from a profile to sRGB.

    Args:
        profile: the ICC profile that a photo embeds.
        mode: "L", "RGB" or "CMYK": Pillow's name of the photo's pixels.

    Returns:
        A function of images of that mode, or None when the profile is broken or of another kind of pixels.
    """
    return _conversion(profile, mode) if len(profile) <= _LARGEST else None


# Photos of one camera or one collection share a few profiles, and building a transform costs milliseconds.
@lru_cache(maxsize=16)
def _conversion(profile: bytes, mode: str) -> Callable[[Image.Image], Image.Image] | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        expected = _MODE_OF_PROFILE[source.profile.xcolor_space.strip()]
        if mode != expected and (mode, expected) != ("L", "RGB"):  # grey pixels with an RGB profile are common
            return None
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), expected, "RGB")
    except (ImageCms.PyCMSError, OSError, KeyError):
        return None

    def convert(image: Image.Image) -> Image.Image:
        converted = transform.apply(image if image.mode == expected else image.convert(expected))
        assert isinstance(converted, Image.Image)
        return converted

    return convert
