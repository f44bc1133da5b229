"""The overhead of a backend relative to a yardstick: pairs, intervals, verdicts, and the command."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
from command import samebench, words
from refusals import refused

from harness.errors import ContractError, PluginError, Unsupported, UsageError
from harness.running import overhead
from harness.worker.overhead import WORKS, difference, programs

BACKEND = '''
"""A backend that extracts features in a known time."""
import time

from harness import Examples, hookimpl
from harness.reference.backend import NumPy

SECONDS = 0.03

class Sleepy(NumPy):
    name = "sleepy"

    def build(self, model, weights):
        return model

    def forward(self, net, batches, *, upto="logits"):
        means = batches.examples.images[batches.rows].mean((1, 2, 3))
        time.sleep(SECONDS * len(batches))
        return means[:, None].repeat(net.shape_at(net.end(upto))[0], 1)

@hookimpl
def samebench_backend():
    return Sleepy
'''

YARDSTICK = """
import time

def feature_extraction(given):
    def form(seconds):
        def over(order):
            def run():
                time.sleep(seconds * len(order))
                return given.images[order.ravel()].mean((1, 2, 3))[:, None].repeat(1280, 1) + ADDED
            return run
        return over
    return {"slow": form(0.09), "quick": form(QUICK)}
"""


@pytest.fixture
def sleepy(tmp_path: Path):
    """A function that runs the command for a backend in a file. A step of its yardstick takes `quick` seconds."""
    backend, yardstick = tmp_path / "sleepy.py", tmp_path / "yardstick.py"
    backend.write_text(BACKEND)

    def run(quick: float, *options: str, added: float = 0.0):
        yardstick.write_text(YARDSTICK.replace("QUICK", str(quick)).replace("ADDED", str(added)))
        given = ["--backend", backend, "--against", yardstick, "--task", "feature-extraction", "--pairs", 6]
        return samebench("bench-overhead", *given, *options, cwd=tmp_path)

    return run


def test_a_backend_that_is_slower_than_its_yardstick_fails(sleepy, tmp_path):
    done = sleepy(0.015, "--format", "json", "-o", "found.json")
    assert done.returncode == 1, done.stderr
    (row,) = json.loads((tmp_path / "found.json").read_text())["rows"]
    assert (row["backend"], row["mode"], row["task"]) == ("sleepy", "default", "feature-extraction")
    assert row["form"] == "quick" and row["verdict"] == "slower"
    assert len(row["pairs"]) == len(row["ratios"]) == 6
    assert all(pair["yardstick"]["seconds"] >= 0.3 for pair in row["pairs"])
    assert 0.3 <= row["ratio"]["low"] <= row["ratio"]["median"] <= row["ratio"]["high"] < 0.7
    assert row["pairs"][0]["ours"]["own_s"] < row["pairs"][0]["ours"]["seconds"], "it sleeps"
    assert "Error: sleepy default, feature-extraction: ratio 0.5" in done.stderr


def test_a_backend_that_is_faster_than_its_yardstick_passes_and_its_results_are_printed_again(sleepy, tmp_path):
    """The yardstick has no function for an attack, so only one of two tasks is measured."""
    done = sleepy(0.06, "--task", "adversarial", "--format", "json", "-o", "found.json")
    assert done.returncode == 0, done.stderr
    assert "sleepy default: feature-extraction: 6 pairs of segments of" in done.stderr
    again = samebench("bench-overhead", "--from", "found.json", cwd=tmp_path)
    assert again.returncode == 0 and not again.stderr
    assert "95 % interval" in again.stdout and "as fast" in again.stdout
    assert "has no function adversarial" in words(again.stdout)
    twice = samebench(
        "bench-overhead", "--from", "found.json", "--from", "found.json", "--format", "json", cwd=tmp_path
    )
    assert [row["backend"] for row in json.loads(twice.stdout)["rows"]] == ["sleepy"] * 4
    in_folder = samebench("bench-overhead", "--from", ".", cwd=tmp_path)
    assert in_folder.stdout == again.stdout
    none = samebench("bench-overhead", "--from", "found.json", "--mode", "compiled", cwd=tmp_path)
    assert none.returncode == 1 and "nothing was measured" in none.stderr


def test_stored_results_of_two_machines_are_not_mixed(tmp_path):
    for name in "one", "two":
        (tmp_path / f"{name}.json").write_text(json.dumps({"host": {"processor": name}, "rows": []}))
    with refused(UsageError, "conflicting-options", tmp_path / "two.json"):
        overhead.stored([tmp_path / "one.json", tmp_path / "two.json"], (), (), WORKS)


@pytest.mark.parametrize(
    ("text", "code", "value"),
    [
        ("{", "unreadable-file", "here.json"),
        ("[]", "malformed-file", "here.json"),
        ('{"host": {}, "rows": [{"backend": 1}]}', "malformed-file", "rows[0]"),
        (
            '{"host": {}, "rows": [{"backend": "a", "mode": "b", "task": "c", "status": "ok", "reason": null, "verdict": "d"}]}',
            "malformed-file",
            "form",
        ),
        (None, "not-found", "here.json"),
    ],
)
def test_a_file_without_results_is_refused(text, code, value, tmp_path):
    if text is not None:
        (tmp_path / "here.json").write_text(text)
    with refused(UsageError, code, value):
        overhead.stored([tmp_path / "here.json"], (), (), WORKS)


def test_a_yardstick_that_does_other_work_is_refused(sleepy):
    done = sleepy(0.06, added=1.0)
    assert done.returncode == 1
    assert "does other work" in words(done.stdout) and "nothing was measured" in done.stderr


def test_yardsticks_are_found_only_in_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(overhead, "FOLDER", Path("no", "such", "folder"))
    with refused(UsageError, "not-found", "--against FILE.py"):
        overhead.checkout()


def test_a_folder_of_another_project_is_no_checkout(tmp_path, monkeypatch):
    folder = tmp_path / overhead.FOLDER
    folder.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "other"\n')
    monkeypatch.chdir(tmp_path)
    with contextlib.suppress(UsageError):  # if samebench itself does not run from a checkout
        assert overhead.checkout() != folder
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "samebench"\n')
    assert overhead.checkout() == folder


def test_every_shipped_backend_has_a_file_with_a_function_for_each_task():
    for file in overhead.FILES.values():
        text = (overhead.checkout() / file).read_text()
        assert all(f"def {work.program}(given):" in text for work in WORKS.values()), file
        assert "harness" not in text and "backends" not in text, "a yardstick imports nothing of samebench"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--task", "two-block"), "did you mean 'two-block-cnn'"),
        (("--backend", "numpy"), "numpy has no yardstick: give one with --against"),
        (("--backend", "pytroch"), "did you mean 'pytorch'"),
        (("--against", "mine.py"), "--against FILE.py is for one backend"),
        (("--backend", "jax", "--against", "mine.py"), "there is no yardstick file mine.py"),
        (("--backend", "jax", "--mode", "compiled"), "no backend to compare has the mode compiled"),
        (("--pairs", "5"), "6"),
    ],
)
def test_wrong_options_say_what_is_allowed(arguments, message, tmp_path):
    done = samebench("bench-overhead", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and message in words(done.stderr)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.5, 0.96, "slower"), (0.97, 1.1, "as fast"), (0.9, 1.1, "undecided"), (None, None, "undecided")],
)
def test_a_verdict_rests_on_the_interval(low, high, verdict):
    assert overhead.verdict(low, high) == verdict


def test_the_ratio_is_a_speed_and_its_interval_has_ranks():
    def usage(seconds):
        return {"seconds": seconds, "own_s": seconds, "others_s": 0.0, "waited_s": 0.0}

    pairs = [{"ours": usage(1.0), "yardstick": usage(seconds)} for seconds in (0.8, 0.9, 1.0, 1.1, 1.2, 1.3)]
    found = overhead.summary({"status": "ok", "reason": None, "images": 100, "pairs": pairs})
    assert found["ratio"] == {"median": 1.05, "low": 0.8, "high": 1.3, "n": 6}
    assert found["images_per_s"]["ours"] == 100 and found["disturbed"] == {"ours": None, "yardstick": None}


def test_a_stall_is_visible():
    """One segment took three times as long, with the same processor time."""
    quiet, stalled = ({"seconds": s, "own_s": 0.5, "others_s": 0.0, "waited_s": 0.0} for s in (0.5, 1.5))
    pairs = [{"ours": stalled if number == 3 else quiet, "yardstick": quiet} for number in range(6)]
    found = overhead.summary({"status": "ok", "reason": None, "images": 100, "pairs": pairs, "form": "loop"})
    row = {"backend": "keras", "mode": "default", "task": "two-block-cnn"} | found
    assert "keras default, two-block-cnn, ours: 1 of 6 timed segments stalled" in words(
        overhead.as_text({"floor": 0.97, "rows": [row]})
    )


def test_results_are_compared_relative_to_their_size():
    assert difference(np.array([2.0, 2.0]), np.array([[2.0], [2.002]])) == pytest.approx(5e-4, rel=1e-2)
    with refused(ContractError, "wrong-shape", 1, 2):
        difference(np.zeros(2), 1.0)


def test_a_file_of_yardsticks_must_return_its_forms(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def adversarial(given):\n    return given\n")
    with refused(PluginError, "wrong-type", file, "adversarial()"):
        programs(file, "adversarial", None)
    with refused(Unsupported, "not-found", "cifar_resnet"):
        programs(file, "cifar_resnet", None)
