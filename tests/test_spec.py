"""The specification: names, shapes, counts, initial weights, and errors."""

import numpy as np
import pytest
from refusals import refused

from harness import (
    AvgPool,
    BatchNorm,
    Branches,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    MaxPool,
    Model,
    Normalize,
    Residual,
    SpecError,
    Window,
    relu,
    relu6,
)
from harness.models.lenet5 import lenet5
from harness.models.two_block_cnn import two_block_cnn
from harness.spec import Activation, check_weights, fingerprint

HEAD = (GlobalAvgPool(), Dense(3))


def model(*trunk, shape=(8, 8, 4), head=HEAD):
    return Model("test", shape, trunk, head)


def test_names_are_paths_and_composites_are_expanded():
    spec = model(
        Conv(4, 1), Residual((Conv(4, 3, padding=1), relu), ()), Branches(((Conv(2, 1),), ())), Conv(4, 1, name="last")
    )
    assert [node.name for node in spec.nodes] == [
        "trunk.conv1",
        "trunk.residual1.body.conv1",
        "trunk.residual1.body.relu1",
        "trunk.residual1.add",
        "trunk.branches1.0.conv1",
        "trunk.branches1.concat",
        "trunk.last",
        "head.globalavgpool1",
        "head.dense1",
    ]
    assert spec.nodes[3].inputs == ("trunk.residual1.body.relu1", "trunk.conv1")
    assert spec.nodes[5].inputs == ("trunk.branches1.0.conv1", "trunk.residual1.add")
    assert spec.nodes[5].shape == (8, 8, 6)
    assert (spec.end("features"), spec.end()) == ("trunk.last", "head.dense1")


def test_an_underscore_separates_the_number_from_a_kind_that_ends_in_a_digit():
    names = [node.name for node in model(relu6, relu, relu6, relu6).nodes if node.name.startswith("trunk.")]
    assert names == ["trunk.relu6_1", "trunk.relu1", "trunk.relu6_2", "trunk.relu6_3"]


def test_an_empty_trunk_ends_in_the_input():
    assert model(head=(Flatten(), Dense(2))).end("features") == Model.INPUT


@pytest.mark.parametrize(
    ("builder", "shape", "total"),
    [(lenet5, (32, 32, 1), 61_706), (two_block_cnn, (8, 8, 1), 35_914), (two_block_cnn, (32, 32, 3), 282_250)],
)
def test_parameter_counts_equal_the_published_counts(builder, shape, total):
    counts = builder(shape, 10).counts()
    assert counts == (total, total, 0, 0)


def test_batch_norm_statistics_and_frozen_parts_are_counted_separately():
    spec = model(Conv(6, 3, bias=False), BatchNorm(), relu)
    assert spec.counts() == (6 * 36 + 12 + 21, 6 * 36 + 12 + 21, 0, 12)
    assert spec.counts(frozen=["trunk.conv1", "trunk.batchnorm1"]) == (249, 21, 228, 12)
    assert BatchNorm(scale=False).parameters((5,)).keys() == {"offset", "mean", "variance"}


def test_flops_are_twice_the_multiply_adds_of_convolutions_and_dense_layers():
    assert model(Conv(6, 3, groups=2)).flops == 2 * (6 * 6 * 3 * 3 * 2 * 6 + 6 * 3)


def test_the_layer_table_holds_each_layer_and_its_cost():
    rows = model(Conv(6, 3, padding=((0, 1), (0, 1)), bias=False), BatchNorm(), Residual((relu,))).table
    assert [row[1:] for row in rows] == [
        ("Conv(6, 3, padding=((0, 1), (0, 1)), bias=False)", (7, 7, 6), 216, 2 * 49 * 216),
        ("BatchNorm()", (7, 7, 6), 24, 0),
        ("relu", (7, 7, 6), 0, 0),
        ("Add()", (7, 7, 6), 0, 0),
        ("GlobalAvgPool()", (6,), 0, 0),
        ("Dense(3)", (3,), 21, 36),
    ]


def test_windows():
    window = Conv(1, 3, stride=2, padding=((0, 1), (0, 1))).window
    assert window.output((224, 224, 3)) == (112, 112)
    assert window.same_sides((224, 224, 3)) == ((0, 1), (0, 1))
    assert Window((7, 7), (2, 2), ((0, 0), (0, 0))).same_sides((224, 224)) == ((2, 3), (2, 3))
    assert MaxPool(2).window.stride == (2, 2)
    assert MaxPool(2).output_shape((7, 7, 3)) == (3, 3, 3)


