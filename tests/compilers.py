"""Flags of XLA for tests without timing: compilation takes a third of the time and makes slower programs."""

from __future__ import annotations

import os
import subprocess
import sys

QUICK = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
JAX = "import jax; jax.devices()"
TENSORFLOW = "import tensorflow as tf; tf.function(lambda: tf.constant(1), jit_compile=True)()"
"""Programs that fail if the installed XLA does not support the flags."""


def quick_environment(program: str) -> dict[str, str]:
    """The environment variables for quick compilation; none if the installed XLA does not support the flags."""
    flags = {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {QUICK}".strip()}
    tried = subprocess.run([sys.executable, "-c", program], env=os.environ | flags, capture_output=True)
    return {} if tried.returncode else flags
