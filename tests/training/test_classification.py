"""A run whose objective asks how common colours are: where it finds that, and that it learns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from colorize.data.prior import histogram_of
from colorize.data.publish import publish
from colorize.data.statistics import StatisticsError, gather
from colorize.settings import Settings
from colorize.settings.objectives import title
from colorize.training.identity import specify
from colorize.training.loop import train


def test_the_histogram_lies_beside_shards_or_in_what_was_published(lab: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "lab").symlink_to(lab)
    with pytest.raises(StatisticsError, match="missing"):
        histogram_of(folder / "lab")
    counted = gather(lab)
    (folder / "statistics.json").write_text(json.dumps(counted))
    found = histogram_of(folder / "lab")
    assert found.sum() == counted["pixels"]
    published = publish(folder / "lab", str(tmp_path / "published"))
    assert (histogram_of(published.address) == found).all()
    (folder / "statistics.json").write_text(json.dumps({**counted, "digest": "0" * 64}))
    with pytest.raises(StatisticsError, match="counted from other shards"):
        histogram_of(folder / "lab")


def test_a_run_by_classification_learns(
    lab: Path, root: Path, tmp_path: Path, settings: Callable[..., Settings]
) -> None:
    (tmp_path / "lab").symlink_to(lab)
    (tmp_path / "statistics.json").write_text(json.dumps(gather(lab)))
    chosen = settings(epochs=12, learning_rate=0.003)
    values = chosen.model_dump(mode="json")
    values["architectures"] = {"eccv16": {"model": {"width": 0.1}}}
    run = specify(type(chosen).model_validate(values), "eccv16", lab, root)
    assert title(run.objective) == "classification"
    done = train(run, tmp_path / "lab", tmp_path / "run", device="cpu", threads=1)
    losses = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    first, last = (record["loss"] for record in (losses[0], [one for one in losses if "loss" in one][-1]))
    assert last < 0.8 * first
    assert done["epochs"] == 12
