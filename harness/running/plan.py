"""From what was asked for to the cells to run. Everything that can be wrong is found here, before anything runs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from harness.errors import UsageError
from harness.inputs import split_name
from harness.options import flatten, nearest
from harness.plugins import Plugins, find_backends
from harness.result import Cell
from harness.running.config import Settings

SHIPPED = ("pytorch", "keras", "jax")
"""The backends that run when none is named: of these, the ones that are installed."""

MANY = 1000
"""More cells than this are a slip more often than a wish."""


def plan_cells(plugins: Plugins, settings: Settings, *, yes: bool = False) -> list[Cell]:
    """Every cell of the matrix, in the order of the report."""
    config = settings.config
    tasks = tuple(dict.fromkeys(config.tasks or plugins.tasks))
    for name in tasks:
        plugins.tasks[name]  # raises if there is none by that name, as do the next
    plugins.models[config.model], plugins.datasets[split_name(config.dataset)[0]]
    runners, modes = _backends(settings), tuple(dict.fromkeys(config.modes))
    if unknown := [mode for mode in modes if mode not in ("default", "compiled")]:
        raise UsageError(f"there is no mode {unknown[0]!r}; {nearest(unknown[0], ('default', 'compiled'))}")
    if (count := len(tasks) * len(runners) * len(modes) * len(config.seed_numbers)) > MANY and not yes:
        raise UsageError(f"this is {count:,} cells: if you mean it, say --yes")
    data = {f"data.{path}": value for path, value in flatten(settings.data).items()}
    return [
        Cell(
            task, backend, mode, config.precision, config.device, config.model, _absolute(config.dataset), None, seed,
            flatten(settings.tasks[task]) | data, config.semantics,
        )
        for task in tasks
        for backend in runners
        for mode in modes
        for seed in config.seed_numbers
    ]  # fmt: skip


def _absolute(dataset: str) -> str:
    """A folder of pictures is the same data set from wherever a run is taken up again."""
    kind, path = split_name(dataset)
    here = os.path.abspath(os.path.expanduser(path))
    return f"{kind}:{here}" if kind == "folder" and path and os.path.isdir(here) else dataset


def _backends(settings: Settings) -> list[str]:
    found, named = find_backends(), settings.config.backends
    for name in (*named, *settings.python):
        if name.endswith(".py"):
            if not Path(name).is_file():
                raise UsageError(f"there is no backend file {name}")
        elif name not in found:
            raise UsageError(f"there is no backend {name!r}; {nearest(name, found)}; or give a file, FILE.py")
    for name, python in settings.python.items():
        _check_interpreter(name, python)
    return list(dict.fromkeys(named)) or [
        name
        for name in SHIPPED
        if (name in found and found[name].status == "available") or name in settings.python
    ]  # fmt: skip


def _check_interpreter(backend: str, python: str) -> None:
    """Another interpreter must have samebench too; whether it has the framework, its worker will say."""
    try:
        asked = subprocess.run([python, "-P", "-c", "import harness"], capture_output=True, text=True, timeout=60)
        said = asked.stderr.strip().splitlines() or [f"it ended with exit code {asked.returncode}"]
        problem = said[-1:] if asked.returncode else []
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = [str(error)]
    if problem:
        raise UsageError(f"{python} cannot run {backend}: {problem[0]}: install samebench there, or name another one")
