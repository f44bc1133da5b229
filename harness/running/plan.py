"""From what was asked for to the cells to run. Everything that can be wrong is found here, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.backend import Precision
from harness.errors import SpecError, UsageError
from harness.options import change, flatten, nearest, parse
from harness.plugins import Plugins, find_backends
from harness.result import Cell

SHIPPED = ("pytorch", "keras", "jax")
"""The backends that run when none is named: of these, the ones that are installed."""


def plan_cells(
    plugins: Plugins,
    *,
    tasks: Sequence[str],
    backends: Sequence[str],
    modes: Sequence[str],
    model: str,
    dataset: str,
    seeds: str,
    device: str,
    precision: Precision,
    sets: Sequence[str],
) -> list[Cell]:
    """Every cell of the matrix, in the order of the report."""
    chosen = [plugins.tasks[name] for name in dict.fromkeys(tasks or list(plugins.tasks))]
    plugins.models[model], plugins.datasets[dataset]  # raise if there is none by that name
    numbers, runners = _seeds(seeds), _backends(backends)
    options = _options({task.name: task.options() for task in chosen}, sets)
    return [
        Cell(task.name, backend, mode, precision, device, model, dataset, None, seed, flatten(options[task.name]))
        for task in chosen
        for backend in runners
        for mode in dict.fromkeys(modes or ("default",))
        for seed in numbers
    ]


def _backends(named: Sequence[str]) -> list[str]:
    found = find_backends()
    for name in named:
        if name.endswith(".py"):
            if not Path(name).is_file():
                raise UsageError(f"there is no backend file {name}")
        elif name not in found:
            raise UsageError(f"there is no backend {name!r}; {nearest(name, found)}; or give a file, FILE.py")
    return list(dict.fromkeys(named)) or [
        name for name in SHIPPED if name in found and found[name].status == "available"
    ]


def _seeds(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--seeds takes a number of seeds, 3, or the seeds themselves, 0,1,2; not {text!r}") from None
    seeds = numbers if "," in text else list(range(numbers[0]))
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds needs at least one seed, each at least 0 and named once; not {text!r}")
    return seeds


def _options(options: dict[str, object], sets: Sequence[str]) -> dict[str, object]:
    for text in sets:
        path, equals, value = text.partition("=")
        task, dot, option = path.partition(".")
        if not equals or not dot:
            raise UsageError(f"--set takes TASK.OPTION=VALUE, such as scratch-cnn.epochs=3; not {text!r}")
        if task not in options:
            raise UsageError(f"--set {text}: there is no task {task!r}; {nearest(task, options)}")
        try:
            options[task] = change(options[task], {option: parse(value)}, f"{task}.")
        except SpecError as error:
            raise UsageError(f"--set {text}: {error}") from None
    return options
