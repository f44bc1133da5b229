"""predict and learning-curve, end to end, on the reference."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from command import report, samebench, words
from PIL import Image
from refusals import has, refused

from harness.commands.prediction import picture_in, seen_in
from harness.errors import DataError
from harness.models.lenet5 import lenet5
from harness.plugins import load_plugins
from harness.pretrained.entries import start_from
from harness.pretrained.formats.safetensors import save_safetensors
from harness.pretrained.imagenet import class_names
from harness.reference.backend import NumPy
from harness.storage.places import Places

QUICK = ["--backend", "numpy", "--precision", "float64", "--no-parity", "--set", "segment_s=0"]
SHORT = ["feature-extraction.epochs=20", "scratch-cnn.epochs=2", "fine-tuning.epochs=1", "fine-tuning.head.epochs=20"]
SETS = [word for option in SHORT for word in ("--set", option)]


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """A test digit of scikit-learn, a seven, as a file."""
    from harness.datasets.digits import digits
    from harness.pictures.inputs import LoadRequest

    data = digits(LoadRequest(Places(None, tmp_path_factory.mktemp("cache"))))
    seven = data.test.images[data.test.labels == 7][0, :, :, 0]
    path = tmp_path_factory.mktemp("picture") / "seven.png"
    Image.fromarray(np.uint8(seven * 255.0 / 16)).save(path)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    done = samebench("run", *QUICK, *SETS, "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_bundled_weights_classify_a_digit(picture):
    done = samebench("predict", picture, "--weights", "two-block-cnn-digits", "--backend", "numpy")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "its middle at 8x8, as two-block-cnn-digits sees it on numpy" in lines[0]
    assert lines[1].split()[1:] == ["7", "(7)"] and float(lines[1].split()[0].rstrip("%")) > 60
    assert len(lines) == 7 and lines[-1] == "Names of classes: the entry two-block-cnn-digits"
    assert (
        len(
            samebench(
                "predict", picture, "--weights", "two-block-cnn-digits", "--backend", "numpy", "--top", "2"
            ).stdout.splitlines()
        )
        == 4
    )


@pytest.mark.parametrize("task", ["scratch-cnn", "feature-extraction", "fine-tuning"])
def test_trained_networks_of_a_run_can_predict(run, picture, task):
    done = samebench("predict", picture, "--run", run, "--task", task)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split()[1] == "7", done.stdout
    assert "weights.safetensors itself" in done.stdout


def test_a_picture_is_processed_like_the_training_pictures(picture, tmp_path):
    pytest.importorskip("cv2", reason="needs OpenCV")
    steps = ["scratch-cnn.epochs=2", 'data.steps=["equalise", "median:3"]']
    sets = [word for option in steps for word in ("--set", option)]
    done = samebench("run", *QUICK, *sets, "--task", "scratch-cnn", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    (kept,) = tmp_path.glob("run/cells/*/artifacts/weights.safetensors")
    plugins = load_plugins()
    start = start_from(str(kept), None, plugins.weights, plugins.models, Places(None, tmp_path))
    assert start.about["preprocessing"] == "equalise, median:3; pixels from 0 to 1"
    shares = [
        seen_in(
            NumPy(precision="float64"), start.model, start.load(), picture_in(picture, start.model.input_shape, steps)
        )
        for steps in (("equalise", "median:3"), ())
    ]
    right, wrong = (f"{share.max():7.2%}".strip() for share in shares)
    said = samebench("predict", picture, "--run", tmp_path / "run").stdout.splitlines()[1].split()[0]
    assert said == right != wrong


def test_a_run_can_start_from_a_trained_network_of_another(run, tmp_path):
    (kept,) = run.glob("cells/scratch-cnn.*/artifacts/weights.safetensors")
    done = samebench(
        "run",
        *QUICK,
        *SETS,
        "--task",
        "feature-extraction",
        "--weights",
        kept,
        "--dataset",
        "digits:5-9",
        "--out",
        tmp_path / "run",
    )
    assert done.returncode == 0, done.stderr
    full = words(samebench("report", tmp_path / "run", "--full").stdout)
    assert "feature-extraction: two-block-cnn (pretrained: weights.safetensors) on digits:5-9" in full
    assert "trained on digits; that of its training data" in full
    copy = shutil.copy(kept, tmp_path / "mine.safetensors")
    again = ["run", *QUICK, *SETS, "--task", "feature-extraction", "--weights", copy, "--out", tmp_path / "other"]
    again += ["--dataset", "digits:5-9"]
    assert "[1/1]" in samebench(*again).stderr and "[1/1]" not in samebench(*again).stderr
    other = next(run.glob("cells/fine-tuning.*/artifacts/weights.safetensors"))
    shutil.copy(other, copy)
    assert "[1/1]" in samebench(*again).stderr, "the file has changed"


def test_a_changed_file_of_weights_is_not_used(run, picture):
    (kept,) = run.glob("cells/fine-tuning.*/artifacts/weights.safetensors")
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1] + b"\1")
    try:
        done = samebench("predict", picture, "--run", run, "--task", "fine-tuning")
        assert done.returncode == 1 and has(done.stderr, kept) and "sha256:" in done.stderr, done.stderr
    finally:
        kept.write_bytes(whole)


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        ([], ["--weights NAME_OR_PATH", "--run RUN"]),
        (["--weights", "two-block-cnn-digit"], ["'two-block-cnn-digit'", "'two-block-cnn-digits'"]),
        (["--run", "nowhere"], ["nowhere", "run.json"]),
        (["--weights", "two-block-cnn-digits", "--backend", "nupmy"], ["'nupmy'", "'numpy'"]),
    ],
)
def test_wrong_options_are_refused(picture, arguments, values):
    done = samebench("predict", picture, *arguments)
    assert done.returncode == 2 and all(has(done.stderr, value) for value in values), done.stderr


def test_a_file_that_is_no_picture_is_named(tmp_path):
    (tmp_path / "no.png").write_text("no picture")
    for path in (tmp_path / "no.png", tmp_path / "nowhere.png"):
        done = samebench("predict", path, "--weights", "two-block-cnn-digits", "--backend", "numpy")
        assert done.returncode == 1 and str(path) in done.stderr and "Traceback" not in done.stderr


def test_names_of_imagenets_classes_come_from_the_users_folder(tmp_path):
    (tmp_path / "labels").mkdir()
    file, places = tmp_path / "labels/imagenet_class_index.json", Places(tmp_path, tmp_path / "cache", offline=True)
    file.write_text(json.dumps({str(n): [f"n{n}", f"thing_{n}"] for n in range(1000)}))
    names, origin = class_names(places)
    assert (len(names), names[285], origin) == (1000, "thing 285", str(file))
    file.write_text('{"0": ["n01440764", "tench"]}')
    with refused(DataError, "malformed-file", file, 1000):
        class_names(places)
    file.unlink()
    with refused(DataError, "not-downloaded", "imagenet", "imagenet_class_index.json"):
        class_names(places)


def test_prepare_fetches_the_names_of_classes(tmp_path):
    """The names are fetched when they are used, but `run --offline` must not fetch them."""
    done = samebench("prepare", "--weights", "two-block-cnn-digits")
    assert "names of its classes: the entry two-block-cnn-digits" in done.stdout
    start = lenet5()
    save_safetensors(tmp_path / "w.safetensors", start.init(0), {})
    done = samebench("prepare", "--weights", tmp_path / "w.safetensors", "--model", "lenet5")
    assert done.returncode == 0, done.stderr
    assert f"names of its classes: none: {tmp_path}/w.safetensors does not name its classes" in done.stdout


def test_a_learning_curve(tmp_path):
    asked = ["learning-curve", *QUICK, *SETS, "--counts", "96,64", "--out", tmp_path / "run"]
    done = samebench(*asked)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    start = next(
        place for place, line in enumerate(lines) if "test accuracy by the number of training pictures" in line
    )
    assert lines[start].startswith("digits:5-9, float64") and lines[start + 1].split()[-2:] == ["64", "96"]
    rows = [line.split() for line in lines[start + 3 : start + 6]]
    assert [row[0] for row in rows] == ["feature-extraction", "fine-tuning", "scratch-cnn"]
    assert all(row[-1].endswith("%") for row in rows)
    again = samebench(*asked)
    assert again.returncode == 0 and "[1/" not in again.stderr, "it resumes like any run"
    assert {cell["options"]["train_limit"] for cell in report(tmp_path / "run")["cells"]} == {64, 96}
    refused = samebench("learning-curve", "--counts", "many")
    assert refused.returncode == 2 and has(refused.stderr, "--counts") and has(refused.stderr, "'many'")


def test_the_default_counts_are_halves(tmp_path):
    done = samebench("learning-curve", *QUICK, *SETS, "--task", "feature-extraction", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    counts = {cell["options"]["train_limit"] for cell in report(tmp_path / "run")["cells"]}
    assert counts == {89, 179, 358, 716}


def test_formats_of_training_say_when_there_is_nothing_to_show(run):
    assert "was given a number of training pictures" in samebench("report", run, "--format", "learning-curve").stdout
    assert {"learning-curve", "evaluation"} <= {*load_plugins().reporters}
