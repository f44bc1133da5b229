"""Nothing is timed here, so XLA compiles in a third of the time, to slower programs; tests/together compiles as users do."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

QUICK = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
JAX = "import jax; jax.devices()"
TRIED = {
    ("jax", "default"): JAX,
    ("keras-on-jax", "default"): JAX,
    ("keras", "compiled"): "import tensorflow as tf; tf.function(lambda: tf.constant(1), jit_compile=True)()",
}
"""Where XLA compiles, and a program that ends badly if this version of XLA does not know the flags."""


@pytest.fixture(scope="session", autouse=True)
def quick_xla(request: pytest.FixtureRequest, mode: str) -> None:
    program = TRIED.get((request.config.getoption("--backend"), mode))
    flags = f"{os.environ.get('XLA_FLAGS', '')} {QUICK}".strip()
    command = [sys.executable, "-c", program]
    if program and not subprocess.run(command, env=os.environ | {"XLA_FLAGS": flags}, capture_output=True).returncode:
        os.environ["XLA_FLAGS"] = flags
