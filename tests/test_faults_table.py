"""The list of faults is complete, its tests exist, and the page docs/faults.md shows it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from faults import FAULTS, Fault

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "faults.md"
TESTS = sorted({test for fault in FAULTS for test in fault.tests})


def test_every_row_of_the_matrix_is_there_once():
    assert [fault.number for fault in FAULTS] == list(range(1, 73))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault.number))
def test_a_fault_has_tests_or_a_reason(fault: Fault):
    assert bool(fault.tests) != bool(fault.why_not)
    assert len(fault.tests) == len({*fault.tests})
    assert all(0 < len(text.split()) <= 12 and "|" not in text for text in (fault.what, fault.injected))


def test_every_test_exists():
    for file in {test.partition("::")[0] for test in TESTS}:
        tree = ast.parse((ROOT / file).read_text())
        defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        named = {re.sub(r"\[.*", "", test.partition("::")[2]) for test in TESTS if test.startswith(f"{file}::")}
        assert named <= defined, file


def test_every_parameter_of_a_test_exists():
    named = {test for test in TESTS if test.endswith("]")}
    files = sorted({test.partition("::")[0] for test in named})
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files]
    done = subprocess.run(collect, capture_output=True, text=True, cwd=ROOT)
    assert named and named <= {*done.stdout.splitlines()}, done.stderr


def test_the_page_shows_every_fault_and_none_has_failed():
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")][2:]
    message = "the page is old: run python docs/make_faults.py"
    assert [row[:2] for row in rows] == [[fault.what, fault.injected] for fault in FAULTS], message
    for (*_, result), fault in zip(rows, FAULTS, strict=True):
        assert "failed" not in result and result.startswith("passed" if fault.tests else "does not apply"), fault.what
