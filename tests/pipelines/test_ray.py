"""What a training takes of the machines, and which addresses are refused. No Ray is started here."""

from __future__ import annotations

import pytest

from colorize.data.execution import check_ray_address
from colorize.settings.sections import ScalingSettings
from pipelines.environment import jobs_address
from pipelines.gauges import GAUGES, readings
from pipelines.ray_session import Node, Resources, share


@pytest.mark.parametrize(
    ("settings", "machines", "expected"),
    [
        ({"workers": 1}, [Node(2, 0)], Resources(1, 2, False)),
        ({"workers": 2}, [Node(2, 0)], Resources(2, 1, False)),
        ({"workers": 3}, [Node(8, 0)], Resources(3, 2, False)),
        ({"workers": 3}, [Node(8, 0), Node(8, 0)], Resources(3, 4, False)),
        ({"workers": 1, "cpus_per_worker": 1}, [Node(4, 0)], Resources(1, 1, False)),
        ({"workers": 1}, [Node(16, 4)], Resources(1, 4, True)),
        ({"workers": 4}, [Node(16, 2), Node(16, 2)], Resources(4, 8, True)),
        ({"workers": 2}, [Node(16, 1)], Resources(2, 8, False)),
        ({"workers": 1, "gpu": "never"}, [Node(16, 1)], Resources(1, 16, False)),
        ({"workers": 1}, [Node(64, 0), Node(8, 2)], Resources(1, 4, True)),
    ],
)
def test_share(settings: dict[str, object], machines: list[Node], expected: Resources) -> None:
    assert share(ScalingSettings.model_validate(settings), machines) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workers": 3}, "scaling.workers 3 needs more CPUs than there are"),
        ({"workers": 1, "cpus_per_worker": 4}, "scaling.cpus_per_worker 4 needs more CPUs"),
        ({"workers": 1, "gpu": "always"}, "Ray sees 0 GPUs"),
    ],
)
def test_what_cannot_be_had_is_an_error(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        share(ScalingSettings.model_validate(settings), [Node(2, 0)])


@pytest.mark.parametrize(
    ("address", "joined"), [(None, None), ("", None), ("auto", "auto"), ("10.0.0.1:6379", "10.0.0.1:6379")]
)
def test_addresses(address: str | None, joined: str | None) -> None:
    assert check_ray_address(address) == joined


@pytest.mark.parametrize(
    ("address", "message"), [("ray://head:10001", "30 s without network"), ("http://head:8265", "ray job submit")]
)
def test_addresses_that_are_refused(address: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_ray_address(address)


@pytest.mark.parametrize(
    ("address", "jobs"),
    [(None, False), ("", False), ("auto", False), ("10.0.0.1:6379", False), ("http://head:8265", True)],
)
def test_which_addresses_take_jobs(address: str | None, jobs: bool) -> None:
    assert jobs_address(address) == (address if jobs else None)


def test_what_the_gauges_show() -> None:
    record = {"step": 8, "epoch": 2, "loss": 0.5, "images_per_second": 40.0, "data_wait_share": 0.01}
    shown = readings(record, 16, 3 * 2**30)
    assert shown.keys() == GAUGES.keys()
    assert shown["step_seconds"] == 0.4
    assert shown["gpu_memory_bytes"] == 3 * 2**30
    assert readings({**record, "images_per_second": 0.0}, 16, 0)["step_seconds"] == 0.0
    assert readings({"step": 8, "epoch": 2, "validation_loss": 0.5}, 16, 0) == {}
