"""Who holds an alias: promotion only of what was compared, the way back, locks, and the frozen evaluation list."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy

from colorize import registry as registry_package
from colorize.registry import (
    ROLLED_BACK,
    HolderChangedError,
    LockedError,
    Registry,
    RegistryError,
    freeze,
    frozen,
    holder,
    lock,
    locks,
    promote,
    rollback,
    training_ids,
    training_ids_file,
)
from colorize.settings.sections import RegistrySettings

SETTINGS = RegistrySettings()


def make_version(registry: Registry, name: str) -> int:
    run = registry.root / "runs" / name
    (run / "model").mkdir(parents=True)
    (run / "model" / "model.safetensors").write_bytes(name.encode())
    (run / "model" / "model.json").write_text("{}")
    (run / "run.json").write_text(json.dumps({"architecture": "unet"}))
    (run / "done.json").write_text("{}")
    (run / "log.jsonl").write_text("")
    tags = {"architecture": name.rpartition("-")[0]}
    return registry.register(
        run, {"ab_rmse": 1.0}, tags, {"training_ids.parquet": training_ids_file(["b", "a"])}
    ).number


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four versions without aliases."""
    registry = Registry(SETTINGS, tmp_path_factory.mktemp("project"))
    for name in ("unet-a", "unet-b", "simple_unet-c", "unet-d"):
        make_version(registry, name)
    return registry.root


@pytest.fixture
def registry(filled: Path, tmp_path: Path) -> Registry:
    return Registry(SETTINGS, Path(shutil.copytree(filled, tmp_path / "project")))


def number(registry: Registry, alias: str) -> int | None:
    found = holder(registry, alias)
    return None if found is None else found.number


def crown(registry: Registry, *versions: int, alias: str = "champion") -> None:
    for version in versions:
        promote(registry, version, alias, expected=number(registry, alias))


def remove_files(registry: Registry, version: int) -> None:
    shutil.rmtree(registry.resolve(version).folder)


def test_a_promotion_needs_the_holder_that_was_compared_with(registry: Registry) -> None:
    promote(registry, 1, "champion", expected=None)
    with pytest.raises(HolderChangedError, match="points to version 1, not to nobody"):
        promote(registry, 2, "champion", expected=None)
    promote(registry, 2, "champion", expected=1)
    with pytest.raises(HolderChangedError, match="points to version 2, not to version 1"):
        promote(registry, 4, "champion", expected=1)
    assert (number(registry, "champion"), number(registry, "previous")) == (2, 1)


@pytest.mark.parametrize("damage", ["removed", "changed"])
def test_an_incomplete_version_gets_no_alias(registry: Registry, damage: str) -> None:
    weights = registry.resolve(2).folder / "model.safetensors"
    weights.unlink() if damage == "removed" else weights.write_bytes(b"other")
    with pytest.raises(RegistryError, match="version 2 is not whole"):
        promote(registry, 2, "champion", expected=None)
    assert number(registry, "champion") is None


def test_the_way_back_goes_through_all_earlier_holders(registry: Registry) -> None:
    crown(registry, 1, 2, 3, 4)
    for left, now, previous in ((4, 3, 2), (3, 2, 1), (2, 1, None)):
        before, after = rollback(registry)
        assert (before.number, after.number) == (left, now)
        assert number(registry, "champion") == now
        assert number(registry, "previous") == previous
        assert registry.resolve(left).tags[ROLLED_BACK]
    with pytest.raises(RegistryError, match="version 1 is the first 'champion'"):
        rollback(registry)
    assert number(registry, "champion") == 1


def test_the_way_back_passes_over_what_is_broken(registry: Registry) -> None:
    crown(registry, 1, 2, 3)
    remove_files(registry, 3)
    remove_files(registry, 2)
    before, after = rollback(registry)
    assert (before.number, after.number) == (3, 1)


def test_the_version_that_is_left_loses_its_other_places(registry: Registry) -> None:
    crown(registry, 1, 2)
    crown(registry, 1, 2, alias="champion-unet")
    crown(registry, 3, alias="champion-simple_unet")
    rollback(registry)
    assert [number(registry, f"champion{suffix}") for suffix in ("", "-unet", "-simple_unet")] == [1, 1, 3]
    crown(registry, 4, alias="champion")
    registry.client.set_registered_model_alias(registry.name, "champion-odd", "4")
    rollback(registry)
    assert number(registry, "champion-odd") is None


def test_nobody_to_go_back_from(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="nobody holds 'champion'"):
        rollback(registry)


