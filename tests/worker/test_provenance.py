"""Provenance of results: version and commit, environment variables, accelerator."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from command import SMALL, backend, samebench, words
from command import report as stored
from reports import CELL, ok, report

import harness
from harness.result import Result
from harness.worker.provenance import (
    accelerator_of,
    commit_of,
    driver_version,
    mixed,
    nvidia_packages,
    relevant_variables,
    samebench_version,
)

DRIVER = """NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.124.06  Thu Feb 27 02:08:51 UTC 2025
GCC version:  gcc version 12.3.0
"""


def git(folder, *arguments):
    settings = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *settings, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness/one.py").write_text("x = 1\n")
    (tmp_path / "notes.md").write_text("notes")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    return tmp_path


def test_a_checkout_has_a_commit(checkout):
    assert commit_of(checkout) == {"commit": git(checkout, "rev-parse", "HEAD"), "changed": False}


def test_a_change_of_code_counts_and_one_of_notes_does_not(checkout):
    (checkout / "notes.md").write_text("other notes")
    assert commit_of(checkout)["changed"] is False
    (checkout / "harness/one.py").write_text("x = 2\n")
    assert commit_of(checkout)["changed"] is True


def test_an_installed_package_within_a_users_checkout_has_none(checkout):
    (checkout / "site-packages/harness").mkdir(parents=True)
    assert commit_of(checkout / "site-packages") == {}


def test_without_git(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert commit_of(checkout) == {}


def test_the_version_is_that_of_the_package():
    assert samebench_version()["version"] == harness.__version__


def test_variables_that_change_numbers_or_speed():
    given = {
        "OMP_NUM_THREADS": "2",
        "XLA_FLAGS": "--a",
        "HOME": "/root",
        "TF_API_KEY": "x",
        "NVIDIA_TF32_OVERRIDE": "1",
    }
    assert relevant_variables(given) == {"NVIDIA_TF32_OVERRIDE": "1", "OMP_NUM_THREADS": "2", "XLA_FLAGS": "--a"}


def test_the_driver(tmp_path):
    assert driver_version(tmp_path / "none") == {}
    (tmp_path / "version").write_text(DRIVER)
    assert driver_version(tmp_path / "version") == {"driver": "570.124.06"}


def test_the_accelerator_is_asked_for_on_a_gpu_only():
    gpu = SimpleNamespace(device="gpu", accelerator=lambda: {"name": "H200", "CUDA": "12.8"})
    assert accelerator_of(gpu).items() >= {"name": "H200", "CUDA": "12.8"}.items()
    assert accelerator_of(SimpleNamespace(device="cpu")) == {}


def test_libraries_of_cuda_that_are_python_packages(monkeypatch):
    packages = [SimpleNamespace(name="nvidia-cudnn-cu12", version="9.1"), SimpleNamespace(name="numpy", version="2")]
    monkeypatch.setattr("harness.worker.provenance.distributions", lambda: packages)
    assert nvidia_packages() == {"nvidia-cudnn-cu12": "9.1"}


def test_a_result_says_where_it_comes_from(tmp_path):
    samebench(
        "run", "--backend", "numpy", "--task", "scratch-cnn", "--no-parity", "--precision", "float64",
        "--set", "scratch-cnn.epochs=1", "--set", "scratch-cnn.train_limit=64", "--out", tmp_path / "run",
    )  # fmt: skip
    (file,) = (tmp_path / "run/cells").glob("*/result.json")
    found = json.loads(file.read_text())["provenance"]
    assert found["samebench"]["version"] == harness.__version__
    assert found["environment"]["OMP_NUM_THREADS"].isdigit() and found["accelerator"] == {}
    shown = json.loads(samebench("report", tmp_path / "run", "--format", "json").stdout)
    assert shown["cells"][0]["provenance"] == found


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        ({"samebench": {}}, "provenance.samebench.version is missing"),
        ({"samebench": {"version": 1}}, "provenance.samebench.version"),
        ({"environment": {"A": 1}}, "provenance.environment"),
        ({"accelerator": []}, "provenance.accelerator"),
    ],
)
def test_a_stored_provenance_is_checked(told, problem):
    with pytest.raises(ValueError, match=problem):
        Result.from_json(ok(provenance=told).as_json())


@pytest.mark.parametrize(
    "other",
    [
        {"samebench": {"version": "9"}},
        {"environment": {"XLA_FLAGS": "--b"}},
        {"accelerator": {"name": "T4"}},
    ],
)
def test_results_of_other_origin_are_kept_apart(other):
    usual = {"samebench": {"version": "1"}, "environment": {"XLA_FLAGS": "--a"}, "accelerator": {"name": "H200"}}
    one = ok(provenance=usual)
    same, unlike = (ok(replace(CELL, seed=1), provenance=usual | changes) for changes in ({}, other))
    assert len(report(one, same).summary) == 1
    assert len(report(one, unlike).summary) == 2


def test_the_number_of_a_device_keeps_nothing_apart():
    first, second = (
        ok(replace(CELL, seed=seed), provenance={"environment": {"CUDA_VISIBLE_DEVICES": str(seed)}}) for seed in (0, 1)
    )
    assert len(report(first, second).summary) == 1


def test_a_second_framework_in_the_process_is_stored_and_named(tmp_path):
    """No framework is installed here, so the backend imports a module with the name of one."""
    (tmp_path / "torch.py").touch()
    file = backend(tmp_path, f"sys.path.insert(0, {str(tmp_path)!r}); import torch")
    command = ["run", "--backend", file, "--backend", "numpy", "--no-parity", "--out", tmp_path / "run", *SMALL]
    done = samebench(*command, "--strict")
    assert done.returncode == 1 and "1 cell has a warning, and --strict allows none" in done.stderr
    found = {Path(result["backend"]).stem: result for result in stored(tmp_path / "run")["cells"]}
    assert found["mine"]["provenance"]["frameworks"] == ["torch"] and found["numpy"]["provenance"]["frameworks"] == []
    assert "has also imported torch" in found["mine"]["warnings"][0] and not found["numpy"]["warnings"]
    assert "also imported torch" in words(done.stdout)


def test_the_framework_of_a_backend_is_no_second_one():
    assert list(mixed(["jax"], {"keras": "3.0", "jax": "0.10"})) == []
    assert len(list(mixed(["jax", "tensorflow", "torch"], {"torch": "2.13"}))) == 2
