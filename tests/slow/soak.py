"""A soak: hundreds of cells of mixed health, whose runner is killed at random moments and resumed.

    python tests/slow/soak.py [--seeds N] [--kills N]

The same cells run once without disturbance and once with kills. Then every cell must be there exactly once, with the status that its
health decides; every healthy result must be that of the undisturbed run; and no process, no temporary file and no descriptor may be
left over. The exit code is 1 if something is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

HEALTH = ("ok", "ok", "ok", "ok", "crash", "hang", "memory", "garbage", "slow end", "daemon", "leaves")
"""The health of the cells, by their seeds."""

TIMEOUT = 6
"""The time limit of a cell in seconds. A healthy one takes one second on a quiet machine."""

EXPECTED = {
    "ok": ("ok",), "slow end": ("ok",), "daemon": ("ok",), "crash": ("crashed",), "hang": ("timeout",), "memory": ("oom",),
    "garbage": ("invalid",), "leaves": ("timeout", "crashed"),
}  # fmt: skip

FILE = """
import os, signal, subprocess, sys, time
from harness import hookimpl
from harness.reference.backend import NumPy

HEALTH = {health!r}
JOURNAL = {journal!r}

class Trainer(NumPy.training):
    def __init__(self, backend, net, recipe, seed):
        super().__init__(backend, net, recipe, seed)
        with open(JOURNAL, "a") as journal:
            journal.write(f"{{os.getpid()}}\\n")
        self.act(HEALTH[seed % len(HEALTH)])

    def act(self, health):
        if health == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if health == "hang":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
        if health == "memory":
            bytearray(2**36)
        if health == "garbage":
            open(sys.argv[2], "w").write("no json")
            os._exit(0)
        if health == "daemon":
            child = subprocess.Popen(["sleep", "600"], start_new_session=True)
            with open(JOURNAL, "a") as journal:
                journal.write(f"{{child.pid}}\\n")
        if health == "leaves":
            os.setsid()
            time.sleep(600)
        if health == "slow end":
            import atexit
            atexit.register(time.sleep, 0.2)

class Soaked(NumPy):
    name = "soaked"
    training = Trainer

@hookimpl
def samebench_backend():
    return Soaked
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--kills", type=int, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        problems = list(soak(Path(name), asked.seeds, asked.kills))
    print("\n".join(problems) or "nothing is wrong")
    sys.exit(bool(problems))


def soak(folder: Path, seeds: int, kills: int) -> list[str]:
    start, journal = time.monotonic(), folder / "journal"
    journal.touch()
    (folder / "soaked.py").write_text(FILE.format(health=HEALTH, journal=str(journal)))
    quiet = run_to_the_end("quiet", seeds)
    undisturbed = time.monotonic() - start
    chance, killed = random.Random(0), 0
    while killed < kills:
        process = started("killed", seeds)
        try:
            process.wait(chance.uniform(1.0, 1.5 * undisturbed / kills))
            break  # it is done before the last kill
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
    again = run_to_the_end("killed", seeds)
    found, expected = results(folder / "killed"), results(folder / "quiet")
    statuses = Counter(result["status"] for result in found.values())
    print(
        f"{date.today()}: {seeds} cells, {undisturbed:.0f} s undisturbed, {time.monotonic() - start:.0f} s in all; killed "
        f"{killed} times; {', '.join(f'{count} {status}' for status, count in sorted(statuses.items()))}"
    )
    return [*quiet, *again, *differences(found, expected, seeds), *leftovers(folder, journal)]


def arguments(out: str, seeds: int) -> list[str]:
    options = ["segment_s=0", "scratch-cnn.epochs=1", "scratch-cnn.train_limit=64", "memory_gb=4", "threads=1"]
    return [
        sys.executable, "-m", "harness", "run", "--backend", "soaked.py", "--task", "scratch-cnn", "--precision", "float64",
        "--no-parity", "--timeout", str(TIMEOUT), "--seeds", str(seeds), "--out", out, *(word for o in options for word in ("--set", o)),
    ]  # fmt: skip


def started(out: str, seeds: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(arguments(out, seeds), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def run_to_the_end(out: str, seeds: int) -> list[str]:
    """Run all cells. Returns what is wrong with the end of the runner."""
    before = len(os.listdir("/proc/self/fd"))
    done = subprocess.run(arguments(out, seeds), capture_output=True, text=True)
    problems = [] if done.returncode == 1 else [f"{out}: the exit code is {done.returncode}, not 1"]
    if "Traceback" in done.stderr:
        problems.append(f"{out}: a traceback: {done.stderr[-500:]}")
    return problems + (["descriptors are left open"] if len(os.listdir("/proc/self/fd")) != before else [])


def results(run: Path) -> dict[int, dict[str, Any]]:
    """The results by seed, as a report has them."""
    text = subprocess.run(
        [sys.executable, "-m", "harness", "report", str(run), "--format", "json"], capture_output=True, text=True
    )
    cells = json.loads(text.stdout)["cells"]
    found = {cell["seed"]: cell for cell in cells}
    assert len(found) == len(cells), "a cell is there twice"
    return found


def differences(found: dict[int, Any], expected: dict[int, Any], seeds: int) -> list[str]:
    problems = []
    for name, cells in {"killed": found, "quiet": expected}.items():
        if missing := set(range(seeds)) - set(cells):
            problems.append(f"{name}: the seeds {sorted(missing)[:10]} are missing")
        problems += [
            f"{name}, seed {seed}: {cell['status']} ({cell['reason']}), but it is {HEALTH[seed % len(HEALTH)]}"
            for seed, cell in cells.items()
            if cell["status"] not in EXPECTED[HEALTH[seed % len(HEALTH)]]
        ]
    problems += [
        f"seed {seed}: its metrics differ from those of the undisturbed run"
        for seed in set(found) & set(expected)
        if found[seed]["status"] == "ok" and found[seed]["metrics"] != expected[seed]["metrics"]
    ]
    return problems


def leftovers(folder: Path, journal: Path) -> list[str]:
    time.sleep(5)
    living = [line for line in journal.read_text().split() if Path("/proc", line).exists()]
    parts = [str(file) for file in folder.rglob("*.samebench-part")]
    folders = [str(file) for file in (folder / "killed" / "cells").iterdir() if not (file / "result.json").exists()]
    return [
        *([f"processes are left: {', '.join(living)}"] if living else []),
        *([f"temporary files are left: {', '.join(parts)}"] if parts else []),
        *([f"cells without a result are left: {', '.join(folders)}"] if folders else []),
    ]


if __name__ == "__main__":
    main()
