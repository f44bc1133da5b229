"""Quick compilation by XLA, because these tests measure no time. tests/together and tests/benchmarks compile as users do."""

from __future__ import annotations

import os

import pytest
from compilers import JAX, TENSORFLOW, quick_environment

PROGRAMS = {("jax", "default"): JAX, ("keras-on-jax", "default"): JAX, ("keras", "compiled"): TENSORFLOW}
"""The backends and modes that use XLA, and the program that tries the flags."""


@pytest.fixture(scope="session", autouse=True)
def quick_xla(request: pytest.FixtureRequest, mode: str) -> None:
    if program := PROGRAMS.get((request.config.getoption("--backend"), mode)):
        os.environ.update(quick_environment(program))
