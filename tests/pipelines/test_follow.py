"""The state of a training, as its log tells it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.follow import Workers, progress, sentence

STEP = {"step": 40, "steps": 100, "epoch": 2, "loss": 12.25, "images_per_second": 8.0, "learning_rate": 0.1}
EPOCH = {"step": 20, "epoch": 1, "validation_loss": 9.5, "validation_ab_rmse": 3.0}


@pytest.mark.parametrize("records", [[], [EPOCH]])
def test_nothing_is_said_before_the_first_step(records: list[dict[str, float]]) -> None:
    assert progress(records, 16) is None


def test_the_last_records_count() -> None:
    state = progress([{**STEP, "step": 10, "loss": 99.0}, EPOCH, STEP], 16)
    assert state is not None
    assert state.percent == 40.0
    assert state.seconds_left == 120.0
    assert sentence("unet", state, 5) == (
        "unet: epoch 2 of 5, step 40 of 100, loss 12.25, validation 9.5, 8 images/s, 2 min 00 s left"
    )


def test_a_standstill_has_no_time_left() -> None:
    state = progress([{**STEP, "images_per_second": 0.0}], 16)
    assert state is not None
    assert "left" not in sentence("unet", state, 5)


def test_the_speed_is_that_of_the_last_records_together() -> None:
    state = progress([{**STEP, "images_per_second": speed} for speed in (4.0, 12.0)], 16)
    assert state is not None
    assert state.images_per_second == pytest.approx(6.0)


def test_each_whole_line_of_the_workers_is_told_once(tmp_path: Path) -> None:
    workers, folder = Workers(tmp_path), tmp_path / "workers"
    assert workers.news() == []
    folder.mkdir()
    (folder / "rank-0.log").write_text("begins\nhalf a li")
    (folder / "rank-1.log").write_bytes(b"caf\xe9\n")
    assert workers.news() == ["worker 0: begins", "worker 1: caf\ufffd"]
    assert workers.news() == []
    with (folder / "rank-0.log").open("a") as log:
        log.write("ne\nends\n")
    assert workers.news() == ["worker 0: half a line", "worker 0: ends"]
