"""The 313 colours that Zhang et al. classify pixels into."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STEP = 10

# For each a, the first and the last b, all multiples of 10. No rule gives exactly these: grid points that some sRGB
# colour needs are 309 of them, the other four come from the smoothed histogram of the photos the authors counted.
_ROWS = {
    -90: (50, 90),
    -80: (20, 90),
    -70: (0, 90),
    -60: (-20, 90),
    -50: (-30, 100),
    -40: (-40, 100),
    -30: (-50, 100),
    -20: (-50, 100),
    -10: (-60, 100),
    0: (-70, 100),
    10: (-80, 90),
    20: (-80, 90),
    30: (-90, 90),
    40: (-100, 90),
    50: (-100, 80),
    60: (-110, 80),
    70: (-110, 80),
    80: (-110, 70),
    90: (-110, 70),
    100: (-90, 0),
}


def ab_bins() -> NDArray[np.float32]:
    """The centres of the bins: 313 x 2, a and b in CIELAB units, ordered by a and then by b.

    The table `pts_in_hull` of Zhang, Isola and Efros, "Colorful Image Colorization" (ECCV 2016), in its order, which
    is that of the channels of the published networks.
    """
    centers = [(a, b) for a, (first, last) in _ROWS.items() for b in range(first, last + STEP, STEP)]
    return np.array(centers, dtype=np.float32)
