"""The script for a machine with a GPU: what it says where there is none, and its stages with a faked `nvidia-smi`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.environment import gpus

SCRIPT = Path(__file__).with_name("first-run.sh")


def first_run(*stages: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = os.environ | {"PYTHON": sys.executable} | environment
    return subprocess.run([SCRIPT, *stages], capture_output=True, text=True, env=variables, timeout=300)


@pytest.mark.skipif(bool(gpus()), reason="this machine has a GPU")
def test_without_a_gpu_nothing_runs(tmp_path):
    done = first_run("1", OUT=str(tmp_path / "out"))
    assert done.returncode == 5 and "no NVIDIA GPU" in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_unknown_stage_is_refused(tmp_path):
    done = first_run("6", OUT=str(tmp_path / "out"))
    assert done.returncode == 2 and "stage 6" in done.stderr


def test_a_stage_writes_its_output_and_its_failure(tmp_path):
    """`nvidia-smi` is faked, and the chosen backend has no program to be compared with."""
    fake = tmp_path / "bin" / "nvidia-smi"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho 'GPU 0: faked'\n")
    fake.chmod(0o755)
    out = tmp_path / "out"
    path = f"{fake.parent}{os.pathsep}{os.environ['PATH']}"
    done = first_run("4", OUT=str(out), PATH=path, BACKENDS="numpy")
    assert done.returncode == 1 and "stage 4" in done.stdout and "failed: stage 4" in done.stderr
    assert "numpy has no yardstick" in (out / "stage-4.txt").read_text()
