"""inception-v3: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna 2015, as in Keras: no auxiliary classifier, no dropout, and
batch norms without a scale.

The trunk ends in the 2,048 pooled features. The mixed blocks have Keras' names, `mixed0` to `mixed10`. The layers are in
the order in which Keras creates and numbers them: `trunk.conv1` is conv2d, `trunk.mixed0.1.conv2` is conv2d_7. (Keras'
`model.layers` has another order: by depth.)
"""

from collections.abc import Mapping

from harness import (
    AvgPool,
    BatchNorm,
    Branches,
    Conv,
    Dense,
    GlobalAvgPool,
    Layer,
    MaxPool,
    Model,
    ModelBuilder,
    Pair,
    Shape,
    Sides,
    hookimpl,
    relu,
)
from harness.models.pixels import TF
from harness.models.sizes import at_least

SIZE, LEAST = 299, 75
NORM = BatchNorm(scale=False, momentum=0.99, epsilon=1e-3)
Path = tuple[Layer, ...]


def inception_v3(input_shape: Shape = (SIZE, SIZE, 3), classes: int = 1000) -> Model:
    at_least(LEAST, input_shape, "inception-v3", SIZE)
    return Model(
        "inception-v3",
        input_shape,
        trunk=(
            TF,
            *_valid(32, 3, stride=2), *_valid(32, 3), *_same((64, 3)), MaxPool(3, 2),
            *_valid(80, 1), *_valid(192, 3), MaxPool(3, 2),
            _square("mixed0", pooled=32), _square("mixed1", pooled=64), _square("mixed2", pooled=64),
            _smaller("mixed3", _valid(384, 3, stride=2), _same((64, 1), (96, 3)) + _valid(96, 3, stride=2)),
            _cross("mixed4", 128), _cross("mixed5", 160), _cross("mixed6", 160), _cross("mixed7", 192),
            _smaller(
                "mixed8",
                _same((192, 1)) + _valid(320, 3, stride=2),
                _same((192, 1), (192, (1, 7)), (192, (7, 1))) + _valid(192, 3, stride=2),
            ),
            _wide("mixed9"), _wide("mixed10"),
            GlobalAvgPool(),
        ),
        head=(Dense(classes),),
    )  # fmt: skip


def _valid(channels: int, kernel: int | Pair, stride: int = 1, padding: int | Sides = 0) -> Path:
    return Conv(channels, kernel, stride, padding, bias=False), NORM, relu


def _same(*steps: tuple[int, int | Pair]) -> Path:
    """Convolutions that keep the size of the picture. Each step is (channels, kernel)."""
    path: Path = ()
    for channels, kernel in steps:
        rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
        path += _valid(channels, kernel, padding=((rows // 2, rows // 2), (columns // 2, columns // 2)))
    return path


def _pooled(channels: int) -> Path:
    return AvgPool(3, 1, padding=1), *_same((channels, 1))


def _square(name: str, pooled: int) -> Branches:
    """Figure 5 of the paper: square kernels, on 35x35."""
    return Branches(
        (
            _same((64, 1)),
            _same((48, 1), (64, 5)),
            _same((64, 1), (96, 3), (96, 3)),
            _pooled(pooled),
        ),
        name=name,
    )


def _cross(name: str, inner: int) -> Branches:
    """Figure 6: 7x7 kernels split into 1x7 and 7x1, on 17x17."""
    row, column = (1, 7), (7, 1)
    return Branches(
        (
            _same((192, 1)),
            _same((inner, 1), (inner, row), (192, column)),
            _same((inner, 1), (inner, column), (inner, row), (inner, column), (192, row)),
            _pooled(192),
        ),
        name=name,
    )


def _wide(name: str) -> Branches:
    """Figure 7: 1x3 and 3x1 kernels in parallel, on 8x8."""
    beside = Branches((_same((384, (1, 3))), _same((384, (3, 1)))))
    return Branches(
        (
            _same((320, 1)),
            (*_same((384, 1)), beside),
            (*_same((448, 1), (384, 3)), beside),
            _pooled(192),
        ),
        name=name,
    )


def _smaller(name: str, *paths: Path) -> Branches:
    """Figure 10: strides and pooling halve the picture."""
    return Branches((*paths, (MaxPool(3, 2),)), name=name)


@hookimpl
def samebench_models() -> Mapping[str, ModelBuilder]:
    return {"inception-v3": inception_v3}
