"""The network that a cell runs: built for its pictures, or trained already."""

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
    """The network of an experiment, and what it starts from."""
    if weights is None:
        return NetworkInput.untrained(plugins.models[model]), None
    start = start_from(weights, model, plugins.weights, plugins.models, places)
    return NetworkInput(start.build, start.model.input_shape, trained=True), start


def builder_of(task: Task, network: NetworkInput, start: Start | None) -> ModelBuilder:
    """What builds the network for a task: for pictures of a data set and its classes, or the trained one as it is, for
    pictures of another size at most."""
    if start and task.keeps_head:
        return lambda input_shape, classes: as_trained(start, input_shape)
    return network.build


def as_trained(start: Start, input_shape: Shape) -> Model:
    """The trained network, with its own head, for pictures of another size: some networks are padded otherwise for those,
    and some cannot take them."""
    trained = start.model
    if input_shape == trained.input_shape:
        return trained
    built = start.build(input_shape, trained.logits_shape[0])
    trunk = (*built.trunk, *trained.trunk[len(built.trunk) :])  # transfer may have made a vector of its features
    resized = replace(trained, input_shape=input_shape, trunk=trunk)
    if _shapes(resized) != _shapes(trained):
        raise UsageError(
            f"the weights {start.name} are of {trained.name} for {format_size(trained.input_shape)}, and do not fit it for "
            f"{format_size(input_shape)}: leave data.size out"
        )
    return resized


def _shapes(model: Model) -> dict[str, tuple[int, ...]]:
    return {name: parameter.shape for name, parameter in model.parameters.items()}


def trained_network(start: Start, names: bool = True) -> Trained:
    """The network and its weights, and the names of its classes, which may have to be fetched; classes that nobody names
    are numbered."""
    weights = start.load()
    if not names:
        return Trained(start.model, weights)
    try:
        return Trained(start.model, weights, tuple(start.class_names()[0]))
    except SamebenchError as error:
        return Trained(start.model, weights, numbered(class_count(start.model)), str(error))


def numbered(count: int) -> tuple[str, ...]:
    """Names for classes that nobody names."""
    return tuple(f"class {number}" for number in range(count))
