"""Files that the fuzzers have found, and others like them: each is read, or refused by an error of samebench."""

from __future__ import annotations

import runpy
import time
from pathlib import Path

import pytest

SLOW = Path(__file__).parent / "slow"
FUZZ = runpy.run_path(str(SLOW / "fuzz.py"))
FOUND = [(file.parent.name, file) for file in sorted((SLOW / "findings").glob("*/*"))]


@pytest.mark.parametrize("name", FUZZ["TARGETS"])
def test_the_samples_of_a_fuzzer_are_read(name):
    """So it starts from good files."""
    target = FUZZ["TARGETS"][name]
    for number, sample in enumerate(target.samples()):
        FUZZ["attempt"](lambda file: target.read(file), sample)
        assert sample, number


@pytest.mark.parametrize("name", FUZZ["TARGETS"])
def test_a_cut_sample_or_one_with_a_wrong_byte_is_no_crash(name, nothing_hangs):
    target = FUZZ["TARGETS"][name]
    for sample in target.samples():
        for place in range(0, len(sample), max(len(sample) // 25, 1)):
            FUZZ["attempt"](target.read, sample[:place])
            FUZZ["attempt"](target.read, sample[:place] + bytes([sample[place] ^ 0x81]) + sample[place + 1 :])


@pytest.mark.parametrize(("name", "file"), FOUND, ids=[f"{name}/{file.name}" for name, file in FOUND])
def test_a_finding_is_no_problem_any_more(name, file, nothing_hangs):
    start = time.monotonic()
    FUZZ["attempt"](FUZZ["TARGETS"][name].read, file.read_bytes())
    assert time.monotonic() - start < FUZZ["SLOWEST"]
