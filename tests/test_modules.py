"""No test module imports another test module or uses a private name of the project."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
MODULES = sorted(file.relative_to(FOLDER).as_posix() for file in FOLDER.rglob("*.py"))
OURS = [file for folder in ("harness", "backends") for file in (FOLDER.parent / folder).rglob("*.py")]


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def private_names(tree: ast.Module) -> Iterator[str]:
    """Names that a module imports from the project, or looks up in other objects than `self`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id == "self"):
            yield node.attr
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith(("harness", "backends")):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setattr":
            yield from (str(word.value) for word in node.args[1:2] if isinstance(word, ast.Constant))


@pytest.mark.parametrize("module", MODULES)
def test_no_test_module_imports_another(module):
    names = {Path(other).stem for other in MODULES if Path(other).name.startswith("test_")}
    tree = ast.parse((FOLDER / module).read_text())
    assert not [name for name in imported(tree) if {*name.split(".")} & names]


def defined(tree: ast.Module) -> Iterator[str]:
    """The names of functions, classes and variables, and of attributes of `self`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.id if isinstance(node, ast.Name) else node.attr


@pytest.fixture(scope="module")
def private() -> set[str]:
    """Every private name of the project."""
    names = {name for file in OURS for name in defined(ast.parse(file.read_text()))}
    return {name for name in names if name.startswith("_") and not name.startswith("__")} - {"_"}


@pytest.mark.parametrize("module", MODULES)
def test_private_names_stay_private(module, private):
    assert "_uploads" in private
    assert not {*private_names(ast.parse((FOLDER / module).read_text()))} & private
