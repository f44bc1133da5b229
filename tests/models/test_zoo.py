"""Published networks: their parameters, shapes and costs are the published ones."""

from __future__ import annotations

import numpy as np
import pytest
from refusals import refused

from harness import BatchNorm, Conv, Dense, Dropout, Model, Normalize, SpecError
from harness.models.mobilenet_v1 import mobilenet_v1
from harness.plugins import load_plugins
from harness.reference.backend import Net

ZOO = load_plugins().models

PARAMETERS = {
    "alexnet": (61_100_840, 0),
    "vgg16": (138_357_544, 0),
    "vgg19": (143_667_240, 0),
    "resnet50": (25_583_592, 53_120),
    "resnet50-v1.5": (25_557_032, 53_120),
    "inception-v3": (23_817_352, 34_432),
    "mobilenet-v1": (4_231_976, 21_888),
    "mobilenet-v1-0.75": (2_585_560, 16_416),
    "mobilenet-v2": (3_504_872, 34_112),
    "efficientnet-lite0": (4_652_008, 42_016),
}

GIGA_MULTIPLY_ADDS = {
    "alexnet": 0.714,
    "vgg16": 15.47,
    "vgg19": 19.63,
    "resnet50": 3.86,
    "resnet50-v1.5": 4.09,
    "inception-v3": 5.71,
    "mobilenet-v1": 0.569,
    "mobilenet-v1-0.75": 0.325,
    "mobilenet-v2": 0.30,
    "efficientnet-lite0": 0.39,
}

CAFFE, TF, TORCH = (-123.68, 131.32), (-1.0, 1.0), (-0.485 / 0.229, 0.515 / 0.229)
BLACK_AND_WHITE = {
    "alexnet": TORCH,
    "vgg16": CAFFE,
    "vgg19": CAFFE,
    "resnet50": CAFFE,
    "resnet50-v1.5": TORCH,
    "inception-v3": TF,
    "mobilenet-v1": TF,
    "mobilenet-v1-0.75": TF,
    "mobilenet-v2": TF,
    "efficientnet-lite0": (-127 / 128, 1.0),
}

PUBLISHED = pytest.mark.parametrize("name", PARAMETERS)


def last_picture(model: Model) -> tuple[int, ...]:
    """The shape of the last feature map, before pooling or flattening."""
    return next(node.input_shape for node in model.nodes if len(node.shape) == 1)


@PUBLISHED
def test_parameters(name):
    counts = ZOO[name]().counts()
    assert (counts.total, counts.buffers) == PARAMETERS[name]


@PUBLISHED
def test_costs(name):
    assert ZOO[name]().flops / 2e9 == pytest.approx(GIGA_MULTIPLY_ADDS[name], rel=0.02)


@PUBLISHED
def test_a_network_has_the_name_that_it_is_registered_under(name):
    assert ZOO[name]().name == name


@PUBLISHED
def test_preprocessing_gives_the_pixels_that_the_weights_were_trained_on(name):
    layer = ZOO[name]().trunk[0]
    assert isinstance(layer, Normalize)
    assert tuple((pixel - layer.mean[0]) / layer.std[0] for pixel in (0, 1)) == pytest.approx(BLACK_AND_WHITE[name])


@PUBLISHED
def test_other_classes_change_the_head_alone(name):
    published, other = ZOO[name](), ZOO[name](ZOO[name]().input_shape, 37)
    assert other.trunk == published.trunk
    assert other.logits_shape == (37,)
    assert [type(layer) for layer in published.head] in ([Dense], [Dropout, Dense])


@pytest.mark.parametrize(
    ("name", "size", "shape", "features"),
    [
        ("alexnet", 224, (6, 6, 256), 4096),
        ("vgg16", 224, (7, 7, 512), 4096),
        ("vgg19", 224, (7, 7, 512), 4096),
        ("resnet50", 224, (7, 7, 2048), 2048),
        ("resnet50", 65, (3, 3, 2048), 2048),
        ("resnet50", 32, (1, 1, 2048), 2048),
        ("resnet50-v1.5", 224, (7, 7, 2048), 2048),
        ("resnet50-v1.5", 65, (3, 3, 2048), 2048),
        ("inception-v3", 299, (8, 8, 2048), 2048),
        ("inception-v3", 224, (5, 5, 2048), 2048),
        ("inception-v3", 75, (1, 1, 2048), 2048),
        ("mobilenet-v1", 224, (7, 7, 1024), 1024),
        ("mobilenet-v1", 99, (3, 3, 1024), 1024),
        ("mobilenet-v1-0.75", 224, (7, 7, 768), 768),
        ("mobilenet-v2", 224, (7, 7, 1280), 1280),
        ("mobilenet-v2", 99, (4, 4, 1280), 1280),
        ("efficientnet-lite0", 224, (7, 7, 1280), 1280),
        ("efficientnet-lite0", 32, (1, 1, 1280), 1280),
    ],
)
def test_shapes(name, size, shape, features):
    model = ZOO[name]((size, size, 3), 10)
    assert last_picture(model) == shape
    assert model.shape_at(model.end("features")) == (features,)


def test_shapes_inside_inception():
    model = ZOO["inception-v3"]()
    ends = {f"mixed{number}": model.shape_at(f"trunk.mixed{number}.concat") for number in range(11)}
    assert [shape[0] for shape in ends.values()] == [35] * 3 + [17] * 5 + [8] * 3
    assert [shape[2] for shape in ends.values()] == [256, 288, 288, 768, 768, 768, 768, 768, 1280, 2048, 2048]


