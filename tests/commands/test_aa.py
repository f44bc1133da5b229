"""run --aa: one backend twice, in turn."""

from __future__ import annotations

import json

import pytest
from command import SMALL, samebench, words


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("aa")
    done = samebench("run", "--aa", "numpy", "--no-parity", "--seeds", "2", "--out", "run", *SMALL, cwd=folder)
    return folder, done


def test_both_runs_have_all_cells_and_take_turns(run):
    folder, _ = run
    for name in ("a", "b"):
        cells = json.loads(samebench("report", folder / "run" / name, "--format", "json").stdout)["cells"]
        assert [(cell["seed"], cell["status"]) for cell in cells] == [(0, "ok"), (1, "ok")]
    files = sorted(folder.glob("run/*/cells/*/result.json"), key=lambda file: file.stat().st_mtime_ns)
    assert [file.relative_to(folder / "run").parts[0] for file in files] == ["a", "b", "b", "a"]


def test_the_comparison_is_printed(run):
    _, done = run
    assert done.returncode == 1, "two seeds are too few for a verdict"
    assert "run/a" in done.stdout and "run/b" in done.stdout and "no speed could be judged" in done.stderr


def test_another_backend_is_refused(tmp_path):
    done = samebench("run", "--aa", "numpy", "--backend", "jax", cwd=tmp_path)
    assert done.returncode == 2 and "--aa" in done.stderr and not list(tmp_path.iterdir())
    done = samebench("run", "--aa", "pytroch", cwd=tmp_path)
    assert done.returncode == 2 and "'pytorch'" in words(done.stderr)
