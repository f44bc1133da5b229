"""Backends in a single file, like those of other authors: one without helpers, and a short one with helpers."""

from __future__ import annotations

import ast
import os
import shutil
from functools import partial
from pathlib import Path

import command
import pytest
from compilers import JAX, quick_environment

from harness.conformance import RULES

TESTS = Path(__file__).parent.parent
samebench = partial(command.samebench, timeout=1200)

FILES = {"plain-jax": (TESTS / "plain_jax.py", 155, 3), "short-jax": (TESTS / "short_jax.py", 120, 1)}
"""Each file, the lines of code that it may have, and the number of rules that it declines: on TF32, which needs a GPU, and on
bfloat16."""


def lines_of_code(file: Path) -> int:
    """Lines that are not blank, a comment or part of a docstring."""
    text = file.read_text()
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            docstrings |= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    lines = enumerate(map(str.strip, text.splitlines()), 1)
    return sum(bool(line) and not line.startswith("#") and number not in docstrings for number, line in lines)


@pytest.mark.parametrize(
    ("name", "quick"),
    [("plain-jax", True), ("short-jax", True), pytest.param("plain-jax", False, marks=pytest.mark.slow)],
)
def test_a_backend_in_one_file_outside_the_tree(name, quick, tmp_path):
    """With XLA's slow passes off; also as users compile, which takes a minute more."""
    original, most, declined = FILES[name]
    file = Path(shutil.copy(original, tmp_path))
    assert lines_of_code(file) <= most
    environment = quick_environment(JAX) if quick else {}
    checked = samebench("check", file.name, cwd=tmp_path, env=os.environ | environment)
    assert checked.returncode == 0, checked.stdout
    found = f"{len(RULES) - declined} passed{f', {declined} declined' if declined else ''}"
    assert checked.stdout.splitlines()[-1] == f"{name}: {found}; {len(RULES)} of {len(RULES)} rules ran"
    both = ["--backend", file.name, "--backend", "jax"]
    done = samebench(
        "run",
        "--task",
        "scratch-cnn",
        *both,
        "--set",
        "scratch-cnn.epochs=2",
        "--set",
        "segment_s=0",
        "--out",
        "run",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if f" {name} " in line)
    assert row.split()[-1] == "yes"