@pytest.mark.parametrize(
    ("name", "rate", "epsilon", "momentum"),
    [
        ("resnet50", None, 1.001e-5, 0.99),
        ("resnet50-v1.5", None, 1e-5, 0.9),
        ("inception-v3", None, 1e-3, 0.99),
        ("mobilenet-v1", 1e-3, 1e-3, 0.99),
        ("mobilenet-v2", None, 1e-3, 0.999),
        ("efficientnet-lite0", 0.2, 1e-3, 0.99),
    ],
)
def test_batch_norm_and_drop_out(name, rate, epsilon, momentum):
    layers = [node.layer for node in ZOO[name]().nodes]
    assert {(layer.epsilon, layer.momentum) for layer in layers if isinstance(layer, BatchNorm)} == {
        (epsilon, momentum)
    }
    assert [layer.rate for layer in layers if isinstance(layer, Dropout)] == ([rate] if rate else [])


@pytest.mark.parametrize("name", ["vgg16", "alexnet"])
def test_drop_out_is_around_the_fully_connected_layers(name):
    assert [node.layer.rate for node in ZOO[name]().nodes if isinstance(node.layer, Dropout)] == [0.5, 0.5]


@pytest.mark.parametrize(("size", "sides"), [(224, (0, 1)), (96, (0, 1)), (97, (1, 1)), (75, (1, 1))])
@pytest.mark.parametrize("name", ["mobilenet-v1", "mobilenet-v2", "efficientnet-lite0"])
def test_the_first_padding_depends_on_the_size(name, size, sides):
    first = ZOO[name]((size, 224, 3), 10).trunk[1]
    assert isinstance(first, Conv) and first.padding == (sides, (0, 1))


def strided(model):
    """The padding of each convolution that halves the picture, after the first."""
    layers = [node.layer for node in model.nodes]
    return [layer.padding for layer in layers if isinstance(layer, Conv) and layer.stride == 2][1:]


def test_later_paddings_follow_the_running_size_but_in_mobilenet_v1():
    end, both = ((0, 1), (0, 1)), ((1, 1), (1, 1))
    assert strided(ZOO["mobilenet-v2"]((98, 98, 3), 10)) == [both, both, both, both]  # 49, 25, 13, 7
    assert strided(ZOO["mobilenet-v2"]((96, 96, 3), 10)) == [end, end, end, end]  # 48, 24, 12, 6
    assert strided(ZOO["mobilenet-v1"]((98, 98, 3), 10)) == [end, end, end, end]
    wide = ((1, 2), (1, 2))  # 5x5 on an even size
    assert strided(ZOO["efficientnet-lite0"]()) == [end, wide, end, wide]


def test_the_two_forms_of_resnet50_halve_in_different_places():
    def halving(name):
        return [node.name for node in ZOO[name]().nodes if isinstance(node.layer, Conv) and node.layer.stride == 2]

    places = [f"trunk.conv{stage}_block1" for stage in (3, 4, 5)]
    for name, conv in (("resnet50", "conv1"), ("resnet50-v1.5", "conv2")):
        expected = [
            "trunk.conv1",
            *(f"{place}.{end}" for place in places for end in (f"body.{conv}", "shortcut.conv1")),
        ]
        assert halving(name) == expected


def test_names_of_published_weights_that_the_docstrings_give():
    resnet = [node.name for node in ZOO["resnet50"]().nodes if node.parameters]
    assert resnet[:2] == ["trunk.conv1", "trunk.batchnorm1"]
    assert resnet[2:10] == [
        f"trunk.conv2_block1.{path}.{kind}{number}"
        for path, number in (("body", 1), ("body", 2), ("body", 3), ("shortcut", 1))
        for kind in ("conv", "batchnorm")
    ]
    inception = [node.name for node in ZOO["inception-v3"]().nodes if isinstance(node.layer, Conv)]
    assert (len(inception), inception[0], inception[7]) == (94, "trunk.conv1", "trunk.mixed0.1.conv2")


def test_mobilenet_v1_of_any_width():
    model = mobilenet_v1(alpha=0.25)
    assert model.name == "mobilenet-v1-0.25"
    assert model.counts().total + model.counts().buffers == 475_544  # Keras, count_params()


@pytest.mark.parametrize(
    ("name", "shape", "values"),
    [
        ("vgg16", (32, 32, 3), ["224x224", "32x32x3", "--set data.size=224"]),
        ("alexnet", (224, 299, 3), ["224x224", "224x299x3"]),
        ("inception-v3", (74, 299, 3), ["75x75", "74x299x3", "--set data.size=299"]),
        ("mobilenet-v2", (8, 8, 3), ["32x32", "8x8x3", "--set data.size=224"]),
        ("resnet50", (31, 31, 3), ["32x32", "31x31x3"]),
        ("efficientnet-lite0", (224, 224, 1), ["RGB", "224x224x1"]),
    ],
)
def test_pictures_that_a_network_cannot_take_are_refused_with_advice(name, shape, values):
    with refused(SpecError, "wrong-shape", name, *values):
        ZOO[name](shape, 10)


def test_the_reference_runs_one():
    model = ZOO["mobilenet-v1-0.75"]((32, 32, 3), 10)
    net = Net(model, model.init(0))
    logits = net.run(np.random.default_rng(0).random((2, 32, 32, 3)))[model.end()].output
    assert np.isfinite(logits).all() and np.ptp(logits) > 1e-3
