"""The sections of `params.yaml`, one frozen class each."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import Field, field_validator, model_validator

from colorize.settings.architectures import (
    DDColorSettings,
    DeOldifyArtisticSettings,
    DeOldifyStableSettings,
    ECCV16Settings,
    Pix2PixSettings,
    SIGGRAPH17Settings,
    SimpleUNetSettings,
    UNetSettings,
    UNetVAEDeepSettings,
    UNetVAESettings,
    VGG16DecoderSettings,
)
from colorize.settings.base import Section
from colorize.settings.objectives import ClassificationSettings, Objective, RegressionSettings, VAESettings

Layout = Literal["flat", "landscape-image-colorization", "mirflickr25k"]
Format = Literal["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"]
Flag = Literal["flat", "grey", "near-grey", "sepia"]
SCHEMES = ("sample", "file", "https", "kaggle", "s3")


class DatasetSettings(Section):
    """Where one dataset comes from and how its folder is laid out."""

    source: str = Field(
        description="sample://NAME?photos=N&seed=N, file:///absolute/folder-or-archive, https://host/archive, "
        "kaggle://owner/dataset or s3://bucket/prefix"
    )
    layout: Layout = Field("flat", description="which files of the source are photos of their own")
    expected: int | None = Field(None, ge=1, description="photos the source is known to hold; a difference is reported")

    @field_validator("source")
    @classmethod
    def _has_a_scheme(cls, value: str) -> str:
        scheme, separator, rest = value.partition("://")
        if not separator or scheme not in SCHEMES or not rest:
            raise ValueError(
                "expected sample://NAME, file:///absolute/folder-or-archive, https://host/archive, "
                "kaggle://owner/dataset or s3://bucket/prefix"
            )
        return value


class ImageSettings(Section):
    """What counts as a usable photo; read from the header before anything is decoded."""

    minimum_side: int = Field(32, ge=1, description="pixels; a smaller photo is refused")
    maximum_pixels: int = Field(100_000_000, ge=1, description="width x height; a larger one is refused undecoded")
    maximum_aspect: float = Field(8.0, ge=1, description="long side / short side")
    maximum_bytes: int = Field(268_435_456, ge=1, description="size of the file; a larger one is refused unread")
    maximum_seconds: float = Field(60.0, gt=0, description="CPU seconds to look at one photo before it is given up")
    formats: tuple[Format, ...] = Field(("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"), min_length=1)
    flat_range: float = Field(
        4.0, ge=0, description="CIELAB units; a photo that lies within in L, a and b, but for 2 %, is flagged flat"
    )
    grey_chroma: float = Field(
        4.0, ge=0, description="CIELAB units; a photo whose 99th percentile of chroma is below is flagged grey"
    )
    near_grey_chroma: float = Field(
        7.0, ge=0, description="CIELAB units; a photo whose 95th percentile of chroma is below is flagged near-grey"
    )
    sepia_chroma: float = Field(32.0, ge=0, description="CIELAB units; a tone with a mean chroma above is none")
    sepia_hue: float = Field(
        0.2, ge=0, le=1, description="share of the chroma by which colours of one tone leave its hue at most"
    )
    sepia_scatter: float = Field(
        0.13, ge=0, le=1, description="share of the chroma by which equally light pixels of one tone differ at most"
    )


class ArchiveSettings(Section):
    """What an archive may ask for before it counts as hostile; members beyond are refused, never unpacked."""

    maximum_members: int = Field(1_000_000, ge=1, description="members looked at in one archive")
    maximum_bytes: int = Field(107_374_182_400, ge=1, description="unpacked size of all members of one archive")
    maximum_ratio: float = Field(200.0, ge=1, description="unpacked size / packed size of a member, or of a .tar.gz")


class IngestSettings(Section):
    """How raw shards are cut, and when a source looks too wrong to go on."""

    shard_photos: int = Field(256, ge=1, description="photos per raw shard at most")
    shard_bytes: int = Field(64 * 2**20, ge=1, description="a raw shard is closed when its photos reach this size")
    row_group: int = Field(64, ge=1, description="photos per row group, the unit that is held in memory")
    maximum_shrink: float = Field(
        0.1, ge=0, le=1, description="stop when a source lists fewer photos than last time by more than this share"
    )
    maximum_refused: float = Field(0.1, ge=0, le=1, description="stop when more than this share of photos is refused")


class DedupeSettings(Section):
    """Which photos are compared: those whose perceptual codes differ by few of 64 bits."""

    radius: int = Field(11, ge=0, le=16, description="bits between the codes of two pictures at most")
    window_radius: int = Field(
        6, ge=0, le=16, description="between those of one and of a part of 90 or 95 % of another"
    )
    part_radius: int = Field(6, ge=0, le=16, description="between those of the same part of 70 % of both")
    turned_radius: int = Field(4, ge=0, le=16, description="between those of one and of another, mirrored or turned")


class SplitSettings(Section):
    """Shares of the splits, decided for whole groups by a hash; `train` is what is left."""

    validation: float = Field(0.1, ge=0, lt=1)
    test: float = Field(0.15, ge=0, lt=1)
    salt: str = Field("colorize-1", description="another salt is another split")
    include_flagged: tuple[Flag, ...] = Field((), description="flagged photos that are used all the same")

    @model_validator(mode="after")
    def _leaves_something(self) -> SplitSettings:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation} + test {self.test} leave nothing to train on")
        return self


class ShardSettings(Section):
    """The LAB shards."""

    size: int = Field(128, ge=16, le=1024, description="pixels; photos are made square and resized to it")
    protocol: Literal["center-crop", "resize"] = Field(
        "center-crop", description="how they are made square: the largest square in the middle, or the whole squeezed"
    )
    rows: int = Field(512, ge=1, description="photos per shard at most")
    row_group: int = Field(64, ge=1, description="photos per row group: the unit of random access and of shuffling")
    compression: Literal["none", "lz4", "zstd"] = "none"


class TrainingSettings(Section):
    """One training run. What decides the weights comes first; workers and hardware do not (without BatchNorm)."""

    seed: int = Field(1, ge=0)
    epochs: int = Field(8, ge=1)
    photos_per_epoch: int | None = Field(
        None, ge=1, description="photos in an epoch at most, others in each; null: the whole training split"
    )
    batch_size: int = Field(16, ge=1, description="photos per optimizer step, over all workers")
    accumulate: int = Field(
        1, ge=1, description="parts that a worker cuts its photos of a step into: less memory, the same step"
    )
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    warmup_steps: int = Field(50, ge=0, description="linear warm-up, then a cosine to zero")
    gradient_clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    encoder_rate: float = Field(1.0, gt=0, description="the encoder's learning rate over that of the rest")
    frozen_epochs: int = Field(0, ge=0, description="epochs at the beginning in which the encoder does not change")
    average: float = Field(
        0.0, ge=0, lt=1, description="decay of a moving average of the weights, which is then the model; 0: none"
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="epochs without a better early_stop figure after which training ends with the best; null: never",
    )
    early_stop: Literal["validation_loss", "validation_ab_rmse", "validation_color_divergence"] = Field(
        "validation_loss", description="what early stopping looks at; smaller is better"
    )
    sizes: dict[int, int] = Field(
        default_factory=dict, description="pixels: epochs, smallest first, at the beginning; afterwards the shards' own"
    )
    flip: bool = Field(True, description="mirror half of the photos at random, by (seed, epoch, id)")
    crop: float = Field(
        1.0, gt=0, le=1, description="smallest side of a random part that is enlarged to the whole; 1: none"
    )
    lighting: float = Field(
        0.0, ge=0, lt=1, description="how much L is made lighter or darker at random; a and b stay; 0: none"
    )
    balance: bool = Field(False, description="every dataset equally often, whatever its number of photos")
    precision: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: bfloat16 on GPUs that have it")
    compile: bool = Field(False, description="torch.compile the network: minutes at the start, faster steps")
    checkpoint_every: int = Field(1, ge=1, description="epochs between checkpoints")
    keep_checkpoints: int = Field(2, ge=1)

    @field_validator("sizes")
    @classmethod
    def _grow(cls, value: dict[int, int]) -> dict[int, int]:
        if list(value) != sorted(value) or any(pixels < 16 or epochs < 1 for pixels, epochs in value.items()):
            raise ValueError("expected pixels: epochs, smallest pixels (16 or more) first, such as {64: 4, 96: 4}")
        return value


class ScalingSettings(Section):
    """Where training runs: no part of a run's identity."""

    workers: int = Field(1, ge=1, description="Ray Train workers")
    minimum_workers: int | None = Field(
        None, ge=1, description="go on with so few when a node is gone; null: wait until all are there again"
    )
    cpus_per_worker: int | None = Field(None, ge=1, description="null: all CPUs shared out evenly")
    gpu: Literal["auto", "never", "always"] = "auto"
    maximum_failures: int = Field(2, ge=0, description="times Ray restarts the workers of a run")
    storage: str | None = Field(
        None, description="s3://bucket/prefix or a folder that every node sees; null: the project's own folder"
    )

    @model_validator(mode="after")
    def _can_shrink(self) -> ScalingSettings:
        if self.minimum_workers is not None and self.minimum_workers > self.workers:
            raise ValueError(f"minimum_workers {self.minimum_workers} is more than workers {self.workers}")
        return self

    @field_validator("storage")
    @classmethod
    def _is_a_place(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("s3://", "/")):
            raise ValueError("expected s3://bucket/prefix or an absolute path, such as /shared/colorize")
        return value


