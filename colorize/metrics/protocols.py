"""How papers bring pictures to one size before they measure, by name: figures of different ways do not compare."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: DDColor measures ImageNet's val5k after `center-crop` to 256; ImageNet's val50k, COCO and ADE20K after `resize`.
Protocol = Literal["as-is", "center-crop", "resize"]


def prepared(rgb: NDArray[np.uint8], protocol: Protocol, size: int) -> NDArray[np.uint8]:
    """A picture as a protocol measures it.

    Args:
        rgb: H×W×3, uint8.
        protocol: `as-is` changes nothing; `center-crop` takes the largest square in the middle (an odd pixel over is
            left out on the right or at the bottom), `resize` the whole picture; both bring it to the size by Pillow's
            bicubic filter.
        size: side of the result, pixels.
    """
    if protocol == "as-is":
        return rgb
    if protocol == "center-crop":
        height, width = rgb.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        rgb = rgb[top : top + side, left : left + side]
    return np.asarray(Image.fromarray(rgb).resize((size, size), Image.Resampling.BICUBIC))
