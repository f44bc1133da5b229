"""Other load on the machine during a timed segment is detected and reported."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from command import SMALL, samebench
from reports import CELL, ok, report

from harness.environment import cores
from harness.plugins import load_plugins
from harness.timing import load
from harness.timing.clock import Clock, Rate
from harness.timing.load import Reading, Usage, stalled
from harness.timing.record import as_record, disturbance

QUIET = {"segment_seconds": [1.0, 1.1], "segment_own_s": [2.0, 2.2], "segment_others_s": [0.02, 0.0]}


@contextlib.contextmanager
def busy_neighbours(count: int):
    """Run `count` processes that only compute, and that are not children of this process: a shell starts each of them and ends."""
    start = ["sh", "-c", f"{shlex.quote(sys.executable)} -c 'while True: pass' > {os.devnull} & echo $!"]
    hogs = [int(subprocess.run(start, stdout=subprocess.PIPE, check=True).stdout) for _ in range(count)]
    try:
        time.sleep(0.3)
        yield
    finally:
        for hog in hogs:
            os.kill(hog, signal.SIGKILL)


def worked(seconds: float) -> Usage:
    clock, total = Clock(), 0
    with clock.phase("train"):
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            total += 1
    return clock.usage["train"][0]


@pytest.mark.skipif(not load.STAT.exists(), reason="only Linux counts the processor time of a whole machine")
def test_work_of_other_processes_is_counted_separately():
    with busy_neighbours(cores() + 1):
        disturbed = worked(0.6)
    assert disturbed.others_s > 0.15 and disturbed.own_s < 0.6 * 1.1
    assert "other processes used" in disturbance(as_record([Rate(1.0, disturbed)]))


@pytest.mark.skipif(not load.STAT.exists(), reason="only Linux counts the processor time of a whole machine")
@pytest.mark.parametrize("ends", [False, True])
def test_work_of_child_processes_is_own_work(ends):
    """The workers of an input pipeline are no neighbours."""
    program = "import time\nwhile time.process_time() < 0.5: pass\ntime.sleep(60)"
    before = Reading.now()
    with subprocess.Popen([sys.executable, "-c", program]) as child:
        time.sleep(1.0)
        if ends:
            child.kill()
            child.wait()
        usage = before.until(Reading.now(), 1.0)
        child.kill()
    assert usage.own_s > 0.4


@pytest.mark.skipif(not load.STAT.exists(), reason="only Linux counts the processor time of a whole machine")
def test_a_run_warns_before_it_measures_on_a_busy_machine(tmp_path):
    with busy_neighbours(cores() + 1):
        done = samebench("run", "--backend", "numpy", "--no-parity", "--out", tmp_path / "run", *SMALL)
    assert done.stderr.startswith("This machine is busy: other processes use "), done.stderr


@pytest.mark.parametrize(
    ("used", "warned"),
    [((0.5, 0.01, 0.0), False), ((0.5, 1.8, 0.4), True), ((0.5, 1.8, 0.0), False), ((0.5, None, None), False)],
)
def test_load_before_the_start(monkeypatch, used, warned):
    seconds, others, waited = used
    monkeypatch.setattr(Reading, "until", lambda self, later, passed: Usage(passed, 0.1, others, waited))
    warning = load.busy_since(time.perf_counter() - seconds, Reading(0.0, 0.0, 0.0))
    assert (warning is not None) == warned


def test_a_quiet_machine_is_not_accused():
    assert disturbance(QUIET) is None
    assert disturbance({}) is None, "results of earlier versions have no such counters"
    assert disturbance(QUIET | {"segment_waited_s": [0.9, 0.9]}) is None, "own threads may wait for each other"


@pytest.mark.parametrize(
    ("counted", "said"),
    [
        ({"segment_others_s": [0.5, 0.5]}, "other processes used 0.5 cores while it was timed"),
        ({"segment_others_s": [0.5, 0.5], "segment_waited_s": [0.2, 0.0]}, "other processes used 0.5 cores"),
        ({"segment_others_s": [0.5, 0.5], "segment_waited_s": [0.01, 0.0]}, None),
        ({"segment_seconds": [0.01], "segment_others_s": [0.01], "segment_own_s": [0.01]}, None),
        ({"segment_seconds": [1.0, 2.5], "segment_own_s": [2.0, 2.1]}, "1 of 2 timed segments stalled"),
        ({"segment_seconds": [1.0, 2.5], "segment_own_s": [2.0, 4.9]}, None),
        ({"segment_seconds": [0.01, 0.025], "segment_own_s": [0.02, 0.02]}, None),
        ({"segment_seconds": [0.19, 2.55], "segment_own_s": [0.3, 0.3]}, "1 of 2 timed segments stalled"),
    ],
)
def test_load_and_stalls_are_found_by_their_counters(counted, said):
    found = disturbance(QUIET | counted)
    assert found is None if said is None else said in found


def test_the_waiting_of_keras_timer_counts_as_stalls():
    """Segments of cifar-resnet before the pipeline's tuner was switched off: one second of each was waiting."""
    seconds, own = [1.67, 2.556, 2.558, 1.39, 2.555, 2.556, 1.80, 2.556], [2.9] * 8
    assert "6 of 8 timed segments stalled" in disturbance({"segment_seconds": seconds, "segment_own_s": own})


