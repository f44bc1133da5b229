"""The peak memory of a cell: as another process reads it, and without the memory of the parent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import SMALL, backend, command

MIB = 2**20
ALLOCATED = 600 * MIB


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="another process reads the memory from /proc")
def test_the_peak_is_what_another_process_reads(tmp_path):
    pid = tmp_path / "pid"
    fault = (
        f"block = bytearray({ALLOCATED}); open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(0.5); del block"
    )
    arguments = ["--backend", backend(tmp_path, fault), "--no-parity", "--out", tmp_path / "run", *SMALL]
    run = subprocess.Popen(command("run", *arguments), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    seen = 0
    while run.poll() is None:
        if pid.exists() and (number := pid.read_text()):
            seen = max(seen, resident(int(number)))
        time.sleep(0.005)
    assert run.returncode == 0
    [file] = tmp_path.glob("run/cells/*/result.json")
    peak = json.loads(file.read_text())["memory"]["peak_rss_bytes"]
    assert peak > ALLOCATED and peak == pytest.approx(seen, rel=0.1)


def resident(pid: int) -> int:
    """The memory that a process has now, in bytes; 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def test_the_memory_of_the_parent_does_not_count():
    """A parent with much memory starts a process that needs little."""
    child = "from harness.worker.memory import peak_rss; print(peak_rss())"
    parent = f"""
import subprocess, sys
block = bytearray({ALLOCATED})
print(subprocess.run([sys.executable, "-c", {child!r}], capture_output=True, text=True, close_fds=False).stdout)
"""
    done = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True)
    assert 0 < int(done.stdout) < ALLOCATED // 2, done.stderr
