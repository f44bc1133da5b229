"""`--pipeline own`: the framework reads the picture files itself, in the order of the harness."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import picture_folder
from refusals import refused

from harness import Adam, Augmentation, Batches, Dataset, FileExamples, LoadRequest, Places, Recipe, UsageError
from harness.datasets.folder import folder
from harness.models.two_block_cnn import two_block_cnn

MODEL = two_block_cnn((16, 16, 3), 2)
ORDER = np.array([[3, 0, 11, 7], [15, 2, 2, 8], [1, 14, 9, 5]])
ALL = Augmentation(flip=True, rotation=20.0, zoom=0.2, translation=0.1, crop=0.2, brightness=0.1, contrast=0.2)


def loaded(root: Path, **options: Any) -> Dataset:
    return folder(LoadRequest(Places.from_environment(), str(root), (16, 16, 3), **options))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return loaded(picture_folder(tmp_path_factory.mktemp("pictures")))


def read(backend: Any, examples: FileExamples, order: np.ndarray = ORDER) -> tuple[np.ndarray, np.ndarray]:
    """The pixels from 0 to 1, and the labels, of the pictures in an order."""
    found = [tuple(map(np.asarray, batch)) for batch in backend.on_device(examples).batches(order)]
    pictures = np.concatenate([pictures for pictures, _ in found])
    return pictures / (255 if pictures.dtype == np.uint8 else 1), np.concatenate([labels for _, labels in found])


def test_it_reads_the_pictures_in_the_order_of_the_harness(backend: type, dataset: Dataset) -> None:
    train = dataset.train
    for order in (ORDER, ORDER[::-1, ::-1], ORDER[:1]):  # the pipeline is made once, and runs several times
        pixels, labels = read(backend("cpu"), FileExamples.of(train, Augmentation(), 0), order)
        np.testing.assert_array_equal(labels, train.labels[order.ravel()])
        np.testing.assert_allclose(pixels, train.images[order.ravel()] / 255, atol=1e-6)


def test_it_crops_and_resizes_as_the_harness_does(backend: type, tmp_path: Path) -> None:
    train = loaded(picture_folder(tmp_path, size=(48, 64), suffix=".jpg")).train
    pixels, _ = read(backend("cpu"), FileExamples.of(train, Augmentation(), 0))
    assert np.abs(pixels - train.images[ORDER.ravel()] / 255).mean() < 0.01  # decoders and filters differ a little


def test_changes_are_random_and_differ_in_each_epoch(backend: type, dataset: Dataset) -> None:
    runner, plain = backend("cpu"), dataset.train.images[ORDER.ravel()] / 255
    examples = FileExamples.of(dataset.train, ALL, 0)
    (first, _), (second, _) = read(runner, examples), read(runner, examples)
    for one, other in ((first, plain), (second, plain), (first, second)):
        differences = np.abs(one - other).mean((1, 2, 3))
        assert (differences > 1e-3).all(), differences
        assert differences.mean() < 0.2, "these are other pictures"
    assert first.min() >= 0
    assert first.max() <= 1


@pytest.mark.parametrize("change", ["flip", "rotation", "zoom", "translation", "crop", "brightness", "contrast"])
def test_each_change_does_something(backend: type, dataset: Dataset, change: str) -> None:
    only = Augmentation(**{change: getattr(ALL, change)})
    pixels, _ = read(backend("cpu"), FileExamples.of(dataset.train, only, 0))
    differences = np.abs(pixels - dataset.train.images[ORDER.ravel()] / 255).mean((1, 2, 3))
    assert (differences > 1e-3).sum() >= 3, differences
    if change == "flip":
        mirrored = dataset.train.images[ORDER.ravel()][:, :, ::-1] / 255
        assert np.minimum(differences, np.abs(pixels - mirrored).mean((1, 2, 3))).max() < 1e-6


def test_training_on_files_is_like_training_in_memory(
    backend: type, mode: str, dataset: Dataset, quick_compiler: None
) -> None:
    runner, rates = backend("cpu", mode), np.full(3, 1e-3)

    def losses(examples: Any) -> np.ndarray:
        trainer = runner.trainer(runner.build(MODEL, MODEL.init(0)), Recipe(Adam()))
        return trainer.run(Batches(examples, ORDER.ravel(), 4), rates, record=True)

    found = losses(FileExamples.of(dataset.train, Augmentation(), 0))
    np.testing.assert_allclose(found, losses(dataset.train), rtol=1e-4)


def test_a_dataset_without_files_is_refused(dataset: Dataset) -> None:
    with refused(UsageError, "conflicting-options"):
        FileExamples.of(replace(dataset.train, files=None), Augmentation(), 0)
    assert list(dataset.train.take(np.array([4, 1])).files) == [dataset.train.files[4], dataset.train.files[1]]
