"""The network, the dataset and the weights of each task: those that the user names, or else the task's own."""

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
    """A task with its network, dataset and weights. Every backend runs it, with every seed."""

    task: str
    model: str
    dataset: str
    weights: str | None


class Experiments(NamedTuple):
    """The experiments to run, and the reasons why others are left out."""

    chosen: list[Experiment]
    left_out: list[str]


def experiments(plugins: Plugins, config: Config, pipeline: str = "harness") -> Experiments:
    """An experiment for each requested task. A task that has no fitting weights, or does not train with `--pipeline own`, is left out.
    If the user has named this task, UsageError is raised."""
    tasks = [plugins.tasks[name] for name in dict.fromkeys(config.tasks or plugins.tasks)]
    found = Experiments([], [])
    for task in tasks:
        problem = _lacks_training(task, pipeline) or _lacks_weights(task, plugins, config)
        if not problem:
            found.chosen.append(_experiment(task, plugins, config))
        elif config.tasks:
            raise UsageError(problem, code="missing-option")
        else:
            found.left_out.append(problem)
    if config.weights and not any(experiment.weights for experiment in found.chosen):
        found.left_out.append(f"the weights {config.weights}: no chosen task starts from weights")
    if config.model:
        _check_model(config.model, found.chosen, plugins)
    return found


def _lacks_training(task: Task, pipeline: str) -> str | None:
    if pipeline == "harness" or task.own_pipeline:
        return None
    return f"{task.name} does not train on pictures, so --pipeline own has no meaning for it"


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
    plugins.datasets[
        split_name(dataset)[0]
    ]  # raises if there is no such dataset; the models and weights below do the same
    if task.weights is None:
        plugins.models[model := config.model or task.model]
        return Experiment(task.name, model, dataset, None)
    weights = config.weights or task.weights
    weights = os.path.abspath(os.path.expanduser(weights)) if is_path(weights) else weights
    start = start_from(weights, config.model, plugins.weights, plugins.models, Places.from_environment())
    return Experiment(task.name, start.network, dataset, weights)


def _check_model(model: str, chosen: list[Experiment], plugins: Plugins) -> None:
    """Raise UsageError if there is no such network, or if all tasks start from weights of another network."""
    plugins.models[model]
    if chosen and all(experiment.weights and experiment.model != model for experiment in chosen):
        raise UsageError(
            f"the weights {chosen[0].weights} are of the network {chosen[0].model}, not of {model}: "
            "leave --model out, or name other weights",
            code="conflicting-options",
        )


def _absolute(dataset: str) -> str:
    """The dataset with the full path of its folder, so that a run can be resumed from another folder."""
    kind, path = split_name(dataset)
    here = os.path.abspath(os.path.expanduser(path))
    return f"{kind}:{here}" if kind == "folder" and path and os.path.isdir(here) else dataset
