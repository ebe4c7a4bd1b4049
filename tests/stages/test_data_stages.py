"""The data stages as commands: their outputs, their counts, and one clear line when something is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
LENIENT = "ingest: {maximum_refused: 0.2}\n"


def stage(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLORIZE_WORKERS": "1"}
    command = [sys.executable, "-m", f"stages.{arguments[0]}", *arguments[1:]]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


def good(project: Path, *arguments: str) -> str:
    result = stage(project, *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def error(project: Path, *arguments: str) -> str:
    """The one line of a failing stage."""
    result = stage(project, *arguments)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def parameters(project: Path, source: str, more: str = "") -> None:
    text = f"datasets:\n  mine: {{source: 'file://{source}', layout: flat}}\n{more}"
    (project / "params.yaml").write_text(text, encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with params.yaml and eight photos, of which one is a copy, one is grey and one is broken."""
    photos = tmp_path / "my photos"
    photos.mkdir()
    for i in range(6):
        coarse = np.random.default_rng(i).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((64, 48), Image.Resampling.BICUBIC).save(photos / f"{i}.jpg", quality=90)
    (photos / "copy.jpg").write_bytes((photos / "0.jpg").read_bytes())
    Image.open(photos / "1.jpg").convert("L").save(photos / "grey.jpg")
    (photos / "broken.jpg").write_bytes(b"oops")
    parameters(tmp_path, f"{tmp_path}/my%20photos", "split: {validation: 0.0, test: 0.0}\n" + LENIENT)
    (tmp_path / "removed.jsonl").touch()
    return tmp_path


def test_from_folder_to_splits(project: Path) -> None:
    assert "listed 9" in good(project, "sources", "mine")
    assert "rejected by reason (not-an-image 1)" in good(project, "ingest", "mine")
    assert "exact copies 1" in good(project, "dedupe")
    assert "train 6" in good(project, "split")
    metrics = {path.name: json.loads(path.read_text()) for path in (project / "reports/metrics/data").iterdir()}
    assert set(metrics) == {"ingest-mine.json", "dedupe.json", "split.json"}
    ingested, grouped, split = metrics["ingest-mine.json"], metrics["dedupe.json"], metrics["split.json"]
    assert ingested["listed"] == ingested["accepted"] + ingested["flagged"] + ingested["rejected"] == 9
    assert grouped["listed"] == grouped["rejected"] + grouped["photos"] == 9
    assert grouped["grey_copy_pairs"] == 1
    assert split["photos"] == 8
    assert (split["copies"], split["flagged"], split["train"]) == (1, 1, 6)
    assert sorted(pq.read_table(project / "data/splits.parquet")["path"].to_pylist()) == [f"{i}.jpg" for i in range(6)]


def test_a_changed_source_is_pointed_out(project: Path) -> None:
    good(project, "sources", "mine")
    (project / "my photos" / "3.jpg").unlink()
    parameters(project, f"{project}/my%20photos", "ingest: {maximum_refused: 0.3}\n")
    assert "dvc repro --force --single-item sources@mine ingest@mine" in good(project, "ingest", "mine")


def test_a_source_that_shrank(project: Path) -> None:
    good(project, "sources", "mine")
    before = (project / "data/sources/mine.parquet").read_bytes()
    for path in sorted((project / "my photos").iterdir())[:4]:
        path.unlink()
    text = error(project, "sources", "mine")
    assert "lists 5 files, 9 last time: 44.4% are gone, and ingest.maximum_shrink allows 10.0%" in text
    assert (project / "data/sources/mine.parquet").read_bytes() == before
    parameters(project, f"{project}/my%20photos", "ingest: {maximum_shrink: 0.5}\n")
    assert "listed 5" in good(project, "sources", "mine")
    # Another address is another source: nothing to compare with.
    (project / "few").mkdir()
    (project / "my photos" / "5.jpg").rename(project / "few" / "5.jpg")
    parameters(project, f"{project}/few")
    assert "listed 1" in good(project, "sources", "mine")


def test_too_many_refused(project: Path) -> None:
    good(project, "sources", "mine")
    parameters(project, f"{project}/my%20photos")
    text = error(project, "ingest", "mine")
    assert "mine: 1 of 9 listed photos are refused already (11.1%; 1 not-an-image)" in text
    assert not (project / "data/raw/mine/manifest.parquet").exists()


def test_an_expected_number_that_is_not_met(project: Path) -> None:
    text = f"datasets:\n  mine: {{source: 'file://{project}/my%20photos', layout: flat, expected: 7129}}\n"
    (project / "params.yaml").write_text(text, encoding="utf-8")
    assert "mine: 7129 photos were expected, 9 are listed" in good(project, "sources", "mine")


def test_flagged_photos_are_used_when_they_may_be(project: Path) -> None:
    splits = "split: {validation: 0.0, test: 0.0, include_flagged: [grey]}\n"
    parameters(project, f"{project}/my%20photos", splits + LENIENT)
    for stages in (("sources", "mine"), ("ingest", "mine"), ("dedupe",)):
        good(project, *stages)
    assert "train 7" in good(project, "split")
    assert "grey.jpg" in pq.read_table(project / "data/splits.parquet")["path"].to_pylist()


def test_a_typo_in_the_settings(project: Path) -> None:
    parameters(project, "/photos", "dedupe: {radios: 3}\n")
    assert "unknown key 'dedupe.radios'; did you mean 'radius'?" in error(project, "dedupe")
    parameters(project, "/photos", "images: {formats: [JPG, PNG]}\n")
    assert "'images.formats.0' is 'JPG'" in error(project, "sources", "mine")


def test_sources_that_do_not_work(project: Path) -> None:
    parameters(project, "/nowhere/photos")
    assert "/nowhere/photos does not exist; correct the dataset's 'source'" in error(project, "sources", "mine")
    (project / "empty").mkdir()
    parameters(project, f"{project}/empty")
    assert "is empty; put photos into it" in error(project, "sources", "mine")
    assert not (project / "data").exists()


def test_a_dataset_that_is_not_there(project: Path) -> None:
    assert "no dataset 'yours' in params.yaml; there are: mine" in error(project, "sources", "yours")
    assert "usage: python -m stages.sources DATASET" in error(project, "sources")


def test_a_stage_before_its_turn(project: Path) -> None:
    assert "run 'dvc repro sources@mine' first" in error(project, "ingest", "mine")
    assert "run 'dvc repro ingest@mine' first" in error(project, "dedupe")


def test_no_settings_at_all(tmp_path: Path) -> None:
    assert "params.yaml: cannot be read" in error(tmp_path, "split")
