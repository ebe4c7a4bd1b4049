"""The stages of every network, and the page that shows them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from colorize.models import create, names
from colorize.models.registry import settings_of
from colorize.models.stages import Stage, draw, side_of, stages
from colorize.settings.architectures import UNetSettings


@pytest.fixture(scope="module")
def sections(repository: Path) -> dict[str, str]:
    """Text of the page by architecture."""
    page = (repository / "docs" / "architectures.md").read_text(encoding="utf-8")
    parts = re.split(r"^### `(\w+)`$", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_page_has_a_section_for_every_architecture(sections: dict[str, str]) -> None:
    assert sorted(sections) == sorted((*names(), *names(trained=False)))


@pytest.mark.parametrize("name", names())
def test_the_drawing_on_the_page_is_the_networks(sections: dict[str, str], name: str) -> None:
    drawing = draw(stages(name, settings_of(name, {})))
    assert (
        f"For one {side_of(name)} × {side_of(name)} photo, as published:\n\n```text\n{drawing}\n```" in sections[name]
    )


@pytest.mark.parametrize("name", names())
def test_the_table_on_the_page_has_the_networks_parameters(repository: Path, name: str) -> None:
    import torch

    page = (repository / "docs" / "architectures.md").read_text(encoding="utf-8")
    with torch.device("meta"):
        network = create(name, settings_of(name, {}))
    count = sum(parameter.numel() for parameter in network.parameters())
    assert f"| `{name}` | published | {count:,} |" in page


@pytest.mark.parametrize("name", names())
def test_every_stage_is_found_and_joins_others(name: str) -> None:
    found = stages(name, settings_of(name, {}))
    known = {stage.name for stage in found} | {"input"}
    for stage in found:
        assert {joined.removesuffix(", interpolated") for joined in stage.joins} <= known, stage
    assert found[0].shape == (1, side_of(name), side_of(name))
    assert len(found) >= 6


def test_a_slim_network_has_fewer_stages_and_another_photo_other_shapes() -> None:
    found = {stage.name: stage.shape for stage in stages("unet", UNetSettings(channels=4, depth=1), 64)}
    assert found == {
        "lightness": (1, 64, 64),
        "stem": (4, 64, 64),
        "encoder 1": (8, 32, 32),
        "decoder 1": (4, 64, 64),
        "ab": (2, 64, 64),
    }


def test_a_drawing_is_indented_by_halvings_and_names_what_is_joined() -> None:
    found = [Stage("lightness", (1, 8, 8)), Stage("down", (16, 4, 4)), Stage("up", (2, 8, 8), ("lightness",))]
    assert draw(found).splitlines() == [
        "lightness   1 × 8 × 8",
        "  down     16 × 4 × 4",
        "up          2 × 8 × 8  + lightness",
    ]


def test_a_method_without_learning_has_no_stages() -> None:
    with pytest.raises(ValueError, match="no stages are known of 'histogram_matching'"):
        stages("histogram_matching", settings_of("histogram_matching", {}))
