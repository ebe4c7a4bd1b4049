"""dvc.yaml declares what the stages use: modules as deps, settings sections as params."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
# How settings are read and checked is no part of a stage's inputs: their values are, and `params` holds those. Else a
# new architecture's settings would ingest all photos again. (So params.yaml must spell every value out: tested below.)
SETTINGS = Path("colorize/settings")
# Imported when an s3:// address is opened: no stage writes or reads one as its input or output.
STORE = Path("colorize/stores/s3.py")
STAGES = {
    name: stage.get("do", stage)
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"].items()
}


def module_file(name: str) -> Path | None:
    """The file of a module of this repository, or None for all others."""
    path = Path(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if (ROOT / candidate).is_file():
            return candidate
    return None


def imported_files(path: Path) -> set[Path]:
    """Files of this repository whose names a file imports, anywhere in it."""
    files: set[Path] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            files |= {file for alias in node.names if (file := module_file(alias.name))}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            submodules = [module_file(f"{node.module}.{alias.name}") for alias in node.names]
            files |= {file for file in submodules if file}
            # `from package import submodule` runs the package's file but takes nothing of it.
            if not all(submodules) and (file := module_file(node.module)):
                files.add(file)
    return files - {STORE}


def code_of(stage: str) -> set[Path]:
    """The stage's file and everything it imports of this repository, without the settings."""
    found: set[Path] = set()
    todo = {Path("stages") / f"{stage}.py"}
    while todo:
        path = todo.pop()
        found.add(path)
        todo |= {file for file in imported_files(path) if SETTINGS not in file.parents} - found
    return found


def sections_of(stage: str) -> set[str]:
    """Sections of the settings that a stage's file names as `settings.<section>`."""
    tree = ast.parse((ROOT / "stages" / f"{stage}.py").read_text(encoding="utf-8"))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "settings"
    }


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_the_modules_that_the_stage_imports(stage: str) -> None:
    declared = {Path(dep) for dep in STAGES[stage]["deps"] if dep.startswith(("colorize", "stages", "pipelines"))}
    covered = {file for dep in declared if (ROOT / dep).is_dir() for file in (ROOT / dep).rglob("*.py")}
    files = {file for file in declared if file.suffix == ".py"} | {file.relative_to(ROOT) for file in covered}
    assert sorted(map(str, files)) == sorted(map(str, code_of(stage)))


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_the_sections_that_the_stage_names(stage: str) -> None:
    declared = {param.partition(".")[0] for param in STAGES[stage].get("params", [])}
    assert declared == sections_of(stage)


def test_params_yaml_spells_out_every_value_that_a_stage_uses() -> None:
    from colorize.settings import load_settings

    settings = load_settings(ROOT / "params.yaml").model_dump(mode="json", exclude_none=True)
    written = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for section in set().union(*map(sections_of, STAGES)):
        assert written[section] == settings[section]


def test_every_stage_has_a_file_and_runs_it() -> None:
    for name, stage in STAGES.items():
        assert stage["cmd"].split()[:3] == ["python", "-m", f"stages.{name}"]
        assert (ROOT / "stages" / f"{name}.py").is_file()


def test_only_what_is_compared_with_its_source_persists() -> None:
    # DVC deletes all other outputs before a stage runs; `persist` and `always_changed` switch its run cache off.
    assert "always_changed" not in (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    persistent = {
        output
        for stage in STAGES.values()
        for one in stage["outs"]
        if isinstance(one, dict)
        for output, options in one.items()
        if options.get("persist")
    }
    assert persistent == {"data/sources/${key}.parquet", "data/raw/${key}", "data/splits.parquet", "data/lab"}


def test_data_stages_need_no_heavy_library() -> None:
    heavy = {"torch", "ray", "prefect", "mlflow", "sklearn", "matplotlib", "scipy", "pandas"}
    heavy |= {"boto3", "botocore", "kagglehub", "requests"}  # a source's own, imported when it is used
    for stage in STAGES:
        for path in code_of(stage):
            tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
            # Imported when a function runs, or for the type checker alone.
            later = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
            later += [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
            inside = {id(node) for one in later for node in ast.walk(one)}
            for node in ast.walk(tree):
                if id(node) in inside:
                    continue
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert heavy.isdisjoint(name.partition(".")[0] for name in names), f"{path} imports {names}"


def test_a_raw_shard_is_made_again_when_the_code_that_judges_photos_changes() -> None:
    from colorize.data.raw_plan import CODE

    found: set[Path] = set()
    todo = {Path("colorize/data/raw_shard.py")}
    while todo:
        path = todo.pop()
        found.add(path)
        todo |= {file for file in imported_files(path) if SETTINGS not in file.parents} - found
    judged = {f"colorize/{name}" for name in CODE}
    # How bytes are fetched, kept and spread over processes changes no row.
    carriers = {"execution.py", "on_disk_sort.py", "progress.py", "raw_reader.py", "removals.py", "retry.py"}
    carriers |= {"sandbox.py", "storage.py"}
    others = {str(path) for path in found if path.name not in carriers and "sources" not in path.parts}
    others -= {path for path in others if "scenes" in path}
    assert judged == others
