"""Machine code is kept for the next process, never looked at again once its files have changed, and made once."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from colorize.compiled import CODE

PACKAGE = Path(__file__).parents[1] / "colorize"
PROGRAM = """
import numba
from numba.core.dispatcher import _FunctionCompiler
compiled = []
compile_core = _FunctionCompiler._compile_core
def counted(self, args, return_type):
    compiled.append(self.py_func.__name__)
    return compile_core(self, args, return_type)
_FunctionCompiler._compile_core = counted
from colorize.kernel import answer
print(int(answer(1)), "answer" in compiled)
"""
KERNEL = """
from colorize.compiled import compiled
from colorize.other import PLUS, doubled
@compiled("int64(int64)")
def answer(x):
    return doubled(x) + PLUS
"""
OTHER = """
from colorize.compiled import compiled
PLUS = {plus}
@compiled()
def doubled(x):
    return 2 * x
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of the same name that holds `compiled.py` and two modules of its own."""
    package = tmp_path / "colorize"
    package.mkdir()
    text = (PACKAGE / "compiled.py").read_text(encoding="utf-8")
    start = text.index("CODE: Final = (")
    stop = text.index("\n)\n", start) + 3
    text = f'{text[:start]}CODE: Final = ("compiled.py", "kernel.py", "other.py")\n{text[stop:]}'
    (package / "compiled.py").write_text(text, encoding="utf-8")
    (package / "__init__.py").write_text("")
    (package / "kernel.py").write_text(KERNEL)
    (package / "other.py").write_text(OTHER.format(plus=1))
    return package


def start(package: Path, **environment: str) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=package.parent,
        env={**inherited, "PYTHONPATH": str(package.parent), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(package: Path, **environment: str) -> str:
    process = start(package, **environment)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    return out.strip()


def test_the_next_process_does_not_compile(package: Path) -> None:
    assert run(package) == "3 True"
    assert run(package) == "3 False"


def test_a_constant_of_another_file_is_never_stale_even_if_no_time_changed(package: Path) -> None:
    assert run(package) == "3 True"
    before = (package / "other.py").stat()
    (package / "other.py").write_text(OTHER.format(plus=5))
    for file in (package / "__pycache__").glob("other.*.pyc"):
        file.unlink()  # Python's own bytecode goes by the time, too
    os.utime(package / "other.py", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert run(package) == "7 True"


def test_of_several_processes_one_compiles(package: Path) -> None:
    processes = [start(package) for _ in range(4)]
    said = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, said
    assert sorted(out.strip() for out, _ in said) == ["3 False"] * 3 + ["3 True"]


def test_damaged_machine_code_is_made_anew(package: Path) -> None:
    run(package)
    for file in (package / "__pycache__").rglob("*.nbc"):
        file.write_bytes(b"")
    assert run(package) == "3 True"


def test_a_folder_may_be_chosen(package: Path, tmp_path: Path) -> None:
    assert run(package, NUMBA_CACHE_DIR=str(tmp_path / "chosen")) == "3 True"
    assert any((tmp_path / "chosen").rglob("*.nbc"))
    assert not any(package.rglob("*.nbc"))


def test_every_file_that_machine_code_is_made_of_counts() -> None:
    def imported(path: Path) -> set[str]:
        found = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("colorize."):
                found.add(f"{node.module.removeprefix('colorize.').replace('.', '/')}.py")
        return found

    users = {file for file in PACKAGE.rglob("*.py") if "compiled.py" in imported(file)}
    names = {str(file.relative_to(PACKAGE)) for file in users} | {"compiled.py"}
    # hashing.py gives likeness.py a function that is not compiled.
    names |= {name for file in users for name in imported(file)} - {"data/hashing.py"}
    assert set(CODE) == names


def test_the_package_itself_brings_no_compiler() -> None:
    modules = "colorize, colorize.commands, colorize.color, colorize.data.judgement"
    program = f"import sys, {modules}; print('numba' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "False"
