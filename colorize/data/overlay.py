"""Laying one small grey picture over another that may show the same, shifted, stretched or slanted a little.

Least squares find how, from coarse to fine (Lucas and Kanade, "An iterative image registration technique", 1981),
together with brightness and contrast. Sums are of whole numbers, and the few equations in floating point are solved in
a fixed order: every machine finds the same.

A *placing* says where the pixels of the second picture lie in the first one: for x and for y a shift, the share of x
and the share of y, in 1/65536, of coordinates that run from -1 to 1 over a side.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="assignment"

from __future__ import annotations

from typing import Final

import numpy as np

from colorize.compiled import compiled
from colorize.data.description import SIDE

LEVEL: Final = 16
"""Steps in a grey level."""
ONE: Final = 1 << 16
"""A share of 1 in a placing."""

_STEP = 0.1  # of the side: the most that one round moves
_WEAKEST = 0.1  # contrast of one picture against the other's
_INERTIA = 4096.0  # weight of staying put, as of slopes of two levels in all pixels of the coarsest picture
_NARROWEST = 32  # of 48 pixels: as much of both sides must lie over each other
_ALIKE = 0.4  # correlation of the coarsest pictures; below it, it is no use to look closer


@compiled()
def _reduced(picture, factor):
    """Averaged down by a factor: levels in steps of 1/16."""
    side = SIDE // factor
    small = np.zeros((side, side), np.int32)
    for y in range(SIDE):
        for x in range(SIDE):
            small[y // factor, x // factor] += picture[y, x]
    return small * (LEVEL // (factor * factor))


@compiled()
def _positions(side, placing, across, along):
    """Where pixels lie in the other picture, in 1/256 of its pixels: what their column and their row each add.

    Returns:
        Top, bottom, left and right of the pixels inside, as the middle row and the middle column have them.
    """
    top = left = side
    bottom = right = 0
    for k in range(side):
        center = 2 * k + 1 - side
        for axis in range(2):
            across[axis, k] = ((placing[axis, 0] * side + placing[axis, 1] * center) * 128) // ONE + 128 * (side - 1)
            along[axis, k] = (placing[axis, 2] * center * 128) // ONE
        x = across[0, k]
        y = ((placing[1, 0] * side + placing[1, 2] * center) * 128) // ONE + 128 * (side - 1)
        if -128 <= x <= 256 * (side - 1) + 128:
            left, right = min(left, k), k + 1
        if -128 <= y <= 256 * (side - 1) + 128:
            top, bottom = min(top, k), k + 1
    return top, bottom, left, right


@compiled()
def _lay(picture, across, along, part, laid):
    """The picture as it looks from the other one's pixels, between neighbours in proportion."""
    side = picture.shape[0]
    largest = 256 * (side - 1)
    top, bottom, left, right = part
    for row in range(top, bottom):
        for column in range(left, right):
            x = min(max(across[0, column] + along[0, row], 0), largest)
            y = min(max(across[1, column] + along[1, row], 0), largest)
            one, upper = x >> 8, y >> 8
            two, lower = min(one + 1, side - 1), min(upper + 1, side - 1)
            u, v = x & 255, y & 255
            above = picture[upper, one] * (256 - u) + picture[upper, two] * u
            below = picture[lower, one] * (256 - u) + picture[lower, two] * u
            laid[row, column] = (above * (256 - v) + below * v + 32768) >> 16


@compiled()
def _is_too_little(part, side):
    top, bottom, left, right = part
    return (right - left) * SIDE < _NARROWEST * side or (bottom - top) * SIDE < _NARROWEST * side


@compiled()
def place(picture, placing, laid):  # the coarse pictures and the colours are smaller
    """Lay a picture over another one.

    Args:
        picture: int32, N x N.
        placing: int64, 2 x 3.
        laid: int32, N x N: where to write what lies inside.

    Returns:
        What lies inside: top, bottom, left and right. The bottom is 0 if it is too little.
    """
    side = picture.shape[0]
    across, along = np.empty((2, side), np.int32), np.empty((2, side), np.int32)
    part = _positions(side, placing, across, along)
    if _is_too_little(part, side):
        return 0, 0, 0, 0
    _lay(picture, across, along, part, laid)
    return part


@compiled()
def _correlation(first, second, placing):
    laid = np.zeros(first.shape, np.int32)
    top, bottom, left, right = place(first, placing, laid)
    n = sa = sb = saa = sbb = sab = 0
    for y in range(top, bottom):
        for x in range(left, right):
            a, b = np.int64(laid[y, x]), np.int64(second[y, x])
            n += 1
            sa += a
            sb += b
            saa += a * a
            sbb += b * b
            sab += a * b
    return (n * sab - sa * sb) / (np.sqrt(float(n * saa - sa * sa)) * np.sqrt(float(n * sbb - sb * sb)) + 1.0)


