"""The learning rate as a pure function of the step, so that a resumed run needs no memory of it."""

from __future__ import annotations

import math


def learning_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """Linear warm-up, then half a cosine down to zero (Loshchilov and Hutter, "SGDR", ICLR 2017, without restarts).

    Args:
        step: 1 for the first optimizer step.
        steps: of the whole run.
        peak: the largest rate.
        warmup: steps until the peak; at most half the run, however short it is.
    """
    warmup = min(warmup, steps // 2)
    if step <= warmup:
        return peak * step / warmup
    return peak * 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / (steps - warmup + 1)))
