"""Which network, data and weights each task is run on: what the user names, or else the task's own."""

from __future__ import annotations

import os
from typing import NamedTuple

from harness.errors import UsageError
from harness.pictures.inputs import split_name
from harness.plugins import Plugins
from harness.pretrained.entries import is_path, start_from
from harness.running.config import Config
from harness.storage.places import Places
from harness.task import Task


class Experiment(NamedTuple):
    """What is run, whatever the backend and the seed."""

    task: str
    model: str
    dataset: str
    weights: str | None


class Experiments(NamedTuple):
    """Those that are run, and why others are not."""

    chosen: list[Experiment]
    left_out: list[str]


def experiments(plugins: Plugins, config: Config) -> Experiments:
    """One for each task that was asked for. A task that starts from weights is left out if the user names none and its
    own do not fit, or refused if it was asked for by its name."""
    tasks = [plugins.tasks[name] for name in dict.fromkeys(config.tasks or plugins.tasks)]
    found = Experiments([], [])
    for task in tasks:
        problem = _lacks_weights(task, plugins, config)
        if not problem:
            found.chosen.append(_experiment(task, plugins, config))
        elif config.tasks:
            raise UsageError(problem)
        else:
            found.left_out.append(problem)
    if config.weights and not any(one.weights for one in found.chosen):
        found.left_out.append(f"the weights {config.weights}, since no chosen task starts from any")
    if config.model:
        _check_model(config.model, found.chosen, plugins)
    return found


def _lacks_weights(task: Task, plugins: Plugins, config: Config) -> str | None:
    if task.weights is None or config.weights:
        return None
    model = plugins.weights[task.weights].model
    if config.dataset in (None, task.dataset) and config.model in (None, model):
        return None
    return (
        f"{task.name} needs trained weights: add --weights NAME (see: samebench list weights). "
        f"The default {task.weights} is used only with the model {model} and the dataset {task.dataset}"
    )


def _experiment(task: Task, plugins: Plugins, config: Config) -> Experiment:
    dataset = _absolute(config.dataset or task.dataset)
    plugins.datasets[split_name(dataset)[0]]  # raises if there is none by that name, as do the next
    if task.weights is None:
        plugins.models[model := config.model or task.model]
        return Experiment(task.name, model, dataset, None)
    weights = config.weights or task.weights
    weights = os.path.abspath(os.path.expanduser(weights)) if is_path(weights) else weights
    start = start_from(weights, config.model, plugins.weights, plugins.models, Places.from_environment())
    return Experiment(task.name, start.network, dataset, weights)


def _check_model(model: str, chosen: list[Experiment], plugins: Plugins) -> None:
    """Raise if there is no such network, or if all tasks have that of the weights they start from."""
    plugins.models[model]
    if chosen and all(one.weights and one.model != model for one in chosen):
        raise UsageError(
            f"the weights {chosen[0].weights} are of {chosen[0].model}, not of {model}: leave --model out, or name others"
        )


def _absolute(dataset: str) -> str:
    """A folder of pictures is the same data set from wherever a run is taken up again."""
    kind, path = split_name(dataset)
    here = os.path.abspath(os.path.expanduser(path))
    return f"{kind}:{here}" if kind == "folder" and path and os.path.isdir(here) else dataset
