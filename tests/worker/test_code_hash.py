"""Hashes of code: they cover the whole package of a plugin, and the part of the harness that certificates depend on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import harness
from harness.plugins import BackendEntry
from harness.worker import code_hash
from harness.worker.code_hash import CERTIFICATES, backend_files, harness_code_of, imported_modules, package_files

ROOT = Path(harness.__file__).parents[1]


def names(files):
    return {file.relative_to(ROOT).as_posix() for file in files}


def test_ours_are_one_package_a_framework():
    assert names(backend_files("jax")) == {
        f"backends/jax/{name}.py" for name in ("__init__", "backend", "layers", "pipeline")
    }
    assert all(name.startswith("harness/reference/") for name in names(backend_files("numpy")))


def test_code_that_a_backend_shares_with_another_counts():
    found = names(backend_files("keras-on-torch"))
    assert found >= {"backends/keras/on_torch.py", "backends/pytorch/training.py", "backends/pytorch/operations.py"}
    assert "backends/pytorch/backend.py" not in found


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    (tmp_path / "theirs/deep").mkdir(parents=True)
    for name in ("theirs/__init__", "theirs/common", "theirs/deep/__init__", "theirs/deep/backend", "other", "single"):
        (tmp_path / f"{name}.py").write_text("x = 1\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


def test_a_strangers_whole_package_and_nothing_beside_it(stranger):
    found = [file.relative_to(stranger).as_posix() for file in package_files("theirs.deep.backend")]
    assert found == ["theirs/__init__.py", "theirs/common.py", "theirs/deep/__init__.py", "theirs/deep/backend.py"]


def test_a_module_of_no_package_is_one_file(stranger):
    assert package_files("single") == [stranger / "single.py"]
    assert package_files("missing") == []


def test_a_file_is_itself():
    assert backend_files("some/mine.py") == [Path("some/mine.py")]


def test_certificates_rest_on_the_reference_and_on_no_reporter():
    found = imported_modules([CERTIFICATES])
    assert found >= {"harness.reference.layers", "harness.spec", "harness.recipe", "harness.attack", "harness.backend"}
    unrelated = ("harness.report", "harness.running", "harness.commands", "harness.datasets", "harness.tasks")
    assert not [module for module in found if module.startswith(unrelated)]


def test_no_module_that_a_certificate_imports_is_missing():
    """The modules are compared with those that Python imports."""
    import subprocess

    program = f"import sys, {CERTIFICATES}; print(*[m for m in sys.modules if m.startswith('harness.')])"
    seen = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    packages = {module for module in seen if any(other.startswith(f"{module}.") for other in seen)}
    assert set(seen) - packages <= imported_modules([CERTIFICATES])


def test_code_that_only_the_backend_imports_counts(tmp_path, monkeypatch):
    file = tmp_path / "mine.py"
    file.write_text("from harness import Backend\n")
    plain = harness_code_of(str(file))
    file.write_text("from harness import Augmentation\n")
    code_hash.imports_of.cache_clear()
    assert harness_code_of(str(file)) != plain


def test_a_backend_that_is_not_there(monkeypatch):
    monkeypatch.setattr(code_hash, "find_backend", lambda name: BackendEntry(name, "broken", "gone", "gone.away"))
    assert backend_files("gone") == []
