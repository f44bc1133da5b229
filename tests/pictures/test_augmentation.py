"""Augmentation: the same bytes for every backend, the exact effect of each option, and the work in a thread."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import time
import weakref
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from refusals import refused
from scipy import ndimage

from harness.data import Examples
from harness.errors import DataError, UsageError
from harness.options import change, flatten
from harness.pictures.augmentation import LARGEST, Ahead, Augmentation, Draws, augmented

NONE = Draws(flip=0.9, rotation=0.5, zoom=0.5, down=0.5, across=0.5, side=0, top=0.5, left=0.5, brightness=0.5, contrast=0.5)  # fmt: skip
"""Random numbers for which no option changes the picture."""

ALL = Augmentation(flip=True, rotation=30, zoom=0.3, translation=0.2, crop=0.4, brightness=0.2, contrast=0.5)
USES = {
    "flip": {"flip"}, "rotation": {"rotation"}, "zoom": {"zoom"}, "translation": {"down", "across"},
    "crop": {"side", "top", "left"}, "brightness": {"brightness"}, "contrast": {"contrast"},
}  # fmt: skip


def noise(*shape, top=256):
    return np.random.default_rng(7).integers(0, top, shape).astype(np.uint8)


def ramp(size=32, step=4):
    """A picture in which each column is brighter than the previous one."""
    return np.tile(np.arange(size, dtype=np.uint8) * step, (size, 1))[..., None]


def examples(count=12, shape=(8, 8, 3), pixel_max=255):
    return Examples(noise(count, *shape, top=pixel_max + 1), np.arange(count) % 3, pixel_max)


def drawn(**draws):
    return NONE._replace(**draws)


# What the changes depend on


def test_seed_epoch_and_place_decide_and_nothing_else():
    whole = examples()
    found = augmented(whole, ALL, seed=3, epoch=1)
    assert found.images.dtype == np.uint8 and np.array_equal(found.labels, whole.labels)
    assert np.array_equal(augmented(whole, ALL, 3, 1).images, found.images)
    assert np.array_equal(augmented(whole.take(np.arange(5)), ALL, 3, 1).images, found.images[:5])
    for other in (augmented(whole, ALL, 4, 1), augmented(whole, ALL, 3, 2)):
        assert all((a != b).any() for a, b in zip(found.images, other.images, strict=True))
    same = augmented(Examples(np.stack([whole.images[0]] * 6), np.arange(6)), ALL, 3, 1).images
    assert len({picture.tobytes() for picture in same}) == 6


def test_another_process_makes_the_same_bytes():
    program = (
        "import hashlib, test_augmentation as t\n"
        "print(hashlib.sha256(t.augmented(t.examples(), t.ALL, 3, 1).images.tobytes()).hexdigest())"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join([str(Path(__file__).parent), "tests", *sys.path])},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    here = hashlib.sha256(augmented(examples(), ALL, 3, 1).images.tobytes()).hexdigest()
    assert said == {f"{here}\n"}


def test_the_pictures_given_are_left_alone():
    whole = examples()
    before = whole.images.copy()
    whole.images.flags.writeable = False
    for augmentation in (ALL, Augmentation(), Augmentation(flip=True), Augmentation(brightness=0.5)):
        found = augmented(whole, augmentation, 0, 0)
        assert np.array_equal(whole.images, before) and not np.shares_memory(found.images, whole.images)


@dataclass(frozen=True)
class Noted(Augmentation):
    """Records the random numbers."""

    draws: list = field(default_factory=list)

    def apply(self, picture, pixel_max, draws):
        self.draws.append(draws)
        return super().apply(picture, pixel_max, draws)


def test_an_option_that_is_switched_on_does_not_change_the_draws_of_others():
    notes = [Noted(), Noted(flip=True), Noted(rotation=20, crop=0.2), Noted(contrast=0.3, zoom=0.1)]
    for noted in notes:
        augmented(examples(), noted, 5, 2)
        assert noted.draws == notes[0].draws
    assert len(set(notes[0].draws)) == 12
    values = np.array(augmentation_draws(400))
    assert values.min() >= 0 and values.max() < 1 and abs(values.mean(axis=0) - 0.5).max() < 0.07


def augmentation_draws(count):
    noted = Noted()
    augmented(examples(count, (1, 1, 1)), noted, 0, 0)
    return noted.draws


@pytest.mark.parametrize("option", USES)
def test_each_option_looks_at_its_own_draws_and_at_all_of_them(option):
    augmentation = Augmentation(**{option: getattr(ALL, option)})
    picture, own = noise(16, 16, 3), dict.fromkeys(USES[option], 0.3) | ({"side": 0.8} if option == "crop" else {})
    expected = augmentation.apply(picture, 255, drawn(**own))
    assert (expected != picture).any()
    for name in Draws._fields:
        changed = augmentation.apply(picture, 255, drawn(**own)._replace(**{name: 0.7}))
        assert np.array_equal(changed, expected) == (name not in USES[option]), name


# The effect of each option


@pytest.mark.parametrize("shape", [(8, 8, 3), (7, 5, 1), (1, 1, 3), (6, 9, 4)])
def test_a_picture_that_nothing_is_drawn_for_is_the_same_to_the_bit(shape):
    picture = noise(*shape)
    found = ALL.apply(picture, 255, NONE)
    assert found.dtype == np.uint8 and np.array_equal(found, picture)
    assert np.array_equal(Augmentation().apply(picture, 255, Draws(*np.linspace(0, 0.99, 10))), picture)


def test_half_of_the_pictures_are_flipped_exactly():
    whole = examples(400, (5, 6, 3))
    found = augmented(whole, Augmentation(flip=True), 0, 0).images
    flipped = (found == whole.images[:, :, ::-1]).all((1, 2, 3))
    assert 160 < flipped.sum() < 240
    assert np.array_equal(found[~flipped], whole.images[~flipped])


@pytest.mark.parametrize("size", [8, 9])
def test_quarter_and_half_turns_are_exact(size):
    picture = noise(size, size, 3)
    quarter, half = Augmentation(rotation=90), Augmentation(rotation=180)
    turned = quarter.apply(picture, 255, drawn(rotation=1))
    assert any(np.array_equal(turned, np.rot90(picture, times)) for times in (1, 3))
    assert np.array_equal(quarter.apply(turned, 255, drawn(rotation=0)), picture)
    assert np.array_equal(half.apply(picture, 255, drawn(rotation=1)), np.rot90(picture, 2))


def test_a_rotation_keeps_the_shapes_of_a_wide_picture():
    dot = np.zeros((21, 41, 1), np.uint8)
    dot[10, 26] = 240  # six pixels beside the middle, and so after a quarter turn six above or below it
    found = Augmentation(rotation=90).apply(dot, 255, drawn(rotation=1))
    assert {tuple(place) for place in np.argwhere(found[..., 0])} <= {(4, 20), (16, 20)} and found.max() == 240


def test_a_translation_shifts_by_a_share_and_reflects_the_border():
    picture, quarter = noise(8, 12, 3), Augmentation(translation=0.25)
    right = quarter.apply(picture, 255, drawn(across=1))
    assert np.array_equal(right[:, 3:], picture[:, :-3]) and np.array_equal(right[:, :3], picture[:, 2::-1])
    up = quarter.apply(picture, 255, drawn(down=0))
    assert np.array_equal(up[:-2], picture[2:]) and np.array_equal(up[-2:], picture[:-3:-1])


def test_a_zoom_is_about_the_middle():
    for draw, scale in ((1, 1.5), (0, 0.5)):
        found = Augmentation(zoom=0.5).apply(ramp(), 255, drawn(zoom=draw))[16, :, 0]
        expected = 4 * (16 + (np.arange(32) + 0.5 - 16) / scale - 0.5)
        inside = (expected >= 0) & (expected <= 124)
        assert abs(found - expected)[inside].max() <= 0.5 and inside.sum() >= 16


def test_a_crop_is_a_window_within_the_picture():
    half = Augmentation(crop=0.5)
    for left, start in ((0, 0), (0.5, 8), (1, 16)):
        found = half.apply(ramp(), 255, drawn(side=1, left=left))[16, :, 0]
        expected = 4 * (start + (np.arange(32) + 0.5) / 2 - 0.5)
        assert abs(found - expected)[1:-1].max() <= 0.5
    low = half.apply(ramp().transpose(1, 0, 2), 255, drawn(side=1, top=1))[:, 16, 0]
    assert abs(low - 4 * (16 + (np.arange(32) + 0.5) / 2 - 0.5))[1:-1].max() <= 0.5


@pytest.mark.parametrize("shape", [(16, 16, 3), (9, 14, 1), (1, 5, 1)])
def test_everything_that_moves_pixels_is_one_bilinear_resampling(shape):
    """The reference is SciPy, in float64. It uses (row, column), so its map is the transpose of ours."""
    picture = noise(*shape)
    strong = Augmentation(flip=True, rotation=120, zoom=0.7, translation=0.6, crop=0.3)
    random = np.random.default_rng(1)
    for _ in range(20):
        draws = Draws(*random.random(10))
        linear, offset = strong.affine(draws, *shape[:2])
        offset = offset + linear @ [0.5, 0.5] - 0.5  # SciPy's places are the middles of pixels
        expected = ndimage.affine_transform(
            picture.astype(float), [[*linear[1, ::-1], 0], [*linear[0, ::-1], 0], [0, 0, 1]], [*offset[::-1], 0],
            order=1, mode="reflect",
        )  # fmt: skip
        assert abs(strong.apply(picture, 255, draws) - expected).max() < 0.51


def test_nothing_gets_darker():
    """Neither black corners nor rounding down, as Pillow does for bytes, darken the picture."""
    even, strong = np.full((16, 16, 3), 201, np.uint8), Augmentation(rotation=180, zoom=0.9, translation=1)
    for draws in augmentation_draws(30):
        assert (strong.apply(even, 255, draws) == 201).all()
    faint = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64, 1) % 2
    turned = Augmentation(rotation=45).apply(faint, 16, drawn(rotation=0.8))
    assert abs(turned.mean() - 0.5) < 0.1


def test_brightness_adds_a_share_of_the_range_and_is_cut_off_at_its_ends():
    picture, some = noise(8, 8, 3).astype(int), Augmentation(brightness=0.4)
    for draw, shift in ((1, 102), (0, -102), (0.75, 51)):
        found = some.apply(picture.astype(np.uint8), 255, drawn(brightness=draw))
        assert np.array_equal(found, (picture + shift).clip(0, 255))


def test_contrast_is_about_the_pictures_own_mean():
    picture, some = np.uint8([[[10], [250]], [[60], [80]]]), Augmentation(contrast=0.5)
    assert some.apply(picture, 255, drawn(contrast=0)).ravel().tolist() == [55, 175, 80, 90]
    assert some.apply(picture, 255, drawn(contrast=1)).ravel().tolist() == [0, 255, 40, 70]


def test_pixels_stay_in_their_range():
    whole = examples(200, (8, 8, 1), pixel_max=16)
    found = augmented(whole, ALL, 0, 0)
    assert found.pixel_max == 16 and found.images.dtype == np.uint8
    assert found.images.min() == 0 and found.images.max() == 16
    lighter = Augmentation(brightness=0.5).apply(np.full((2, 2, 1), 3, np.uint8), 16, drawn(brightness=1))
    assert (lighter == 11).all()


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_channels_are_moved_alike(channels):
    picture, moving = noise(8, 8, channels), Augmentation(flip=True, rotation=30, zoom=0.3, crop=0.4)
    draws = Draws(*np.random.default_rng(0).random(10))
    found = moving.apply(picture, 255, draws)
    alone = [moving.apply(picture[..., channel : channel + 1], 255, draws) for channel in range(channels)]
    assert np.array_equal(found, np.concatenate(alone, axis=-1))


# Options


def test_an_augmentation_is_true_if_it_does_anything():
    assert not Augmentation() and Augmentation(flip=True)
    assert all(Augmentation(**{name: 0.1}) for name in LARGEST)


@pytest.mark.parametrize("value", [-0.1, 181.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", LARGEST)
def test_invalid_options_are_refused(name, value):
    with refused(UsageError, "out-of-range", f"Augmentation.{name}", value):
        Augmentation(**{name: value})


@dataclass(frozen=True)
class Options:
    augmentation: Augmentation = Augmentation()


def test_it_can_be_an_option_of_a_task():
    changed = change(Options(), {"augmentation.rotation": 15, "augmentation.flip": True}, "fine-tuning.")
    assert changed.augmentation == Augmentation(flip=True, rotation=15.0)
    assert flatten(changed)["augmentation.rotation"] == 15.0 and len(flatten(changed)) == 7
    with refused(
        UsageError, "unknown-option", "fine-tuning.augmentation.rotatio", "'fine-tuning.augmentation.rotation'"
    ):
        change(Options(), {"augmentation.rotatio": 15}, "fine-tuning.")
    with refused(UsageError, "out-of-range", "fine-tuning.augmentation.zoom", 0, 0.9, 1.0):
        change(Options(), {"augmentation.zoom": 1}, "fine-tuning.")


def test_pictures_without_a_range_are_refused():
    with refused(DataError, "wrong-type", "float32"):
        augmented(Examples(np.zeros((2, 4, 4, 1), np.float32), np.arange(2)), ALL, 0, 0)


# Ahead


@dataclass(frozen=True)
class Watched(Augmentation):
    """Counts pictures. Some of them wait or fail."""

    counted: list = field(default_factory=list)
    reached: threading.Event = field(default_factory=threading.Event)
    """Set at the start of the picture `at`."""
    at: int = -1
    fails: int = -1
    pause: float = 0.0

    def apply(self, picture, pixel_max, draws):
        self.counted.append(draws)
        if len(self.counted) == self.at:
            self.reached.set()
        if len(self.counted) == self.fails:
            raise ValueError("torn picture")
        time.sleep(self.pause)
        return super().apply(picture, pixel_max, draws)


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "augmentation"]


def until_idle():
    for thread in threads():
        thread.join(10)
    assert not threads()


def test_epochs_come_in_turn():
    whole = examples()
    with Ahead(whole, ALL, 3, epochs=4) as epochs:
        found = [epoch.images for epoch in epochs]
    assert len(found) == 4 and not threads()
    for epoch, images in enumerate(found):
        assert np.array_equal(images, augmented(whole, ALL, 3, epoch).images)


def test_the_next_epoch_is_made_while_this_one_is_used_and_not_the_one_after_it():
    watched = Watched(at=13)
    with Ahead(examples(), watched, 0, epochs=5) as epochs:
        next(epochs)
        assert watched.reached.wait(10), "the second epoch is begun, though nobody has asked for it yet"
        until_idle()
        assert len(watched.counted) == 24, "the third is not"
        next(epochs)
        until_idle()
        assert len(watched.counted) == 36


def test_one_thread_at_a_time_and_none_after_the_last_epoch():
    with Ahead(examples(), Watched(pause=0.002), 0, epochs=3) as epochs:
        for place, _ in enumerate(epochs):
            assert len(threads()) == (1 if place < 2 else 0)


def test_no_epoch_is_kept_that_the_caller_lets_go():
    with Ahead(examples(), ALL, 0, epochs=3) as epochs:
        for epoch in epochs:
            gone = weakref.ref(epoch)
            del epoch
            assert gone() is None


def test_an_error_in_the_thread_is_the_callers():
    with Ahead(examples(), Watched(fails=20), 0, epochs=3) as epochs:
        next(epochs)
        with pytest.raises(ValueError, match="torn picture"):
            next(epochs)
        assert not threads() and list(epochs) == []
    floats = Examples(np.zeros((2, 4, 4, 1)), np.arange(2))
    with Ahead(floats, ALL, 0, epochs=3) as epochs, refused(DataError, "wrong-type", "float64"):
        next(epochs)


def test_a_training_that_stops_early_leaves_no_thread():
    watched = Watched(at=1)
    with Ahead(examples(50_000, (1, 1, 1)), watched, 0, epochs=3) as epochs:
        assert watched.reached.wait(10) and threads()
    assert not threads() and len(watched.counted) < 50_000
    assert list(epochs) == []
    epochs.close()

    def failing():
        with Ahead(examples(50_000, (1, 1, 1)), Watched(), 0, epochs=3):
            raise RuntimeError("diverged")

    with pytest.raises(RuntimeError, match="diverged"):
        failing()
    assert not threads()


def test_a_thread_that_is_left_does_not_keep_the_process_alive():
    program = """
import threading, time
import numpy as np
from harness import Augmentation, Examples
from harness.pictures.augmentation import Ahead

class Stuck(Augmentation):
    def apply(self, *picture):
        begun.set()
        time.sleep(60)

begun = threading.Event()
ahead = Ahead(Examples(np.zeros((2, 4, 4, 1), np.uint8), np.arange(2)), Stuck(flip=True), 0, epochs=1)
assert begun.wait(10)
"""
    path = {"PYTHONPATH": ":".join(sys.path)}
    assert subprocess.run([sys.executable, "-c", program], timeout=30, env=path).returncode == 0


def test_seconds_of_work_are_counted_whether_or_not_one_waits_for_it():
    with Ahead(examples(), Watched(pause=0.01), 0, epochs=2) as epochs:
        assert 0.06 < seconds_of(epochs) <= epochs.worked_s + 0.05
        until_idle()
        assert seconds_of(epochs) < 0.06 and epochs.worked_s > 0.24


def seconds_of(epochs: Ahead) -> float:
    """The time of waiting for the next pictures."""
    start = time.perf_counter()
    next(epochs)
    return time.perf_counter() - start
