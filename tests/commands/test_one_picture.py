"""attack and dream: a page about one picture, on every backend."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from command import samebench, words
from PIL import Image
from refusals import refused

from harness.commands.onepicture import class_number
from harness.datasets.picture import picture
from harness.errors import DataError, UsageError
from harness.pictures.inputs import LoadRequest
from harness.storage.places import Places

WEIGHTS = ["--weights", "two-block-cnn-digits", "--backend", "numpy", "--set", "precision=float64"]


@pytest.fixture
def drawing(tmp_path) -> Path:
    file = tmp_path / "three.png"
    pixels = np.zeros((16, 16), np.uint8)
    pixels[2:14, 4:12] = 255
    Image.fromarray(pixels).save(file)
    return file


def test_an_attack_makes_a_page(drawing, tmp_path):
    done = samebench(
        "attack", drawing, *WEIGHTS, "--target", "7", "--epsilon", "0.3", "--set", "adversarial.steps=3", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "three-attack.html").read_text()
    assert "The page: three-attack.html. The run: runs/" in words(done.stdout)
    assert page.count("<img") >= 3 and "numpy: adversarial" in page and "(class 7)" in page
    assert "The most probable classes" in page and re.search(r"\d\.\d\d%", page) and "three.png, attacked" in page
    assert "certificate of numpy" in done.stderr


def test_a_dream_makes_a_page(tmp_path):
    done = samebench(
        "dream",
        *WEIGHTS,
        "--class",
        "3",
        "--steps",
        "3",
        "-o",
        tmp_path / "dream.html",
        "--out",
        tmp_path / "run",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "dream.html").read_text()
    assert page.count("<img") == 2 and "The ideal picture of" in page and (tmp_path / "run/run.json").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["attack", "nothing.png", *WEIGHTS], "there is no picture"),
        (["attack", "three.png", *WEIGHTS, "--target", "toaster"], "has no class 'toaster'; "),
        (["attack", "three.png", *WEIGHTS, "--target", "12"], "has the classes 0 to 9"),
        (["attack", "three.png", "--weights", "none"], "there is no"),
        (["attack", "text.png", *WEIGHTS], "cannot be read as a picture"),
        (["dream", *WEIGHTS], "--class"),
        (["attack", "three.png", *WEIGHTS, "--set", "adversarial.pictures=2"], "adversarial.pictures is given twice"),
    ],
)
def test_wrong_commands_are_refused_before_anything_runs(drawing, tmp_path, arguments, said):
    (tmp_path / "text.png").write_text("no picture")
    done = samebench(*arguments, cwd=tmp_path)
    assert done.returncode in (1, 2) and said in words(done.stderr), done.stderr
    assert not (tmp_path / "runs").exists() and "Traceback" not in done.stderr


class Named:
    """The classes of a network."""

    name = "net"

    @staticmethod
    def class_names():
        return ["tabby, tabby cat", "crane", "crane", "Zebra"], "here"


@pytest.mark.parametrize(
    ("said", "number"), [("tabby", 0), ("tabby cat", 0), ("zebra", 3), ("2", 2), ("tabby, tabby cat", 0)]
)
def test_a_class_is_named_by_a_word_or_a_number(said, number):
    assert class_number(said, Named()) == number


@pytest.mark.parametrize(
    ("said", "hint"),
    [("crane", "give a number: 1 (crane), 2 (crane)"), ("zeb", "did you mean 'Zebra'"), ("9", "0 to 3")],
)
def test_other_names_of_classes_are_refused_with_a_hint(said, hint):
    with pytest.raises(UsageError) as error:
        class_number(said, Named())
    assert hint in str(error.value)


def test_one_picture_is_a_dataset_that_nothing_trains_on(drawing, tmp_path):
    found = picture(LoadRequest(Places(None, tmp_path), str(drawing), (8, 8, 1)))
    assert found.shape == (8, 8, 1) and len(found.test) == 1 and found.is_one_picture
    with refused(UsageError, "missing-option"):
        picture(LoadRequest(Places(None, tmp_path), "", (8, 8, 1)))
    with refused(DataError, "not-found"):
        picture(LoadRequest(Places(None, tmp_path), "none.png", (8, 8, 1)))
    done = samebench(
        "run",
        "--backend",
        "numpy",
        "--task",
        "scratch-cnn",
        "--set",
        "precision=float64",
        "--dataset",
        f"picture:{drawing}",
        "--out",
        tmp_path / "run",
    )
    assert done.returncode == 1 and "Traceback" not in done.stdout + done.stderr
