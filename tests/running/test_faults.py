"""Faults that a run survives: cells that fail in every way, a killed runner, damaged files."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from command import SMALL, backend, cells, command, lives, report, samebench, slowness, wait_for, words
from refusals import has
from runs import cell, run_here

from harness.running.process import GRACE

FAILURES = {
    "an exception": ("raise ValueError('too bad')", "failed", "ValueError: too bad (mine.py:"),
    "an exit": ("sys.exit(0)", "failed", "SystemExit: 0"),
    "a quiet end": ("os._exit(0)", "invalid", "ended without a valid result"),
    "an exit code": ("os._exit(3)", "crashed", "exit code 3"),
    "SIGSEGV": ("os.kill(os.getpid(), 11)", "crashed", "SIGSEGV"),
    "SIGKILL": ("os.kill(os.getpid(), 9)", "crashed", "SIGKILL"),
    "no memory": ("raise MemoryError('no room')", "oom", "no room"),
    "no memory on the device": ("raise RuntimeError('CUDA out of memory. Tried to')", "oom", "CUDA out of memory"),
    "no memory in C++": ("print('terminate: std::bad_alloc', flush=True); os.abort()", "oom", "host memory ran out (SIGABRT)"),
    "no memory in CUDA": ("print('CUDA error: out of memory', flush=True); os.abort()", "oom", "device memory ran out (SIGABRT)"),
    "an exception without words": (
        "raise type('Rude', (Exception,), {'__str__': lambda self: 1 / 0})",
        "failed",
        "Rude: its message cannot be shown",
    ),
    "a hang": ("time.sleep(600)", "timeout", "still running after"),
    "a deaf hang": ("signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)", "timeout", "still running after"),
    "a hang in C": (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); ctypes.PyDLL(None).sleep(600)",  # no Python code runs meanwhile
        "timeout",
        "still running after",
    ),
    "half a result": ("open(sys.argv[2], 'w').write('{\"task\": \"scr'); os._exit(0)", "invalid", "not JSON"),
    "an empty result": ("open(sys.argv[2], 'w').close(); os._exit(0)", "invalid", "not JSON"),
    "another result": ("open(sys.argv[2], 'w').write('{}'); os._exit(0)", "invalid", "its hash does not match"),
}  # fmt: skip
"""What a cell does, its status, and a part of the reason."""


@pytest.mark.parametrize("name", FAILURES)
def test_a_failed_cell_is_a_row_and_the_others_run(tmp_path, name):
    fault, status, reason = FAILURES[name]
    file, start = backend(tmp_path, fault), time.monotonic()
    limit = "3" if status == "timeout" else "60"
    arguments = ["--backend", file, "--backend", "numpy", "--no-parity", "--out", tmp_path / "run", "--timeout", limit]
    done = samebench("run", *arguments, *SMALL)
    assert done.returncode == 1
    found = cells(tmp_path / "run")
    assert found["numpy"] == ("ok", None)
    assert found["mine"][0] == status and reason in found["mine"][1]
    assert f"{status}: " in words(done.stdout)
    assert time.monotonic() - start < 60
    if status == "timeout":
        assert 3 <= seconds_in(found["mine"][1]) <= 3 + GRACE + 1


def seconds_in(reason: str) -> int:
    """The seconds until a cell was ended."""
    return int(re.search(r"still running after (\d+) s", reason).group(1))


def test_a_result_that_comes_after_the_time_limit_does_not_count(tmp_path):
    """The cell ignores SIGTERM and finishes before it is killed."""
    seen = tmp_path / "seen"
    late = f"open({str(seen)!r}, 'w'); signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(4)"
    arguments = ["--backend", backend(tmp_path, late), "--no-parity", "--out", tmp_path / "run", "--timeout", "3"]
    assert samebench("run", *arguments, *SMALL).returncode == 1
    status, reason = cells(tmp_path / "run")["mine"]
    assert status == "timeout" and seconds_in(reason) < 3 + GRACE and seen.exists()


def test_a_result_that_comes_before_the_time_limit_counts_even_if_its_process_stays(tmp_path):
    stays = "threading.Thread(target=lambda: time.sleep(600)).start()"
    arguments = ["--backend", backend(tmp_path, stays), "--no-parity", "--out", tmp_path / "run", "--timeout", "8"]
    done = samebench("run", *arguments, *SMALL)
    assert done.returncode == 0 and cells(tmp_path / "run")["mine"] == ("ok", None)
    assert "ended badly after it had stored the result: still running after 8 s" in words(done.stdout)
    strict = samebench("run", *arguments, *SMALL, "--strict")
    assert strict.returncode == 1 and "1 cell has a warning, and --strict allows none" in strict.stderr


def test_a_crash_leaves_its_stack_in_the_log(tmp_path):
    file = backend(tmp_path, "os.kill(os.getpid(), 11)")
    samebench("run", "--backend", file, "--no-parity", "--out", tmp_path / "run", *SMALL)
    (log,) = tmp_path.glob("run/cells/*/log.txt")
    assert re.search(r"Segmentation fault.*File \".*mine\.py\", line \d+ in build", log.read_text(), re.DOTALL)


NOISE = (
    "sys.stdout.buffer.write(bytes(range(256)) * 40_000); sys.stdout.flush(); "
    "print('\\x1b[31mred\\x1b]0;title\\x07', file=sys.stderr, flush=True)"
)
"""Ten megabytes of every byte, and sequences that act on a terminal."""


@pytest.mark.parametrize(
    ("end", "status"), [("pass", "ok"), ("raise ValueError('\\x1b[31mred')", "failed"), ("os._exit(3)", "crashed")]
)
def test_what_a_cell_prints_changes_no_result_and_acts_on_no_terminal(tmp_path, end, status):
    arguments = [
        "--backend",
        backend(tmp_path, f"{NOISE}; {end}"),
        "--backend",
        "numpy",
        "--no-parity",
        "--out",
        tmp_path / "run",
    ]
    done = samebench("run", *arguments, *SMALL)
    mine, reference = sorted(report(tmp_path / "run")["cells"], key=lambda cell: cell["backend"] == "numpy")
    assert mine["status"] == status and "\x1b" not in done.stdout + done.stderr
    assert status != "ok" or mine["metrics"] == reference["metrics"]
    (log,) = (path for path in tmp_path.glob("run/cells/*/log.txt") if "mine" in path.parent.name)
    assert b"\x1b[31mred" in log.read_bytes() and log.stat().st_size < 3 * 2**20


LEAVES_CHANGES = """if "LEFT" not in os.environ:
            state = os.getcwd(), os.umask(0o077), signal.getsignal(signal.SIGTERM), locale.setlocale(locale.LC_ALL)
            with open(SEEN, "a") as seen:
                seen.write(f"{state}\\n")
        os.environ["LEFT"] = "x"
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        locale.setlocale(locale.LC_ALL, "C")
        os.chdir("/")"""
"""Code of a cell that writes down the state of its process, and changes it."""


def test_what_a_cell_changes_in_its_process_ends_with_it(tmp_path):
    (seen := tmp_path / "seen").touch()
    file = backend(tmp_path, LEAVES_CHANGES.replace("SEEN", repr(str(seen))))
    arguments = ["--backend", file, "--no-parity", "--seeds", "3", "--out", "run"]
    assert samebench("run", *arguments, *SMALL, cwd=tmp_path).returncode == 0, (
        "a cell that changes its folder can be stored"
    )
    lines = seen.read_text().splitlines()
    assert len(lines) == 3 and len({*lines}) == 1 and str(tmp_path) in lines[0]


def test_a_clock_that_is_set_back_makes_no_time_negative(tmp_path):
    file = backend(tmp_path, "time.time = iter(range(2 * 10**9, 0, -1)).__next__")
    assert samebench("run", "--backend", file, "--no-parity", "--out", tmp_path / "run", *SMALL).returncode == 0
    (cell,) = report(tmp_path / "run")["cells"]
    seconds = {name: value for name, value in cell["time"].items() if name.endswith("_s") and isinstance(value, float)}
    assert seconds.keys() >= {"first_step_s", "train_s", "total_s", "process_s"}
    assert all(0 <= value < 1000 for value in seconds.values()), seconds


SECRET = "hunter2-correct-horse"
SECRETS = dict.fromkeys(
    ("GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "TF_API_KEY", "XLA_PASSWORD", "MY_OWN_VARIABLE"), SECRET
)


def test_secrets_of_the_environment_are_stored_nowhere(tmp_path):
    file = backend(tmp_path, "raise ValueError('too bad')")
    arguments = ["--backend", file, "--backend", "numpy", "--no-parity", "--out", tmp_path / "run", *SMALL]
    done = samebench("run", *arguments, env=os.environ | SECRETS)
    shown = [
        samebench("report", tmp_path / "run", "--format", name, env=os.environ | SECRETS).stdout
        for name in ("json", "table")
    ]
    stored = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "log.txt" for path in stored) and any(path.name == "result.json" for path in stored)
    assert not [path for path in stored if SECRET.encode() in path.read_bytes()]
    assert SECRET not in "".join([done.stdout, done.stderr, *shown])


def test_an_invalid_result_is_kept_as_evidence(tmp_path):
    file = backend(tmp_path, "open(sys.argv[2], 'w').write('{\"task\": \"scr'); os._exit(0)")
    samebench("run", "--backend", file, "--no-parity", "--out", tmp_path / "run", *SMALL)
    kept = list(tmp_path.glob("run/cells/*/result.rejected.json"))
    assert [file.read_text() for file in kept] == ['{"task": "scr']


def test_a_cell_that_crashes_after_its_result_keeps_it_with_a_warning(tmp_path):
    late = "wait = lambda: [time.sleep(0.01) for _ in iter(lambda: os.path.exists(sys.argv[2]), True)]"
    file = backend(tmp_path, f"{late}; threading.Thread(target=lambda: (wait(), os.kill(os.getpid(), 11))).start()")
    done = samebench("run", "--backend", file, "--no-parity", "--out", tmp_path / "run", *SMALL)
    assert done.returncode == 0 and cells(tmp_path / "run")["mine"] == ("ok", None)
    assert "Warning: scratch-cnn" in done.stdout and "ended badly" in words(done.stdout)


def test_child_processes_of_a_cell_end_with_it(tmp_path):
    pid = tmp_path / "pid"
    child = "[sys.executable, '-c', 'import time; time.sleep(600)']"
    file = backend(tmp_path, f"open({str(pid)!r}, 'w').write(str(subprocess.Popen({child}).pid))")
    assert samebench("run", "--backend", file, "--no-parity", "--out", tmp_path / "run", *SMALL).returncode == 0
    assert not lives(int(pid.read_text()))


PID = "open('pid', 'w').write(str(os.getpid()))"
LEAVING = {
    "a session of its own": f"os.setsid(); {PID}; time.sleep(600)",
    "a group of its own": f"os.setpgid(0, 0); {PID}; time.sleep(600)",
    "without its guard": f"{PID}; os.kill(os.getppid(), signal.SIGKILL); time.sleep(600)",
    "deaf": f"os.setsid(); signal.signal(signal.SIGTERM, signal.SIG_IGN); {PID}; time.sleep(600)",
}
"""Ways in which a cell leaves its group and works on."""

SLEEPER = f"[{sys.executable!r}, '-c', 'import time; time.sleep(600)']"
LEAVES_BEHIND = {
    "a child with a session": f"open('pid', 'w').write(str(subprocess.Popen({SLEEPER}, start_new_session=True).pid))",
    "a daemon": "subprocess.run(['sh', '-c', 'setsid sleep 600 > /dev/null 2>&1 & echo $! > pid'])",
    "a child without a mark": f"open('pid', 'w').write(str(subprocess.Popen({SLEEPER}, env={{}}, start_new_session=True).pid))",
}
"""Processes that a cell starts and does not end."""


def pid_in(folder: Path) -> int:
    wait_for(lambda: (folder / "pid").exists() and (folder / "pid").read_text().strip())
    return int((folder / "pid").read_text())


@pytest.mark.parametrize("way", LEAVING)
def test_a_cell_that_leaves_its_group_ends_at_the_time_limit(tmp_path, monkeypatch, way):
    monkeypatch.chdir(tmp_path)
    file = backend(tmp_path, LEAVING[way])
    done = samebench("run", "--backend", file, "--no-parity", "--timeout", 3, "--out", "run", *SMALL)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert cells(tmp_path / "run")["mine"][0] in ("timeout", "crashed")
    assert not lives(pid_in(tmp_path))


@pytest.mark.parametrize("way", LEAVING)
def test_a_cell_that_leaves_its_group_ends_with_a_killed_runner(tmp_path, monkeypatch, way):
    if way == "without its guard":
        pytest.skip("the guard ends such a cell, and the cell has killed it")
    monkeypatch.chdir(tmp_path)
    run = subprocess.Popen(command("run", "--backend", backend(tmp_path, LEAVING[way]), "--no-parity", *SMALL))
    pid = pid_in(tmp_path)
    run.kill()
    run.wait()
    wait_for(lambda: not lives(pid), seconds=5)


@pytest.mark.parametrize("what", LEAVES_BEHIND)
def test_nothing_outlives_a_good_cell(tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    file = backend(tmp_path, LEAVES_BEHIND[what])
    assert samebench("run", "--backend", file, "--no-parity", "--out", "run", *SMALL).returncode == 0
    assert not lives(pid_in(tmp_path))
    (log,) = tmp_path.glob("run/cells/*/log.txt")
    assert "samebench: the cell left 1 process, now ended" in log.read_text()


@pytest.mark.parametrize("lines", [300, 12_000], ids=["long", "flood"])
def test_a_very_large_log_is_cut(tmp_path, lines):
    write = f"print('first words'); [(print('flood' * 2000), time.sleep(1e-4)) for _ in range({lines})]"
    file = backend(tmp_path, f"{write}; time.sleep(1); print('last words')")
    run = subprocess.Popen(command("run", "--backend", file, "--no-parity", "--out", tmp_path / "run", *SMALL))
    largest = 0
    while run.poll() is None:
        largest = max(largest, *(log.stat().st_size for log in tmp_path.glob("run/cells/*/log.txt")), 0)
        time.sleep(0.01)
    assert run.returncode == 0
    (log,) = tmp_path.glob("run/cells/*/log.txt")
    text = log.read_text()
    assert len(text) < 3 * 2**20
    assert text.startswith("first words") and text.endswith("last words\n") and "bytes left out here]" in text
    assert lines < 1000 or largest < lines * 10_001, "it was cut while it grew"


def test_memory_can_be_limited(tmp_path):
    file = backend(tmp_path, "bytearray(2**32)")
    arguments = ["--backend", file, "--backend", "numpy", "--no-parity", "--out", tmp_path / "run"]
    samebench("run", *arguments, "--set", "memory_gb=1.5", *SMALL)
    found = {Path(cell["backend"]).stem: cell for cell in report(tmp_path / "run")["cells"]}
    assert (found["mine"]["status"], found["numpy"]["status"]) == ("oom", "ok")
    assert 10**7 < found["mine"]["memory"]["peak_rss_bytes"] < 1.5e9


@pytest.mark.parametrize("end", ["raise MemoryError", "print('bad_alloc', flush=True); os.abort()"])
def test_a_cell_without_memory_has_the_peak_of_its_memory(tmp_path, end):
    file = backend(tmp_path, f"kept = bytearray({300 * 2**20}); {end}")
    samebench("run", "--backend", file, "--no-parity", "--out", tmp_path / "run", *SMALL)
    [cell] = report(tmp_path / "run")["cells"]
    assert cell["status"] == "oom" and 300 * 2**20 < cell["memory"]["peak_rss_bytes"] < 800 * 2**20
    assert end.startswith("raise") or re.search(r"; peak memory on the host \d+\.\d MB; ", cell["reason"])


def test_threads_can_be_limited(tmp_path):
    seen = tmp_path / "seen"
    say = f"open({str(seen)!r}, 'w').write(f\"{{len(os.sched_getaffinity(0))}} {{os.environ['OMP_NUM_THREADS']}}\")"
    arguments = ["--backend", backend(tmp_path, say), "--no-parity", "--out", tmp_path / "run", "--set", "threads=1"]
    assert samebench("run", *arguments, *SMALL).returncode == 0
    assert seen.read_text() == "1 1"


def test_another_interpreter_can_run_a_backend(tmp_path):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho used >> "{tmp_path}/used"\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    arguments = ["--backend", "numpy", "--no-parity", "--out", tmp_path / "run", "--python", f"numpy={python}"]
    assert samebench("run", *arguments, *SMALL).returncode == 0
    assert (tmp_path / "used").read_text().count("used") == 2, "once to see whether it can, once for the cell"
    done = samebench("run", "--backend", "numpy", "--python", "numpy=/bin/false", *SMALL, cwd=tmp_path)
    assert done.returncode == 2 and has(done.stderr, "/bin/false") and has(done.stderr, "numpy"), done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_stopped_run_prints_how_to_resume(tmp_path, number):
    file = backend(tmp_path, f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)")
    process = subprocess.Popen(
        command("run", "--backend", file, "--no-parity", *SMALL),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which shells ignore in the background
    )  # fmt: skip
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == (130 if number == signal.SIGINT else 143)
    assert not lives(int((tmp_path / "pid").read_text()))
    (run,) = tmp_path.glob("runs/*")
    assert cells(run)["mine"][0] == "interrupted"
    again = said.rpartition("To resume: samebench ")[2].split()
    assert again[-2:] == ["--out", f"runs/{run.name}"]
    backend(tmp_path, "pass")
    assert samebench(*again, cwd=tmp_path).returncode == 0
    assert cells(run)["mine"][0] == "ok"


def test_a_killed_runner_leaves_no_process_and_can_be_resumed(tmp_path):
    """The runner is killed at five moments: during certificates, in a cell, between cells, and at two random moments."""
    journal, out = tmp_path / "journal", tmp_path / "run"
    journal.touch()
    file = backend(tmp_path, f"open({str(journal)!r}, 'a').write(f'{{os.getpid()}}\\n'); time.sleep(0.4)")
    arguments = command("run", "--backend", file, "--backend", "numpy", "--seeds", 4, "--out", out, *SMALL)
    chance = random.Random(0)

    def results():
        return {path: path.stat().st_mtime_ns for path in out.glob("cells/*/result.json")}

    moments = [
        lambda: list(out.glob("certificates/*/request.json")),
        lambda: list(out.glob("cells/*/cell.json")),
        lambda: len(results()) >= 2,
        lambda: time.sleep(chance.uniform(0.5, 2.5)) or True,
        lambda: time.sleep(chance.uniform(0.5, 2.5)) or True,
    ]
    finished: dict = {}
    for moment in moments:
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda moment=moment, process=process: process.poll() is not None or moment())
        process.kill()
        process.wait()
        wait_for(lambda: not any(lives(int(line)) for line in journal.read_text().split()), seconds=5)
        assert all(results().get(path) == written for path, written in finished.items()), "a finished cell ran again"
        sealed = [path for path in results() if '"status": "ok"' in path.read_text()]
        finished = {path: results()[path] for path in sealed}
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert {(cell["seed"], cell["status"]) for cell in report(out)["cells"]} == {(seed, "ok") for seed in range(4)}
    assert not list(out.rglob(".*.json.*")), "what a killed process had begun to write is gone"
    assert {cell["parity"]["verdict"] for cell in report(out)["cells"]} == {"equal"}


def test_two_runs_do_not_share_a_folder(tmp_path):
    file = backend(tmp_path, f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)")
    arguments = ["--no-parity", "--out", tmp_path / "run", *SMALL]
    first = subprocess.Popen(command("run", "--backend", file, *arguments), stderr=subprocess.DEVNULL)
    wait_for(lambda: (tmp_path / "pid").exists())
    second = samebench("run", "--backend", "numpy", *arguments)
    assert second.returncode == 2 and has(second.stderr, tmp_path / "run")
    assert has(second.stderr, first.pid) and has(second.stderr, socket.gethostname())
    first.kill()
    first.wait()
    assert samebench("run", "--backend", "numpy", *arguments).returncode == 0, "the lock went with its process"


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    done = samebench("run", "--backend", "numpy", "--out", tmp_path, *SMALL)
    assert done.returncode == 2 and "has other files" in done.stderr
    done = samebench("run", "--backend", "numpy", "--out", tmp_path / "letter.txt", *SMALL)
    assert done.returncode == 2 and has(done.stderr, tmp_path / "letter.txt")


@pytest.mark.parametrize(
    "damage", [lambda text: text.replace('"seed": 0', '"seed": 7'), lambda text: text[:200], lambda text: ""]
)
def test_a_damaged_result_is_never_used_and_runs_again(tmp_path, damage):
    arguments = ["run", "--backend", "numpy", "--no-parity", "--seeds", "2", "--out", tmp_path / "run", *SMALL]
    samebench(*arguments)
    (result,) = tmp_path.glob("run/cells/*seed0*/result.json")
    result.write_text(damage(result.read_text()))
    shown = report(tmp_path / "run")
    assert [cell["status"] for cell in shown["cells"]] == ["invalid", "ok"]
    assert shown["summary"][0]["n"] == 1
    again = samebench(*arguments)
    assert again.returncode == 0 and "[1/1] scratch-cnn numpy/default seed 0: ok" in again.stderr
    assert result.with_name("result.rejected.json").exists()


def test_a_result_of_another_cell_is_refused(tmp_path):
    arguments = ["run", "--backend", "numpy", "--no-parity", "--seeds", "2", "--out", tmp_path / "run", *SMALL]
    samebench(*arguments)
    first, second = sorted(tmp_path.glob("run/cells/*/result.json"))
    second.write_text(first.read_text())
    assert "about another cell" in cells(tmp_path / "run")["numpy"][1]


@pytest.mark.parametrize("damage", ["", "[]", '{"schema": 99}'])
def test_a_folder_whose_record_cannot_be_read_is_refused(tmp_path, damage):
    (tmp_path / "run.json").write_text(damage)
    for arguments in (["run", "--backend", "numpy", "--out", tmp_path, *SMALL], ["report", tmp_path]):
        done = samebench(*arguments)
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert ("update samebench" if "99" in damage else "cannot be read") in done.stderr


def test_a_backend_that_has_changed_since_runs_again(tmp_path):
    arguments = ["run", "--backend", backend(tmp_path, "pass"), "--out", tmp_path / "run", *SMALL]
    samebench(*arguments)
    assert "[1/1]" not in samebench(*arguments).stderr
    backend(tmp_path, "weights = {name: tensor * 1.001 for name, tensor in weights.items()}")
    again = samebench(*arguments)
    assert "[1/1]" in again.stderr and "certificate of " in again.stderr and "Differs: scratch-cnn" in again.stdout


def test_a_full_disk_is_reported_and_nothing_is_lost(tmp_path):
    arguments = ["run", "--backend", "numpy", "--no-parity", "--out", tmp_path / "run", *SMALL]
    samebench(*arguments)
    before = next(tmp_path.glob("run/cells/*/result.json")).read_text()
    limited = ["sh", "-c", 'ulimit -f 1; exec "$@"', "sh", *command(*arguments, "--seeds", 2)]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=120)
    assert done.returncode in (1, 2) and "Error: " in done.stderr and "Traceback" not in done.stderr
    assert next(tmp_path.glob("run/cells/*seed0*/result.json")).read_text() == before
    assert samebench(*arguments, "--seeds", "2").returncode == 0


def test_certificates_are_made_once(tmp_path):
    environment = os.environ | {"SAMEBENCH_CACHE_DIR": str(tmp_path / "cache")}
    first = samebench("run", "--backend", "numpy", "--out", tmp_path / "one", *SMALL, env=environment)
    second = samebench("run", "--backend", "numpy", "--out", tmp_path / "two", *SMALL, env=environment)
    other = ["--set", "scratch-cnn.optimizer.lr=0.01"]
    third = samebench("run", "--backend", "numpy", "--out", tmp_path / "three", *SMALL, *other, env=environment)
    assert "certificate of numpy/default: equal (" in first.stderr
    assert "certificate of numpy/default: equal, known from before (" in second.stderr
    assert "certificate of numpy/default: equal (" in third.stderr, "another recipe needs another certificate"


def test_a_cell_costs_little_beyond_its_own_process(tmp_path):
    """The smallest of several times, because other processes may use the machine."""
    done = samebench("run", "--backend", "numpy", "--no-parity", "--seeds", "6", "--out", tmp_path / "run", *SMALL)
    assert done.returncode == 0
    files = sorted(tmp_path.glob("run/cells/*/result.json"), key=lambda file: file.stat().st_mtime_ns)
    written = [file.stat().st_mtime for file in files]
    processes = [json.loads(file.read_text())["time"]["process_s"] for file in files]
    ours = [after - before - took for before, after, took in zip(written, written[1:], processes[1:])]
    assert min(ours) < 0.05 * slowness()


def held() -> tuple[int, int, str]:
    """The open files, the threads, and the children of this process, also those that have ended."""
    children = [path.read_text() for path in Path("/proc/self/task").glob("*/children")]
    return len(os.listdir("/proc/self/fd")), threading.active_count(), "".join(children)


def test_processes_and_files_do_not_accumulate(tmp_path):
    from harness.running.process import run_worker

    def run_one():
        return run_worker(
            tmp_path / "none", tmp_path / "result", tmp_path / "log", environment=dict(os.environ), timeout=60
        )

    assert run_one().code == 1, "there is no such request"
    before = held()
    for _ in range(5):
        run_one()
    wait_for(lambda: held() == before, seconds=5)


def test_a_run_of_many_cells_leaves_nothing_open(tmp_path, monkeypatch):
    """The cells themselves take no time. tests/slow/soak.py has hundreds of real ones."""
    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    run_here(tmp_path / "run", [cell()], monkeypatch)
    before = held()
    found = run_here(tmp_path / "run", [cell(seed=seed) for seed in range(200)], monkeypatch)
    assert found == {"numpy": ("ok", None)} and held() == before and not list(temporary.iterdir())
