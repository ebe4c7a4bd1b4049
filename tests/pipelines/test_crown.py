"""Who becomes champion."""

from __future__ import annotations

import pyarrow as pa
import pytest

from colorize.metrics.evaluation import SCHEMA
from pipelines.crown import crown


def rows(error: float, ids: str = "abcdef") -> pa.Table:
    filled = {"id": list(ids), "dataset": ["d"] * len(ids), "ab_error_rebalanced": [error + len(ids)] * len(ids)}
    filled["psnr"] = filled["ab_error_rebalanced"]
    others = {name: [1.0] * len(ids) for name in SCHEMA.names if name not in filled}
    return pa.table({**filled, **others}).select(SCHEMA.names).cast(SCHEMA)


LESS, MORE = "ab_error_rebalanced", "psnr"


@pytest.mark.parametrize(
    ("contenders", "present", "metric", "expected"),
    [
        ({1: 5.0, 2: 4.0}, None, LESS, (2, True, "best of 2")),
        ({1: 5.0, 2: 4.0}, None, MORE, (1, True, "best of 2")),
        ({1: 5.0, 2: 4.0}, (2, 4.0), LESS, (2, False, "holds it already")),
        ({3: 3.0}, (2, 4.0), LESS, (3, True, "version 3 is better")),
        ({3: 3.0}, (2, 4.0), MORE, (2, False, "version 3 is not better")),
        ({3: 4.0}, (2, 4.0), LESS, (2, False, "version 3 is not better")),
        ({3: 9.0}, (2, 4.0), LESS, (2, False, "15.000 against 10.000 of version 2 on 6 photos")),
    ],
)
def test_the_better_one_on_the_same_photos_wins(
    contenders: dict[int, float],
    present: tuple[int, float] | None,
    metric: str,
    expected: tuple[int, bool, str],
) -> None:
    measured = {number: rows(error) for number, error in contenders.items()}
    decision = crown(measured, present and (present[0], rows(present[1])), metric)
    assert (decision.version, decision.changed) == expected[:2]
    assert expected[2] in decision.reason


def test_a_champion_of_other_photos_makes_way() -> None:
    decision = crown({3: rows(9.0)}, (2, rows(1.0, "uvwxyz")), LESS)
    assert (decision.version, decision.changed) == (3, True)
    assert "other photos" in decision.reason


def test_only_shared_photos_count() -> None:
    # Over all its photos the present champion looks better; on the shared ones it is not.
    present = pa.concat_tables([rows(9.0, "abcdef"), rows(-50.0, "uvwxyz")])
    assert crown({3: rows(8.0)}, (2, present), LESS).version == 3


def test_an_unknown_metric_is_named() -> None:
    with pytest.raises(ValueError, match="'beauty'; there are: psnr"):
        crown({1: rows(1.0)}, None, "beauty")
