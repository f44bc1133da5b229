"""A network as a value.

A `Model` is a trunk and a head, each a tuple of frozen layers. It gives the names, shapes, parameters and cost of its
layers. It imports no framework: a backend walks `model.nodes` and builds each layer in the idiom of its framework.

Conventions for all frameworks:

- pictures are NHWC, and `Flatten` keeps this order: rows, then columns, then channels
- a convolution kernel is (rows, columns, input channels / groups, output channels); a dense kernel is (inputs, outputs)
- padding is a number for each side, never "same"
- the name of a node is its path, such as `trunk.conv1`; a parameter adds its own name, such as `trunk.conv1.kernel`
"""

from __future__ import annotations

import hashlib
import math
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.errors import SpecError

Array = NDArray[Any]
"""A NumPy array."""

Weights = Mapping[str, Array]
"""Parameters and statistics of a network by name, such as "trunk.conv1.kernel"."""

Shape = tuple[int, ...]
"""The shape of one example, without the batch: (rows, columns, channels) for pictures."""

Pair = tuple[int, int]
"""A number for rows and a number for columns."""

Sides = tuple[Pair, Pair]
"""The padding of each side: ((top, bottom), (left, right))."""

ActivationKind = Literal["relu", "relu6", "swish", "sigmoid", "tanh"]
Role = Literal["kernel", "bias", "scale", "offset", "mean", "variance"]
Upto = Literal["features", "logits"]
"""The last output to compute: the features (the end of the trunk) or the logits (the end of the head)."""


