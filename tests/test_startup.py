"""Importing stays cheap: which packages a process loads is asserted, not how long it takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "ray", "prefect", "mlflow", "pandas", "scipy", "skimage", "matplotlib", "sklearn", "onnx", "numba"}
PROGRAM = "import sys; {}; print(' '.join(sorted({{name.partition('.')[0] for name in sys.modules}})))"


def loaded(statement: str, repository: Path) -> set[str]:
    command = [sys.executable, "-c", PROGRAM.format(statement)]
    return set(subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True).stdout.split())


def test_importing_the_package_loads_nothing_else(repository: Path) -> None:
    third_party = {"numpy", "pydantic", "yaml", "rich", "typer", "pyarrow", *HEAVY}
    assert not loaded("import colorize", repository) & third_party


def test_the_command_line_starts_light(repository: Path) -> None:
    assert not loaded("import colorize.commands", repository) & {*HEAVY, "numpy", "pyarrow", "pydantic"}


@pytest.mark.parametrize("stage", ["sources", "ingest", "dedupe", "split", "shard", "statistics"])
def test_no_data_stage_loads_torch_or_an_orchestrator(repository: Path, stage: str) -> None:
    assert not loaded(f"import stages.{stage}", repository) & {"torch", "ray", "prefect", "mlflow", "dvc"}
