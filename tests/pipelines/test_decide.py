"""What a scheduled retraining does, as a table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from colorize.data.state import DataState
from colorize.settings.sections import RetrainingSettings
from pipelines.decide import choose
from pipelines.plan import Action, Plan

BEFORE = DataState("a" * 64, {"one": 100}, {"one": 2}, {"train": 80, "test": 18}, [[10, 0], [0, 30]])
MORE = replace(BEFORE, digest="b" * 64, listed={"one": 120}, photos={"train": 95, "test": 20})
FEWER = replace(BEFORE, digest="c" * 64, listed={"one": 60}, photos={"train": 45, "test": 10})


def planned(**actions: Action) -> list[Plan]:
    return [
        Plan(cast(Any, SimpleNamespace(architecture=name)), Path("runs"), action, "because")
        for name, action in actions.items()
    ]


@pytest.mark.parametrize(
    ("data", "plans", "accept", "action", "reason"),
    [
        ((BEFORE, None), {"unet": "train"}, False, ("train", ["unet"]), "unet: no model is registered yet"),
        ((FEWER, None), {"unet": "train"}, False, ("train", ["unet"]), "no model is registered yet"),
        ((BEFORE, BEFORE), {"unet": "skip", "vae": "skip"}, False, ("skip", []), "data, parameters, code and lock"),
        ((BEFORE, BEFORE), {"unet": "train", "vae": "skip"}, False, ("train", ["unet"]), "parameters, code or lock"),
        ((BEFORE, BEFORE), {"unet": "resume", "vae": "skip"}, False, ("train", ["unet"]), "unet: "),
        ((MORE, BEFORE), {"unet": "train", "vae": "train"}, False, ("train", ["unet", "vae"]), "vae: the data changed"),
        ((FEWER, BEFORE), {"unet": "train"}, False, ("stop", []), "55 photos are usable, 98 were"),
        ((FEWER, BEFORE), {"unet": "skip"}, False, ("stop", []), "--accept-data"),
        ((FEWER, BEFORE), {"unet": "train"}, True, ("train", ["unet"]), "the data changed"),
        ((FEWER, BEFORE), {"unet": "skip"}, True, ("skip", []), "data, parameters"),
        # The same data cannot look wrong, whatever was counted of them.
        ((replace(FEWER, digest=BEFORE.digest), BEFORE), {"unet": "skip"}, False, ("skip", []), "data, parameters"),
    ],
)
def test_the_table(
    data: tuple[DataState, DataState | None],
    plans: dict[str, Action],
    accept: bool,
    action: tuple[str, list[str]],
    reason: str,
) -> None:
    choice = choose(*data, planned(**plans), RetrainingSettings(), accept_data=accept)
    assert (choice.action, [item.specification.architecture for item in choice.train]) == action
    assert reason in choice.reason
