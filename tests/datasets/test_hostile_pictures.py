"""Picture folders with links, pipes, and files that are not what their names say: nothing hangs, and nothing is read wrongly."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from command import SMALL, command
from folders import picture_folder
from PIL import Image
from refusals import refused

from harness.datasets.folder import folder
from harness.errors import DataError
from harness.pictures.inputs import LoadRequest
from harness.storage.places import Places


def eps(file: Path) -> None:
    """A drawing, for which Pillow would start Ghostscript."""
    file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n")


def integers(file: Path) -> None:
    Image.fromarray(np.full((8, 8), 70_000, np.int32)).save(file, "TIFF")


def floats(file: Path) -> None:
    Image.fromarray(np.full((8, 8), 0.5, np.float32)).save(file, "TIFF")


def loop(file: Path) -> None:
    file.symlink_to(file.name)


HOSTILE = {
    "a dangling link": (lambda file: file.symlink_to("nowhere.png"), "a link that leads nowhere"),
    "a loop of links": (loop, "a link that leads nowhere"),
    "a pipe": (os.mkfifo, "not a regular file"),
    "a folder": (Path.mkdir, None),
    "a device": (lambda file: file.symlink_to("/dev/zero"), "not a regular file"),
    "words": (lambda file: file.write_text("words"), "not a picture"),
    "nothing": (Path.touch, "not a picture"),
    "an EPS": (eps, "not a picture"),
    "32-bit integers": (integers, "32-bit numbers"),
    "32-bit floats": (floats, "32-bit numbers"),
}


@pytest.fixture
def root(tmp_path, monkeypatch, nothing_hangs):
    monkeypatch.setenv("SAMEBENCH_CACHE_DIR", str(tmp_path / "cache"))
    return picture_folder(tmp_path / "pictures")


def load(root: Path, **options):
    return folder(LoadRequest(Places.from_environment(), str(root), (8, 8, 3), **options))


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_that_is_no_picture_is_named_with_the_reason(root, what):
    make, reason = HOSTILE[what]
    make(root / "dark" / "odd.png")
    if reason is None:  # a folder is not a file, whatever its name
        assert len(load(root).train) + len(load(root).test) == 24
        return
    with refused(DataError, "unreadable-file", "dark/odd.png", "data.broken=skip") as error:
        load(root)
    assert reason in str(error.value)
    found = load(root, broken="skip")
    assert len(found.train) + len(found.test) == 24
    assert reason in found.notes[0]
    assert all(Path(file).name != "odd.png" for file in (*found.train.files, *found.test.files))


def test_a_link_loop_of_folders_is_no_class(root):
    (root / "round").symlink_to("round")
    (root / "gone").symlink_to("nowhere")
    assert load(root).classes == ("bright", "dark")


def test_a_link_to_a_picture_is_that_picture(root, tmp_path):
    Image.fromarray(np.full((8, 8, 3), 99, np.uint8)).save(tmp_path / "elsewhere.png")
    (root / "dark" / "linked.png").symlink_to(tmp_path / "elsewhere.png")
    found = load(root)
    places = [str(file).endswith("linked.png") for file in (*found.train.files, *found.test.files)]
    images = np.concatenate([found.train.images, found.test.images])
    assert (images[places] == 99).all() and sum(places) == 1


@pytest.mark.parametrize("name", [b"not-\xff-text.png", b"two\nlines.png", b"red\x1b[31m.png"], ids=ascii)
def test_a_name_of_a_broken_picture_is_shown_in_one_line(root, name):
    (root / "dark" / os.fsdecode(name)).write_text("words")
    with refused(DataError, "unreadable-file") as error:
        load(root)
    said = str(error.value)
    assert "\n" not in said and "\x1b" not in said
    said.encode()  # it has no surrogates


def test_a_folder_with_a_name_that_is_no_text_can_be_trained_on_and_saved(tmp_path):
    root = os.fsencode(picture_folder(tmp_path / "pictures"))
    os.rename(root, root + b"-\xff")
    options = [*SMALL, "--set", "scratch-cnn.batch_size=4", "--set", "data.size=8", "--no-parity", "--out", "run"]
    arguments = [*command("run", "--backend", "numpy", *options, "--dataset"), b"folder:pictures-\xff"]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "pictures" in done.stdout


def test_a_run_on_pipes_ends_at_once(root, tmp_path):
    os.mkfifo(root / "dark" / "x.png")
    start = time.monotonic()
    done = subprocess.run(
        command("run", "--backend", "numpy", "--dataset", f"folder:{root}", "--task", "scratch-cnn", "--out", tmp_path / "run"),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1 and "dark/x.png" in done.stderr
    assert time.monotonic() - start < 20
