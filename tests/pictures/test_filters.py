"""Filters by OpenCV: the effect of each step on pictures, and their use on datasets."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from refusals import refused

from harness.datasets.digits import digits
from harness.datasets.synthetic import synthetic
from harness.errors import DataError, Unavailable, UsageError
from harness.models.lenet5 import lenet5
from harness.models.two_block_cnn import two_block_cnn
from harness.pictures.filters import STEPS, stepped, steps_key
from harness.pictures.inputs import DataOptions, NetworkInput, load, split_options
from harness.plugins import load_plugins
from harness.running.config import Settings, Source
from harness.running.experiments import experiments
from harness.running.plan import plan_cells
from harness.storage.places import Places


@pytest.fixture
def cv2():
    return pytest.importorskip("cv2", reason="needs OpenCV: pip install 'samebench[opencv]'")


def noise(*shape, top=256):
    return np.random.default_rng(7).integers(0, top, shape).astype(np.uint8)


def square(channels=3):
    """A bright square on a dark background."""
    picture = np.full((24, 24, channels), 40, np.uint8)
    picture[6:18, 6:18] = 220
    return picture


def after(steps, picture, pixel_max=255):
    (found,) = stepped(steps, picture[None], pixel_max)
    assert found.shape == picture.shape and found.dtype == np.uint8
    return found


def loaded(name, build, places, *steps, **options):
    loaders = {"digits": digits, "synthetic": synthetic}
    return load(name, loaders, NetworkInput.untrained(build), DataOptions(steps=steps, **options), places)


# Names and arguments of steps


@pytest.mark.parametrize(
    ("step", "code", "values"),
    [
        ("gray", "unknown-name", ["'gray'", "'grey'", "canny, equalise, gaussian, grey, median"]),
        ("", "unknown-name", ["''", "canny"]),
        ("grey:1", "wrong-form", ["grey", "'1'"]),
        ("equalise:", "wrong-form", ["equalise", "''"]),
        ("gaussian:4", "wrong-form", ["gaussian", 3, 255, "gaussian:5", "'4'"]),
        ("median:1", "wrong-form", ["median", 3, 255, "median:5", "'1'"]),
        ("median:257", "wrong-form", ["'257'"]),
        ("gaussian:", "wrong-form", ["''"]),
        ("gaussian:-5", "wrong-form", ["'-5'"]),
        ("gaussian:٥", "wrong-form", ["'٥'"]),
        ("canny:100", "wrong-form", ["canny", 0, 9999, "canny:100-200", "'100'"]),
        ("canny:200-100", "wrong-form", ["canny:100-200", "'200-100'"]),
        ("canny:1-2-3", "wrong-form", ["'1-2-3'"]),
    ],
)  # fmt: skip
def test_an_unknown_step_is_refused_before_anything_runs(step, code, values):
    with refused(UsageError, code, "data.steps", *values):
        DataOptions(steps=("grey", step))


def test_steps_are_an_option_of_the_data():
    plugins = load_plugins()
    settings = Settings.of(
        plugins,
        [Source("here", {"backends": ["numpy"], "tasks": ["scratch-cnn"], "data.steps": ["grey", "canny:50-60"]})],
    )
    assert settings.data.steps == ("grey", "canny:50-60")
    (cell,) = plan_cells(settings, experiments(plugins, settings.config).chosen)
    assert split_options({"data.steps": list(cell.options["data.steps"])})[0] == settings.data
    for value, code, said in (("grey", "wrong-type", "'grey'"), (["gauss"], "unknown-name", "'gaussian'")):
        with refused(UsageError, code, "data.steps", said):
            Settings.of(plugins, [Source("here", {"data": {"steps": value}})])


def test_steps_are_checked_without_opencv():
    program = (
        "import sys; sys.modules['cv2'] = None\n"
        "from harness.pictures.filters import STEPS, check_steps\n"
        "check_steps([*STEPS, 'canny:1-2'])"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_without_opencv_the_error_names_the_package_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with refused(Unavailable, "not-installed", "data.steps", "pip install 'samebench[opencv]'"):
        loaded("digits", two_block_cnn, Places(None, tmp_path), "grey")
    assert loaded("digits", two_block_cnn, Places(None, tmp_path)).notes == ()


# The effect of each step


def test_grey_is_the_brightness_in_every_channel(cv2):
    colours = np.uint8([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [80, 80, 80]]])
    found = after(["grey"], colours)
    assert found[0, :, 0].tolist() == [76, 150, 29, 80], "of red, green, blue: their weights are 0.299, 0.587, 0.114"
    assert (found == found[..., :1]).all()
    assert np.array_equal(after(["grey"], noise(5, 6, 1)), noise(5, 6, 1))


def test_equalise_spreads_the_brightness_and_keeps_grey_pixels_grey(cv2):
    faint = noise(32, 32, 1, top=40) + np.uint8(100)
    found = after(["equalise"], faint)
    assert found.min() == 0 and found.max() == 255
    order = np.argsort(faint.ravel(), kind="stable")
    assert (np.diff(found.ravel()[order].astype(int)) >= 0).all(), "what was brighter still is"
    assert np.array_equal(after(["equalise"], np.repeat(faint, 3, -1)), np.repeat(found, 3, -1))
    reddish = np.repeat(faint, 3, -1) + np.uint8([20, 0, 0])
    equal = after(["equalise"], reddish).astype(int)
    middling = (equal > 30).all(-1) & (equal < 225).all(-1)
    assert abs((equal[..., 0] - equal[..., 1])[middling] - 20).max() <= 2


@pytest.mark.parametrize("channels", [1, 3])
def test_gaussian_blurs_by_its_size(cv2, channels):
    dot = np.zeros((21, 21, channels), np.uint8)
    dot[10, 10] = 255
    for step, size in (("gaussian", 5), ("gaussian:5", 5), ("gaussian:9", 9)):
        places = np.argwhere(after([step], dot)[..., 0])
        assert np.ptp(places, axis=0).tolist() == [size - 1, size - 1]
    found = after(["gaussian"], dot)[10, 8:13, 0]
    assert abs(found / found.sum() - np.array([1, 4, 6, 4, 1]) / 16).max() < 0.02


@pytest.mark.parametrize("channels", [1, 3])
def test_median_removes_a_dot_and_keeps_an_edge(cv2, channels):
    speckled = square(channels)
    speckled[2, 2] = speckled[12, 12] = 255
    assert np.array_equal(after(["median:3"], speckled)[7:17], square(channels)[7:17])
    picture = noise(9, 9, channels)
    for step, size in (("median", 5), ("median:7", 7)):
        window = picture[4 - size // 2 : 5 + size // 2, 4 - size // 2 : 5 + size // 2]
        assert after([step], picture)[4, 4].tolist() == np.median(window, (0, 1)).tolist()


@pytest.mark.parametrize("channels", [1, 3])
def test_canny_draws_edges_white_on_black_between_its_thresholds(cv2, channels):
    found = after(["canny"], square(channels))
    assert set(np.unique(found)) == {0, 255} and (found == found[..., :1]).all()
    rows, columns = np.argwhere(found[..., 0]).T
    assert {rows.min(), columns.min()} <= {5, 6} and {rows.max(), columns.max()} <= {17, 18}
    assert not found[9:15, 9:15].any()
    assert np.array_equal(after(["canny:100-200"], square(channels)), found)
    # The gradient is 720 along the sides, about 1000 in the corners: edges go on from there, or not
    assert np.array_equal(after(["canny:700-1000"], square(channels)), found)
    assert 0 < after(["canny:800-1000"], square(channels)).sum() < found.sum() / 2
    assert not after(["canny:0-1100"], square(channels)).any()


def test_steps_are_taken_in_their_order(cv2):
    picture = noise(24, 24, 3)
    both = after(["gaussian", "canny"], picture)
    assert np.array_equal(both, after(["canny"], after(["gaussian"], picture)))
    assert (both != after(["canny", "gaussian"], picture)).any()


@pytest.mark.parametrize("step", STEPS)
def test_other_ranges_are_brought_to_bytes_first(cv2, step):
    few = noise(8, 8, 1, top=17)
    as_bytes = (few * (255 / 16)).round().astype(np.uint8)
    assert np.array_equal(after([step], few, pixel_max=16), after([step], as_bytes))


@pytest.mark.parametrize(("type", "channels"), [(np.float32, 3), (np.uint8, 4)])
def test_pictures_that_have_no_bytes_or_no_colours_are_refused(type, channels):
    with refused(DataError, "wrong-type", "grey, median", type.__name__, channels):
        next(stepped(["grey", "median"], np.zeros((2, 4, 4, channels), type), 255))


def test_opencv_starts_no_threads(cv2):
    after(["gaussian:31"], noise(256, 256, 3))
    assert cv2.getNumThreads() == 1


# Filters on datasets


def test_training_and_test_pictures_are_filtered_and_a_note_says_so(cv2, tmp_path):
    places = Places(None, tmp_path, offline=True)
    plain, found = (
        loaded("digits", two_block_cnn, places),
        loaded("digits", two_block_cnn, places, "gaussian:3", "canny"),
    )
    assert found.notes == ("pictures were filtered by gaussian:3, canny",) and found.shape == (8, 8, 1)
    for before, part in ((plain.train, found.train), (plain.test, found.test)):
        assert part.pixel_max == 255 and np.array_equal(part.labels, before.labels)
        assert np.array_equal(part.images, np.stack(list(stepped(["gaussian:3", "canny"], before.images, 16))))
    sized = loaded("digits", lenet5, places, "grey")
    assert sized.notes == ("pictures were resized from 8x8x1 to 32x32x1", "pictures were filtered by grey")


def test_a_large_data_set_is_kept_by_its_steps_and_the_version_of_opencv(cv2, tmp_path, monkeypatch):
    places = Places(None, tmp_path, offline=True)

    def kept(*steps):
        found = loaded("synthetic:64x64x3", two_block_cnn, places, *steps)
        assert isinstance(found.train.images, np.memmap)
        return found, sorted(folder.name for folder in (tmp_path / "data").iterdir() if folder.is_dir())

    (grey, first), (canny, second) = kept("grey"), kept("grey", "canny")
    assert len(first) == 2 and len(second) == 3 and grey.fingerprint != canny.fingerprint
    monkeypatch.setattr("harness.pictures.filters.in_bytes", None)  # nothing is computed again
    again, third = kept("grey")
    assert third == second and again.fingerprint == grey.fingerprint and again.notes == grey.notes
    before = steps_key(["grey"])
    assert before != steps_key(["canny"]) and steps_key(["grey", "canny"]) != steps_key(["canny", "grey"])
    monkeypatch.setattr(cv2, "__version__", "0.0")
    assert steps_key(["grey"]) != before


def test_the_same_bytes_in_another_range_are_kept_apart(cv2, tmp_path):
    places = Places(None, tmp_path, offline=True)
    dim = synthetic_of(places)
    bright = replace(dim, train=replace_range(dim.train), test=replace_range(dim.test))
    found = [
        load(
            "x",
            {"x": lambda wanted, given=given: given},
            NetworkInput.untrained(two_block_cnn),
            DataOptions(steps=("grey",)),
            places,
        )
        for given in (dim, bright)
    ]
    assert found[0].fingerprint != found[1].fingerprint


def synthetic_of(places):
    data = loaded("synthetic:64x64x3", two_block_cnn, places)
    parts = (type(part)(part.images // 16, part.labels) for part in (data.train, data.test))
    return replace(data, **dict(zip(("train", "test"), parts, strict=True)))


def replace_range(examples):
    return type(examples)(examples.images, examples.labels, pixel_max=16)
