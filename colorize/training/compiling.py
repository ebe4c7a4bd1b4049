"""torch.compile, checked: what the compiler makes of a network has to have the network's own gradients."""

from __future__ import annotations

import os
import shutil
from typing import Any

import torch
from torch import Tensor, nn

# Of the norm of a parameter's gradient, the difference: other kernels round differently, but not by so much.
_TOLERANCE = 0.01


def compiled(model: nn.Module, l: Tensor, seeds: list[int]) -> nn.Module:  # noqa: E741
    """A network that torch translates on its first step, for each size of batches and photos.

    It is tried on a batch first: torch 2.13 silently loses the gradient before a bilinear enlargement where activations
    work in place (seen on a CPU; pytorch/pytorch#100794 and #185509 are alike), and only the results would show it.

    Args:
        model: perhaps wrapped for several workers, who all have to call this.
        l: lightness of some photos of the size to train on, N x 1 x H x W, on the network's device.
        seeds: one a photo.

    Raises:
        ValueError: there is no C++ compiler, which torch needs for code that runs on the CPU, or the gradients differ.
    """
    if l.device.type == "cpu" and not any(shutil.which(name) for name in (os.environ.get("CXX") or "g++", "clang++")):
        raise ValueError("training.compile is true, but there is no C++ compiler (g++ or clang++); install one")
    from torch._inductor import config  # takes seconds to import

    config.deterministic = torch.are_deterministic_algorithms_enabled()
    translated: Any = torch.compile(model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    own, its = _gradients(model, model, l, seeds), _gradients(translated, model, l, seeds)
    model.load_state_dict(before)  # a normalization has counted these photos
    for name, gradient in own.items():
        difference = float((its[name] - gradient).norm() / gradient.norm().clamp(min=1e-6))
        if not difference < _TOLERANCE:
            raise ValueError(
                "training.compile is true, but torch translates this network wrongly: the gradient of "
                f"'{name}' is off by {difference:.0%}; leave compile false, or try another version of torch"
            )
    return translated  # type: ignore[no-any-return]


def _gradients(model: nn.Module, owner: nn.Module, l: Tensor, seeds: list[int]) -> dict[str, Tensor]:  # noqa: E741
    owner.train()
    owner.zero_grad(set_to_none=True)
    torch.manual_seed(0)
    prediction = model(l, seeds)
    # Not zero anywhere, and other at each pixel and in each channel.
    loss = (
        (
            prediction.ab / 100.0
            - torch.linspace(1.0, 2.0, prediction.ab[0].numel(), device=l.device).view_as(prediction.ab[0])
        )
        .square()
        .mean()
    )
    if prediction.logits is not None:
        loss = loss + prediction.logits.square().mean()
    loss.backward()
    found = {name: one.grad.clone() for name, one in owner.named_parameters() if one.grad is not None}
    owner.zero_grad(set_to_none=True)
    return found
