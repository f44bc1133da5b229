"""The steps from aligned to native semantics: every step is compared with the one above it, by pairs of seeds."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from command import SMALL, samebench, words
from refusals import refused
from reports import CELL, Kept, ok

from harness.errors import UsageError
from harness.plugins import load_plugins
from harness.report.summary import Report
from harness.report.text.waterfall import STEPS, waterfalls
from harness.result import WATERFALL, Result
from harness.running.config import Settings, Source
from harness.running.experiments import experiments
from harness.running.plan import plan_cells

PLUGINS = load_plugins()


def trained(semantics: str, accuracy: float, rate: float, seed: int = 0, backend: str = "a") -> Result:
    cell = replace(CELL, backend=backend, seed=seed, semantics=semantics)
    time = {"first_step_s": 0.1, "total_s": 9.0, "rate": "training images", "images_per_s": [rate] * 5}
    return ok(cell, time=time, metrics={"test_accuracy": accuracy})


def table(*results: Result):
    found = list(waterfalls(Report.of(Kept(results))))
    return found[0] if found else None


def test_each_step_is_compared_with_the_one_above():
    found = table(
        *(trained("aligned", 0.9 + seed / 1000, 100.0, seed) for seed in range(6)),
        *(trained("native-weights", 0.92 + seed / 1000, 100.0 + seed, seed) for seed in range(6)),
        *(trained("native", 0.91 + seed / 1000, 200.0, seed) for seed in range(6)),
    )
    assert [row[2] for row in found.rows] == [STEPS[semantics] for semantics in WATERFALL]
    changes = [row[found.headers.index("change")] for row in found.rows]
    assert changes[0] == "-" and changes[1].startswith("+2.00 (") and changes[2].startswith("-1.00 (")
    ratios = [row[found.headers.index("ratio")] for row in found.rows]
    assert ratios[0] == "-" and ratios[1].startswith("1.02 (") and ratios[2].startswith("1.95 (")


def test_a_step_that_a_backend_does_not_support_is_passed_over():
    failed = Result(trained("native-weights", 0, 1).cell, "unsupported", "no first weights of its own")
    found = table(trained("aligned", 0.9, 100.0), failed, trained("native", 0.95, 150.0))
    assert [row[5] for row in found.rows] == ["-", "-", "+5.00"] and found.rows[2][7] == "1.50"


def test_runs_with_one_semantics_have_no_such_table():
    assert table(trained("aligned", 0.9, 100.0), trained("aligned", 0.9, 100.0, backend="b")) is None


def planned(**settings) -> list[str]:
    given = Settings.of(PLUGINS, [Source("here", {"tasks": ["scratch-cnn"], "backends": ["numpy"], **settings})])
    return [cell.semantics for cell in plan_cells(given, experiments(PLUGINS, given.config).chosen)]


def test_a_waterfall_plans_every_step():
    assert planned(waterfall=True) == list(WATERFALL)
    assert planned() == ["aligned"] and planned(semantics="native-weights") == ["native-weights"]
    with refused(UsageError, "conflicting-options", "waterfall", "native"):
        planned(waterfall=True, semantics="native")


@pytest.mark.parametrize(
    ("semantics", "own"), [("aligned", []), ("native-weights", ["weights"]), ("native", ["weights", "trainer"])]
)
def test_each_semantics_uses_the_own_ways_that_it_names(semantics, own):
    from harness import Adam, Recipe, TaskContext
    from harness.models.two_block_cnn import two_block_cnn

    asked = []

    class Spy:
        native = {}

        def native_weights(self, model, seed):
            asked.append("weights")

        def native_trainer(self, net, recipe, seed):
            asked.append("trainer")

        def trainer(self, net, recipe, seed):
            pass

    context = TaskContext(Spy(), None, None, 0, None, semantics=semantics)
    context.first_weights(two_block_cnn())
    context.trainer(None, Recipe(Adam()))
    assert asked == own


def test_the_command_runs_scratch_cnn_with_every_semantics(tmp_path):
    """The reference has no native semantics, so its steps are unsupported rows."""
    options = [word for word in SMALL if word not in ("--task", "scratch-cnn")]
    done = samebench("run", "--waterfall", "--backend", "numpy", "--no-parity", "--out", "run", *options, cwd=tmp_path)
    cells = json.loads(samebench("report", tmp_path / "run", "--format", "json").stdout)["cells"]
    assert [(cell["task"], cell["semantics"], cell["status"]) for cell in cells] == [
        ("scratch-cnn", "aligned", "ok"), ("scratch-cnn", "native-weights", "unsupported"),
        ("scratch-cnn", "native", "unsupported"),
    ]  # fmt: skip
    assert done.returncode == 1, "the backend is named, so its unsupported cells count"
    full = words(samebench("report", tmp_path / "run", "--full").stdout)
    assert "from aligned to native, one default at a time" in full and "own first weights" in full
