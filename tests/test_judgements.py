"""Who is fooled by whose pictures: matrices over seeds, numbers that the reference does not bear out, and the gallery."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_reporters import CELL, NASTY, Kept, ok

from harness.judging import VISIBLE, apart, feature_maps
from harness.models.two_block_cnn import two_block_cnn
from harness.plugins import load_plugins
from harness.report import Report
from harness.result import Result
from harness.task import Trained

REPORTERS = load_plugins().reporters
ATTACK = replace(CELL, task="adversarial", backend="one", weights="some")
CURVE = [{"epsilon": 0.0, "accuracy": 0.9}, {"epsilon": 0.1, "accuracy": 0.5}]


def attacked(backend: str = "one", seed: int = 0, robust: float = 0.5, **metrics) -> Result:
    found = {
        "test_accuracy": 0.9, "robust_accuracy": [CURVE[0], CURVE[1] | {"accuracy": robust}], "epsilon": 0.1,
        "success_rate": 0.4, "mean_perturbation": 0.07, "largest_perturbation": 0.1, "vanished_gradients": 0.0,
        "pictures": 1000,
    }  # fmt: skip
    return ok(
        replace(ATTACK, backend=backend, seed=seed),
        metrics=found | metrics,
        evidence={"device": "cpu", "model": "m", "weights": "w", "pictures": "p"},
        parity={"verdict": "equal", "timed": {"limit": 1e-4, "logits": 0.0, "losses": 0.0}, "excludes": []}
        | dict.fromkeys(("logits", "gradients", "input_gradients", "trajectory", "attack"), 0.0)
        | {"steps": 10},
    )


def judged(results, score=lambda maker, judge: 0.5, judges=("numpy", "one/default", "two/default")):
    """A case for each seed, as the judge step keeps them."""
    cases = {}
    for result in results:
        case = cases.setdefault(
            result.cell.experiment,
            {
                "files": {},
                "judges": {judge: {"scores": {}} for judge in judges},
                "apart": {"largest": 0.01, "visible": 0.5},
            },
        )
        case["files"][result.cell.key] = "sha256:1"
        for judge in judges:
            value = score(result.cell.backend, judge)
            case["judges"][judge]["scores"][result.cell.key] = {"accuracy": value, "probability": value}
    return cases


def test_makers_and_judges_make_a_matrix_of_means_over_seeds():
    results = [attacked(backend, seed) for seed in (0, 1) for backend in ("one", "two")]
    cases = judged(results)
    cases[results[0].cell.experiment]["judges"]["two/default"]["scores"][results[0].cell.key]["accuracy"] = 0.7
    (found,) = Report.of(Kept(results, judged=cases)).judgements
    assert found["n"] == 2 and found["judges"] == ["numpy", "one/default", "two/default"]
    assert found["scores"]["one/default"]["two/default"]["accuracy"] == pytest.approx(0.6)
    assert found["scores"]["two/default"]["two/default"]["accuracy"] == 0.5
    table = REPORTERS["table"](Report.of(Kept(results, judged=cases)))
    assert "60.00%" in table and "as a column judges them" in table.replace("\n  ", " ")


def test_a_number_that_the_reference_does_not_find_loses_its_verdict():
    results = [attacked("one"), attacked("two")]
    fine = Report.of(Kept(results, judged=judged(results)))
    assert [result.parity["verdict"] for result in fine.results] == ["equal", "equal"]
    cases = judged(results, lambda maker, judge: 0.53 if maker == "two" else 0.5)
    honest, doubtful = Report.of(Kept(results, judged=cases)).results
    assert honest.parity["verdict"] == "equal"
    assert "in which the reference finds 53.00%" in doubtful.parity["verdict"]


def test_accuracies_that_lie_apart_are_outliers():
    results = [attacked("one"), attacked("two"), attacked("three", robust=0.52)]
    report = Report.of(Kept(results))
    (agreement,) = report.agreements
    assert agreement.accuracy_spread == pytest.approx(0.02)
    assert list(agreement.outliers) == [results[2].cell.key]
    assert "its accuracy is" in report.results[2].parity["verdict"]
    few = [attacked("one", pictures=32), attacked("two", robust=0.5 + 1 / 32, pictures=32)]
    assert not Report.of(Kept(few)).agreements[0].outliers, "one picture of 32 more or less is no difference"


def test_other_pictures_are_another_experiment():
    results = [attacked("one"), attacked("two"), attacked("three")]
    results[1].evidence["pictures"] = "others"
    assert "its pictures was another one" in Report.of(Kept(results)).results[1].parity["verdict"]


def test_a_judge_that_failed_is_named_and_leaves_a_gap():
    results = [attacked("one"), attacked("two")]
    cases = judged(results)
    cases[results[0].cell.experiment]["judges"]["two/default"] = {"problem": "unavailable: no such thing"}
    report = Report.of(Kept(results, judged=cases))
    assert report.judgements[0]["problems"] == ["two/default could not judge: unavailable: no such thing"]
    assert "two/default could not judge" in REPORTERS["table"](report)


def test_pictures_of_several_makers_are_told_apart():
    first = np.full((2, 4, 4, 1), 0.5)
    second = first.copy()
    second[0, 0, 0, 0] += 2 * VISIBLE
    assert apart([first, second, first]) == {"largest": pytest.approx(2 * VISIBLE), "visible": 1 / 32}


def test_feature_maps_are_of_several_layers_and_from_0_to_1():
    model = two_block_cnn((8, 8, 1), 10)
    pictures = {"original": np.random.default_rng(0).uniform(size=(8, 8, 1)), "made": np.zeros((8, 8, 1))}
    maps = feature_maps(Trained(model, model.init(0)), pictures)
    assert list(maps) == ["trunk.relu1", "trunk.relu2", "trunk.maxpool2"]
    for values in maps.values():
        assert values.shape[0] == 2 and values.shape[-1] == 8
        assert values.min() == 0 and values.max() == 1


def kept_pictures(classes=("a", "b")):
    random = np.random.default_rng(0)
    return {
        "original": random.uniform(0.2, 0.8, (3, 6, 5, 3)).astype(np.float32),
        "made": random.uniform(0.2, 0.8, (3, 6, 5, 3)).astype(np.float32),
        "labels": np.array([0, 1, 0]), "wanted": np.array([0, 1, 0]), "shown": np.array([2, 0, 1]),
        "before": np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), "after": np.array([[0.3, 0.7]] * 3),
        "classes": np.array(classes),
    }  # fmt: skip


def test_the_gallery_shows_every_backend_beside_the_original():
    results = [attacked("one"), attacked("two")]
    pictures = {result.cell.key: kept_pictures() for result in results}
    maps = {results[0].cell.experiment: {"trunk.conv1": np.random.default_rng(0).uniform(size=(2, 6, 5, 8))}}
    page = REPORTERS["gallery"](Report.of(Kept(results, pictures=pictures, maps=maps)))
    assert page.count("<img") == 3 * (1 + 2 * 2) + 2 * 8
    assert "one/default: adversarial" in page and "a, 60.0%" in page and "b, 70.0%" in page
    assert "trunk.conv1, adversarial" in page


@pytest.mark.parametrize("name", NASTY)
def test_no_name_breaks_out_of_the_gallery(name):
    result = attacked()
    pictures = {result.cell.key: kept_pictures((name, f"{name}2"))}
    page = REPORTERS["gallery"](Report.of(Kept([result], pictures=pictures)))
    assert "<script" not in page and page.count("<img") == 3 * 3


def test_a_gallery_without_pictures_says_so():
    assert "No cell of this run has kept pictures" in REPORTERS["gallery"](Report.of(Kept([attacked()])))


def test_whom_the_certificate_knows_to_differ_is_to_blame_for_a_difference():
    results = [attacked("one"), attacked("two", robust=0.9)]
    both = [result.parity["verdict"] for result in Report.of(Kept(results)).results]
    assert all("nobody knows who is right" in verdict for verdict in both)
    results[1].parity |= {"verdict": "differs: attacked pictures of a network: 2.5e-01, limit 1e-09"}
    honest, guilty = Report.of(Kept(results)).results
    assert honest.parity["verdict"] == "equal"
    assert guilty.parity["verdict"] == "differs: attacked pictures of a network: 2.5e-01, limit 1e-09"


def test_what_trains_nothing_is_not_evaluated():
    page = REPORTERS["evaluation"](Report.of(Kept([attacked()])))
    assert "no cell of the run has trained a network" in page and "over-fitting" not in page
