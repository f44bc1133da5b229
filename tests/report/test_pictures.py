"""The pictures of a run as a page: of all backends, of one seed, with feature maps, and one picture in large."""

from __future__ import annotations

import numpy as np
import pytest
from reports import CELL, REPORTERS, Kept, attacked, kept_pictures, ok

from harness.report.page import closer_page
from harness.report.summary import Report
from harness.result import Result
from harness.storage.sealed import PICTURES


def maps_of(*channels: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {f"trunk.conv{number}": random.uniform(size=(2, 6, 5, count)) for number, count in enumerate(channels, 1)}


def gallery(*results: Result, made=kept_pictures, without=(), maps=()) -> str:
    """The pictures of these results; those of the cells `without` are missing."""
    pictures = {result.cell.key: made() for result in results if result not in without}
    return REPORTERS["gallery"](Report.of(Kept(results, pictures=pictures, maps=maps)))


def test_every_backend_is_beside_the_original():
    results = [attacked("one"), attacked("two")]
    page = gallery(*results, maps={results[0].cell.comparison_key: maps_of(8)})
    assert page.count("<img") == 3 * (1 + 2 * 2) + 2 * 8
    assert "one: adversarial" in page and "a, 60.0%" in page and "b, 70.0%" in page
    assert "trunk.conv1, adversarial" in page


def test_one_seed_is_shown_the_first_that_most_backends_have():
    cells = [attacked(backend, seed) for backend in ("one", "two") for seed in (0, 1, 2)]
    failed = Result(cells[3].cell, "failed", "it broke")
    page = gallery(*cells[:3], failed, *cells[4:])
    assert "Pictures of seed 1" in page and page.count("<img") == 3 * (1 + 2 * 2)
    lost = gallery(*cells, without=cells[3:])
    assert "Pictures of seed 0" in lost and lost.count("<img") == 3 * (1 + 2) and "two: adversarial" not in lost


def test_every_channel_of_feature_maps_has_a_number():
    result = attacked()
    page = gallery(result, maps={result.cell.comparison_key: maps_of(2, 8)})
    assert page.count("channel 2<") == 4 and page.count("channel 8<") == 2 and "channel 9" not in page
    assert "channel" not in gallery(result, maps={result.cell.comparison_key: {}}), "a network without windows has none"


def test_feature_maps_are_shown_beside_the_pictures_that_they_are_of(monkeypatch):
    def of_the_second(kept, result):
        return maps_of(8) if result.cell.backend == "two" else {}[result.cell.key]

    monkeypatch.setattr(Kept, "feature_maps", of_the_second)
    assert "trunk.conv1, adversarial" in gallery(attacked("one"), attacked("two"))


def test_a_run_without_pictures_says_so():
    assert "No cell of this run has kept pictures" in gallery(attacked(), without=[attacked()])


def photos():
    """Three photos of 224x224, with a change like noise."""
    random = np.random.default_rng(0)
    ramp = np.linspace(0, 1, 224)[None, :, None, None] * np.linspace(0, 1, 224)[None, None, :, None]
    original = np.clip(ramp + random.normal(0, 0.02, (8, 224, 224, 3)), 0, 1).astype(np.float32)
    small = kept_pictures()
    return small | {
        "original": original, "made": np.clip(original + random.choice([-0.03, 0.03], original.shape), 0, 1).astype(np.float32),
        "shown": np.arange(8), "before": np.full((8, 2), 0.5), "after": np.full((8, 2), 0.5),
        "labels": np.zeros(8, int), "wanted": np.zeros(8, int),
    }  # fmt: skip


def test_eight_photos_of_three_backends_stay_under_two_megabytes():
    assert len(gallery(*map(attacked, ("one", "two", "three")), made=photos)) < 2_000_000


def large(made) -> str:
    results = [attacked("one"), attacked("two")]
    return closer_page(
        Report.of(Kept(results, pictures={result.cell.key: made for result in results})), "cat.jpg, attacked"
    )


def test_one_picture_is_large_and_names_the_classes_of_every_backend():
    made = kept_pictures(("cat", "toaster")) | {"labels": np.array([0, 0, 0]), "wanted": np.array([1, 1, 1])}
    page = large(made)
    assert page.count("<img") == 1 + 2 * 2 and 'class="pictures large"' in page
    assert "toaster (class 1)" in page, "the class that the attack wants"
    assert "one: original" in page and "two: adversarial" in page and "toaster, 70.00%" in page


def test_without_a_target_no_class_is_wanted():
    made = kept_pictures() | {"labels": np.array([0, 0, 0]), "wanted": np.array([0, 0, 0])}
    assert "should make the network see" not in large(made)


def test_ideal_pictures_are_large_too():
    result = ok(CELL, artifacts={PICTURES: "sha256:1"})
    random = np.random.default_rng(0)
    made = {
        "plain": random.uniform(size=(1, 8, 8, 3)), "made": random.uniform(size=(1, 8, 8, 3)), "labels": np.array([1]),
        "after": np.array([[0.1, 0.9]]), "plain_after": np.array([[0.3, 0.7]]), "classes": np.array(["horse", "zebra"]),
    }  # fmt: skip
    page = closer_page(Report.of(Kept([result], pictures={result.cell.key: made})), "The ideal picture of zebra")
    assert page.count("<img") == 2 and "The ideal picture of zebra (class 1)" in page and "zebra, 90.00%" in page


@pytest.mark.parametrize("size", [8, 224])
def test_small_pictures_keep_every_pixel_and_large_ones_are_small_files(size):
    def made():
        return kept_pictures() | {
            name: np.full((3, size, size, 3), 0.5, np.float32) for name in ("original", "made")
        }  # fmt: skip

    page = gallery(attacked(), made=made)
    assert ("data:image/png" in page) == (size == 8) and ("data:image/webp" in page or "data:image/jpeg" in page) == (
        size > 64
    )
