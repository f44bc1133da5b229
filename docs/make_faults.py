"""Runs the tests of every fault and writes docs/faults.md with their results: python docs/make_faults.py

tests/faults.py lists the faults and their tests. Run this after a change of that list. It takes some minutes.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILE = ROOT / "docs" / "faults.md"
sys.path.insert(0, str(ROOT / "tests"))

from faults import FAULTS, Fault  # noqa: E402

from harness.text import counted  # noqa: E402

ELSEWHERE = {"tests/backends/": "tested for each backend", "tests/gpu/": "needs a GPU"}
"""What the table says about tests that need a framework or a GPU. They are not run here."""

HEAD = """\
# Faults

Written by `python docs/make_faults.py`, which runs the tests; do not edit it. The tests were run on {day}.

A fault here is anything that can go wrong around an experiment: a backend that crashes, hangs or lies, a killed process, a full disk,
a damaged file, a missing network, an option that makes no sense. The tests make each of these faults happen, most of them to the real
program and some to a part of it. Then they check that the message says what is wrong, that everything finished so far is kept, and
that the rest of the run is unharmed.

What files and programs of strangers can do is on the page [Files of strangers](security.md). The statuses and exit codes are in
[Run experiments](run.md#when-things-go-wrong).
"""


class Outcomes:
    """A plugin of pytest that keeps the outcome of each test: passed, failed or skipped."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if (
            report.when == "call" or report.outcome != "passed"
        ):  # a test may also fail or be skipped before or after its call
            self.found[report.nodeid] = report.outcome


def elsewhere(test: str) -> str | None:
    """What the table says about a test that is not run here."""
    return next((said for folder, said in ELSEWHERE.items() if test.startswith(folder)), None)


def run_tests() -> Mapping[str, str]:
    """The outcome of each test of the list that needs no framework."""
    os.chdir(ROOT)
    outcomes, tests = Outcomes(), [test for fault in FAULTS for test in fault.tests if not elsewhere(test)]
    pytest.main(["-q", "-n", "2", *dict.fromkeys(tests)], plugins=[outcomes])
    return outcomes.found


def result_of(fault: Fault, outcomes: Mapping[str, str]) -> str:
    """The result of the tests of a fault, in words."""
    if fault.why_not:
        return f"does not apply: {fault.why_not}"
    counts = Counter(outcome for test in fault.tests if not elsewhere(test) for outcome in _outcomes_of(test, outcomes))
    words = [
        f"{outcome} ({counted(counts[outcome], 'test')})"
        for outcome in ("failed", "passed", "skipped")
        if counts[outcome]
    ]
    return "; ".join([*words, *dict.fromkeys(said for test in fault.tests if (said := elsewhere(test)))])


def _outcomes_of(test: str, outcomes: Mapping[str, str]) -> list[str]:
    """The outcomes of a test with all its parameters. A test that did not run has failed."""
    found = [outcome for name, outcome in outcomes.items() if name == test or name.startswith(f"{test}[")]
    return found or ["failed"]


def page(outcomes: Mapping[str, str], day: date) -> str:
    rows = [(fault.what, fault.injected, result_of(fault, outcomes)) for fault in FAULTS]
    return f"{HEAD.format(day=day)}\n{_table(('fault', 'how it is injected', 'result'), rows)}"


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    FILE.write_text(page(run_tests(), date.today()), encoding="utf-8")
