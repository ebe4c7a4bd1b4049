"""The state of a training, as its log tells it."""

from __future__ import annotations

from dataclasses import replace
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


def test_waiting_counts_by_the_time_that_records_take() -> None:
    # The first record takes three times as long as the second: (3 x 2 % + 10 %) / 4.
    slow, fast = ({**STEP, "images_per_second": v, "data_wait_share": w} for v, w in ((4.0, 0.02), (12.0, 0.1)))
    state = progress([slow, fast], 16)
    assert state is not None
    assert state.data_wait_share == pytest.approx(0.04)
    assert "6 images/s, waits for data 4%, " in sentence("unet", state, 5)
    assert "waits" not in sentence("unet", replace(state, data_wait_share=0.0099), 5)


@pytest.mark.parametrize(
    ("seconds", "told"), [(59.4, "59 s"), (60.0, "1 min 00 s"), (3599.6, "1 h 00 min"), (90061.0, "25 h 01 min")]
)
def test_time_left_in_words(seconds: float, told: str) -> None:
    state = progress([STEP], 16)
    assert state is not None
    assert replace(state, seconds_left=seconds).time_left == told


def test_the_rehearsal_is_told_before_the_workers(tmp_path: Path) -> None:
    (tmp_path / "workers").mkdir()
    for name in ("rank-0", "rank-1", "rehearsal"):
        (tmp_path / "workers" / f"{name}.log").write_text(f"{name} speaks\n")
    told = ["rehearsal: rehearsal speaks", "worker 0: rank-0 speaks", "worker 1: rank-1 speaks"]
    assert Workers(tmp_path).news() == told


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
