"""Parameters of each architecture: names and numbers only, so that a typo is found before torch is imported."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from colorize.settings.base import Section

Upsampler = Literal["transposed-k3", "transposed-k2", "resize", "pixelshuffle"]
Width = Annotated[float, Field(gt=0, le=4, description="multiplies every hidden channel count; 1 as published")]
Pretrained = Annotated[
    str | None,
    Field(description="published weights that the encoder begins with, as 'colorize weights' names them; null: none"),
]


class SimpleUNetSettings(Section):
    """The study's Simple UNet: no skips, no padding, three output channels. Every default is the disease as published;
    the other values of each key are its cures.
    """

    width: Width = 1.0
    upsampler: Upsampler = Field("transposed-k3", description="transposed-k3 as published: the checkerboard")
    padding: Literal["none", "zeros", "reflect"] = Field("none", description="none as published: the weak corners")
    skips: bool = Field(False, description="false as published: the lost resolution")
    output: Literal["rgb", "lab", "ab", "oklab", "yuv"] = Field(
        "lab", description="ab, oklab and yuv make two channels of that space and keep the photo's own lightness"
    )


class UNetVAESettings(Section):
    """The study's UNet-VAE hybrid. Width 1 is the published one (64 channels)."""

    width: Width = 1.0


class UNetVAEDeepSettings(Section):
    """The study's UNet-VAE with four layers of kernel 3."""

    width: Width = 1.0


class UNetSettings(Section):
    """The cure of the study's artefacts: padding, skip connections, resize-convolution, predicts ab."""

    encoder: Literal["plain", "resnet18", "resnet34", "resnet50", "vgg16"] = "plain"
    channels: int = Field(32, ge=4, le=256, description="at full size; they double a level (plain encoder, decoder)")
    depth: int = Field(4, ge=1, le=6, description="number of times the picture is halved; 6 only if plain")
    normalization: Literal["group", "batch", "none"] = Field("group", description="all but a published encoder's own")
    padding: Literal["reflect", "zeros"] = Field("reflect", description="all but a published encoder's own")
    encoder_width: Width = 1.0
    pretrained: Pretrained = None
    output: Literal["ab", "oklab", "yuv"] = Field(
        "ab", description="the space whose two channels of chroma it makes; the photo's own lightness is kept"
    )

    @model_validator(mode="after")
    def _published_encoders_have_five_halvings(self) -> UNetSettings:
        if self.encoder != "plain" and self.depth > 5:
            raise ValueError(f"encoder '{self.encoder}' halves the picture 5 times; 'depth' is {self.depth}")
        return self


class VGG16DecoderSettings(Section):
    """The study's first network: VGG16 features and a small decoder."""

    width: Width = 1.0
    encoder_width: Width = 1.0
    train_encoder: bool = Field(False, description="false as in the study: the features are frozen")
    pretrained: Pretrained = None


class ECCV16Settings(Section):
    """Zhang et al., "Colorful Image Colorization" (ECCV 2016)."""

    width: Width = 1.0
    temperature: float = Field(
        1 / 2.606,
        gt=0,
        le=1,
        description="of the annealed mean of the 313 colours: 1 the mean, which is faded, towards 0 the likeliest",
    )


class SIGGRAPH17Settings(Section):
    """Zhang et al., "Real-Time User-Guided Image Colorization" (SIGGRAPH 2017)."""

    width: Width = 1.0


class DeOldifyArtisticSettings(Section):
    """DeOldify's artistic generator: a dynamic U-Net on ResNet-34 with two convolutions a block."""

    encoder: Literal["resnet18", "resnet34"] = "resnet34"
    encoder_width: Width = 1.0
    factor: float = Field(
        1.5, gt=0, le=4, description="a block has this many times the channels it joins; 1.5 as published"
    )
    pretrained: Pretrained = None


class DeOldifyStableSettings(Section):
    """DeOldify's stable (and video) generator: a wide dynamic U-Net on ResNet-101."""

    encoder: Literal["resnet50", "resnet101"] = "resnet101"
    encoder_width: Width = 1.0
    factor: float = Field(2.0, gt=0, le=4, description="a block has 256 x this many channels; 2 as published")
    pretrained: Pretrained = None


class Pix2PixSettings(Section):
    """The U-Net 256 of pix2pix in its colorization mode."""

    channels: int = Field(64, ge=4, le=256, description="of the outermost level; 64 as published")
    depth: int = Field(8, ge=5, le=9, description="number of times the picture is halved; 8 as published")
    dropout: float = Field(0.5, ge=0, lt=1)


class DDColorSettings(Section):
    """DDColor: a ConvNeXt encoder, a pixel decoder, and a decoder of colour queries."""

    encoder_width: Width = 1.0
    channels: int = Field(512, ge=32, le=1024, multiple_of=32, description="of the pixel decoder; 512 as published")
    embedding: int = Field(256, ge=16, le=1024, multiple_of=16, description="of a colour query; 256 as published")
    queries: int = Field(100, ge=1, le=1000, description="colour queries; 100 as published")
    layers: int = Field(9, ge=3, le=30, description="of the colour decoder, whose scales take turns; 9 as published")


class HistogramMatchingSettings(Section):
    """Welsh et al., "Transferring Color to Greyscale Images" (SIGGRAPH 2002): no learning."""

    samples: int = Field(200, ge=1, le=100_000, description="pixels of the reference that are compared, jittered")
    neighbourhood: int = Field(5, ge=1, le=31, description="pixels, side of the window whose deviation counts")
    seed: int = Field(0, ge=0, description="of the samples' places")


class ColorByOptimizationSettings(Section):
    """Levin, Lischinski and Weiss, "Colorization using Optimization" (SIGGRAPH 2004): no learning, needs hints."""

    window: Literal[3, 5, 7, 9] = Field(3, description="pixels, side of the window in which neighbours lie")
