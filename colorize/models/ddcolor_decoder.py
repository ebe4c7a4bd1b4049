"""DDColor's two decoders: one makes pixels, one makes colour queries; their product is an image per query."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from colorize.models.deoldify_blocks import Enlargement, WideBlock

HEADS = 8
SCALES = 3


def sine_positions(size: tuple[int, int], channels: int, device: torch.device) -> Tensor:
    """What tells pixels apart by their place: sines and cosines of it, float32 (H W) x channels, row by row.

    Half of the channels belong to y, the other half to x; each counts from 1 to its length and is scaled to end at
    2 pi. Always in float32, as the published code computes it, whatever the network's precision is.
    """
    index = torch.arange(channels // 2, dtype=torch.float32, device=device)
    periods = 10_000 ** (2 * (index // 2) / (channels // 2))

    def along(length: int) -> Tensor:
        places = torch.arange(1, length + 1, dtype=torch.float32, device=device)
        angles = (places / (places[-1:] + 1e-6) * (2 * math.pi))[:, None] / periods
        return torch.stack([angles[:, 0::2].sin(), angles[:, 1::2].cos()], dim=2).flatten(1)

    height, width = size
    rows = along(height)[:, None].expand(-1, width, -1)
    columns = along(width)[None].expand(height, -1, -1)
    return torch.cat([rows, columns], dim=2).flatten(0, 1)


class SelfAttention(nn.Module):
    """Queries look at each other; normalization comes last."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(channels, HEADS, batch_first=True)
        self.norm = nn.LayerNorm(channels)

    def forward(self, queries: Tensor, places: Tensor) -> Tensor:
        """Queries N x Q x C, and what is added to them where they are compared, but not to what is passed on."""
        compared = queries + places
        seen, _ = self.self_attn(compared, compared, queries, need_weights=False)
        output: Tensor = self.norm(queries + seen)
        return output


class CrossAttention(nn.Module):
    """Queries look at pixels; normalization comes last."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.multihead_attn = nn.MultiheadAttention(channels, HEADS, batch_first=True)
        self.norm = nn.LayerNorm(channels)

    def forward(self, queries: Tensor, places: Tensor, pixels: Tensor, positions: Tensor) -> Tensor:
        """Queries N x Q x C and pixels N x P x C, each with what is added where they are compared."""
        seen, _ = self.multihead_attn(queries + places, pixels + positions, pixels, need_weights=False)
        output: Tensor = self.norm(queries + seen)
        return output


class FeedForward(nn.Module):
    """Two linear layers, added to their input; normalization comes last."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(channels, 8 * channels)
        self.linear2 = nn.Linear(8 * channels, channels)
        self.norm = nn.LayerNorm(channels)

    def forward(self, queries: Tensor) -> Tensor:
        """N x Q x C, in and out."""
        output: Tensor = self.norm(queries + self.linear2(functional.relu(self.linear1(queries))))
        return output


class Perceptron(nn.Module):
    """Three linear layers with ReLU between them."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(inputs, inputs), nn.Linear(inputs, inputs), nn.Linear(inputs, outputs)])

    def forward(self, values: Tensor) -> Tensor:
        """The last dimension goes from `inputs` to `outputs`."""
        first, second, third = self.layers
        output: Tensor = third(functional.relu(second(functional.relu(first(values)))))
        return output


class ColorDecoder(nn.Module):
    """Colour queries learn from three sizes of pixels in turn, then say how much of each channel they take."""

    def __init__(self, inputs: Sequence[int], outputs: int, embedding: int, queries: int, layers: int) -> None:
        super().__init__()
        self.query_feat = nn.Embedding(queries, embedding)
        self.query_embed = nn.Embedding(queries, embedding)
        self.level_embed = nn.Embedding(SCALES, embedding)
        self.input_proj = nn.ModuleList(nn.Conv2d(channels, embedding, 1) for channels in inputs)
        self.transformer_self_attention_layers = nn.ModuleList(SelfAttention(embedding) for _ in range(layers))
        self.transformer_cross_attention_layers = nn.ModuleList(CrossAttention(embedding) for _ in range(layers))
        self.transformer_ffn_layers = nn.ModuleList(FeedForward(embedding) for _ in range(layers))
        for module in self.modules():
            if isinstance(module, SelfAttention | CrossAttention | FeedForward):
                for parameter in module.parameters():
                    if parameter.ndim > 1:
                        nn.init.xavier_uniform_(parameter)
        for projection in self.input_proj:
            assert isinstance(projection, nn.Conv2d)
            nn.init.kaiming_uniform_(projection.weight, a=1)
            assert projection.bias is not None
            nn.init.zeros_(projection.bias)
        self.decoder_norm = nn.LayerNorm(embedding)
        self.color_embed = Perceptron(embedding, outputs)

    def forward(self, features: Sequence[Tensor], image: Tensor) -> Tensor:
        """One image per query: N x queries x H x W.

        Args:
            features: the pixel decoder's three, from the smallest to the largest.
            image: its last, N x outputs x H x W.
        """
        pixels, positions = [], []
        for level, (feature, project) in enumerate(zip(features, self.input_proj, strict=True)):
            projected: Tensor = project(feature).flatten(2).mT + self.level_embed.weight[level]
            pixels.append(projected)
            size = (feature.shape[-2], feature.shape[-1])
            places = sine_positions(size, projected.shape[-1], feature.device)
            positions.append(places.to(projected.dtype))
        query_places = self.query_embed.weight.expand(len(image), -1, -1)
        queries = self.query_feat.weight.expand(len(image), -1, -1)
        layers = zip(
            self.transformer_cross_attention_layers,
            self.transformer_self_attention_layers,
            self.transformer_ffn_layers,
            strict=True,
        )
        for index, (look_at_pixels, look_at_queries, feed_forward) in enumerate(layers):
            level = index % SCALES
            queries = look_at_pixels(queries, query_places, pixels[level], positions[level])
            queries = feed_forward(look_at_queries(queries, query_places))
        shares = self.color_embed(self.decoder_norm(queries))
        return torch.einsum("nqc,nchw->nqhw", shares, image)


class Decoder(nn.Module):
    """From the encoder's four features to one image per colour query, at four times the largest feature's size."""

    def __init__(self, skipped: Sequence[int], channels: int, embedding: int, queries: int, layers: int) -> None:
        """Fresh weights.

        Args:
            skipped: channels of the encoder's features, from the largest to the smallest.
            channels: of the first two pixel blocks; even. The third and the image have half as many.
            embedding: of a query; a multiple of 16.
            queries: number of them.
            layers: of the colour decoder.
        """
        super().__init__()
        half = channels // 2
        self.layers = nn.ModuleList(
            [
                WideBlock(skipped[3], skipped[2], channels),
                WideBlock(channels, skipped[1], channels),
                WideBlock(channels, skipped[0], half),
            ]
        )
        # Not normalised by batch, so its convolution has a bias.
        self.last_shuf = Enlargement(half, half, 4, normalised=False)
        self.color_decoder = ColorDecoder((channels, channels, half), half, embedding, queries, layers)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """N x queries x H x W from features at 1/4, 1/8, 1/16 and 1/32 of that size."""
        image = features[-1]
        decoded = []
        for block, skip in zip(self.layers, reversed(features[:-1]), strict=True):
            image = block(image, skip)
            decoded.append(image)
        output: Tensor = self.color_decoder(decoded, self.last_shuf(image))
        return output
