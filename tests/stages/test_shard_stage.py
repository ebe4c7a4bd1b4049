"""The stages `shard` and `statistics`, from raw shards to counts that add up."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from colorize.data import manifest
from colorize.data.raw_shard import RAW_SCHEMA
from colorize.data.shards import read_index, verify
from colorize.settings import load_settings
from stages import shard, statistics


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml, raw shards of one dataset and splits of its 20 photos."""
    (tmp_path / "params.yaml").write_text(
        "datasets: {birds: {source: 'file:///nowhere'}}\nshards: {size: 16, rows: 8, row_group: 4}\n"
    )
    photos = []
    for number in range(20):
        stream = io.BytesIO()
        pixels = np.random.default_rng(number).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(stream, "PNG")
        data = stream.getvalue()
        known = {"dataset": "birds", "version": "1", "status": "accepted"}
        photos.append({**known, "id": hashlib.sha256(data).hexdigest(), "path": f"{number}.png", "data": data})
    folder = tmp_path / "data" / "raw" / "birds"
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(photos, RAW_SCHEMA), folder / "part-00000.parquet")
    known = [{"dataset": "birds", "id": photo["id"], "path": photo["path"]} for photo in photos]
    rows = [
        {**row, "version": "1", "status": "accepted", "shard": "part-00000.parquet", "row": number}
        for number, row in enumerate(known)
    ]
    pq.write_table(pa.Table.from_pylist(rows, manifest.SCHEMA), folder / "manifest.parquet")
    names = ["train", "train", "train", "test", "validation"]
    splits = [{**row, "split": names[number % 5]} for number, row in enumerate(known)]
    pq.write_table(pa.Table.from_pylist(splits), tmp_path / "data" / "splits.parquet")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLORIZE_WORKERS", "1")
    return tmp_path


def run(module: str, folder: Path, root: Path) -> subprocess.CompletedProcess[str]:
    command = (
        f"import sys; sys.path.insert(0, {str(root)!r}); import runpy; runpy.run_module({module!r}, None, '__main__')"
    )
    return subprocess.run([sys.executable, "-c", command], cwd=folder, capture_output=True, text=True, check=False)


def test_counts_add_up(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shard.main(load_settings())
    counts = json.loads(Path("reports/metrics/data/shard.json").read_text())
    assert counts["photos"] == counts["train"] + counts["validation"] + counts["test"] == 20
    assert (counts["train"], counts["validation"], counts["test"]) == (12, 4, 4)
    assert counts["bytes"] == sum(path.stat().st_size for path in Path("data/lab").rglob("*.parquet"))
    assert "shard: photos 20, train 12, validation 4, test 4" in capsys.readouterr().out
    assert verify(Path("data/lab")) == []

    statistics.main(load_settings())
    figures = json.loads(Path("reports/metrics/data/statistics.json").read_text())
    assert (figures["photos"], figures["pixels"]) == (12, 12 * 256)
    assert json.loads(Path("data/statistics.json").read_text())["digest"] == read_index(Path("data/lab"))["digest"]
    assert "statistics: photos 12, pixels 3072, mean (l " in capsys.readouterr().out


def test_a_rerun_changes_no_byte(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def everything() -> dict[str, bytes]:
        folders = [Path("data/lab"), Path("reports"), Path("data/statistics.json")]
        files = [path for folder in folders for path in (folder, *folder.rglob("*")) if path.is_file()]
        return {str(path): path.read_bytes() for path in files}

    for stage in (shard, statistics):
        stage.main(load_settings())
    first = everything()
    assert "written 0" not in capsys.readouterr().out
    for stage in (shard, statistics):
        stage.main(load_settings())
    assert everything() == first
    assert "written 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("module", "message"), [("stages.shard", "splits.parquet"), ("stages.statistics", "run 'dvc repro shard' first")]
)
def test_what_is_missing_is_said_in_one_line(project: Path, repository: Path, module: str, message: str) -> None:
    Path("data/splits.parquet").unlink()
    result = run(module, project, repository)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not list(project.rglob("data/lab/*"))
