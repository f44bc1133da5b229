"""The cross-check: matrices of scores over seeds, metrics that the reference contradicts."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from reports import REPORTERS, Kept, attacked, judged

from harness.models.two_block_cnn import two_block_cnn
from harness.report.summary import Report
from harness.result import Result
from harness.running import crosscheck as judging
from harness.running.process import Ended
from harness.running.store import Store
from harness.storage.sealed import PICTURES, write_arrays
from harness.task import Trained
from harness.worker.crosscheck import VISIBLE, apart, feature_maps


def test_makers_and_judges_make_a_matrix_of_means_over_seeds():
    results = [attacked(backend, seed) for seed in (0, 1) for backend in ("one", "two")]
    cases = judged(results)
    cases[results[0].cell.comparison_key]["judges"]["two/default"]["scores"][results[0].cell.key]["accuracy"] = 0.7
    (found,) = Report.of(Kept(results, judged=cases)).judgements
    assert found["n"] == 2 and found["judges"] == ["numpy", "one/default", "two/default"]
    assert found["scores"]["one/default"]["two/default"]["accuracy"] == pytest.approx(0.6)
    assert found["scores"]["two/default"]["two/default"]["accuracy"] == 0.5
    table = REPORTERS["table"](Report.of(Kept(results, judged=cases)))
    assert "60.00%" in table and "finds in the pictures of the backend of a row" in table.replace("\n  ", " ")


def test_a_metric_that_the_reference_contradicts_loses_its_verdict():
    results = [attacked("one"), attacked("two")]
    fine = Report.of(Kept(results, judged=judged(results)))
    assert [result.parity["verdict"] for result in fine.results] == ["equal", "equal"]
    cases = judged(results, lambda maker, judge: 0.53 if maker == "two" else 0.5)
    honest, doubtful = Report.of(Kept(results, judged=cases)).results
    assert honest.parity["verdict"] == "equal"
    assert "but the reference finds 53.00%" in doubtful.parity["verdict"]


def since_then(*results: Result, **changes) -> Report:
    """The report of a run whose last cell ran again after the judgements."""
    cases = judged(results, lambda maker, judge: 0.53 if maker == results[-1].cell.backend else 0.5)
    return Report.of(Kept([*results[:-1], replace(results[-1], **changes)], judged=cases))


def test_judgements_of_other_pictures_are_not_used():
    report = since_then(attacked("one"), attacked("two"), artifacts={PICTURES: "sha256:2"})
    assert [result.parity["verdict"] for result in report.results] == ["equal", "equal"]
    (found,) = report.judgements
    assert list(found["scores"]) == ["one/default"], "nobody has seen what the other has made"
    assert list(found["scores"]["one/default"]) == found["judges"], "the first has made nothing new"
    assert found["apart"] is None, "how far these pictures lie apart is unknown"


def test_old_pictures_of_a_cell_that_fails_now_are_in_no_matrix():
    failed = {"status": "failed", "reason": "it broke", "artifacts": {}}
    assert list(since_then(attacked("one"), attacked("two"), **failed).judgements[0]["scores"]) == ["one/default"]
    assert not since_then(attacked("one"), **failed).judgements


def test_feature_maps_belong_to_the_present_pictures(tmp_path):
    store, before = Store(tmp_path), attacked()
    write_arrays(store.maps_file(before), {"trunk.conv1": np.ones((2, 6, 5, 8))})
    assert list(store.feature_maps(before)) == ["trunk.conv1"]
    for now in (replace(before, artifacts={PICTURES: "sha256:2"}), replace(before, artifacts={})):
        with pytest.raises(LookupError, match="there are no feature maps"):
            store.feature_maps(now)


def test_a_judge_whose_code_has_changed_judges_again(tmp_path, monkeypatch):
    store, asked, code = Store(tmp_path), [], {"numpy": "a", "one": "a", "two": "a"}
    found = judging.cases([attacked("one"), attacked("two")])

    def start(folder, request, backend):
        asked.append(backend)
        folder.mkdir(parents=True, exist_ok=True)
        score = {"accuracy": 0.5, "probability": 0.5}
        answers = {name: {"scores": dict.fromkeys(case["pictures"], score)} for name, case in request["cases"].items()}
        (folder / "result.json").write_text(json.dumps(answers))
        return Ended(0, 0.1, folder / "log.txt")

    def judge() -> list[str]:
        asked.clear()
        judging.judge(store, found, start, lambda said: None)
        return asked

    monkeypatch.setattr(judging, "code_if_there", lambda backend: code[backend])
    assert judge() == ["numpy", "one", "two"]
    assert judge() == []
    code["two"] = "b"
    assert judge() == ["two"] and judge() == []


def test_accuracies_that_differ_are_outliers():
    results = [attacked("one"), attacked("two"), attacked("three", robust=0.52)]
    report = Report.of(Kept(results))
    (agreement,) = report.agreements
    assert agreement.accuracy_spread == pytest.approx(0.02)
    assert list(agreement.outliers) == [results[2].cell.key]
    assert "its accuracy differs by 2.0e-02" in report.results[2].parity["verdict"]
    few = [attacked("one", pictures=32), attacked("two", robust=0.5 + 1 / 32, pictures=32)]
    assert not Report.of(Kept(few)).agreements[0].outliers, "one picture of 32 more or less is no difference"


def test_other_pictures_are_another_experiment():
    results = [attacked("one"), attacked("two"), attacked("three")]
    results[1].evidence["pictures"] = "others"
    assert "its pictures did not match" in Report.of(Kept(results)).results[1].parity["verdict"]


def test_a_judge_that_failed_is_named_and_leaves_a_gap():
    results = [attacked("one"), attacked("two")]
    cases = judged(results)
    cases[results[0].cell.comparison_key]["judges"]["two/default"] = {"problem": "unavailable: no such thing"}
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


def test_a_backend_whose_certificate_differs_is_the_outlier():
    results = [attacked("one"), attacked("two", robust=0.9)]
    both = [result.parity["verdict"] for result in Report.of(Kept(results)).results]
    assert all("it is unknown which is right" in verdict for verdict in both)
    results[1].parity |= {"verdict": "differs: attacked pictures of a network: 2.5e-01, limit 1e-09"}
    honest, guilty = Report.of(Kept(results)).results
    assert honest.parity["verdict"] == "equal"
    assert guilty.parity["verdict"] == "differs: attacked pictures of a network: 2.5e-01, limit 1e-09"


def test_tasks_without_training_have_no_classes_and_no_gap():
    page = REPORTERS["evaluation"](Report.of(Kept([attacked()])))
    assert "robust accuracy" in page and "no gradient" in page and "50.00%" in page
    assert "over-fitting" not in page and "hold no" not in page
