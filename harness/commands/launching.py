"""From a command line to a run: its layers of settings, what it runs, and how it ends."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from harness.commands import INTERRUPTED, NOT_OK, NOTHING, TERMINATED
from harness.errors import UsageError
from harness.inputs import load
from harness.options import flatten
from harness.places import Places
from harness.plugins import Plugins, load_plugins
from harness.report import Report
from harness.result import Cell
from harness.running.config import Layer, Settings, from_file, from_profile, from_words, seeds_of
from harness.running.experiments import Experiment, builder_of, experiments, network_of
from harness.running.plan import LIMIT, plan_cells
from harness.running.progress import watching
from harness.running.runner import Limits, Runner
from harness.running.store import PICTURES, Store

HALVES, FEWEST = 5, 64
"""How often a learning curve halves its pictures, and how many it needs: fewer do not fill the usual batches."""

NAMES = {"task": "tasks", "backend": "backends", "mode": "modes"}
ELSEWHERE = ("sets", "pythons", "no_parity", "out", "strict", "yes")
"""Options that say something else than a setting by their name."""


class Terminated(BaseException):
    """SIGTERM or SIGHUP came: end the worker, then ourselves."""


def run(file: Path | None, profile: str | None, typed: Mapping[str, Any]) -> None:
    layers = [from_file(file)] if file else []
    named = layers[0].settings.get("profile", "quick") if layers else "quick"
    layers = [from_profile(profile or named)] + [
        Layer(layer.where, {path: value for path, value in layer.settings.items() if path != "profile"})
        for layer in layers
    ]
    _run([*layers, *from_words(typed["sets"]), _chosen(typed)], typed)


def learning_curve(counts: str | None, typed: Mapping[str, Any]) -> None:
    """Every task that can be told how much to learn from, each on the same data set: other curves cannot be compared."""
    plugins = load_plugins()
    tasks = [plugins.tasks[name] for name in plugins.tasks if LIMIT in flatten(plugins.tasks[name].options())]
    together = next((task.dataset for task in tasks if task.weights), "digits")
    usual = {"tasks": [task.name for task in tasks], "dataset": together}
    layers = [Layer("learning-curve", usual), *from_words(typed["sets"]), _chosen(typed)]
    numbers = _numbers(counts) if counts else _halves(Settings.of(plugins, layers), plugins)
    _run([*layers, Layer("--counts", {"train_limits": numbers})], typed, "learning-curve")


def rerun(folder: Path, typed: Mapping[str, Any]) -> None:
    if typed["out"] and typed["out"].resolve() == folder.resolve():
        raise UsageError(f"{folder} is the run itself, and would only be resumed: choose another --out")
    record = Layer(f"{folder}/run.json", Store.open(folder).run["config"])
    named = _chosen({"pythons": typed["pythons"], "seeds": None, "no_parity": False})
    _refuse_programs(folder, Settings.of(load_plugins(), [record]), typed["backend"], named.settings)
    _run([record, named], typed)


def _refuse_programs(folder: Path, recorded: Settings, files: Sequence[str], named: Mapping[str, Any]) -> None:
    """Raise UsageError if the record of a run names programs, and the user does not: the run may be a stranger's. A file is
    executed only if it is given by --backend, an interpreter is replaced by that of --python."""
    known, given = _files(recorded.config.backends), list(map(os.path.realpath, files))
    if other := [file for file in given if file not in known]:
        raise UsageError(
            f"--backend allows a backend file of {folder} to run; {other[0]} is none. There are: {', '.join(known) or 'none'}"
        )
    allow = [word for file in known if file not in given for word in ("--backend", file)]
    for backend, python in recorded.python.items():
        if f"python.{backend}" not in named:
            allow += ["--python", f"{backend}={python}"]
    if allow:
        raise UsageError(
            f"{folder} names programs that a rerun would execute: {', '.join(allow[1::2])}. If you know and trust them, name "
            f"them again: {shlex.join(['samebench', *sys.argv[1:], *allow])}"
        )


def _files(backends: Sequence[str]) -> list[str]:
    """Those that are given as files, each by its full path."""
    return [os.path.realpath(name) for name in backends if name.endswith(".py")]


def _chosen(typed: Mapping[str, Any]) -> Layer:
    """What the command line says, and only that, by the names of a configuration file."""
    chosen = {NAMES.get(name, name): value for name, value in typed.items() if value and name not in ELSEWHERE}
    if seeds := typed["seeds"]:
        chosen["seeds"] = seeds_of(seeds)
    if typed["no_parity"]:
        chosen["parity"] = False
    for text in typed["pythons"]:
        backend, equals, path = text.partition("=")
        if not (backend and equals and path):
            raise UsageError(f"--python takes BACKEND=PATH, such as keras=/opt/tf/bin/python; not {text!r}")
        chosen[f"python.{backend}"] = path
    return Layer("the command line", chosen)


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--counts takes numbers of training pictures, 100,200,400; not {text!r}") from None


def _halves(settings: Settings, plugins: Plugins) -> list[int]:
    """The number of training pictures, its half, and so on."""
    set_places(settings)
    one, places = experiments(plugins, settings.config).chosen[0], Places.from_environment()
    network, _ = network_of(one.model, one.weights, plugins, places)
    size = len(load(one.dataset, plugins.datasets, network, settings.data, places).train)
    return [size // 2**step for step in reversed(range(HALVES)) if size // 2**step >= FEWEST] or [size]


def _run(layers: Sequence[Layer], typed: Mapping[str, Any], form: str = "table") -> None:
    """Run what the layers say into a folder, and print its report."""
    plugins = load_plugins()
    settings = Settings.of(plugins, layers)
    config = settings.config
    set_places(settings)
    chosen, left_out = experiments(plugins, config)
    cells = plan_cells(settings, chosen, yes=typed["yes"])
    if not cells:
        click.echo("Nothing to run: no backend is installed; see: samebench list backends", err=True)
        sys.exit(NOTHING)
    for reason in left_out:
        click.echo(f"Left out: {reason}", err=True)
    for one in chosen:
        _check(one, plugins, settings)
    store = Store(typed["out"] or Path("runs", datetime.now().strftime("%Y-%m-%d-%H%M%S")))
    memory = int(config.memory_gb * 2**30) if config.memory_gb else None
    limits = Limits(config.timeout, config.threads, memory, settings.python)
    with _ending_well(store.folder), watching(len(cells)) as watcher:
        Runner(store, limits, watcher).run(cells, settings.as_record(cells), config.parity)
    report = Report.of(store)
    click.echo("\n" + plugins.reporters[form](report))
    click.echo(f"\nThis run is kept in {store.folder}; for programs: samebench report {store.folder} --format json")
    if any(PICTURES in result.artifacts for result in report.results):
        click.echo(f"Its pictures: samebench report {store.folder} --format gallery -o gallery.html")
    if not _all_ok(report, cells, typed["strict"]):
        sys.exit(NOT_OK)


def _check(one: Experiment, plugins: Plugins, settings: Settings) -> None:
    """Raise now, and not in every cell, if there is something wrong with data, with weights, or with options that the
    network does not allow."""
    task, places = plugins.tasks[one.task], Places.from_environment()
    network, start = network_of(one.model, one.weights, plugins, places)
    data = load(one.dataset, plugins.datasets, network, settings.data, places)
    if start:
        start.load()
    task.subjects(builder_of(task, network, start), data.shape, len(data.classes), settings.tasks[one.task])


def set_places(settings: Settings) -> None:
    """Let this process and every worker look for data in the same places."""
    if settings.config.data_dir:
        if not Path(settings.config.data_dir).is_dir():
            raise UsageError(f"the data directory {settings.config.data_dir} is not there")
        os.environ["SAMEBENCH_DATA_DIR"] = os.path.abspath(settings.config.data_dir)
    if settings.config.offline:
        os.environ["SAMEBENCH_OFFLINE"] = "1"


@contextmanager
def _ending_well(folder: Path) -> Iterator[None]:
    """On Ctrl-C and when asked to end: the worker is ended, the folder is whole, and how to go on is said."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        yield
    except (KeyboardInterrupt, Terminated) as ending:
        click.echo(f"\nStopped. To go on: {_again(folder)}", err=True)
        sys.exit(TERMINATED if isinstance(ending, Terminated) else INTERRUPTED)
    except OSError as error:
        click.echo(f"Error: {error}. To go on when that is mended: {_again(folder)}", err=True)
        sys.exit(NOT_OK)


def _again(folder: Path) -> str:
    """The command that goes on with the run in this folder."""
    typed = sys.argv[1:]
    named = any(word == "--out" or word.startswith("--out=") for word in typed)
    return shlex.join(["samebench", *typed, *(() if named else ("--out", str(folder)))])


def _end(number: int, frame: object) -> None:
    raise Terminated


def _all_ok(report: Any, cells: Sequence[Cell], strict: bool) -> bool:
    asked = {cell.key for cell in cells}
    statuses = {result.status for result in report.results if result.cell.key in asked}
    return not statuses - ({"ok"} if strict else {"ok", "unsupported"})
