"""Each backend imports its own framework and no other, although all are installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from harness.plugins import load_backend
backend = load_backend({name!r})
print(*(name for name in ("jax", "tensorflow", "torch") if sys.modules.get(name)))
"""


@pytest.mark.parametrize(("name", "framework"), [("pytorch", "torch"), ("keras", "tensorflow"), ("jax", "jax")])
def test_a_backend_imports_its_own_framework_alone(name, framework):
    done = subprocess.run([sys.executable, "-c", SCRIPT.format(name=name)], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == [framework], done.stderr[-2000:]
