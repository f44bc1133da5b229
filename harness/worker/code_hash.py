"""Hashes of code: results about a backend are valid until its code changes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import harness
from harness.plugins import find_backend, find_module
from harness.result import digest

CERTIFICATES = "harness.parity"
"""The package that makes certificates. They rest on its code, and on all code of the harness that it imports."""

OURS = ("harness", "backends")
"""Top-level packages that ship with samebench. In them each framework has a package of its own."""


OTHER_BACKEND = re.compile(r"^\s*(?:from|import) (backends\.[\w.]+)", re.MULTILINE)
"""An import of a module that ships with a backend. It is found without parsing, because `samebench list` needs it."""


def backend_files(name: str) -> list[Path]:
    """The Python files of a backend: the .py file, or all files of its package, and those of other backends that they import."""
    if name.endswith(".py"):
        return [Path(name)]
    entry = find_backend(name)
    found, left = set[Path](), package_files(entry.module) if entry else []
    while left:
        if (file := left.pop()) not in found:
            found.add(file)
            left += map(_file_of, OTHER_BACKEND.findall(file.read_text(errors="replace")))
    return sorted(found)


def package_files(module: str) -> list[Path]:
    """All Python files of the package of a module; only its own file if it is not in a package."""
    package, _, _ = module.rpartition(".")
    if package.partition(".")[0] not in OURS:
        package = package.partition(".")[0]
    spec = find_module(package or module)
    if not spec:
        return []
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    return sorted(file for folder in folders for file in folder.rglob("*.py")) or [Path(str(spec.origin))]


def code_of(name: str) -> str:
    """A hash of the code of a backend."""
    return digest_of(backend_files(name))


def code_if_there(name: str) -> str | None:
    """A hash of the code of a backend; None if a cell has removed or replaced its files."""
    try:
        return code_of(name) if all(file.is_file() for file in backend_files(name)) else None
    except OSError:
        return None


def digest_of(files: Iterable[Path]) -> str:
    """A hash of the contents of the files."""
    return digest([file.read_text(errors="replace") for file in files])


def harness_code_of(name: str) -> str:
    """A hash of the harness code that certificates of a backend depend on."""
    imported = {module for file in backend_files(name) for module in imports_of(file)}
    return digest_of(_file_of(module) for module in sorted(imported_modules([CERTIFICATES, *imported])))


def imported_modules(modules: Iterable[str]) -> set[str]:
    """These modules of the harness, and all modules of the harness that they import, directly or not."""
    found: set[str] = set()
    left = list(modules)
    while left:
        if (module := left.pop()) not in found:
            found.add(module)
            left += imports_of(_file_of(module))
    return found


@cache
def imports_of(file: Path) -> frozenset[str]:
    """The modules of the harness that a file imports, except imports under `if TYPE_CHECKING`."""
    return frozenset(
        module
        for node in _run_nodes(ast.parse(file.read_text(errors="replace")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for module in _named_by(node)
    )


def _run_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a program, except those under `if TYPE_CHECKING`."""
    yield node
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    for part in ast.iter_child_nodes(node):
        yield from _run_nodes(part)


def _named_by(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """The modules of the harness in an import. A public name counts as the module that defines it."""
    for alias in node.names:
        if isinstance(node, ast.Import):
            names = [alias.name]
        else:
            names = [f"{node.module}.{alias.name}", str(node.module)]
        if names[-1].partition(".")[0] != "harness":
            continue
        if names[-1] == "harness" and (home := harness.home_of(alias.name)):
            yield home
        else:
            yield next((name for name in names if _exists(name)), "harness")


def _exists(module: str) -> bool:
    return _path_of(module).with_suffix(".py").is_file() or (_path_of(module) / "__init__.py").is_file()


def _path_of(module: str) -> Path:
    return Path(harness.__file__).parents[1].joinpath(*module.split("."))


def _file_of(module: str) -> Path:
    path = _path_of(module)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
