"""The network of a cell: a new network, or a trained network."""

from __future__ import annotations

from dataclasses import replace

from harness.errors import SamebenchError, UsageError
from harness.pictures.inputs import NetworkInput
from harness.plugins import Plugins
from harness.pretrained.entries import Start, start_from
from harness.spec import Model, Shape, class_count
from harness.storage.places import Places
from harness.task import ModelBuilder, Task, Trained
from harness.text import format_size


def network_of(model: str, weights: str | None, plugins: Plugins, places: Places) -> tuple[NetworkInput, Start | None]:
    """The network of an experiment, and its trained weights if it starts from some."""
    if weights is None:
        return NetworkInput.untrained(plugins.models[model]), None
    start = start_from(weights, model, plugins.weights, plugins.models, places)
    return NetworkInput(start.build, start.model.input_shape, trained=True), start


def builder_of(task: Task, network: NetworkInput, start: Start | None) -> ModelBuilder:
    """The builder of the network for a task. If the task keeps the head, it builds the trained network, and only the size of
    the pictures may change."""
    if start and task.keeps_head:
        return lambda input_shape, classes: as_trained(start, input_shape)
    return network.build


def as_trained(start: Start, input_shape: Shape) -> Model:
    """The trained network, with its own head, for pictures of another size. The padding of some networks depends on the
    size, and some networks do not support other sizes."""
    trained = start.model
    if input_shape == trained.input_shape:
        return trained
    built = start.build(input_shape, trained.logits_shape[0])
    trunk = (*built.trunk, *trained.trunk[len(built.trunk) :])  # transfer learning may have added Flatten()
    resized = replace(trained, input_shape=input_shape, trunk=trunk)
    if _shapes(resized) != _shapes(trained):
        raise UsageError(
            f"the weights {start.name} are for {trained.name} with pictures of {format_size(trained.input_shape)}, and do not "
            f"fit pictures of {format_size(input_shape)}: leave data.size out",
            code="conflicting-options",
        )
    return resized


def _shapes(model: Model) -> dict[str, tuple[int, ...]]:
    return {name: parameter.shape for name, parameter in model.parameters.items()}


def trained_network(start: Start, names: bool = True) -> Trained:
    """The network, its weights and, if `names` is true, the names of its classes. The names may be downloaded; if they are
    not available, the classes are numbered."""
    weights = start.load()
    if not names:
        return Trained(start.model, weights)
    try:
        return Trained(start.model, weights, tuple(start.class_names()[0]))
    except SamebenchError as error:
        return Trained(start.model, weights, numbered(class_count(start.model)), str(error))


def numbered(count: int) -> tuple[str, ...]:
    """Names for classes without known names: "class 0" and so on."""
    return tuple(f"class {number}" for number in range(count))
