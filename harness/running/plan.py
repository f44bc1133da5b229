"""From the settings of a run to its cells. Wrong settings are found here, before anything runs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path

from harness.errors import UsageError
from harness.options import flatten, nearest
from harness.plugins import declared_modes, find_backends, no_such_file, own_names, unknown_backend
from harness.result import WATERFALL, Cell
from harness.running.config import Settings
from harness.running.experiments import Experiment
from harness.text import is_file, shown_names

SHIPPED = ("pytorch", "keras", "jax")
"""The default backends of a run. Those that are not installed are left out."""

TRAIN_LIMIT = "train_limit"
"""The option of a task that limits its number of training pictures."""

MANY = 1000
"""A larger number of cells is probably a mistake, so it needs --yes."""


def plan_cells(
    settings: Settings, chosen: Sequence[Experiment], *, yes: bool = False, start: bool = True
) -> list[Cell]:
    """All cells, in the order of the report. If `start` is true, the interpreters that the user has named are started, to
    test whether samebench is installed there."""
    config = settings.config
    runners, modes = _backends(settings, start), tuple(dict.fromkeys(config.modes))
    _check_modes(modes, runners, settings.python)
    chain = WATERFALL if config.waterfall else (config.semantics,)
    limits = [{TRAIN_LIMIT: limit} for limit in config.train_limits] or [{}]
    if (
        count := len(chosen) * len(limits) * len(runners) * len(modes) * len(chain) * len(config.seed_numbers)
    ) > MANY and not yes:
        raise UsageError(f"this run has {count:,} cells: if that is intended, add --yes", code="needs-confirmation")
    data = {f"data.{path}": value for path, value in flatten(settings.data).items()}
    options = {experiment.task: flatten(settings.tasks[experiment.task]) for experiment in chosen}
    if without := [task for task in options if config.train_limits and TRAIN_LIMIT not in options[task]]:
        raise UsageError(
            f"train_limits: {', '.join(without)} has no option {TRAIN_LIMIT}: choose other tasks", code="unknown-option"
        )
    return [
        Cell(
            experiment.task, backend, mode, config.precision, config.device, experiment.model, experiment.dataset, experiment.weights, seed,
            options[experiment.task] | limit | data, semantics,
        )
        for experiment in chosen
        for limit in limits
        for backend in runners
        for mode in modes
        for semantics in chain
        for seed in config.seed_numbers
    ]  # fmt: skip


def _backends(settings: Settings, start: bool) -> list[str]:
    found, named = find_backends(), settings.config.backends
    for name in (*named, *settings.python):
        if name.endswith(".py"):
            if not Path(name).is_file():
                raise no_such_file(name, "backend")
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
    """Raise UsageError if no chosen backend has any of the modes, or if a mode is unknown to all installed backends. Other
    cells of backends without the mode are unsupported. If a backend runs in another interpreter, or its source does not show
    its modes, its worker checks the mode."""
    declared = [None if backend in elsewhere else declared_modes(backend) for backend in backends]
    known = {mode for found in declared if found for mode in found}
    if not known or None in declared:
        return
    allowed = (
        known if known.isdisjoint(modes) else known.union(*(declared_modes(name) or () for name in find_backends()))
    )
    for mode in modes:
        if mode not in allowed:
            named = shown_names(backends, own_names(backends)).values()
            have = f"{', '.join(named)} {'has' if len(backends) == 1 else 'have'} no mode {mode!r}"
            raise UsageError(f"{have}; {nearest(mode, known)}", code="unknown-name")


def _each_once(backends: Sequence[str]) -> list[str]:
    """Each backend once. Several paths may lead to the same file."""
    found: dict[str, str] = {}
    for name in backends:
        found.setdefault(os.path.realpath(name) if is_file(name) else name, name)
    return list(found.values())


def _check_interpreter(backend: str, python: str) -> None:
    """Raise UsageError if the interpreter does not have samebench. The worker tests later whether it has the framework."""
    try:
        ended = subprocess.run([python, "-P", "-c", "import harness"], capture_output=True, text=True, timeout=60)
        lines = ended.stderr.strip().splitlines() or [f"it ended with exit code {ended.returncode}"]
        problem = lines[-1:] if ended.returncode else []
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        problem = [str(error)]
    if problem:
        raise UsageError(
            f"{python} cannot run {backend}: {problem[0]}: install samebench there, or name another path",
            code="not-installed",
        )