def test_initial_weights_depend_only_on_the_seed_and_the_name():
    small, large = model(Conv(4, 3), relu), model(Conv(4, 3), relu, Conv(4, 1))
    first = small.init(0)
    assert np.array_equal(first["trunk.conv1.kernel"], large.init(0)["trunk.conv1.kernel"])
    assert not np.array_equal(first["trunk.conv1.kernel"], small.init(1)["trunk.conv1.kernel"])
    assert {tensor.dtype for tensor in first.values()} == {np.dtype("float32")}
    assert not first["trunk.conv1.bias"].any()
    wide = Model("wide", (1, 1, 1000), (Flatten(),), (Dense(500),)).init(0)["head.dense1.kernel"]
    assert wide.std() == pytest.approx(np.sqrt(2 / 1000), rel=0.01)
    norm = model(BatchNorm()).init(0)
    assert norm["trunk.batchnorm1.scale"].all() and norm["trunk.batchnorm1.variance"].all()
    assert not norm["trunk.batchnorm1.offset"].any() and not norm["trunk.batchnorm1.mean"].any()


def test_fingerprints_change_with_any_detail():
    assert model(Conv(4, 3)).fingerprint == model(Conv(4, 3)).fingerprint
    assert model(Conv(4, 3)).fingerprint != model(Conv(4, 3, padding=1)).fingerprint
    weights = model(Conv(4, 3)).init(0)
    nudged = weights | {"trunk.conv1.bias": weights["trunk.conv1.bias"] + np.float32(1e-30)}
    assert fingerprint(weights) == fingerprint(dict(reversed(weights.items()))) != fingerprint(nudged)


@pytest.mark.parametrize(
    ("wrong", "code", "values"),
    [
        (lambda: model(Conv(4, 9)), "wrong-shape", ["trunk.conv1", (9, 9), (8, 8)]),
        (lambda: model(Conv(4, 3, groups=3)), "wrong-shape", ["trunk.conv1", 3, 4]),
        (lambda: model(Conv(4, 3, stride=0)), "out-of-range", ["trunk.conv1", 1, "stride=(0, 0)"]),
        (lambda: model(MaxPool(2, padding=2)), "out-of-range", ["trunk.maxpool1", (2, 2), ((2, 2), (2, 2))]),
        (lambda: model(Dense(3)), "wrong-shape", ["trunk.dense1", "Flatten()"]),
        (lambda: model(Flatten(), AvgPool(2)), "wrong-shape", ["trunk.avgpool1"]),
        (lambda: model(Normalize((0.5, 0.5), (1.0,))), "wrong-shape", ["trunk.normalize1", 2, 4]),
        (lambda: model(Normalize((0.5,), (0.0,))), "out-of-range", ["trunk.normalize1", 0, (0.0,)]),
        (lambda: model(Residual((Conv(5, 1),))), "wrong-shape", ["trunk.residual1"]),
        (lambda: model(Branches(((Conv(5, 3),), ()))), "wrong-shape", ["trunk.branches1"]),
        (lambda: model(Conv(4, 1, name="a"), Conv(4, 1, name="a")), "name-taken", ["trunk", "'a'"]),
        (lambda: model(Conv(4, 1, name="a.b")), "wrong-form", ["trunk", "'a.b'"]),
        (lambda: model(head=()), "wrong-shape", [(8, 8, 4)]),
        (lambda: Dropout(1.0), "out-of-range", [0, 1, 1.0]),
        (lambda: Activation("gelu"), "unknown-name", ["'gelu'", "relu"]),
    ],
)
def test_invalid_specifications_are_refused_with_their_place(wrong, code, values):
    with refused(SpecError, code, *values):
        wrong()


def test_weights_that_do_not_fit_are_listed():
    spec = model(Conv(4, 1))
    weights = spec.init(0)
    weights["extra"] = weights.pop("trunk.conv1.bias")
    weights["head.dense1.kernel"] = weights["head.dense1.kernel"].T
    with refused(SpecError, "wrong-weights", "trunk.conv1.bias", "extra", "head.dense1.kernel", (3, 4), (4, 3)):
        check_weights(spec, weights)
