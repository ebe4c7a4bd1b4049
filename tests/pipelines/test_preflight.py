"""Which runs are rehearsed, and what of it reaches people. Ray is a stand-in here; tests/flows has a real one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayTaskError

from colorize.training.loop import TrainingError
from colorize.training.mirror import Mirror
from pipelines import preflight
from pipelines.follow import Workers
from pipelines.preflight import is_fresh, rehearse
from pipelines.ray_session import Node, Resources
from pipelines.ray_train import _of_wrapper

RUN = "unet-aaaaaaaaaaaa"


@pytest.mark.parametrize("kept", [True, False])
def test_a_run_is_fresh_until_its_first_checkpoint_is_whole(tmp_path: Path, kept: bool) -> None:
    folder, storage = tmp_path / RUN, str(tmp_path / "storage") if kept else None
    checkpoint = folder / "checkpoints" / "epoch-00001"
    assert is_fresh(RUN, folder, storage)
    (folder / "checkpoints" / ".tmp-epoch-00001").mkdir(parents=True)
    (folder / "log.jsonl").write_text("{}\n")
    if storage:
        Mirror(storage, RUN).push(folder)
    assert is_fresh(RUN, folder, storage)
    checkpoint.mkdir()
    (checkpoint / "state.json").write_text("{}")
    # With a storage that counts, not what happens to lie here.
    assert is_fresh(RUN, folder, storage) == kept
    if storage:
        Mirror(storage, RUN).push(folder)
    assert not is_fresh(RUN, folder, storage)


@pytest.mark.parametrize("kept", [True, False])
def test_a_finished_run_is_not_fresh(tmp_path: Path, kept: bool) -> None:
    folder, storage = tmp_path / RUN, str(tmp_path / "storage") if kept else None
    (folder / "model").mkdir(parents=True)
    for name in ("model/model.json", "run.json", "done.json"):
        (folder / name).write_text("{}")
    if storage:
        Mirror(storage, RUN).push(folder)
    assert not is_fresh(RUN, folder, storage)


class OneWorker:
    """In place of Ray: runs a task here, and notes what it was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answer: str | Exception) -> None:
        self.resources: dict[str, Any] = {}
        self.arguments: tuple[Any, ...] = ()
        self.answer = answer
        monkeypatch.setattr(preflight.ray, "remote", self.remote)
        monkeypatch.setattr(preflight.ray, "get", self.get)
        monkeypatch.setattr(preflight, "nodes", lambda: [Node(2, 0), Node(8, 0)])

    def remote(self, **resources: Any) -> Any:
        self.resources = resources
        return lambda _function: SimpleNamespace(remote=self.note)

    def note(self, *arguments: Any) -> None:
        self.arguments = arguments

    def get(self, _reference: None) -> str:
        if isinstance(self.answer, Exception):
            raise RayTaskError("rehearse", "…", self.answer)
        return self.answer


def run() -> Any:
    return SimpleNamespace(name=RUN, to_dict=dict)


@pytest.mark.parametrize("kept", [True, False])
def test_what_a_rehearsal_found_is_told_with_the_workers_lines(
    tmp_path: Path, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, here = tmp_path / "there" / RUN, tmp_path / "here" / RUN
    storage = str(tmp_path / "storage") if kept else None
    ray = OneWorker(monkeypatch, "unet: learns")
    rehearse(run(), "lab", there, storage, Resources(6, 2, False))
    assert ray.resources == {"num_cpus": 2, "num_gpus": 0, "max_retries": 0}
    assert ray.arguments[-1] == (6, 4)  # six workers, of which the node of eight CPUs takes four
    if storage:
        Mirror(storage, RUN).follow(here)
    assert Workers(here if kept else there).news() == ["rehearsal: unet: learns"]


def test_a_rehearsal_that_fails_is_an_error_of_its_own_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    OneWorker(monkeypatch, TrainingError("unet: does not learn"))
    with pytest.raises(TrainingError, match=r"^unet: does not learn$"):
        rehearse(run(), "lab", tmp_path, None, Resources(1, 1, False))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("epochs", "told"), [(0, {}), (2, {"find_unused_parameters": True})])
def test_a_frozen_encoder_is_not_waited_for(epochs: int, told: dict[str, bool]) -> None:
    specification: Any = SimpleNamespace(training=SimpleNamespace(frozen_epochs=epochs))
    assert _of_wrapper(specification) == told
