"""The progress of a run: the remaining time, by a clock that tests set, and a line for each cell."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from reports import CELL, attacked, ok

from harness.result import Cell, Result
from harness.running.progress import Lines, Live, Remaining

SLOW, QUICK = replace(CELL, backend="slow"), replace(CELL, backend="quick")


class Watch:
    """A clock."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


class Bar:
    """A progress bar that records its updates and its text."""

    console = property(lambda self: self)

    def __init__(self) -> None:
        self.fields: dict[str, object] = {}

    def add_task(self, description: str, **fields: object) -> int:
        self.fields = fields
        return 0

    def update(self, row: int, **fields: object) -> None:
        self.fields |= fields

    def print(self, *words: str, **how: object) -> None:
        pass

    @property
    def shown(self) -> str:
        return "{left}".format(**self.fields)


def cells(*some: Cell, seeds: int) -> list[Cell]:
    return [replace(cell, seed=seed) for seed in range(seeds) for cell in some]


def run(live: Live, clock: Watch, cell: Cell, seconds: float, **changes) -> None:
    live.started("a cell", cell)
    clock.time += seconds
    live.finished(ok(cell, **changes), 1, 2)


@pytest.fixture
def clock() -> Watch:
    return Watch()


@pytest.fixture
def bar() -> Bar:
    return Bar()


@pytest.fixture
def live(bar: Bar, clock: Watch) -> Live:
    return Live(bar, 0, clock)


def test_the_time_left_counts_down_without_progress_of_the_cell(live, bar, clock):
    first, second, third = cells(CELL, seeds=3)
    live.planned([first, second, third])
    assert bar.shown == "", "nothing is known"
    run(live, clock, first, 100)
    assert bar.shown == "cells: about 3 min 20 s left"
    live.started("a cell", second)
    seen = []
    for _ in range(9):
        clock.time += 10
        seen.append(live.remaining.seconds())
    assert seen == pytest.approx([200 - 10 * step for step in range(1, 10)])
    assert bar.shown == "cells: about 1 min 50 s left"


def test_a_cell_is_known_by_its_key(live, clock):
    """The cell of a result comes from a file, where a tuple is a list."""
    plan = cells(replace(CELL, options={"data.steps": ()}), seeds=3)
    live.planned(plan)
    for cell, left in zip(plan, (200, 100, None), strict=True):
        run(live, clock, replace(cell, options={"data.steps": []}), 100)
        assert live.remaining.seconds() == left


def test_a_cell_takes_as_long_as_others_of_its_backend_and_task(live, clock):
    plan = cells(SLOW, QUICK, seeds=2)
    live.planned(plan)
    run(live, clock, plan[0], 100)
    assert live.remaining.seconds() == 300, "of all, as long as no other is known"
    run(live, clock, plan[1], 2)
    assert live.remaining.seconds() == 102
    other = replace(QUICK, options={"train_limit": 9})
    live.planned([other, replace(QUICK, seed=9), replace(QUICK, task="adversarial")])
    run(live, clock, other, 30)
    assert live.remaining.seconds() == 2 + (100 + 2 + 30) / 3, "of the same experiment, if that is known"


def test_the_time_left_is_never_negative_and_always_changes(live, clock):
    """If a cell takes much longer than the cell before, all cells like it are expected to take as long."""
    plan = cells(SLOW, QUICK, seeds=3)
    live.planned(plan)
    run(live, clock, plan[0], 10)
    run(live, clock, plan[1], 10)
    live.started("a cell", plan[2])
    seen = []
    for _ in range(60):
        clock.time += 20
        seen.append(live.remaining.seconds())
    assert min(seen) > 0 and all(abs(one - other) >= 1 for one, other in pairwise(seen))
    assert seen[-1] > 1200, "another one like it is to come"


def test_failed_cells_count_only_for_their_own_experiment(live, clock):
    plan = cells(SLOW, QUICK, seeds=2)
    live.planned(plan)
    run(live, clock, plan[0], 1, status="unavailable")
    assert live.remaining.seconds() is None
    run(live, clock, plan[1], 60)
    assert live.remaining.seconds() == 61


def test_the_time_left_excludes_certificates_and_judgements(live, bar, clock):
    (first,) = cells(CELL, seeds=1)
    live.planned([first, replace(first, seed=1)])
    live.started("certificate of numpy/default")
    clock.time += 50
    assert bar.shown == ""
    run(live, clock, first, 10)
    assert bar.shown == "cells: about 10 s left"
    run(live, clock, replace(first, seed=1), 10)
    live.started("numpy judges")
    assert bar.shown == ""


def line(result: Result, capsys) -> str:
    Lines().finished(result, 1, 2)
    return capsys.readouterr().err.strip()


def test_a_line_about_a_cell_shows_its_result(capsys):
    done = attacked(epsilon=0.1)
    metrics = {"epsilon": 0.1, "pictures": 256} | done.metrics
    said = line(replace(done, metrics=metrics), capsys)
    assert said == "[1/2] adversarial one/default seed 0: ok, robust accuracy 50.00% at epsilon 0.1, 2.0 s"
    ideal = {"least_probability": 0.1, "total_variation": 0.2, "target_probability": 0.99}
    assert "ok, probability 99.00%, 2.0 s" in line(ok(replace(CELL, task="ideal-image"), metrics=ideal), capsys)
    assert "ok, test accuracy 90.00%, 2.0 s" in line(ok(metrics={"epochs_run": 3, "test_accuracy": 0.9}), capsys)
    assert "ok, loss 0.25, 2.0 s" in line(ok(metrics={"loss": 0.25}), capsys), "a task of somebody else"
    assert "ok, done, 2.0 s" in line(ok(metrics={}), capsys)
    assert line(Result(CELL, "failed", "it broke"), capsys).endswith("failed: it broke")


def test_the_text_of_the_time_left_is_always_current(clock):
    remaining = Remaining(clock)
    remaining.left, remaining.took = [QUICK], [(ok(SLOW), 3700.0)]
    remaining.start(QUICK)
    assert f"{remaining}" == "cells: about 1 h 1 min left"
    clock.time += 3400
    assert f"{remaining}" == "cells: about 5 min 0 s left"
