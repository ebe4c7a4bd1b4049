"""From scores of the 313 colours of Zhang et al. to one colour."""

from __future__ import annotations

import torch
from torch import Tensor

# The authors' Caffe network multiplies its scores by 2.606 before the softmax. Their paper calls that T = 0.38.
TEMPERATURE = 1 / 2.606


def annealed_mean(logits: Tensor, centers: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """The mean of the bins' colours under probabilities that are sharpened first (section 2.3 of the paper).

    Args:
        logits: N x bins x h x w, natural logarithms of the probabilities up to a constant.
        centers: bins x 2, ab in CIELAB units.
        temperature: above 0; 1 gives the mean, whose colours are faded, and towards 0 the likeliest bin, whose
            colours change abruptly from pixel to pixel.

    Returns:
        N x 2 x h x w, ab in CIELAB units.
    """
    probabilities = torch.softmax(logits / temperature, dim=1)
    return torch.einsum("nqhw,qc->nchw", probabilities, centers.to(probabilities))
