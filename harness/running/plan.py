"""From what was asked for to the cells to run. Everything that can be wrong is found here, before anything runs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path

from harness.errors import UsageError
from harness.options import flatten, nearest
from harness.plugins import declared_modes, find_backends, own_names, unknown_backend
from harness.result import Cell
from harness.running.config import Settings
from harness.running.experiments import Experiment
from harness.text import is_file, shown_names

SHIPPED = ("pytorch", "keras", "jax")
"""The backends that run when none is named: of these, the ones that are installed."""

TRAIN_LIMIT = "train_limit"
"""The option of a task that says how many pictures it may learn from."""

MANY = 1000
"""More cells than this are a slip more often than a wish."""


def plan_cells(
    settings: Settings, chosen: Sequence[Experiment], *, yes: bool = False, start: bool = True
) -> list[Cell]:
    """Every cell of the matrix, in the order of the report. Interpreters that the user has named are started to see
    whether they have samebench, unless `start` is False."""
    config = settings.config
    runners, modes = _backends(settings, start), tuple(dict.fromkeys(config.modes))
    _check_modes(modes, runners, settings.python)
    limits = [{TRAIN_LIMIT: limit} for limit in config.train_limits] or [{}]
    if (count := len(chosen) * len(limits) * len(runners) * len(modes) * len(config.seed_numbers)) > MANY and not yes:
        raise UsageError(f"this is {count:,} cells: if you mean it, say --yes")
    data = {f"data.{path}": value for path, value in flatten(settings.data).items()}
    options = {one.task: flatten(settings.tasks[one.task]) for one in chosen}
    if without := [task for task in options if config.train_limits and TRAIN_LIMIT not in options[task]]:
        raise UsageError(f"train_limits: {', '.join(without)} has no option {TRAIN_LIMIT}")
    return [
        Cell(
            one.task, backend, mode, config.precision, config.device, one.model, one.dataset, one.weights, seed,
            options[one.task] | limit | data, config.semantics,
        )
        for one in chosen
        for limit in limits
        for backend in runners
        for mode in modes
        for seed in config.seed_numbers
    ]  # fmt: skip


def _backends(settings: Settings, start: bool) -> list[str]:
    found, named = find_backends(), settings.config.backends
    for name in (*named, *settings.python):
        if name.endswith(".py"):
            if not Path(name).is_file():
                raise UsageError(f"there is no backend file {name}")
        elif name not in found:
            raise unknown_backend(name, found)
    for name, python in settings.python.items() if start else ():
        _check_interpreter(name, python)
    return _each_once(named) or [
        name
        for name in SHIPPED
        if (name in found and found[name].status == "available") or name in settings.python
    ]  # fmt: skip


def _check_modes(modes: Sequence[str], backends: Sequence[str], elsewhere: Collection[str]) -> None:
    """Some backend must have each mode; the cells of the others are unsupported. The source of a backend may not tell its
    modes, and one in another interpreter may have others than the one here: then its worker will say."""
    declared = [None if backend in elsewhere else declared_modes(backend) for backend in backends]
    known = {mode for found in declared if found for mode in found}
    for mode in modes:
        if mode not in known and known and None not in declared:
            named = shown_names(backends, own_names(backends)).values()
            have = f"{', '.join(named)} {'has' if len(backends) == 1 else 'have'} no mode {mode!r}"
            raise UsageError(f"{have}; {nearest(mode, known)}")


def _each_once(backends: Sequence[str]) -> list[str]:
    """Each backend once: a file may be named by several paths."""
    found: dict[str, str] = {}
    for name in backends:
        found.setdefault(os.path.realpath(name) if is_file(name) else name, name)
    return list(found.values())


def _check_interpreter(backend: str, python: str) -> None:
    """Another interpreter must have samebench too; whether it has the framework, its worker will say."""
    try:
        asked = subprocess.run([python, "-P", "-c", "import harness"], capture_output=True, text=True, timeout=60)
        said = asked.stderr.strip().splitlines() or [f"it ended with exit code {asked.returncode}"]
        problem = said[-1:] if asked.returncode else []
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        problem = [str(error)]
    if problem:
        raise UsageError(f"{python} cannot run {backend}: {problem[0]}: install samebench there, or name another one")
