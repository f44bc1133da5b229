"""Data: the seed decides the order, splits are fixed, and unusable data are refused."""

from dataclasses import replace

import numpy as np
import pytest
from refusals import refused

from harness import Batches, DataError, Dataset, Examples
from harness.data import stratified
from harness.datasets.digits import digits
from harness.pictures.inputs import LoadRequest
from harness.storage.places import Places


def examples(n=10, classes=2):
    return Examples(np.zeros((n, 2, 2, 1), np.uint8), np.arange(n) % classes)


def test_the_order_of_an_epoch_depends_only_on_the_seed_and_its_number():
    together = Batches.shuffled(examples(), 4, seed=3, epochs=range(3))
    assert len(together) == 6
    second = Batches.shuffled(examples(), 4, seed=3, epochs=[1])
    assert np.array_equal(together[2:4].rows, second.rows)
    assert len(set(second.rows.tolist())) == 8, "an epoch uses each example once, without a partial batch at the end"
    assert together.fingerprint == Batches.shuffled(examples(), 4, seed=3, epochs=range(3)).fingerprint
    assert together.fingerprint != Batches.shuffled(examples(), 4, seed=4, epochs=range(3)).fingerprint


def test_evaluation_keeps_the_short_last_batch_and_pads_its_order():
    batches = Batches.in_order(examples(), 4)
    assert [rows.tolist() for rows in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert batches.order.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 9, 9]]
    assert len(batches[1:]) == 2 and batches[1:].rows.tolist() == [4, 5, 6, 7, 8, 9]


def test_only_integer_pictures_are_divided():
    levels = Examples(np.full((1, 1, 1, 1), 8, np.uint8), np.zeros(1), pixel_max=16)
    assert levels.pixels(levels.images) == 0.5
    real = Examples(np.full((1, 1, 1, 1), 0.25, np.float32), np.zeros(1), pixel_max=16)
    assert real.pixels(real.images) == 0.25 and real.pixels(real.images).dtype == np.float64


def test_unusable_data_are_refused():
    with refused(DataError, "too-few-examples", 10, 16):
        Batches.shuffled(examples(), 16, 0, [0])
    with refused(DataError, "wrong-shape", (3, 4), (3,)):
        Examples(np.zeros((3, 4)), np.zeros(3))
    with refused(DataError, "wrong-classes", "odd", "test", 0, 2):
        Dataset("odd", ("a", "b"), examples(), examples(classes=3))
    with refused(DataError, "wrong-classes", "empty", "test", 0):
        Dataset("empty", ("a", "b"), examples(), examples(0))
    with refused(DataError, "wrong-classes", "dull", "train", 10, 1):
        Dataset("dull", ("a", "b"), examples(classes=1), examples())


def test_both_splits_have_pictures_of_the_same_shape():
    data = Dataset("even", ("a", "b"), examples(), examples())
    assert data.shape == (2, 2, 1)
    odd = Examples(np.zeros((4, 2, 3, 1), np.uint8), np.arange(4) % 2)
    with refused(DataError, "wrong-shape", "odd", (2, 2, 1), (2, 3, 1)):
        Dataset("odd", ("a", "b"), examples(), odd)


def test_pixels_of_both_splits_have_the_same_range():
    real = replace(examples(), images=np.zeros((10, 2, 2, 1), np.float32))
    with refused(DataError, "wrong-type", "mixed", "uint8", 255, "float32", 1):
        Dataset("mixed", ("a", "b"), examples(), real)
    with refused(DataError, "wrong-type", "mixed", 16, 255):
        Dataset("mixed", ("a", "b"), replace(examples(), pixel_max=16), examples())


@pytest.mark.parametrize(
    ("pixels", "pixel_max", "values"),
    [(np.float32([0, 255]), 255, ("float32", 255, "uint8")), (np.uint8([0, 1]), 255, ("0 and 1", 255, "pixel_max"))],
)
def test_pixels_of_another_scale_than_their_type_says_are_refused(pixels, pixel_max, values):
    images = np.resize(pixels, (10, 2, 2, 1))
    wrong = Examples(images, np.arange(10) % 2, pixel_max)
    with refused(DataError, "wrong-type", "mixed", "train", *values):
        Dataset("mixed", ("a", "b"), wrong, wrong)


@pytest.mark.parametrize(
    ("pixels", "pixel_max"),
    [
        (np.float32([0, 1]), 255), (np.float32([-3, 0.5, 117.25]), 255), (np.uint8([0, 1]), 1), (np.uint8([0]), 255),
        (np.float64([0.5, 1]), 255), (np.uint8([0, 255]), 255), (np.float32([0, np.inf]), 255),
    ],
    ids=str,
)  # fmt: skip
def test_pixels_of_a_possible_scale_are_accepted(pixels, pixel_max):
    right = Examples(np.resize(pixels, (10, 2, 2, 1)), np.arange(10) % 2, pixel_max)
    assert Dataset("right", ("a", "b"), right, right).shape == (2, 2, 1)


def test_digits_have_their_fixed_split(tmp_path):
    data = digits(LoadRequest(Places(None, tmp_path)))
    assert (len(data.train), len(data.test)) == (1437, 360)
    assert data.train.images.shape == (1437, 8, 8, 1) and data.train.images.max() == data.train.pixel_max == 16
    assert np.bincount(data.test.labels).tolist() == [35, 37, 35, 37, 36, 37, 36, 36, 35, 36]
    assert data.fingerprint == "29554af35558de1e"


def test_stratified_keeps_the_share_of_each_class():
    labels = np.repeat([0, 1, 2], [50, 30, 20])[np.random.default_rng(0).permutation(100)]
    chosen = stratified(labels, 20)
    assert chosen.sum() == 20 and np.bincount(labels[chosen]).tolist() == [10, 6, 4]


def numbered(counts):
    """Examples sorted by class. The pixels of each are its index."""
    labels = np.repeat(np.arange(len(counts)), counts)
    return Examples(np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1), labels)


def test_a_limit_keeps_the_share_of_each_class_without_needless_copies():
    sorted_by_class = numbered([40, 20])
    few = sorted_by_class.limited(6)
    assert np.bincount(few.labels).tolist() == [4, 2]
    assert np.array_equal(few.images, sorted_by_class.limited(6).images)
    assert (
        sorted_by_class.limited(None) is sorted_by_class.limited(60) is sorted_by_class.limited(99) is sorted_by_class
    )


def test_the_validation_share_is_fixed_stratified_and_separate():
    data = Dataset("sorted", ("a", "b"), numbered([40, 20]), numbered([2, 2]))
    train, validation = data.held_out(0.1)
    assert np.bincount(train.labels).tolist() == [36, 18] and np.bincount(validation.labels).tolist() == [4, 2]
    assert sorted([*train.images.flat, *validation.images.flat]) == list(range(60))
    assert np.array_equal(data.held_out(0.1)[1].images, validation.images)


@pytest.mark.parametrize(("share", "taken"), [(0.05, 0), (0.0, 0), (1.0, 2)])
def test_a_share_that_leaves_a_split_without_a_class_is_refused(share, taken):
    data = Dataset("rare", ("a", "b"), numbered([2, 38]), numbered([2, 2]))
    with refused(DataError, "too-few-examples", "rare", f"{share:g}", 40, taken, 2, "'a'"):
        data.held_out(share)
