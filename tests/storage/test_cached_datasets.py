"""Data sets in the cache: their fingerprint is computed once, and anew after any change of a file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.data import Dataset
from harness.storage.datasets import FINGERPRINT, cached_dataset
from harness.storage.places import Places

SHAPE = (4, 4, 1)


@pytest.fixture
def computed(monkeypatch) -> list[Dataset]:
    """The data sets whose pixels were read for a fingerprint."""
    seen: list[Dataset] = []
    original = Dataset.computed_fingerprint
    monkeypatch.setattr(Dataset, "computed_fingerprint", lambda self: seen.append(self) or original(self))
    return seen


def cached(folder: Path, seed: int = 0) -> Dataset:
    pixels = np.random.default_rng(seed).integers(0, 255, (6, *SHAPE), np.uint8)
    return cached_dataset(
        Places(data=folder, cache=folder), "mine", "mine", ("a", "b"), SHAPE,
        lambda split: [(picture, number % 2) for number, picture in enumerate(pixels)],
    )  # fmt: skip


def test_a_fingerprint_is_computed_once_for_all_cells(tmp_path, computed):
    first = cached(tmp_path)
    assert [cached(tmp_path).fingerprint for _ in range(3)] == [first.fingerprint] * 3
    assert len(computed) == 1 and first.computed_fingerprint() == first.fingerprint


@pytest.mark.parametrize("name", ["train.images.npy", "test.labels.npy"])
def test_a_file_that_has_changed_has_another_fingerprint(tmp_path, name):
    before = cached(tmp_path).fingerprint
    file = tmp_path / "data/mine" / name
    array = np.load(file)
    array.flat[0] = array.flat[0] ^ 1
    np.save(file, array)
    changed = cached(tmp_path)
    assert changed.fingerprint == changed.computed_fingerprint() != before


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"fingerprint": 3}', '{"files": {}, "fingerprint": "x"}'])
def test_a_damaged_file_of_the_fingerprint_is_made_anew(tmp_path, text):
    before = cached(tmp_path).fingerprint
    file = tmp_path / "data/mine" / FINGERPRINT
    file.write_text(text)
    assert cached(tmp_path).fingerprint == before
    assert json.loads(file.read_text())["fingerprint"] == before


def test_a_cache_that_cannot_be_written_is_read_all_the_same(tmp_path, computed):
    before = cached(tmp_path).fingerprint
    file = tmp_path / "data/mine" / FINGERPRINT
    file.unlink()
    file.mkdir()
    assert [cached(tmp_path).fingerprint for _ in range(2)] == [before] * 2 and len(computed) == 3


def test_pictures_in_the_cache_cannot_be_changed_through_the_data_set(tmp_path):
    dataset = cached(tmp_path)
    for array in (dataset.train.images, dataset.train.labels, dataset.test.images, dataset.test.labels):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_another_data_set_made_from_it_does_not_keep_its_fingerprint(tmp_path):
    dataset = cached(tmp_path)
    fewer = replace(dataset, train=dataset.train.take(np.arange(2)))
    assert fewer.fingerprint == fewer.computed_fingerprint() != dataset.fingerprint
    noted = dataset.with_notes("2 left out")
    assert noted.notes == ("2 left out",) and noted.kept_fingerprint == dataset.kept_fingerprint is not None


def test_pictures_in_memory_are_read_each_time():
    """A backend may have changed them: then its evidence must say so."""
    image = np.zeros((2, 2, 2, 1), np.uint8)
    from harness.data import Examples

    dataset = Dataset("mine", ("a", "b"), Examples(image, np.arange(2)), Examples(image, np.arange(2)))
    before = dataset.fingerprint
    image[0, 0, 0, 0] = 1
    assert dataset.fingerprint != before
