"""Metrics of a network on a split: compared with values computed by hand and with scikit-learn."""

import numpy as np
import pytest
from refusals import refused
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss, precision_recall_fscore_support

from harness import Point, SpecError, evaluate, overfitting_gap
from harness.result import diverged
from harness.tasks.common.evaluation import MOST_CLASSES
from harness.tasks.common.fitting import TRAINING_METRICS

ANIMALS = ("cat", "dog", "emu")


def logits_of(predictions, classes):
    return np.eye(classes)[predictions] * 9.0


def test_a_small_split_worked_out_by_hand():
    found = evaluate("softmax", np.log([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7]]),
                     np.array([0, 1, 0, 2], np.uint8), ANIMALS)  # fmt: skip
    assert found.accuracy == 0.75
    assert found.loss == pytest.approx(-np.log([0.5, 0.8, 0.2, 0.7]).mean())
    assert found.confusion.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert found.per_class == [
        {"class": "cat", "precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "count": 2},
        {"class": "dog", "precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "count": 1},
        {"class": "emu", "precision": 1.0, "recall": 1.0, "f1": 1.0, "count": 1},
    ]
    assert found.macro_f1 == pytest.approx(7 / 9)


def test_shares_of_nothing():
    never_right = evaluate("softmax", logits_of([0, 0, 2], 3), np.array([0, 1, 1]), ANIMALS)
    cat, dog, emu = never_right.per_class
    assert (dog["precision"], dog["recall"], dog["f1"]) == (0.0, 0.0, 0.0), "never predicted"
    assert (emu["precision"], emu["recall"], emu["f1"], emu["count"]) == (0.0, None, None, 0), "no pictures"
    assert never_right.macro_f1 == pytest.approx((cat["f1"] + dog["f1"]) / 2), "the emu is left out"


def test_the_single_logit_says_the_second_class_above_zero():
    found = evaluate("sigmoid", np.array([[-1.0], [0.0], [1e-9], [2.0]]), np.array([0, 0, 1, 0]), ("cat", "dog"))
    assert found.confusion.tolist() == [[2, 1], [0, 1]]
    assert found.loss == pytest.approx(np.mean([np.log1p(np.exp(-1)), np.log(2), np.log(2), 2 + np.log1p(np.exp(-2))]))


@pytest.mark.parametrize("classes", [2, 10, 37, 300])
@pytest.mark.filterwarnings("ignore")  # of scikit-learn, which warns of every share of nothing
def test_metrics_equal_those_of_scikit_learn(classes):
    rng = np.random.default_rng(classes)
    logits, labels = rng.normal(size=(400, classes)).astype(np.float32), rng.integers(0, classes, 400).astype(np.uint16)
    logits[np.arange(200), labels[:200]] += 3
    found, taken = evaluate("softmax", logits, labels, [str(i) for i in range(classes)]), logits.argmax(1)
    precision, recall, f1, count = precision_recall_fscore_support(labels, taken, labels=range(classes))
    assert found.accuracy == accuracy_score(labels, taken)
    assert (found.confusion == confusion_matrix(labels, taken, labels=range(classes))).all()
    assert [row["count"] for row in found.per_class] == count.tolist()
    assert [row["precision"] for row in found.per_class] == pytest.approx(precision)
    assert [row["recall"] or 0.0 for row in found.per_class] == pytest.approx(recall)
    assert [row["f1"] or 0.0 for row in found.per_class] == pytest.approx(f1)
    assert found.macro_f1 == pytest.approx(f1_score(labels, taken, labels=np.unique(labels), average="macro"))
    odds = np.exp(logits.astype(np.float64))
    assert found.loss == pytest.approx(log_loss(labels, odds / odds.sum(1, keepdims=True), labels=range(classes)))


def test_metrics_are_plain_numbers_under_the_names_that_results_know():
    metrics = evaluate("softmax", logits_of([0, 1, 1], 3), np.array([0, 1, 2]), ANIMALS).as_metrics()
    assert list(metrics) == ["test_accuracy", "test_loss", "macro_f1", "per_class", "confusion"]
    declared = {metric.name: metric for metric in TRAINING_METRICS}
    assert metrics.keys() <= declared.keys()
    assert not [problem for metric in TRAINING_METRICS for problem in metric.problems(metrics)]
    assert diverged(metrics) is None
    assert type(metrics["confusion"][0][0]) is int and type(metrics["per_class"][0]["precision"]) is float


def test_other_splits_do_not_take_the_names_of_the_test_split():
    found = evaluate("softmax", logits_of([0, 1, 1], 3), np.array([0, 1, 2]), ANIMALS)
    assert list(found.as_metrics("validation")) == ["validation_accuracy", "validation_loss"]


@pytest.mark.parametrize(("classes", "kept"), [(MOST_CLASSES, True), (MOST_CLASSES + 1, False)])
def test_confusions_of_very_many_classes_are_not_kept(classes, kept):
    names = [str(i) for i in range(classes)]
    metrics = evaluate("softmax", logits_of([0, 1], classes), np.array([0, 1]), names).as_metrics()
    assert ("confusion" in metrics) == kept and len(metrics["per_class"]) == classes


@pytest.mark.parametrize("logits", [np.full((3, 3), np.nan), np.full((3, 3), np.inf)], ids=["nan", "inf"])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_logits_that_are_no_numbers_show_in_the_loss(logits):
    metrics = evaluate("softmax", logits, np.array([0, 1, 2]), ANIMALS).as_metrics()
    assert diverged(metrics) == "test_loss is nan"


@pytest.mark.parametrize(
    ("loss", "shape", "labels", "classes"),
    [("softmax", (4, 2), 4, 3), ("softmax", (5, 3), 4, 3), ("sigmoid", (4, 1), 4, 3), ("softmax", (0, 3), 0, 3)],
    ids=["columns", "rows", "sigmoid of three", "empty"],
)
def test_logits_that_do_not_fit_are_refused(loss, shape, labels, classes):
    with refused(SpecError, "wrong-shape", shape, labels, classes):
        evaluate(loss, np.zeros(shape), np.zeros(labels, int), ANIMALS[:classes])


def test_the_gap_is_the_difference_of_the_accuracies():
    labels = np.array([0, 1, 2, 0])
    train = evaluate("softmax", logits_of([0, 1, 2, 0], 3), labels, ANIMALS)
    test = evaluate("softmax", logits_of([0, 1, 2, 1], 3), labels, ANIMALS)
    assert overfitting_gap(train, test) == 0.25


def test_a_point_has_no_fields_without_a_value():
    assert Point(3.0, 0.5, 0.4, 0.9).as_json() == {
        "epoch": 3.0, "training_loss": 0.5, "train_loss": 0.4, "train_accuracy": 0.9,
    }  # fmt: skip
    assert Point(3.0, 0.5, 0.4, 0.9, 0.0, 1.0).as_json() == {
        "epoch": 3.0, "training_loss": 0.5, "train_loss": 0.4, "train_accuracy": 0.9,
        "validation_loss": 0.0, "validation_accuracy": 1.0,
    }  # fmt: skip
