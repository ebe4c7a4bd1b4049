"""`colorize doctor` says what is broken and how to mend it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from colorize.commands.doctor import Finding, _differences, examine
from colorize.data.sources.listing import SCHEMA


def findings(root: Path) -> dict[str, Finding]:
    return {finding.subject: finding for finding in examine(root)}


def test_the_repository_itself_is_healthy(repository: Path) -> None:
    found = findings(repository)
    assert [finding for finding in found.values() if finding.state == "broken"] == []
    assert "photos at" in found["landscape-image-colorization"].text
    assert found["packages"].text == "as requirements.lock says"


def test_a_missing_folder_and_a_typo_are_named(tmp_path: Path, repository: Path) -> None:
    text = (repository / "params.yaml").read_text(encoding="utf-8")
    missing = tmp_path / "no-such-folder"
    source = '"sample://landscape-pictures?photos=240"'
    assert source in text
    (tmp_path / "params.yaml").write_text(text.replace(source, f'"file://{missing}"'), encoding="utf-8")
    finding = findings(tmp_path)["landscape-pictures"]
    assert finding.state == "broken"
    assert str(missing) in finding.text

    (tmp_path / "params.yaml").write_text(text.replace("epochs:", "epoch:"), encoding="utf-8")
    finding = findings(tmp_path)["params.yaml"]
    assert finding.state == "broken"
    assert "did you mean 'epochs'" in finding.text


def test_an_address_that_loses_runs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    assert findings(tmp_path)["Ray"].state == "broken"


def test_packages_are_compared_with_the_lock() -> None:
    assert [text.endswith("not 0.0.1") for text in _differences("pytest==0.0.1\n")] == [True]
    assert list(_differences("no-such-package==1.0\n")) == ["no-such-package 1.0 is missing"]
    assert list(_differences("torch==2.13.0\n")) == []


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """A project whose photos are elsewhere; nothing has been fetched."""
    text = (
        "datasets:\n"
        "  set: {source: 'kaggle://owner/set', expected: 4319}\n"
        "  zip: {source: 'https://localhost:1/photos.zip', expected: 25000}\n"
        "  bucket: {source: 's3://bucket/photos'}\n"
    )
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    return tmp_path


def list_photos(project: Path, name: str, source: str, sizes: list[int]) -> None:
    """Write the listing that an earlier run would have left."""
    rows = [{"path": f"{i}.jpg", "size": size, "version": "1", "locator": ""} for i, size in enumerate(sizes)]
    head = {"source": source, "layout": "flat", "number": len(sizes), "ignored": {}}
    table = pa.Table.from_pylist(rows, schema=SCHEMA).replace_schema_metadata({b"colorize": json.dumps(head).encode()})
    (project / "data/sources").mkdir(parents=True, exist_ok=True)
    pq.write_table(table, project / "data/sources" / f"{name}.parquet")


def test_sources_elsewhere_are_not_asked(remote: Path) -> None:
    found = findings(remote)
    for name, expected in (("set", "about 4,319 photos"), ("zip", "about 25,000 photos"), ("bucket", "s3://bucket")):
        assert found[name].state == "note"
        assert expected in found[name].text
        assert "not looked at yet" in found[name].text
    assert "downloads, raw and LAB shards" in found["disk"].text
    assert "not counting bucket" in found["disk"].text
    assert not (remote / "data").exists(), "only looked"


def test_sources_elsewhere_are_as_last_listed(remote: Path) -> None:
    list_photos(remote, "bucket", "s3://bucket/photos", [2**30] * 5)
    list_photos(remote, "zip", "https://localhost:1/another.zip", [1])
    found = findings(remote)
    assert found["bucket"] == Finding("bucket", "ok", "5 photos listed last time, of s3://bucket/photos")
    assert "not looked at yet" in found["zip"].text, "the listing is of another address"

    list_photos(remote, "zip", "https://localhost:1/photos.zip", [1])
    text = findings(remote)["zip"].text
    assert "1 photos listed last time" in text
    assert "25000 are expected" in text
    assert "no copy in data/downloads" in text


def test_a_number_of_photos_that_differs_is_noted(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("1.jpg", "2.jpg", ".hidden.jpg"):
        (tmp_path / "photos" / name).write_bytes(b"x")
    for expected, state in ((2, "ok"), (3, "note")):
        text = f"datasets: {{mine: {{source: 'file://{tmp_path}/photos', expected: {expected}}}}}\n"
        (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
        finding = findings(tmp_path)["mine"]
        assert finding.state == state
        assert finding.text.startswith(f"2 photos at file://{tmp_path}/photos")
        assert ("3 are expected" in finding.text) == (state == "note")
