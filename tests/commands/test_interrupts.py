"""Ctrl-C ends every command within a second, with exit code 130, without a traceback and without processes that go on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from command import SMALL, cells, command, lives, slowness, wait_for
from runs import stored_run, timed

FILE = """
import os, signal, time
from harness import hookimpl
from harness.reference.backend import NumPy

def stay():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open("pid", "w").write(str(os.getpid()))
    time.sleep(600)

class Deaf(NumPy):
    name = "deaf"

    def start(self, device):
        stay()

@hookimpl
def samebench_backend():
    return Deaf
"""

COMMANDS = {
    "run": ["run", "--backend", "deaf.py", "--no-parity", *SMALL, "--out", "run"],
    "certificates": ["run", "--backend", "deaf.py", *SMALL, "--out", "run"],
    "check": ["check", "deaf.py"],
    "bench-overhead": ["bench-overhead", "--backend", "deaf.py", "--against", "deaf.py", "--task", "adversarial"],
    "predict": ["predict", "picture.png", "--weights", "two-block-cnn-digits", "--backend", "deaf.py"],
}


def interrupted(process: subprocess.Popen[str]) -> str:
    """What the process says after Ctrl-C. Its worker ignores the signal."""
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    taken = time.monotonic() - start
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert taken < 1.0 * slowness(), f"it took {taken:.1f} s"
    return said


def started(folder: Path, arguments: list[str], **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, env=os.environ | environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_whose_backend_is_deaf_ends(tmp_path, name):
    from PIL import Image

    (tmp_path / "deaf.py").write_text(FILE)
    Image.new("L", (8, 8)).save(tmp_path / "picture.png")
    process = started(tmp_path, COMMANDS[name])
    wait_for(lambda: process.poll() is not None or ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    assert process.poll() is None, process.communicate()
    interrupted(process)
    assert not lives(int((tmp_path / "pid").read_text()))


def test_a_second_ctrl_c_ends_a_run_too(tmp_path):
    (tmp_path / "deaf.py").write_text(FILE)
    process = started(tmp_path, COMMANDS["run"])
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)  # the run waits for its worker, which is deaf
    assert "To resume: samebench run" in interrupted(process)
    wait_for(lambda: not lives(int((tmp_path / "pid").read_text())), seconds=5)
    assert cells(tmp_path / "run")["deaf"][0] == "interrupted"
    assert not list(tmp_path.rglob("*.samebench-part")), "nothing is half written"


def test_a_report_ends_whose_reader_waits(tmp_path):
    stored_run(tmp_path / "run", timed([100.0] * 200))
    process = started(tmp_path, ["report", "run", "--format", "json"])
    assert os.read(process.stdout.fileno(), 1) == b"{", "the rest is more than a pipe can hold"
    interrupted(process)


def test_a_download_ends(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        proxy = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        empty = {
            "SAMEBENCH_CACHE_DIR": str(tmp_path / "cache"),
            "SAMEBENCH_DATA_DIR": "",
            "NO_PROXY": "",
            "no_proxy": "",
        }
        process = started(tmp_path, ["prepare", "--dataset", "cifar10"], https_proxy=proxy, **empty)
        connections = [deaf.accept() for _ in range(2)]  # one tests whether the server answers, and one downloads
        interrupted(process)
        for connection, _ in connections:
            connection.close()
