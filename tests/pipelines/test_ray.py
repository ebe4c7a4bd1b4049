"""What a training takes of the machines, and which addresses are refused. No Ray is started here."""

from __future__ import annotations

import pytest

from colorize.data.execution import check_ray_address
from colorize.settings.sections import ScalingSettings
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
