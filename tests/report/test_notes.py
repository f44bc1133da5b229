"""The notes below the tables: agreement, different pictures of equal backends, machines, devices and versions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from reports import CELL, Kept, attacked, certified, judged, ok, shown

from harness.report.summary import Report
from harness.report.text import report_notes
from harness.report.text.tables import within
from harness.result import Result

HOST = {"processor": "old", "cores": 2, "system": "Linux 6", "python": "3.11.7"}


def trained(backend: str, mode: str = "default", seed: int = 0, moved: float = 0.0, **evidence) -> Result:
    """A finished training whose losses deviate by this share."""
    told = {"device": "cpu", "weights": f"w{seed}", "batches": f"b{seed}", "first_segment_loss": 1.0 + moved} | evidence
    losses = {"first_losses": [1.0] * 5}
    return ok(
        replace(CELL, backend=backend, mode=mode, seed=seed, precision="float32"),
        evidence=losses | told,
        parity=certified(),
    )


def test_every_version_is_printed_with_its_backend():
    old, new = ok(), ok(replace(CELL, backend="mine"), versions={"numpy": "3.0"})
    assert "numpy 2.0 (numpy) and 3.0 (mine)." in shown("table", old, new)
    assert "numpy 2.0 (numpy) and 3.0 (numpy)." in shown("table", old, replace(new, cell=replace(CELL, seed=1)))
    assert ", numpy 2.0." in shown("table", old, replace(new, versions=old.versions))


def test_intervals_are_explained_only_if_there_are_numbers():
    said = shown("table", Result(CELL, "unsupported", "not this one"))
    assert "On a processor, 2 cores" in said and "confidence intervals" not in said and "warm-up" not in said
    assert "confidence intervals" in shown("table", ok(), Result(replace(CELL, seed=1), "failed", "it broke"))


def test_a_cell_without_a_device_names_none():
    unsupported = Result(replace(CELL, backend="mine"), "unsupported", "not this one")
    said = shown("table", ok(), unsupported)
    assert "On the CPU of a processor, 2 cores" in said and "AUTO" not in said
    assert "On a processor, 2 cores" in shown("table", unsupported), "no cell has finished: no device is known"


def test_devices_machines_and_pythons_are_those_of_the_cells():
    """A run can be resumed on another machine, and a backend can have its own interpreter."""
    here = ok(evidence={"device": "cpu", "host": HOST})
    there = HOST | {"processor": "new", "python": "3.12.1"}
    other = ok(replace(CELL, backend="mine"), evidence={"device": "gpu", "host": there})
    said = shown("table", here, other)
    assert "On the CPU (numpy) and GPU (mine) of old, 2 cores, Linux 6 (numpy) and new, 2 cores, Linux 6 (mine)" in said
    assert "Python 3.11.7 (numpy) and 3.12.1 (mine)" in said and "a processor" not in said
    odd = shown("table", ok(evidence={"device": "cpu", "host": HOST | {"python": [3, 11]}}))
    assert "Python [3, 11]" in odd, "the host is described by whoever wrote the file"


def test_modes_are_not_counted_as_backends():
    three = [trained(*who) for who in (("a",), ("a", "compiled"), ("b",), ("b", "compiled"), ("c",))]
    assert "over 3 backends in 2 modes." in shown("table", *three)
    assert "over 3 backends." in shown("table", three[0], three[2], three[4])
    assert "over 1 backend in 2 modes." in shown("table", *three[:2])


def test_the_spread_of_losses_is_the_largest_of_all_seeds():
    results = [
        trained(backend, seed=seed, moved=moved)
        for seed, moved in enumerate((1e-6, 3.2e-5, 2e-6))
        for backend, moved in (("a", 0.0), ("b", moved))
    ]
    assert "of the first segment within 4e-05 over" in shown("table", *results), "rounded up: it says within"


@pytest.mark.parametrize(
    ("value", "told"), [(0.0, "0"), (1e-9, "1e-09"), (1.01e-9, "2e-09"), (9.5e-3, "1e-02"), (0.3, "3e-01")]
)
def test_within_is_never_rounded_down(value, told):
    assert within(value) == told
    assert all(float(within(x)) >= x * (1 - 1e-8) for x in np.random.default_rng(0).uniform(0, 1e-3, 100))


def test_backends_with_different_batches_are_not_said_to_agree():
    said = shown("table", *(trained(backend, batches=backend) for backend in ("a", "b")))
    assert "same batches" not in said and "not all backends agree; see below." in said


def test_old_cells_with_less_evidence_are_not_outliers():
    old, new = trained("a"), trained("b", augmented="x")
    third = trained("c", augmented="x")
    assert "over 3 backends." in shown("table", old, new, third)
    assert not Report.of(Kept([old, new])).agreements[0].outliers


def of_pictures(*results: Result, visible: float = 0.5) -> str:
    cases = judged(results)
    for case in cases.values():
        case["apart"] = {"largest": 0.97 if visible else 1e-4, "visible": visible}
    lines = [line for lines in report_notes(Report.of(Kept(results, judged=cases))) for line in lines]
    return next(line for line in lines if line.startswith("Pictures of"))


def test_different_pictures_of_equal_backends_are_explained():
    one, two = attacked("one"), attacked("two")
    exact = one.cell.precision == "float64"
    fast = [replace(r, cell=replace(r.cell, precision="float32")) for r in (one, two)]
    assert exact and of_pictures(one, two) == (
        "Pictures of adversarial: those of 2 backends differ by 1e+00 at most, and visibly (by more than 1/255) in "
        "50.0% of their values."
    ), "rounding does not explain it in float64"
    said = of_pictures(*fast)
    assert "The backends are still equal: in float64 their pictures agree to 1e-9. In float32, rounding" in said
    assert said.endswith("The effect: the accuracy that a backend finds in them differs by at most 0.00%.")
    assert "equal" not in of_pictures(*fast, visible=0.0), "there is nothing to explain"
    for verdict in ("not-checked", "differs: it does"):
        doubtful = [fast[0], replace(fast[1], parity=fast[1].parity | {"verdict": verdict})]
        assert "equal" not in of_pictures(*doubtful)


def test_pictures_without_judgements_are_reported():
    results = [replace(r, cell=replace(r.cell, precision="float32")) for r in (attacked("one"), attacked("two"))]
    cases = judged(results)
    for case in cases.values():
        case["judges"] = {judge: {"problem": "timeout: it took too long"} for judge in case["judges"]}
    said = " ".join(line for lines in report_notes(Report.of(Kept(results, judged=cases))) for line in lines)
    assert "The backends are still equal" in said and "numpy could not judge: timeout" in said
    assert "The effect" not in said, "no judge has given a score"


def test_the_spread_of_scores_is_the_largest_of_all_judges():
    results = [attacked("one"), attacked("two")]
    seen = {("one", "numpy"): 0.5, ("two", "numpy"): 0.53, ("one", "one/default"): 0.9}
    cases = judged(results, lambda maker, judge: seen.get((maker, judge), 0.9))
    (found,) = Report.of(Kept(results, judged=cases)).judgements
    assert found["spread"]["accuracy"] == pytest.approx(0.03)


def test_all_native_semantics_of_a_backend_are_listed():
    def native(task: str, **ways: str) -> Result:
        return ok(replace(CELL, task=task, semantics="native"), evidence={"device": "cpu", "own_ways": ways})

    said = shown("table", native("scratch-cnn", Adam="epsilon 1e-7"), native("fine-tuning", SGD="no dampening"))
    assert "Specific to numpy: Adam: epsilon 1e-7; SGD: no dampening" in said


@pytest.mark.parametrize("unknown", ["unknown", "not said"])
def test_facts_about_weights_that_a_file_does_not_contain_are_listed_once(unknown):
    facts = dict.fromkeys(("variant", "licence", "trained_on"), unknown)
    start = facts | {"name": "mine.pt", "source": "mine.pt", "preprocessing": "pixels from 0 to 1"}
    text = shown("table", ok(evidence={"start": start}))
    assert "mine.pt (pixels from 0 to 1); unknown: variant, training data, licence." in text and "not said" not in text
    known = start | {"variant": "V2", "licence": "MIT", "trained_on": "ImageNet", "source": "my lab"}
    assert "mine.pt (V2; pixels from 0 to 1), trained on ImageNet; MIT; my lab." in shown(
        "table", ok(evidence={"start": known})
    )


@pytest.mark.parametrize(
    ("weights", "network"),
    [
        (None, "two-block-cnn on"),
        ("two-block-cnn", "two-block-cnn (pretrained) on"),
        ("/a/mine.pt", "two-block-cnn (pretrained: mine.pt) on"),
    ],
)
def test_a_title_names_pretrained_weights_unless_they_are_named_like_the_network(weights, network):
    assert f"scratch-cnn: {network}" in shown("table", ok(replace(CELL, weights=weights, model="two-block-cnn")))