Model = TypeVar("Model", bound=Section)


class ArchitectureRun(Section, Generic[Model]):
    """Model, objective and training of one architecture; `training` overrides the section of that name, key by key."""

    model: Model
    objective: Objective = (RegressionSettings(),)
    training: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _model_has_defaults(cls, values: Any) -> Any:
        return {"model": {}, **values} if isinstance(values, dict) else values


class VariationalRun(ArchitectureRun[Model], Generic[Model]):
    """The same of an architecture with a latent code."""

    objective: Objective = (VAESettings(),)


class ClassifierRun(ArchitectureRun[Model], Generic[Model]):
    """The same of an architecture that chooses among the 313 colours."""

    objective: Objective = (ClassificationSettings(),)


class ArchitecturesSettings(Section):
    """Which architectures are trained; null or absent leaves one out."""

    simple_unet: ArchitectureRun[SimpleUNetSettings] | None = None
    unet_vae: VariationalRun[UNetVAESettings] | None = None
    unet_vae_deep: VariationalRun[UNetVAEDeepSettings] | None = None
    unet: ArchitectureRun[UNetSettings] | None = None
    vgg16_decoder: ArchitectureRun[VGG16DecoderSettings] | None = None
    eccv16: ClassifierRun[ECCV16Settings] | None = None
    siggraph17: ArchitectureRun[SIGGRAPH17Settings] | None = None
    deoldify_artistic: ArchitectureRun[DeOldifyArtisticSettings] | None = None
    deoldify_stable: ArchitectureRun[DeOldifyStableSettings] | None = None
    pix2pix_unet256: ArchitectureRun[Pix2PixSettings] | None = None
    ddcolor_tiny: ArchitectureRun[DDColorSettings] | None = None
    ddcolor_large: ArchitectureRun[DDColorSettings] | None = None

    def chosen(self) -> dict[str, ArchitectureRun[Any]]:
        """The architectures to train, by name, in the order of `params.yaml`'s schema."""
        runs = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: run for name, run in runs.items() if run is not None}


