"""A backend in one file, as a stranger writes it, beside ours."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import command

from harness.conformance import RULES

PLAIN = Path(__file__).parent.parent / "plain_jax.py"
samebench = partial(command.samebench, timeout=1200)


def test_a_backend_in_one_file_outside_the_tree(tmp_path):
    file = Path(shutil.copy(PLAIN, tmp_path))
    assert len(file.read_text().splitlines()) < 200
    checked = samebench("check", file.name, cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.splitlines()[-1] == f"plain-jax: {len(RULES)} passed; {len(RULES)} of {len(RULES)} rules ran"
    both = ["--backend", file.name, "--backend", "jax"]
    done = samebench(
        "run", "--task", "scratch-cnn", *both, "--set", "scratch-cnn.epochs=2", "--out", "run", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if " plain-jax " in line)
    assert row.split()[-1] == "yes"
