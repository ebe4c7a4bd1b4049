"""How a photo becomes the row of a LAB shard. Brings numba into the process: only what makes shards imports it.

The pixels of a shard are defined here alone:

1. The photo is decoded to upright sRGB; a large JPEG at 1/2, 1/4 or 1/8 of its size, the smallest at which the shorter
   side, rounded up, is no less than twice the shard's. (Once the shard's would be faster still, but can be seen: the
   decoder averages over blocks, where the bicubic filter would keep edges.)
2. The largest square in the middle is taken; an odd pixel over is left out on the right or at the bottom. (With the
   protocol `resize`, Pillow's bicubic filter squeezes the whole photo into the shard's square, and that is coded.)
3. A square larger than the shard's is resized by Pillow's bicubic filter, but down first, then across, as
   `colorize.images.resizing` says to the bit, on the 8-bit sRGB values, and coded (`colorize.color`). A smaller one is
   coded, and the three planes of the code are resized likewise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from colorize.color_kernel import code_planes
from colorize.data.shard_file import Row
from colorize.images import Rejection, decode_reduced
from colorize.images.resizing import resize
from colorize.settings.sections import ImageSettings, ShardSettings


def make_row(identity: str, data: bytes, settings: ShardSettings, images: ImageSettings) -> Row | Rejection:
    """The row of a photo, or why it is refused.

    Args:
        identity: the photo's id.
        data: its file.
        settings: the `shards` section: size and protocol.
        images: the `images` section: how photos are decoded.

    Raises:
        MemoryError: there is not enough for the pixels.
    """
    decoded = decode_reduced(data, images, 2 * settings.size)
    if isinstance(decoded, Rejection):
        return decoded
    make_square = lab_square if settings.protocol == "center-crop" else squeezed
    square = make_square(decoded.pixels, settings.size)
    return Row(identity, square[0].tobytes(), square[1:].tobytes(), decoded.width, decoded.height)


def lab_square(rgb: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The middle of a photo in the code of `colorize.color`, steps 2 and 3 of this module's definition.

    Args:
        rgb: upright sRGB, uint8, height x width x 3.
        size: pixels, side of the result.

    Returns:
        uint8, 3 x size x size: l, a, b; C-contiguous.
    """
    height, width = rgb.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = rgb[top : top + side, left : left + side]
    # Coding is the costlier part: it is done where there are fewer pixels.
    if side > size:
        return code_planes(resize(square[None], size))
    codes = code_planes(square.transpose(2, 0, 1))
    return codes if side == size else resize(codes[..., None], size)


def squeezed(rgb: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The whole photo in the code of `colorize.color`: the protocol `resize`.

    Args:
        rgb: upright sRGB, uint8, height x width x 3.
        size: pixels, side of the result.

    Returns:
        uint8, 3 x size x size: l, a, b; C-contiguous.
    """
    square = np.asarray(Image.fromarray(rgb).resize((size, size), Image.Resampling.BICUBIC))
    return code_planes(square.transpose(2, 0, 1))
