"""Names of backends for readers. A backend given as a file has the name of its class.

A run keeps those names (`own_names`), so that its reports are the same where the files are missing. `shown_names` makes
the names of several backends unique.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePath

from harness.text import printable

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
HOOK = "samebench_backend"
REFERENCE = "numpy"
"""The backend that judges the pictures of every run. A file with this name is shown with its path."""


def is_file(backend: str) -> bool:
    """Whether a backend is given as a file, and not by the name of an installed one."""
    return backend.endswith(".py")


def own_names(backends: Iterable[str], installed: Collection[str] = ()) -> dict[str, str]:
    """The names of backends given as files. If an installed backend has the same name, the name of the file is added."""
    found = {backend: own_name(Path(backend)) for backend in backends if is_file(backend)}
    return {
        backend: f"{name} ({PurePath(backend).name})" if name in installed else name for backend, name in found.items()
    }


def own_name(file: Path) -> str:
    """The `name` of the class that the file's hook returns, found without running the file; or the file's own name."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return _stem(str(file))
    classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    names = [name for chosen in _returned(tree, classes) if (name := _name_in(chosen, classes))]
    return names[0] if names else _stem(str(file))


def shown_names(backends: Iterable[str], own: Mapping[str, str] | None = None) -> dict[str, str]:
    """A name for each backend of a run; `own` are the names that the run has kept. Files with the same name are told apart
    by the end of their paths."""
    called = {backend: _called(backend, own or {}) for backend in dict.fromkeys(backends)}
    shown: dict[str, str] = {}
    for name in dict.fromkeys(called.values()):
        alike = [backend for backend, its in called.items() if its == name]
        files = [backend for backend in alike if is_file(backend)]
        shown |= dict.fromkeys(alike, name)
        if len(alike) > 1 or (files and name == REFERENCE):
            shown |= {file: f"{name} ({end})" for file, end in zip(files, _shortest_ends(files), strict=True)}
    doubled = [backend for backend, name in shown.items() if list(shown.values()).count(name) > 1]
    return shown | {backend: printable(backend) for backend in doubled}


def _called(backend: str, own: Mapping[str, str]) -> str:
    name = own.get(backend)
    return printable(name)[:100] if isinstance(name, str) and name and is_file(backend) else _stem(backend)


def _stem(backend: str) -> str:
    return printable(PurePath(backend).stem) if is_file(backend) else backend


def _shortest_ends(files: Sequence[str]) -> list[str]:
    """The last parts of each path, as many as tell all of them apart."""
    parts = [PurePath(file).parts for file in files]
    for count in range(1, max(map(len, parts), default=0) + 1):
        ends = ["/".join(part.strip("/") for part in path[-count:]) for path in parts]
        if len(set(ends)) == len(ends):
            return [printable(end) for end in ends]
    return [printable(file) for file in files]


def _returned(tree: ast.Module, classes: Mapping[str, ast.ClassDef]) -> list[ast.ClassDef]:
    """The class that the hook returns; else the only class that names itself."""
    hooks = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == HOOK]
    returns = [node.value for hook in hooks for node in ast.walk(hook) if isinstance(node, ast.Return)]
    chosen = [classes[value.id] for value in returns if isinstance(value, ast.Name) and value.id in classes]
    named = [node for node in classes.values() if _literal_name(node)]
    return chosen or (named if len(named) == 1 else [])


def _name_in(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef], depth: int = 0) -> str | None:
    """The name that a class gives itself, or has from a class of the same file."""
    if name := _literal_name(node):
        return name
    bases = [classes[base.id] for base in node.bases if isinstance(base, ast.Name) and base.id in classes]
    found = (_name_in(base, classes, depth + 1) for base in bases) if depth < len(classes) else iter(())
    return next((name for name in found if name), None)


def _literal_name(node: ast.ClassDef) -> str | None:
    for statement in node.body:
        targets = (
            statement.targets if isinstance(statement, ast.Assign)
            else [statement.target] if isinstance(statement, ast.AnnAssign)
            else []
        )  # fmt: skip
        if any(isinstance(target, ast.Name) and target.id == "name" for target in targets):
            value = getattr(statement, "value", None)
            if isinstance(value, ast.Constant) and isinstance(value.value, str) and NAME.fullmatch(value.value):
                return value.value
    return None
