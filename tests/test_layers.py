"""The layers of the house: who may import whom, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

# Package -> the only files (or folders, with a slash at the end) that may import it.
HEAVY = {
    "prefect": ["pipelines/"],
    "ray": ["pipelines/", "colorize/data/execution.py"],
    "mlflow": ["colorize/registry.py", "colorize/registry/"],
    "boto3": ["colorize/storage.py", "colorize/data/sources/s3.py"],
    "dvc": [],
}
LAYERS = {"colorize": {"stages", "pipelines"}, "stages": {"pipelines"}, "pipelines": {"stages"}}


def sources(root: Path) -> Iterator[Path]:
    for layer in LAYERS:
        yield from sorted((root / layer).rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[str, bool]]:
    """Top-level names a file imports, and whether the import runs when the file is imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        id(node) for function in ast.walk(tree) if isinstance(function, ast.FunctionDef) for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module or ""]
        else:
            continue
        for name in names:
            yield name.partition(".")[0], id(node) not in inside


def test_the_rules_see_the_code(repository: Path) -> None:
    files = list(sources(repository))
    assert len(files) > 40
    assert ("pyarrow", True) in {pair for path in files for pair in imported(path)}


@pytest.mark.parametrize("layer", LAYERS)
def test_no_layer_imports_one_above_it(repository: Path, layer: str) -> None:
    for path in (repository / layer).rglob("*.py"):
        wrong = {name for name, _ in imported(path)} & LAYERS[layer]
        assert not wrong, f"{path} imports {wrong}"


@pytest.mark.parametrize("package", HEAVY)
def test_heavy_packages_stay_in_their_rooms(repository: Path, package: str) -> None:
    for path in sources(repository):
        if package in {name for name, _ in imported(path)}:
            place = path.relative_to(repository).as_posix()
            assert any(place == room or (room.endswith("/") and place.startswith(room)) for room in HEAVY[package]), (
                place
            )


def test_every_file_says_what_it_is_for(repository: Path) -> None:
    for path in [*sources(repository), *(repository / "tests").rglob("*.py"), *(repository / "bench").rglob("*.py")]:
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{path} has no docstring"
