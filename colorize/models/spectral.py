"""Convolutions whose kernels are stored in parts: spectral and weight normalization, with their published names."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# Random vectors would make the first evaluation of fresh weights many times too large.
_FIRST_ITERATIONS = 15


class SpectralConvolution(nn.Module):
    """A convolution over one or two dimensions whose kernel is divided by its largest singular value.

    After Miyato et al., "Spectral Normalization for Generative Adversarial Networks" (ICLR 2018). The state dict has
    the names of `torch.nn.utils.spectral_norm`, `weight_orig`, `weight_u` and `weight_v`, and the numbers are its, too:
    in training, one step of power iteration renews the stored singular vectors; in evaluation they are used as they
    were stored, even if they fit the kernel badly. Unlike torch's it can be copied and exported after training.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        bias: bool,
        stride: int = 1,
        padding: int | None = None,
        dimensions: int = 2,
        repeats: int = 1,
    ) -> None:
        """Fresh weights: He's normal distribution, no bias.

        Args:
            inputs: channels.
            outputs: channels, a multiple of `repeats`.
            kernel: side.
            bias: adds one.
            stride: of the kernel.
            padding: zeros at each border; None: as many as leave the size as it is, where the kernel is odd.
            dimensions: 1 or 2.
            repeats: this many neighbouring channels of the output begin alike, see `repeated`.
        """
        super().__init__()
        self.stride = stride
        self.padding = (kernel - 1) // 2 if padding is None else padding
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.weight_orig = nn.Parameter(repeated((outputs, inputs, *[kernel] * dimensions), repeats))
        self.weight_u: Tensor
        self.weight_v: Tensor
        self.register_buffer("weight_u", functional.normalize(torch.randn(outputs), dim=0))
        self.register_buffer("weight_v", functional.normalize(torch.randn(inputs * kernel**dimensions), dim=0))
        for _ in range(_FIRST_ITERATIONS):
            self._renew()

    @torch.no_grad()
    def _renew(self) -> None:
        matrix = self.weight_orig.flatten(1)
        self.weight_v.copy_(functional.normalize(torch.mv(matrix.t(), self.weight_u), dim=0, eps=1e-12))
        self.weight_u.copy_(functional.normalize(torch.mv(matrix, self.weight_v), dim=0, eps=1e-12))

    def forward(self, image: Tensor) -> Tensor:
        """N x inputs x L, or N x inputs x H x W."""
        if self.training:
            self._renew()
        # Copies, because a second call before the gradient is taken renews the vectors in place.
        left, right = self.weight_u.clone(), self.weight_v.clone()
        # A sum of products, where mixed precision would round a matrix product and with it the whole kernel.
        largest = (left * (self.weight_orig.flatten(1) * right).sum(dim=1)).sum()
        convolve = functional.conv1d if self.weight_orig.ndim == 3 else functional.conv2d
        return convolve(image, self.weight_orig / largest, self.bias, stride=self.stride, padding=self.padding)


class WeightNormConvolution(nn.Module):
    """A 1x1 convolution whose kernel is a direction and, for each channel of the output, a length.

    After Salimans and Kingma, "Weight Normalization" (NeurIPS 2016); the state dict has the names of
    `torch.nn.utils.weight_norm`: `weight_g` the lengths, `weight_v` the directions.
    """

    def __init__(self, inputs: int, outputs: int, *, repeats: int = 1) -> None:
        """Fresh weights: He's normal distribution, no bias; see `repeated`."""
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(outputs))
        weight = repeated((outputs, inputs, 1, 1), repeats)
        self.weight_g = nn.Parameter(_lengths(weight))
        self.weight_v = nn.Parameter(weight)

    def forward(self, image: Tensor) -> Tensor:
        """N x inputs x H x W to N x outputs x H x W."""
        return functional.conv2d(image, self.weight_v * (self.weight_g / _lengths(self.weight_v)), self.bias)


def repeated(shape: tuple[int, ...], repeats: int) -> Tensor:
    """Kernels in which `repeats` neighbouring channels of the output are alike, He's normal distribution.

    With them, shuffling channels into pixels begins as enlarging by repetition, without a checkerboard (ICNR: Aitken et
    al., "Checkerboard artifact free sub-pixel convolution", 2017).
    """
    outputs, *rest = shape
    return nn.init.kaiming_normal_(torch.empty(outputs // repeats, *rest)).repeat_interleave(repeats, dim=0)


def _lengths(weight: Tensor) -> Tensor:
    return weight.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
