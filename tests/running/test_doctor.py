"""Probes of backends in a separate process, and their cached answers."""

from __future__ import annotations

import json
import time

import pytest
from command import samebench

from harness.running.doctor import last_probe, probe
from harness.storage.places import Places

FILE = """
import os, signal, sys, time
from harness import hookimpl
from harness.reference.backend import NumPy
FAULT

class Mine(NumPy):
    name = "mine"

@hookimpl
def samebench_backend():
    return Mine
"""


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("", None),
        ("raise ImportError('libfoo.so.1 is missing')", "ImportError: libfoo.so.1 is missing"),
        ("sys.exit(0)", "SystemExit"),
        ("os.kill(os.getpid(), 11)", "crashed when it was started: SIGSEGV"),
        ("time.sleep(600)", "timeout when it was started"),
        ("signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)", "timeout when it was started"),
    ],
)
def test_a_probe_survives_a_crash_of_the_backend(tmp_path, fault, reason):
    file, places = tmp_path / "mine.py", Places(None, tmp_path / "cache")
    file.write_text(FILE.replace("FAULT", fault))
    start = time.monotonic()
    found = probe(str(file), places, timeout=3 if "sleep" in fault else 60)
    assert time.monotonic() - start < 3 + 5 + 3
    assert found["reason"] is None if reason is None else reason in found["reason"]
    assert last_probe(str(file), places) == found
    file.write_text(FILE.replace("FAULT", "# mended"))
    assert last_probe(str(file), places) is None, "what was found holds until the file changes"


def test_the_doctor_says_what_works():
    done = samebench("doctor", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout
    assert found["host"]["cores"] >= 1 and found["host"]["memory_bytes"] > 2**28
    assert found["backends"]["numpy"]["status"] == "works"
    assert found["backends"]["numpy"]["device"] == "cpu" and "numpy" in found["backends"]["numpy"]["versions"]
    text = samebench("doctor").stdout
    assert "This machine: " in text and "numpy: works" in text
