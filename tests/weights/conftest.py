"""Files of weights as publishers write them, filled by a formula, and a project to import them into."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from colorize.weights import find


def filled(network: nn.Module) -> dict[str, Tensor]:
    """A state dict of other values than any fresh network has; variances stay positive."""
    generator = torch.Generator().manual_seed(7)
    return {
        name: torch.full_like(tensor, 3)
        if not tensor.is_floating_point()
        else 0.02 * torch.rand(tensor.shape, generator=generator) + (1.0 if name.endswith("running_var") else 0.0)
        for name, tensor in network.state_dict().items()
    }


@pytest.fixture
def state() -> Callable[[str], dict[str, Tensor]]:
    """Makes the tensors of a published network, by name."""
    return lambda name: filled(find(name).build())


@pytest.fixture
def project(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder that the command line finds."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "params.yaml").write_bytes((repository / "params.yaml").read_bytes())
    (folder / "requirements.lock").write_text("torch\n")
    monkeypatch.setenv("COLORIZE_ROOT", str(folder))
    return folder