class EvaluationSettings(Section):
    """How models are measured and shown."""

    batch_size: int = Field(32, ge=1)
    gallery: int = Field(24, ge=1, description="photos shown in the report, the same for every model")
    primary: str = Field("ab_error_rebalanced", description="the metric that crowns the champion; smaller is better")


class RegistrySettings(Section):
    """MLflow's model registry; MLFLOW_TRACKING_URI overrides the store."""

    name: str = "colorize"
    store: str = Field("sqlite:///registry/mlflow.db", description="relative to the project's folder")
    artefacts: str = Field("registry/artefacts", description="folder for the files of a version, or s3://bucket/prefix")


class GateSettings(Section):
    """When a challenger takes the champion's place; intervals are 95 %, by paired bootstrap over photos."""

    min_delta: float = Field(
        0.0, ge=0, description="the whole interval of evaluation.primary must be better by more than this"
    )
    min_n: int = Field(100, ge=2, description="photos that both were measured on, at least")
    guards: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=lambda: {
            "colorfulness_error": 2.0,
            "psnr": 0.5,
            "false_blue_rate": 0.03,
            "hue_divergence": 0.05,
            "border_ratio": 0.1,
            "sharpness_error": 0.1,
            "checkerboard": 0.2,
        },
        description="by how much each of these figures may be worse at most, at the far end of its interval",
    )


class RetrainingSettings(Section):
    """When scheduled retraining stops instead of training on data that look wrong, and what it does afterwards."""

    maximum_shrink: float = Field(0.1, ge=0, le=1, description="share of the accepted photos that may be gone")
    maximum_refused_rise: float = Field(
        0.05, ge=0, le=1, description="by how much the share of refused photos may rise"
    )
    maximum_drift: float = Field(
        0.1, ge=0, le=1, description="bits, Jensen-Shannon divergence of the ab histograms of training photos"
    )
    remote: str | None = Field(None, description="DVC remote that data are pushed to; null: none")
    publish: str | None = Field(None, description="s3://bucket/prefix or folder for published shards; null: nowhere")
    notify: str | None = Field(None, description="https:// address that decisions are posted to as JSON; null: none")


class Settings(Section):
    """All of `params.yaml`."""

    datasets: dict[str, DatasetSettings]
    images: ImageSettings = ImageSettings()
    archives: ArchiveSettings = ArchiveSettings()
    ingest: IngestSettings = IngestSettings()
    dedupe: DedupeSettings = DedupeSettings()
    split: SplitSettings = SplitSettings()
    shards: ShardSettings = ShardSettings()
    training: TrainingSettings = TrainingSettings()
    scaling: ScalingSettings = ScalingSettings()
    architectures: ArchitecturesSettings = ArchitecturesSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    registry: RegistrySettings = RegistrySettings()
    gate: GateSettings = GateSettings()
    retraining: RetrainingSettings = RetrainingSettings()

    @model_validator(mode="after")
    def _overrides_are_training_settings(self) -> Settings:
        for name in self.architectures.chosen():
            self.training_of(name)
        return self

    def training_of(self, architecture: str) -> TrainingSettings:
        """The training section with the overrides of one architecture.

        Raises:
            ValueError: an override is unknown or out of range.
        """
        overrides = self.architectures.chosen()[architecture].training
        return TrainingSettings.model_validate({**self.training.model_dump(), **overrides})
