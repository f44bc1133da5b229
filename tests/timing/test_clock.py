"""The clock: phases do not overlap, and they add up to the total."""

from __future__ import annotations

import time

import pytest

from harness.timing.clock import Clock


def test_phases_add_up_to_the_total():
    clock = Clock(time.monotonic() - 0.2)
    for name in ("build", "train", "build"):
        with clock.phase(name):
            time.sleep(0.02)
    time.sleep(0.05)
    record = clock.record("eval")
    assert 0.2 <= record["start"] < 0.25 and record["eval"] == 0
    assert 0.04 <= record["build"] < 0.1 and 0.02 <= record["train"] < 0.05 and 0.05 <= record["other"] < 0.1
    assert sum(record.values()) == pytest.approx(2 * record["total"])


def test_phases_do_not_nest():
    clock = Clock()
    with (
        pytest.raises(RuntimeError, match="'train' is still running; 'eval'"),
        clock.phase("train"),
        clock.phase("eval"),
    ):
        pass
    with clock.phase("eval"):
        pass
    assert clock.record().keys() == {"train", "eval", "other", "total"}


def test_an_error_ends_its_phase():
    clock = Clock()
    with pytest.raises(ZeroDivisionError), clock.phase("train"):
        1 / 0  # noqa: B018
    assert len(clock.phases["train"]) == 1


def test_the_rate_of_a_section():
    clock = Clock()
    with clock.phase("train"):
        time.sleep(0.02)
    found = clock.rate("train", 100)
    assert found == 100 / clock.phases["train"][0] and found.usage is clock.usage["train"][0]