@pytest.mark.parametrize("step", range(5))
def test_a_way_back_that_was_killed_is_gone_again(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    crown(registry, 1, 2, 3)
    calls = 0

    def counted(real: object) -> object:
        def call(*arguments: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls > step:
                raise KeyboardInterrupt
            return real(*arguments, **options)  # type: ignore[operator]

        return call

    with monkeypatch.context() as patch:
        for name in ("set_model_version_tag", "set_registered_model_alias", "set_registered_model_tag"):
            patch.setattr(registry.client, name, counted(getattr(registry.client, name)))
        try:
            rollback(registry)
            assert step >= 4
        except KeyboardInterrupt:
            assert number(registry, "champion") in (2, 3)
    if number(registry, "champion") == 3:
        rollback(registry)
    assert number(registry, "champion") == 2
    rollback(registry)
    assert number(registry, "champion") == 1


def hold(root: Path, ready: object, seconds: float) -> None:
    with lock(Registry(SETTINGS, root), "retrain", "the other"):
        ready.set()  # type: ignore[attr-defined]
        time.sleep(seconds)


@pytest.fixture
def other(registry: Registry):  # type: ignore[no-untyped-def]
    """Another process that holds the lock."""
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=hold, args=(registry.root, ready, 300.0))
    process.start()
    assert ready.wait(60)
    yield process
    process.kill()
    process.join()


def test_of_two_only_one_holds_a_lock_and_the_other_is_told(registry: Registry, other: multiprocessing.Process) -> None:
    with (
        pytest.raises(LockedError, match=rf"'.*retrain' is locked by the other \(process {other.pid} on .* since 20"),
        lock(registry, "retrain", "me"),
    ):
        pytest.fail("held by two")
    with lock(registry, "another", "me"):
        pass


def test_the_lock_of_a_killed_process_is_free_at_once(registry: Registry, other: multiprocessing.Process) -> None:
    os.kill(other.pid, signal.SIGKILL)  # type: ignore[arg-type]
    other.join()
    with lock(registry, "retrain", "me"):
        pass


def test_a_lock_of_another_machine_is_free_when_its_lease_ends(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = sqlalchemy.create_engine(registry.uri)
    with lock(registry, "retrain", "elsewhere"), engine.begin() as connection:
        connection.execute(sqlalchemy.text("update colorize_locks set host = 'elsewhere', token = 'other'"))
    with pytest.raises(LockedError, match="on elsewhere"), lock(registry, "retrain", "me"):
        pytest.fail("held by two")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("update colorize_locks set expires = 1"))
    with lock(registry, "retrain", "me"):
        pass


def test_a_lock_is_held_for_longer_than_its_lease(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "LEASE", 0.6)
    with lock(registry, "retrain", "me"):
        time.sleep(1.5)
        with pytest.raises(LockedError), lock(registry, "retrain", "you"):
            pytest.fail("held by two")


def test_a_server_has_no_locks_and_says_what_to_do(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.uri = "http://127.0.0.1:5000"
    with pytest.raises(RegistryError, match="MLFLOW_TRACKING_URI"), lock(registry, "retrain", "me"):
        pass


def test_a_database_that_somebody_else_has_locked_is_said(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_SECONDS_FOR_THE_DATABASE", 0.3)
    with lock(registry, "first", "me"):
        pass
    database = sqlite3.connect(registry.uri.removeprefix("sqlite:///"), isolation_level=None)
    database.execute("begin exclusive")
    with pytest.raises(RegistryError, match="does not answer"), lock(registry, "retrain", "me"):
        pytest.fail("a lock in a locked database")
    database.rollback()
    with lock(registry, "retrain", "me"):
        pass


def test_the_evaluation_list_is_kept_until_it_is_frozen_anew(registry: Registry) -> None:
    assert frozen(registry) is None
    first = freeze(registry, ["b", "a", "b"])
    assert frozen(registry) == {"a", "b"}
    assert freeze(registry, ["a", "b"]) == first
    assert freeze(registry, ["c"]) != first
    assert frozen(registry) == {"c"}
    with pytest.raises(ValueError, match="compares nothing"):
        freeze(registry, [])
    path = next((registry.artefacts.folder / "evaluation").glob(f"{registry.tag('evaluation')}.json"))
    path.write_text('["d"]')
    with pytest.raises(RegistryError, match="other content"):
        frozen(registry)
    path.unlink()
    with pytest.raises(RegistryError, match="is missing"):
        frozen(registry)


def test_a_version_knows_what_it_was_trained_on(registry: Registry) -> None:
    assert training_ids(registry, registry.resolve(1)) == {"a", "b"}
    assert training_ids(registry, replace(registry.resolve(1), files={})) == frozenset()
    (registry.resolve(2).folder / "training_ids.parquet").unlink()
    with pytest.raises(RegistryError, match=r"training_ids.parquet is missing"):
        training_ids(registry, registry.resolve(2))


def test_the_package_offers_what_it_says() -> None:
    assert all(hasattr(registry_package, name) for name in registry_package.__all__)
