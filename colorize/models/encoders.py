"""Putting published weights into the encoder of a network."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


def load_encoder(encoder: nn.Module, weights: Mapping[str, Tensor], head: str) -> None:
    """Fill an encoder with a published classifier's weights, all but those of its head.

    Args:
        encoder: the module to fill; the names in its state dict are the published ones.
        weights: tensors by their published names.
        head: how the names start that belong to the classifier's last layers and have no place here, `fc.` say.

    Raises:
        ValueError: a tensor is missing, or left over, or has another shape.
    """
    body = {name: tensor for name, tensor in weights.items() if not name.startswith(head)}
    try:
        encoder.load_state_dict(body)
    except RuntimeError as error:
        raise ValueError(
            f"these weights do not fit the encoder: {error}\nPublished weights fit an encoder of their own kind at"
            " width 1; set 'encoder' and 'encoder_width' so, or leave 'pretrained' out"
        ) from error
