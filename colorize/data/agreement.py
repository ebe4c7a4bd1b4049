"""How two pictures agree when one is laid over the other: their structure, and their colours.

Structure must agree cell by cell, not only the layout, and what changes along rows and what changes along columns must
agree each by itself: else any two parts of a seascape would be the same.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="assignment"

from __future__ import annotations

import numpy as np

from colorize.compiled import compiled
from colorize.data.description import SIDE
from colorize.data.overlay import LEVEL

_CELL = 6  # pixels: structure is compared in cells of so many
_CELLS = SIDE // _CELL
_FEWEST = 20  # of 64 cells
_NOISE = 2.0 * LEVEL * LEVEL  # variance that re-encoding leaves in a cell
_PLAIN = 4.0 * LEVEL * LEVEL  # variance of a cell that shows nothing
_MARK = 6  # of 64 cells: so many a mark of a fifth of the width may touch
_SOMETHING_ELSE = 0.3  # correlation below which a cell shows something else
_MARKED = 6  # one in so many cells may have another colour: a mark covers it
_FAINT = 3.0  # CIELAB units that count for little
_BLACK, _WHITE = 2 * LEVEL, 253 * LEVEL  # at or beyond these something may have been clipped


@compiled()
def agreement(laid, other, part):
    """How the structure of two pictures agrees.

    Args:
        laid: int32, 48 x 48, grey levels in 1/16: one picture, where it lies over the other.
        other: the same: the other.
        part: top, bottom, left and right of where it does.

    Returns:
        The difference of structure (0 none, 1 unrelated) in the three quarters of the cells where it is least, along
        columns or along rows, whichever is greater; the correlation of structure in all cells; the correlation of the
        whole; whether something else is to be seen in one place.
    """
    top, bottom, left, right = part
    _, aa, bb, ab = _spread(laid, other, part)
    shape, gain = ab / np.sqrt(aa * bb + 1.0), np.sqrt(bb / (aa + 1.0))
    number = 0
    differences, structures = np.empty((2, _CELLS * _CELLS), np.float64), np.empty((2, _CELLS * _CELLS), np.float64)
    contradicts = np.zeros((_CELLS, _CELLS), np.bool_)
    sum_aa = sum_bb = sum_ab = 0.0
    for cell_y in range(_CELLS):
        for cell_x in range(_CELLS):
            y0, y1 = max(top, cell_y * _CELL), min(bottom, (cell_y + 1) * _CELL)
            x0, x1 = max(left, cell_x * _CELL), min(right, (cell_x + 1) * _CELL)
            if y1 - y0 < _CELL - 1 or x1 - x0 < _CELL - 1:
                continue
            n, aa, bb, ab = _spread(laid, other, (y0, y1, x0, x1))
            if n < _CELL * _CELL // 2:
                continue
            sum_aa, sum_bb, sum_ab = sum_aa + aa, sum_bb + bb, sum_ab + ab
            contradicts[cell_y, cell_x] = min(aa, bb) > _PLAIN and ab < _SOMETHING_ELSE * np.sqrt(aa * bb)
            for axis in range(2):
                aa, bb, ab = _spread_of_lines(laid, other, (y0, y1, x0, x1), axis)
                structures[axis, number] = gain * gain * aa + bb
                differences[axis, number] = structures[axis, number] - 2 * gain * ab
            number += 1
    if number < _FEWEST:
        return 1.0, 0.0, 0.0, False
    worst = 0.0
    for axis in range(2):
        _sort(differences[axis], structures[axis], number)
        difference = structure = 0.0
        for k in range(3 * number // 4):  # a mark covers the others
            difference += differences[axis, k]
            structure += structures[axis, k] + _NOISE * (1 + gain * gain)
        worst = max(worst, difference / structure)
    something_else = False
    contradictions = 0
    for y in range(_CELLS):
        for x in range(_CELLS):
            contradictions += contradicts[y, x]
    for y in range(_CELLS - 1):
        for x in range(_CELLS - 1):  # a square of four cells: words are thinner
            square = contradicts[y, x] and contradicts[y, x + 1] and contradicts[y + 1, x] and contradicts[y + 1, x + 1]
            something_else = something_else or (square and contradictions > _MARK)
    return worst, sum_ab / np.sqrt(sum_aa * sum_bb + 1.0), shape, something_else


@compiled()
def _is_clipped(a, b):
    """Whether one of two pixels is black or white, so that nothing is known of it."""
    return min(a, b) < _BLACK or max(a, b) > _WHITE


@compiled()
def _spread(one, other, part):
    """Pixels that are neither black nor white in either picture: how many; their variances and covariance."""
    top, bottom, left, right = part
    n = sa = sb = saa = sbb = sab = 0
    for y in range(top, bottom):
        for x in range(left, right):
            a, b = np.int64(one[y, x]), np.int64(other[y, x])
            if _is_clipped(a, b):
                continue
            n += 1
            sa += a
            sb += b
            saa += a * a
            sbb += b * b
            sab += a * b
    square = float(max(n, 1)) * float(max(n, 1))
    return n, (n * saa - sa * sa) / square, (n * sbb - sb * sb) / square, (n * sab - sa * sb) / square


@compiled()
def _sort(keys, values, number):
    """Sort the first keys, keeping the order of equals, and move the values with them. (numpy's compiles for long.)"""
    for k in range(1, number):
        key, value, place = keys[k], values[k], k
        while place > 0 and keys[place - 1] > key:
            keys[place], values[place] = keys[place - 1], values[place - 1]
            place -= 1
        keys[place], values[place] = key, value


@compiled()
def _spread_of_lines(one, other, part, axis):
    """Variances and covariance of a part of two pictures, each row (axis 1) or column (0) less its own mean."""
    top, bottom, left, right = part
    lines, length = (bottom - top, right - left) if axis else (right - left, bottom - top)
    count = 0
    aa = bb = ab = 0.0
    for line in range(lines):
        n = sa = sb = saa = sbb = sab = 0
        for k in range(length):
            y, x = (top + line, left + k) if axis else (top + k, left + line)
            a, b = np.int64(one[y, x]), np.int64(other[y, x])
            if _is_clipped(a, b):
                continue
            n += 1
            sa += a
            sb += b
            saa += a * a
            sbb += b * b
            sab += a * b
        if n > 1:
            count += n
            aa += (n * saa - sa * sa) / n
            bb += (n * sbb - sb * sb) / n
            ab += (n * sab - sa * sb) / n
    return aa / max(count, 1), bb / max(count, 1), ab / max(count, 1)


@compiled()
def color_agreement(laid, others, part):
    """How the colours of two pictures agree.

    Args:
        laid: int32, 2 x 8 x 8: a and b of the cells of one picture, in 1/16, where it lies over the other.
        others: the same, of the other.
        part: top, bottom, left and right of where it does.

    Returns:
        How far they differ, but for their strength: 0 not at all, 1 or more altogether; and the strength of each: the
        root mean square of the cells' chroma, in CIELAB units. The sixth of the cells that differs most does not count.
    """
    top, bottom, left, right = part
    if bottom == 0:
        return 1.0, 0.0, 0.0
    number = (bottom - top) * (right - left)
    cells = np.empty((4, number), np.float64)
    k = 0
    for y in range(top, bottom):
        for x in range(left, right):
            for channel in range(2):
                cells[channel, k], cells[2 + channel, k] = laid[channel, y, x], others[channel, y, x]
            k += 1
    factor = _color_strengths(cells, number)[2]
    differences, places = np.empty(number, np.float64), np.arange(number)
    for k in range(number):
        a, b = factor * cells[0, k] - cells[2, k], factor * cells[1, k] - cells[3, k]
        differences[k] = a * a + b * b
    _sort(differences, places, number)
    kept = number - number // _MARKED
    rest = np.empty((4, kept), np.float64)
    for k in range(kept):
        for row in range(4):
            rest[row, k] = cells[row, places[k]]
    one, other, factor = _color_strengths(rest, kept)
    floor = _FAINT * _FAINT * LEVEL * LEVEL * kept
    whole = whole_sum = variation = variation_sum = 0.0
    for channel in range(2):
        mean = other_mean = 0.0
        for k in range(kept):
            mean += factor * rest[channel, k] / kept
            other_mean += rest[2 + channel, k] / kept
        for k in range(kept):
            a, b = factor * rest[channel, k], rest[2 + channel, k]
            whole += (a - b) * (a - b)
            whole_sum += a * a + b * b
            a, b = a - mean, b - other_mean
            variation += (a - b) * (a - b)
            variation_sum += a * a + b * b
    return max(whole / (whole_sum + floor), variation / (variation_sum + floor)), one / LEVEL, other / LEVEL


@compiled()
def _color_strengths(cells, number):
    """Root mean square chroma of both pictures' cells, and the factor that takes the first one's to the second's."""
    saa = sbb = sab = 0.0
    for k in range(number):
        for channel in range(2):
            a, b = cells[channel, k], cells[2 + channel, k]
            saa += a * a
            sbb += b * b
            sab += a * b
    return np.sqrt(saa / number), np.sqrt(sbb / number), min(max(sab / (saa + 1.0), 0.4), 2.5)
