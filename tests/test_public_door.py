"""The public interface: shipped plugins and backends import public names of `harness` only, like other plugins."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import numpy as np
import pytest
from refusals import refused

import harness
from harness import Attack, PluginError, Stopping, TaskContext
from harness.plugins import load_backend

ROOT = Path(harness.__file__).parents[1]
FOLDERS = {"backends": (), "harness/tasks": ("common",), **dict.fromkeys(
    ("harness/models", "harness/datasets", "harness/weights", "harness/reporters", "harness/sinks"), ()
)}  # fmt: skip
"""Folders of plugins, with the subfolders that are not plugins."""

PLUGINS = sorted(
    file.relative_to(ROOT).as_posix()
    for folder, others in FOLDERS.items()
    for file in (ROOT / folder).rglob("*.py")
    if not {*others} & {*file.parts}
)

BACKEND = """
from harness import hookimpl
from harness.reference.backend import NumPy

{declared}

@hookimpl
def samebench_backend():
    return NumPy
"""


def imports_of(file: Path) -> list[tuple[str, str]]:
    """The names that a file imports from the harness, each with its module."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "harness":
            found += [(str(node.module), alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names if alias.name.split(".")[0] == "harness"]
    return found


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_shipped_plugin_imports_public_names_only(plugin):
    own_folder = ".".join(Path(plugin).parts[:2])
    for module, name in imports_of(ROOT / plugin):
        if not module.startswith(own_folder):
            assert module == "harness" and name in harness.__all__, f"{plugin} imports {name} from {module}"


def test_the_plugins_are_found():
    assert len(PLUGINS) > 50 and "backends/jax/backend.py" in PLUGINS and "harness/tasks/scratch_cnn.py" in PLUGINS
    assert ("harness", "Task") in imports_of(ROOT / "harness/tasks/scratch_cnn.py")


def documented(file: Path) -> set[str]:
    """The names of a module with a description: a docstring, or a string below the assignment."""
    body, found = ast.parse(file.read_text()).body, set()
    for node, below in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            found.add(node.name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
            found |= {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
    return found


def test_every_public_name_has_a_description():
    for name in harness.__all__:
        home = importlib.import_module(harness.home_of(name))
        assert name in documented(Path(home.__file__)), f"{name} in {home.__name__}"


def test_renamed_names_work_and_warn():
    with pytest.warns(DeprecationWarning, match=r"harness\.Bench is now called harness\.TaskContext") as seen:
        assert harness.Bench is TaskContext
    assert seen[0].filename == __file__
    for old, new in harness.RENAMED.items():
        with pytest.warns(DeprecationWarning, match=new):
            assert getattr(harness, old) is getattr(harness, new)
    with pytest.raises(AttributeError, match="no attribute 'Banana'"):
        harness.Banana  # noqa: B018


def test_renamed_methods_work_and_warn():
    from harness import Watch

    with pytest.warns(DeprecationWarning, match=r"Watch\.sees is now called Watch\.update"):
        assert Watch(Stopping(), best=2.0, kept={}).sees(1.0)
    pictures = np.zeros((1, 2, 2, 1), np.float32)
    with pytest.warns(DeprecationWarning, match=r"Attack\.first is now called Attack\.start_pictures"):
        assert Attack().first(pictures, 0) is pictures


def backend_file(folder: Path, declared: str) -> str:
    (folder / "mine.py").write_text(BACKEND.format(declared=declared))
    return str(folder / "mine.py")


@pytest.mark.parametrize("declared", ["", "api_version = 1", f"api_version = {harness.API_VERSION}"])
def test_versions_that_are_supported(tmp_path, declared):
    assert load_backend(backend_file(tmp_path, declared)).name == "numpy"


@pytest.mark.parametrize(
    ("declared", "code", "values"),
    [
        (
            "api_version = 99",
            "wrong-version",
            [99, f"1 to {harness.API_VERSION}"],
        ),
        (
            "api_version = 0",
            "wrong-version",
            [0, f"1 to {harness.API_VERSION}"],
        ),
        ("api_version = '2'", "wrong-type", ["api_version", "'2'"]),
        ("api_version = True", "wrong-type", ["api_version", True]),
    ],
)
def test_versions_that_are_not_supported(tmp_path, declared, code, values):
    with refused(PluginError, code, "mine.py", *values):
        load_backend(backend_file(tmp_path, declared))