ACTIVATION_KINDS: tuple[ActivationKind, ...] = ("relu", "relu6", "swish", "sigmoid", "tanh")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class Parameter(NamedTuple):
    """A tensor of a layer. Batch-norm statistics are included, although no gradient trains them."""

    shape: Shape
    role: Role
    fan_in: int = 0

    @property
    def trainable(self) -> bool:
        return self.role not in ("mean", "variance")

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class Window(NamedTuple):
    """The window of a convolution or a pooling layer: its size, its stride, and the padding of each side."""

    kernel: Pair
    stride: Pair
    padding: Sides

    def output(self, shape: Shape) -> Pair:
        """Rows and columns of the output for pictures of `shape`. A partial step at the end is dropped."""
        sizes = [
            (size + sum(sides) - kernel) // stride + 1
            for size, kernel, stride, sides in zip(shape[:2], self.kernel, self.stride, self.padding, strict=True)
        ]
        if min(sizes) < 1:
            raise SpecError(
                f"a window of {self.kernel} with padding {self.padding} does not fit a picture of {shape[:2]}: "
                "make it smaller, or pad more",
                code="wrong-shape",
            )
        return sizes[0], sizes[1]

    def same_sides(self, shape: Shape) -> Sides:
        """The padding that "same" means in TensorFlow and JAX. The larger half is at the end."""
        sides = []
        for size, kernel, stride in zip(shape[:2], self.kernel, self.stride, strict=True):
            total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            sides.append((total // 2, total - total // 2))
        return sides[0], sides[1]

    @property
    def separated(self) -> tuple[Window, Window]:
        """A window of a single row, and then one of a single column. Together they cover the same pixels."""
        (rows, columns), (down, right), (above, beside) = self
        return Window((1, columns), (1, right), ((0, 0), beside)), Window((rows, 1), (down, 1), (above, (0, 0)))

    @property
    def padded(self) -> bool:
        return self.padding != ((0, 0), (0, 0))

    @property
    def symmetric(self) -> bool:
        return all(before == after for before, after in self.padding)


def _window(kernel: int | Pair, stride: int | Pair, padding: int | Sides) -> Window:
    def pair(value: int | Pair) -> Pair:
        return (value, value) if isinstance(value, int) else value

    sides = ((padding, padding), (padding, padding)) if isinstance(padding, int) else padding
    window = Window(pair(kernel), pair(stride), sides)
    if min(window.kernel) < 1 or min(window.stride) < 1 or min(min(side) for side in sides) < 0:
        raise SpecError(
            f"kernel and stride must be at least 1, and padding at least 0, not {window}", code="out-of-range"
        )
    return window


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer as a value. Without a `name`, its kind and a number name it: conv1, conv2."""

    name: str = ""

    def __str__(self) -> str:
        """The layer as Python code, without its name and without defaults."""
        arguments = []
        for option in fields(self):
            value = getattr(self, option.name)
            if option.name != "name" and value != option.default:
                arguments.append(repr(value) if option.default is MISSING else f"{option.name}={value!r}")
        return f"{type(self).__name__}({', '.join(arguments)})"

    @property
    def kind(self) -> str:
        return type(self).__name__.lower()

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of one example after this layer."""
        return shape

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        """The tensors of this layer by name, for an input of `shape`."""
        return {}

    def multiply_adds(self, shape: Shape) -> int:
        """Multiply-adds for one example. Only convolutions and dense layers count."""
        return 0


@dataclass(frozen=True)
class Normalize(Layer):
    """(x - mean) / std, with a value for each channel or one for all. Preprocessing is the first layer of a network."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def output_shape(self, shape: Shape) -> Shape:
        for values in (self.mean, self.std):
            if len(values) not in (1, shape[-1]):
                raise SpecError(
                    f"{len(values)} values for {shape[-1]} channels: give one for each channel, or one for all",
                    code="wrong-shape",
                )
        if min(self.std) <= 0:
            raise SpecError(f"std must be above 0, not {self.std}", code="out-of-range")
        return shape


@dataclass(frozen=True)
class Conv(Layer):
    """A cross-correlation. It is depthwise if `groups` equals the number of input channels."""

    channels: int
    kernel: int | Pair
    stride: int | Pair = 1
    padding: int | Sides = 0
    groups: int = 1
    bias: bool = True

    @property
    def window(self) -> Window:
        return _window(self.kernel, self.stride, self.padding)

    def output_shape(self, shape: Shape) -> Shape:
        _needs_picture(shape)
        if shape[-1] % self.groups or self.channels % self.groups:
            raise SpecError(
                f"{self.groups} groups must divide the {shape[-1]} channels in and the {self.channels} out",
                code="wrong-shape",
            )
        return (*self.window.output(shape), self.channels)

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        rows, columns = self.window.kernel
        inputs = shape[-1] // self.groups
        kernel = Parameter((rows, columns, inputs, self.channels), "kernel", fan_in=rows * columns * inputs)
        return {"kernel": kernel} | _bias(self.bias, self.channels)

    def multiply_adds(self, shape: Shape) -> int:
        rows, columns = self.window.output(shape)
        return rows * columns * self.parameters(shape)["kernel"].size


@dataclass(frozen=True)
class BatchNorm(Layer):
    """(x - mean) / sqrt(variance + epsilon), times the scale, plus the offset.

    In training, mean and variance are those of the batch, and the variance is the biased one. Each running statistic
    becomes momentum * old + (1 - momentum) * batch. In evaluation, mean and variance are the running statistics.
    """

    scale: bool = True
    centre: bool = True
    momentum: float = 0.9
    epsilon: float = 1e-5

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        channels = shape[-1:]
        own = {"scale": Parameter(channels, "scale")} if self.scale else {}
        own |= {"offset": Parameter(channels, "offset")} if self.centre else {}
        return own | {"mean": Parameter(channels, "mean"), "variance": Parameter(channels, "variance")}


@dataclass(frozen=True)
class Activation(Layer):
    """An elementwise function. The derivative of relu at 0, and of relu6 at 0 and at 6, is 0."""

    function: ActivationKind

    def __post_init__(self) -> None:
        if self.function not in ACTIVATION_KINDS:
            raise SpecError(
                f"unknown activation {self.function!r}: choose one of {', '.join(ACTIVATION_KINDS)}",
                code="unknown-name",
            )

    def __str__(self) -> str:
        return self.function

    @property
    def kind(self) -> str:
        return self.function


relu, relu6, swish, sigmoid, tanh = map(Activation, ACTIVATION_KINDS)
"""The activations, as layers of a network."""


@dataclass(frozen=True)
class Pool(Layer):
    """The base of both pooling layers. By default the stride equals the kernel."""

    kernel: int | Pair
    stride: int | Pair | None = None
    padding: int | Sides = 0

    @property
    def window(self) -> Window:
        window = _window(self.kernel, self.stride or self.kernel, self.padding)
        if any(max(sides) >= size for sides, size in zip(window.padding, window.kernel, strict=True)):
            raise SpecError(
                f"padding must be smaller than the window {window.kernel}, not {window.padding}", code="out-of-range"
            )
        return window

    def output_shape(self, shape: Shape) -> Shape:
        _needs_picture(shape)
        return (*self.window.output(shape), shape[-1])


@dataclass(frozen=True)
class MaxPool(Pool):
    """The largest value of each window. Padding counts as -infinity. If several values are the largest, the gradient
    goes to the first of them in row-major order."""


@dataclass(frozen=True)
class AvgPool(Pool):
    """The mean of each window. With `count_padding`, padded zeros count in the divisor."""

    count_padding: bool = False


@dataclass(frozen=True)
class GlobalAvgPool(Layer):
    """The mean over rows and columns: a picture becomes a vector."""

    def output_shape(self, shape: Shape) -> Shape:
        _needs_picture(shape)
        return shape[-1:]


@dataclass(frozen=True)
class Flatten(Layer):
    """A picture becomes a vector, in NHWC order."""

    def output_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape),)


@dataclass(frozen=True)
class Dense(Layer):
    """x @ kernel + bias."""

    units: int
    bias: bool = True

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise SpecError(
                f"a dense layer needs a vector, not {shape}: put Flatten() or GlobalAvgPool() before it",
                code="wrong-shape",
            )
        return (self.units,)

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        return {"kernel": Parameter((shape[0], self.units), "kernel", fan_in=shape[0])} | _bias(self.bias, self.units)

    def multiply_adds(self, shape: Shape) -> int:
        return shape[0] * self.units


@dataclass(frozen=True)
class Dropout(Layer):
    """In training, zeroes the share `rate` of the values and divides the rest by 1 - rate. No effect in evaluation."""

    rate: float

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise SpecError(f"a dropout rate must be at least 0 and below 1, not {self.rate}", code="out-of-range")


@dataclass(frozen=True)
class Residual(Layer):
    """body(x) + shortcut(x); an empty shortcut is the identity."""

    body: tuple[Layer, ...]
    shortcut: tuple[Layer, ...] = ()


@dataclass(frozen=True)
class Branches(Layer):
    """Several paths from the same input, concatenated along the channels."""

    paths: tuple[tuple[Layer, ...], ...]


@dataclass(frozen=True)
class Add(Layer):
    """The sum at the end of a `Residual`. It occurs in `nodes` only, not in the definition of a model."""


@dataclass(frozen=True)
class Concat(Layer):
    """The concatenation at the end of `Branches`. It occurs in `nodes` only, not in the definition of a model."""


class Node(NamedTuple):
    """A layer in the graph of a network, with the names of the nodes that it reads."""

    name: str
    layer: Layer
    inputs: tuple[str, ...]
    input_shape: Shape
    shape: Shape

    @property
    def parameters(self) -> dict[str, Parameter]:
        return self.layer.parameters(self.input_shape)

    @property
    def flops(self) -> int:
        """Twice the multiply-adds of one picture, forward."""
        return 2 * self.layer.multiply_adds(self.input_shape)


class Row(NamedTuple):
    """A line of a network's layer table. The parameters include batch-norm statistics."""

    name: str
    layer: str
    shape: Shape
    parameters: int
    flops: int


class Counts(NamedTuple):
    """Numbers of parameters. Batch-norm statistics are counted separately, as buffers."""

    total: int
    trainable: int
    frozen: int
    buffers: int


@dataclass(frozen=True)
class Model:
    """A network. Its trunk computes features, and its head computes logits from them."""

    name: str
    input_shape: Shape
    trunk: tuple[Layer, ...]
    head: tuple[Layer, ...]

    INPUT = "input"

    def __post_init__(self) -> None:
        self._last_read  # noqa: B018 computed here: `torch.compile` traces `run`, and not the lock of a cached property
        if len(self.logits_shape) != 1:
            raise SpecError(
                f"{self.name}: a model must end in a vector of logits, not in {self.logits_shape}", code="wrong-shape"
            )

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """All layers in an order of execution. The paths of residuals and branches are expanded."""
        trunk = list(_walk(self.trunk, "trunk", self.INPUT, self.input_shape))
        start, shape = _end(trunk, self.INPUT, self.input_shape)
        return (*trunk, *_walk(self.head, "head", start, shape))

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """All tensors by their full names, in the order of `nodes`."""
        return {f"{node.name}.{name}": parameter for node in self.nodes for name, parameter in node.parameters.items()}

    def end(self, upto: Upto = "logits") -> str:
        """The name of the node whose output is the features or the logits."""
        part = {"features": ("trunk",), "logits": ("trunk", "head")}[upto]
        return _end([node for node in self.nodes if node.name.split(".")[0] in part], self.INPUT, self.input_shape)[0]

    def run(self, apply: Callable[..., Any], inputs: Any, upto: Upto = "logits") -> Any:
        """Run the network: call `apply(node, *inputs)` for each node in order, and return the last result.

        Each value is released after its last use, because large pictures fill the memory.
        """
        values, end = {self.INPUT: inputs}, self.end(upto)
        if end == self.INPUT:
            return inputs
        for node in self.nodes:
            values[node.name] = apply(node, *[values[name] for name in node.inputs])
            if node.name == end:
                break
            for name in self._last_read[node.name]:
                del values[name]
        return values[end]

    @cached_property
    def _last_read(self) -> Mapping[str, tuple[str, ...]]:
        """For each node, the values that no later node reads."""
        readers = {name: node.name for node in self.nodes for name in node.inputs}
        return {
            node.name: tuple(name for name in dict.fromkeys(node.inputs) if readers[name] == node.name)
            for node in self.nodes
        }

    def shape_at(self, name: str) -> Shape:
        return self.input_shape if name == self.INPUT else next(node.shape for node in self.nodes if node.name == name)

    @property
    def logits_shape(self) -> Shape:
        return self.shape_at(self.end())

    @property
    def flops(self) -> int:
        """Twice the multiply-adds of one picture, forward. Only convolutions and dense layers are counted."""
        return sum(node.flops for node in self.nodes)

    @property
    def trunk_flops(self) -> int:
        """The part of `flops` that computes the features."""
        return sum(node.flops for node in self.nodes if node.name.startswith("trunk."))

    @cached_property
    def table(self) -> tuple[Row, ...]:
        """The network layer by layer."""
        return tuple(
            Row(
                node.name,
                str(node.layer),
                node.shape,
                sum(parameter.size for parameter in node.parameters.values()),
                node.flops,
            )
            for node in self.nodes
        )

    def counts(self, frozen: Sequence[str] = ()) -> Counts:
        """The numbers of parameters if the nodes in `frozen` are frozen."""
        trained = {name: p for name, p in self.parameters.items() if p.trainable}
        total = sum(p.size for p in trained.values())
        held = sum(p.size for name, p in trained.items() if name.rpartition(".")[0] in frozen)
        return Counts(total, total - held, held, sum(p.size for p in self.parameters.values()) - total)

    def init(self, seed: int) -> dict[str, Array]:
        """The initial weights in float32: He-normal kernels, zero biases, identity batch norms.

        Each tensor has its own random stream, from the seed and the tensor's name. So a change of one layer does not
        change the weights of the others.
        """
        weights = {}
        for name, parameter in self.parameters.items():
            if parameter.role == "kernel":
                stream = np.random.default_rng([seed, zlib.crc32(name.encode())])
                weights[name] = stream.normal(0, math.sqrt(2 / parameter.fan_in), parameter.shape).astype(np.float32)
            else:
                weights[name] = np.full(parameter.shape, parameter.role in ("scale", "variance"), np.float32)
        return weights

    @property
    def fingerprint(self) -> str:
        """A hash of everything about the network."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


def class_count(model: Model) -> int:
    """The number of classes of a network. A single logit stands for two classes."""
    return max(model.logits_shape[0], 2)


def check_weights(model: Model, weights: Weights) -> None:
    """Raise unless `weights` holds exactly the tensors of `model`, with the right shapes."""
    wrong = [f"missing {name}" for name in model.parameters if name not in weights]
    wrong += [f"unknown {name}" for name in weights if name not in model.parameters]
    wrong += [
        f"{name} is {weights[name].shape}, not {parameter.shape}"
        for name, parameter in model.parameters.items()
        if name in weights and weights[name].shape != parameter.shape
    ]
    if wrong:
        raise SpecError(
            f"these weights do not fit {model.name}: {'; '.join(wrong)}; give weights of this network",
            code="wrong-weights",
        )


def fingerprint(weights: Weights) -> str:
    """A hash of the names and values of all tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name}{tensor.dtype}{tensor.shape}".encode() + np.ascontiguousarray(tensor).tobytes())
    return digest.hexdigest()[:16]


def _bias(present: bool, channels: int) -> dict[str, Parameter]:
    return {"bias": Parameter((channels,), "bias")} if present else {}


def _needs_picture(shape: Shape) -> None:
    if len(shape) != 3:
        raise SpecError(f"this layer needs a picture (rows, columns, channels), not {shape}", code="wrong-shape")


def _end(nodes: Sequence[Node], start: str, shape: Shape) -> tuple[str, Shape]:
    return (nodes[-1].name, nodes[-1].shape) if nodes else (start, shape)


def _names(layers: Sequence[Layer], path: str) -> list[str]:
    """The name of each layer. A layer without a name gets its kind and a number, such as conv2 or relu6_2."""
    seen: Counter[str] = Counter()
    names = []
    for layer in layers:
        seen[layer.kind] += 1
        separator = "_" if layer.kind[-1].isdigit() else ""
        name = layer.name or f"{layer.kind}{separator}{seen[layer.kind]}"
        if not NAME.fullmatch(name):
            raise SpecError(
                f"{path}: {name!r} is not a valid name of a layer; use letters, digits, '_' and '-'", code="wrong-form"
            )
        names.append(name)
    if doubled := [name for name, count in Counter(names).items() if count > 1]:
        raise SpecError(f"{path}: two layers are named {doubled[0]!r}: rename one", code="name-taken")
    return names


def _walk(layers: Sequence[Layer], path: str, source: str, shape: Shape) -> Iterator[Node]:
    """The nodes of a sequence of layers. Its input is the node `source`, with an output of `shape`."""
    for name, layer in zip(_names(layers, path), layers, strict=True):
        nodes = list(_expand(f"{path}.{name}", layer, source, shape))
        yield from nodes
        source, shape = _end(nodes, source, shape)


def _expand(path: str, layer: Layer, source: str, shape: Shape) -> Iterator[Node]:
    """The nodes of a layer: a single node, or the nodes of all paths and the node that joins them."""
    join: Layer
    if isinstance(layer, Residual):
        paths, join = {"body": layer.body, "shortcut": layer.shortcut}, Add()
    elif isinstance(layer, Branches):
        paths, join = {str(number): inner for number, inner in enumerate(layer.paths)}, Concat()
    else:
        try:
            yield Node(path, layer, (source,), shape, layer.output_shape(shape))
        except SpecError as error:
            raise SpecError(f"{path}: {error}", code=error.code) from None
        return
    ends = []
    for name, inner in paths.items():
        nodes = list(_walk(inner, f"{path}.{name}", source, shape))
        yield from nodes
        ends.append(_end(nodes, source, shape))
    inputs, shapes = tuple(end for end, _ in ends), [end_shape for _, end_shape in ends]
    yield Node(f"{path}.{join.kind}", join, inputs, shapes[0], _joined_shape(path, join, shapes))


def _joined_shape(path: str, layer: Layer, shapes: Sequence[Shape]) -> Shape:
    distinct = {shape if isinstance(layer, Add) else shape[:-1] for shape in shapes}
    if len(distinct) != 1:
        raise SpecError(
            f"{path}: the paths must end in shapes that fit together, not in {', '.join(map(str, shapes))}",
            code="wrong-shape",
        )
    return shapes[0] if isinstance(layer, Add) else (*shapes[0][:-1], sum(shape[-1] for shape in shapes))
