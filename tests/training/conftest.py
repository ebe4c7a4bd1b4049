"""A few tiny photos as real LAB shards, and runs that train on them in a second."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from colorize.data.shard_file import Row, write_shard
from colorize.data.shard_index import read_entry, write_index
from colorize.data.shard_plan import Photo, ShardPlan
from colorize.settings import Settings
from colorize.settings.sections import ShardSettings
from colorize.training.identity import RunSpecification, specify

SIDE = 32
PHOTOS = {"train": 22, "validation": 5}


def _row(name: str) -> Row:
    """A photo whose colour follows from its lightness: bright is blue, dark is red."""
    identity = hashlib.sha256(name.encode()).hexdigest()
    random = np.random.default_rng(int(identity[:8], 16))
    coarse = random.integers(40, 216, (SIDE // 8, SIDE // 8), dtype=np.uint8)
    lightness = coarse.repeat(8, axis=0).repeat(8, axis=1)
    ab = np.stack([178 - lightness // 3, 158 - lightness // 2]).astype(np.uint8)
    return Row(identity, lightness.tobytes(), ab.tobytes(), SIDE, SIDE)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of LAB shards: 22 photos to train on, 5 to validate, 32 x 32 pixels."""
    folder = tmp_path_factory.mktemp("data") / "lab"
    settings = ShardSettings(size=SIDE, row_group=4)
    entries = []
    for split, photos in PHOTOS.items():
        rows = [_row(f"{split} {number}") for number in range(photos)]
        plan = ShardPlan(split, "tiny", 0, tuple(Photo(row.id, row.id) for row in rows), settings)
        write_shard(folder / plan.path, plan, rows)
        entries.append(read_entry(folder, plan.path)[0])
    write_index(folder, entries, settings)
    return folder


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with a lock file."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "requirements.lock").write_text("torch==2.13.0\n")
    return folder


def tiny_settings(**training: object) -> Settings:
    """Networks that train in a second, all three architectures."""
    return Settings.model_validate(
        {
            "datasets": {"tiny": {"source": "sample://tiny"}},
            "training": {
                "epochs": 3,
                "batch_size": 8,
                "learning_rate": 0.01,
                "warmup_steps": 2,
                **training,
            },
            "architectures": {
                "simple_unet": {"model": {"width": 0.1}},
                "unet_vae": {"model": {"width": 0.1}},
                "unet": {"model": {"channels": 4, "depth": 2}},
            },
        }
    )


@pytest.fixture
def settings() -> Callable[..., Settings]:
    """Makes settings; keyword arguments override the training section."""
    return tiny_settings


@pytest.fixture
def run(lab: Path, root: Path) -> Callable[..., RunSpecification]:
    """Makes the specification of a run: architecture, and overrides of the training section."""

    def make(architecture: str = "unet", **training: object) -> RunSpecification:
        return specify(tiny_settings(**training), architecture, lab, root)

    return make
