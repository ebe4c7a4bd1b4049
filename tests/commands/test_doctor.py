"""`colorize doctor` says what is broken and how to mend it."""

from __future__ import annotations

from pathlib import Path

import pytest

from colorize.commands.doctor import Finding, _differences, examine


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