def test_waiting_for_a_core_is_not_a_stall():
    seconds, own = [1.0, 2.5, 2.5], [2.0, 2.1, 2.1]
    assert stalled(seconds, own) == [1, 2]
    assert stalled(seconds, own, delayed=[0.1, 3.0, 0.1]) == [2]


@pytest.mark.skipif(not load.THREADS.exists(), reason="only Linux counts how long threads wait for a core")
def test_threads_that_wait_for_a_core_are_counted():
    with busy_neighbours(2 * cores()):
        busy = worked(0.6)
    assert busy.delayed_s > 0.1 and busy.idle_share < 0.3
    clock = Clock()
    with clock.phase("sleep"):
        time.sleep(0.3)
    [asleep] = clock.usage["sleep"]
    assert asleep.idle_share > 0.7


def test_without_counters_nothing_is_claimed(monkeypatch, tmp_path):
    monkeypatch.setattr(load, "STAT", tmp_path / "stat")
    monkeypatch.setattr(load, "PRESSURE", tmp_path / "pressure")
    monkeypatch.setattr(load, "THREADS", tmp_path / "threads")
    used = Reading.now().until(Reading.now(), 1.0)
    assert used.others_s is None and used.waited_s is None and used.delayed_s is None
    counted = {name for name in as_record([Rate(1.0, used)]) if name.startswith("segment_")}
    assert counted == {"segment_rates", "segment_seconds", "segment_own_s"}
    (tmp_path / "stat").write_text("cpu one two\n")
    (tmp_path / "pressure").write_text("some avg10=0.00\n")
    assert Reading.now().busy is None and Reading.now().waited is None


def test_a_disturbed_number_is_marked_says_why_and_has_no_interval():
    quiet = [ok(replace(CELL, seed=seed)) for seed in range(6)]
    noisy = [replace(one, time=one.time | QUIET | {"segment_others_s": [0.9, 0.9]}) for one in quiet[:2]]
    row = report(*quiet).summary[0]
    assert row["images_per_s"]["low"] is not None and "disturbed" not in row
    found = report(*noisy, *quiet[2:])
    row = found.summary[0]
    assert row["images_per_s"]["low"] is None and row["images_per_s"]["high"] is None
    assert [one["seed"] for one in row["disturbed"]] == [0, 1]
    for form in ("table", "markdown"):
        said = " ".join(load_plugins().reporters[form](found).split())
        assert "(disturbed)" in said and "seeds 0-1: other processes used 0.9 cores while it was timed" in said