@compiled()
def _refine(first, second, placing, rounds):
    """Improve how `first` is laid over `second`; false when they cannot be.

    Least squares of second = offset + gain * (laid + slope along x * dx + slope along y * dy), where dx and dy are a
    shift, and a part that grows with x and one that grows with y.
    """
    side = first.shape[0]
    laid = np.zeros((side, side), np.int32)
    for _ in range(rounds):
        part = place(first, placing, laid)
        if part[1] == 0:
            return False
        found = _solved(_sums(laid, second, part), side)
        gain = found[1]
        if gain < _WEAKEST:
            return False
        shift_x, shift_y = 4 * found[2] / gain / side, 4 * found[5] / gain / side
        steps = (shift_x, 4 * found[3] / gain, 4 * found[4] / gain, shift_y, 4 * found[6] / gain, 4 * found[7] / gain)
        old = placing.copy()
        for k in range(3):  # the step was found in the second picture's pixels; the first one's are other ones
            x, y = steps[k], steps[3 + k]
            for axis in range(2):
                step = (old[axis, 1] * x + old[axis, 2] * y) / ONE
                placing[axis, k] += np.int64(np.floor(min(max(step, -_STEP), _STEP) * ONE + 0.5))
    return True


@compiled()
def _sums(laid, second, part):
    """Sums of products of: 1, laid, slope along x times 1, x and y, slope along y times 1, x and y, second."""
    side = laid.shape[0]
    top, bottom, left, right = part
    sums = np.zeros((9, 9), np.int64)
    for y in range(top + 1, bottom - 1):
        w1 = b1 = ww = wb = p1 = px = q1 = qx = wp = wpx = wq = wqx = bp = bpx = bq = bqx = 0
        pp = ppx = ppxx = pq = pqx = pqxx = qq = qqx = qqxx = 0
        for column in range(left + 1, right - 1):
            x = np.int64(2 * column + 1 - side)
            w, b = np.int64(laid[y, column]), np.int64(second[y, column])
            p = np.int64(laid[y, column + 1] - laid[y, column - 1])
            q = np.int64(laid[y + 1, column] - laid[y - 1, column])
            w1 += w
            b1 += b
            ww += w * w
            wb += w * b
            p1 += p
            px += p * x
            q1 += q
            qx += q * x
            wp += w * p
            wpx += w * p * x
            wq += w * q
            wqx += w * q * x
            bp += b * p
            bpx += b * p * x
            bq += b * q
            bqx += b * q * x
            pp += p * p
            ppx += p * p * x
            ppxx += p * p * x * x
            pq += p * q
            pqx += p * q * x
            pqxx += p * q * x * x
            qq += q * q
            qqx += q * q * x
            qqxx += q * q * x * x
        c = np.int64(2 * y + 1 - side)
        rows = (
            (right - left - 2, w1, p1, px, c * p1, q1, qx, c * q1, b1),
            (0, ww, wp, wpx, c * wp, wq, wqx, c * wq, wb),
            (0, 0, pp, ppx, c * pp, pq, pqx, c * pq, bp),
            (0, 0, 0, ppxx, c * ppx, pqx, pqxx, c * pqx, bpx),
            (0, 0, 0, 0, c * c * pp, c * pq, c * pqx, c * c * pq, c * bp),
            (0, 0, 0, 0, 0, qq, qqx, c * qq, bq),
            (0, 0, 0, 0, 0, 0, qqxx, c * qqx, bqx),
            (0, 0, 0, 0, 0, 0, 0, c * c * qq, c * bq),
        )
        for i in range(8):
            for j in range(i, 9):
                sums[i, j] += rows[i][j]
    return sums


@compiled()
def _solved(sums, side):
    """Solve the normal equations by elimination; moving costs a little, so that a plain picture stays where it is."""
    matrix = np.empty((8, 9), np.float64)
    for i in range(8):
        for j in range(9):
            matrix[i, j] = sums[min(i, j), max(i, j)]
    matrix[1, 1] += 1.0
    for i in range(2, 8):
        matrix[i, i] += _INERTIA if i in (2, 5) else _INERTIA * side * side
    for k in range(8):
        for i in range(k + 1, 8):
            factor = matrix[i, k] / matrix[k, k]
            for j in range(k + 1, 9):
                matrix[i, j] -= factor * matrix[k, j]
    found = np.zeros(8, np.float64)
    for k in range(7, -1, -1):
        rest = matrix[k, 8]
        for j in range(k + 1, 8):
            rest -= matrix[k, j] * found[j]
        found[k] = rest / matrix[k, k]
    return found


@compiled()
def align(first, second, placing):
    """Improve how one picture is laid over another.

    Args:
        first: int32, 48 x 48, grey levels.
        second: the same.
        placing: int64, 2 x 3, where to begin; changed.

    Returns:
        Whether they lie over each other now, and whether they were alike, coarsely, where they lay before.
    """
    coarse, other = _reduced(first, 4), _reduced(second, 4)
    unmoved = _correlation(coarse, other, placing) > _ALIKE
    if not _refine(coarse, other, placing, 3) or _correlation(coarse, other, placing) <= _ALIKE:
        return False, unmoved
    if not _refine(_reduced(first, 2), _reduced(second, 2), placing, 3):
        return False, unmoved
    return _refine(_reduced(first, 1), _reduced(second, 1), placing, 1), unmoved
