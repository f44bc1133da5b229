"""Notes in files of weights: a network, classes and filters of another form are refused in one sentence with their path."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.errors import SpecError
from harness.plugins import load_plugins
from harness.pretrained.entries import start_from
from harness.pretrained.formats import save_safetensors
from harness.pretrained.spec_json import described, model_of
from harness.storage.places import Places

PLUGINS = load_plugins()
CONV = {"layer": "Conv", "channels": 2, "kernel": 3}
DENSE = [{"layer": "Flatten"}, {"layer": "Dense", "units": 3}]


def network(*trunk: Any, **changes: Any) -> dict[str, Any]:
    return {"name": "mine", "input_shape": [8, 8, 1], "trunk": list(trunk), "head": DENSE} | changes


def test_the_good_network_of_these_tests_is_accepted():
    assert model_of(network(CONV)).counts().total == 2 * 9 + 2 + 72 * 3 + 3


@pytest.mark.parametrize(
    ("description", "said"),
    [
        (None, "it is an object, not None"),
        ([], "it is an object, not []"),
        ({"name": "x"}, "input_shape is missing"),
        (network(name=3), "name is a text, not 3"),
        (network(input_shape="x"), "input_shape is a list, not 'x'"),
        (network(input_shape=[1.5, 8, 1]), "input_shape[0] is a whole number, not 1.5"),
        (network(trunk=3), "trunk is a list, not 3"),
        (network(3), "trunk[0] is an object, not 3"),
        (network({}), "trunk[0].layer is one of Activation, "),
        (network({"layer": "System"}), "trunk[0].layer is one of Activation, "),
        (network({"layer": ["Conv"]}), "trunk[0].layer is one of Activation, "),
        (network(CONV | {"channels": "2"}), "trunk[0].channels is a whole number, not '2'"),
        (network(CONV, CONV | {"kernel": [3]}), "trunk[1].kernel is a whole number or a list of 2 values, not [3]"),
        (network(CONV | {"kernel": [3, "3"]}), "trunk[0].kernel[1] is a whole number, not '3'"),
        (network(CONV | {"bias": 1}), "trunk[0].bias is true or false, not 1"),
        (network(CONV | {"colour": 1}), "trunk[0].colour is unknown"),
        (network({"layer": "Normalize", "mean": ["a"], "std": [1]}), "trunk[0].mean[0] is a number, not 'a'"),
        (network({"layer": "Residual", "body": [3]}), "trunk[0].body[0] is an object, not 3"),
        (
            network({"layer": "Residual", "body": [CONV | {"channels": None}]}),
            "trunk[0].body[0].channels is a whole number",
        ),
        (network({"layer": "Branches", "paths": [[CONV], 3]}), "trunk[0].paths[1] is a list, not 3"),
        (network({"layer": "Activation", "function": "gelu"}), "trunk[0].function is one of relu, "),
        (network(head=[{"layer": "Dense", "units": "3"}]), "head[0].units is a whole number, not '3'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_part_of_a_network_is_named(description, said):
    with pytest.raises(SpecError) as error:
        model_of(description)
    assert str(error.value).startswith(f"this is not the description of a network: {said}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", list(PLUGINS.models))
def test_every_network_that_is_described_has_the_form(name):
    model = PLUGINS.models[name]()
    assert model_of(described(model)) == model


NESTED = json.dumps(network()).replace('"trunk": []', '"trunk": [' + '{"layer": "Residual", "body": [' * 5000)


@pytest.mark.parametrize(
    ("notes", "said"),
    [
        ({"network": ""}, "its note network is incomplete or not JSON"),
        ({"network": "[" * 200_000}, "its note network is nested too deeply"),
        ({"network": NESTED + "]}" * 5000 + "}"}, "its note network is "),
        (
            {"network": json.dumps(network(CONV | {"channels": 2**63}))},
            "its note network: trunk[0].channels is too large",
        ),
        ({"classes": "3"}, "classes is a list, not 3"),
        ({"classes": '["a", 3]'}, "classes[1] is a text, not 3"),
        ({"classes": "{"}, "its note classes is incomplete or not JSON"),
        ({"steps": '"grey"'}, "steps is a list, not 'grey'"),
        ({"steps": "[[1]]"}, "steps[0] is a text, not [1]"),
        ({"steps": "[" * 200_000}, "its note steps is nested too deeply"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_note_of_a_file_is_named(tmp_path, notes, said):
    file, model = tmp_path / "mine.safetensors", model_of(network(CONV))
    good = {"network": json.dumps(described(model)), "classes": '["a", "b", "c"]', "steps": "[]"}
    save_safetensors(file, model.init(0), good | notes)
    with pytest.raises(SpecError) as error:
        start_from(str(file), None, PLUGINS.weights, PLUGINS.models, Places(tmp_path, tmp_path / "cache", offline=True))
    assert str(error.value).startswith(f"{file}: its notes are not those of samebench: ") and said in str(error.value)
    assert "\n" not in str(error.value)
