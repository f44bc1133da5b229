"""From a command line to a run: the sources of its settings, its cells, its report and its exit code."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.commands import INTERRUPTED, NOT_OK, NOTHING, TERMINATED
from harness.commands.ending import OVERVIEW, Demands, details, shortfalls
from harness.commands.output import say
from harness.errors import UsageError
from harness.options import flatten
from harness.pictures.inputs import load
from harness.plugins import Plugins, load_plugins
from harness.report.compare import FORMATS, Comparison
from harness.report.stats import FEWEST_RATES
from harness.report.summary import Report
from harness.running.config import Settings, Source, each_once, from_words, seeds_of
from harness.running.experiments import experiments
from harness.running.launch import Launch, launch_of, set_places, usual_folder, with_profile
from harness.running.plan import TRAIN_LIMIT
from harness.running.progress import watching
from harness.running.runner import Limits, Runner, Watcher
from harness.running.store import Store
from harness.storage.places import Places
from harness.text import is_file
from harness.timing.load import Reading, busy_since
from harness.worker.networks import network_of

HALVES, FEWEST = 5, 64
"""The number of points of a learning curve, each with half of the pictures of the next; and its smallest number of pictures:
fewer do not fill the usual batches."""

NAMES = {"task": "tasks", "backend": "backends", "mode": "modes", "pipeline": "data.pipeline", "sink": "sinks"}
ELSEWHERE = ("sets", "pythons", "no_parity", "seeds", "out", "strict", "allow_differs", "yes", "dry_run", "aa", "serve")
"""Options that are not settings, or that need parsing before they become settings."""


class Terminated(BaseException):
    """The process has received SIGTERM or SIGHUP. It ends its worker and then itself."""


def run(file: Path | None, profile: str | None, typed: Mapping[str, Any]) -> None:
    if typed["aa"]:
        typed = _twice(typed)
    if typed["waterfall"] and not file:
        typed = {**typed, "task": typed["task"] or ("scratch-cnn",)}
    run_sources([*with_profile(file, profile), *typed_sources(typed)], typed)


def _twice(typed: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options of a run of one backend against itself. It has enough seeds for a verdict, if the user names none."""
    for name in ("backend", "sink"):
        if typed[name]:
            raise UsageError(
                f"--aa BACKEND runs this backend alone, twice, and logs nothing: leave --{name} out",
                code="conflicting-options",
            )
    return {**typed, "backend": (typed["aa"],), "seeds": typed["seeds"] or str(FEWEST_RATES)}


def learning_curve(counts: str | None, typed: Mapping[str, Any]) -> None:
    """Run every task that has the option `train_limit`, all on the same dataset, so that their curves can be compared."""
    plugins = load_plugins()
    tasks = [plugins.tasks[name] for name in plugins.tasks if TRAIN_LIMIT in flatten(plugins.tasks[name].options())]
    together = next((task.dataset for task in tasks if task.weights), "digits")
    usual = {"tasks": [task.name for task in tasks], "dataset": together}
    given = [] if counts is None else [Source(f"--counts {counts}", {"train_limits": _numbers(counts)})]
    sources = [Source("learning-curve", usual), *typed_sources(typed, given)]
    if not (settings := Settings.of(plugins, sources)).config.train_limits:
        sources.append(Source("--counts", {"train_limits": _halves(settings, plugins)}))
    run_sources(sources, typed, "learning-curve")


def rerun(folder: Path, typed: Mapping[str, Any]) -> None:
    if typed["out"] and typed["out"].resolve() == folder.resolve():
        raise UsageError(
            f"{folder} is the run itself: choose another --out for its repetition", code="conflicting-options"
        )
    # Without sinks: the run of a stranger may name a place of his own.
    config = {name: value for name, value in Store.open(folder).run["config"].items() if name != "sinks"}
    record = Source(f"{folder}/run.json", config, recorded=True)
    sinks = [Source("--sink", {"sinks": typed["sink"]})] if typed["sink"] else []
    named = each_once([*(_python(text) for text in typed["pythons"]), *sinks])
    _refuse_programs(folder, Settings.of(load_plugins(), [record]), typed["backend"], named)
    run_sources([record, *named], typed)


def _refuse_programs(folder: Path, recorded: Settings, files: Sequence[str], named: Sequence[Source]) -> None:
    """Raise UsageError if the record of a run names programs that the user does not name. The run may come from a stranger,
    so a backend file is executed only if --backend names it, and an interpreter only if --python does."""
    known, given = _files(recorded.config.backends), list(map(os.path.realpath, files))
    if other := [file for file in given if file not in known]:
        raise UsageError(
            f"--backend {other[0]} is not a backend file of {folder}. There are: {', '.join(known) or 'none'}",
            code="unknown-name",
        )
    allow = [word for file in known if file not in given for word in ("--backend", file)]
    for backend, python in recorded.python.items():
        if not any(f"python.{backend}" in source.settings for source in named):
            allow += ["--python", f"{backend}={python}"]
    if allow:
        raise UsageError(
            f"{folder} names programs that a rerun would execute: {', '.join(allow[1::2])}. If you know and trust them, name "
            f"them again: {shlex.join(['samebench', *sys.argv[1:], *allow])}",
            code="untrusted-file",
        )


def _files(backends: Sequence[str]) -> list[str]:
    """The full paths of the backends that are files."""
    return [os.path.realpath(name) for name in backends if is_file(name)]


def typed_sources(typed: Mapping[str, Any], more: Sequence[Source] = ()) -> list[Source]:
    """The settings of the command line, a source for each option. No setting may be given twice, even by two options."""
    return each_once([*from_words(typed["sets"]), *_own_options(typed), *map(_python, typed["pythons"]), *more])


def _own_options(typed: Mapping[str, Any]) -> Iterator[Source]:
    """The options that the user has given, by the names of a configuration file."""
    for name, value in typed.items():
        if name not in ELSEWHERE and value is not None and value is not False and value != ():
            yield Source(_as_typed(name, value), {NAMES.get(name, name): value})
    if (seeds := typed["seeds"]) is not None:
        yield Source(f"--seeds {seeds}", {"seeds": seeds_of(seeds)})
    if typed["no_parity"]:
        yield Source("--no-parity", {"parity": False})


def _as_typed(name: str, value: Any) -> str:
    words = [] if value is True else [*map(str, value)] if isinstance(value, tuple) else [str(value)]
    return shlex.join([f"--{name.replace('_', '-')}", *words])


def _python(text: str) -> Source:
    backend, equals, path = text.partition("=")
    if not (backend and equals and path):
        raise UsageError(
            f"--python takes BACKEND=PATH, such as keras=/opt/tf/bin/python; not {text!r}", code="wrong-form"
        )
    return Source(f"--python {text}", {f"python.{backend}": path})


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(
            f"--counts takes numbers of training pictures, 100,200,400; not {text!r}", code="wrong-form"
        ) from None


def _halves(settings: Settings, plugins: Plugins) -> list[int]:
    """The number of training pictures, its half, and so on."""
    set_places(settings)
    first, places = experiments(plugins, settings.config, settings.data.pipeline).chosen[0], Places.from_environment()
    network, _ = network_of(first.model, first.weights, plugins, places)
    size = len(load(first.dataset, plugins.datasets, network, settings.data, places).train)
    return [size // 2**step for step in reversed(range(HALVES)) if size // 2**step >= FEWEST] or [size]


def run_sources(sources: Sequence[Source], typed: Mapping[str, Any], form: str = "table") -> None:
    """Run the experiments that the sources describe, and print the report."""
    start, before = time.perf_counter(), Reading.now()
    dry = typed.get("dry_run", False)
    launch = launch_of(sources, yes=typed["yes"] or dry, start=not dry)
    cells, config, sinks = launch.cells, launch.settings.config, launch.sinks
    if not cells:
        say("Nothing to run: no backend is installed; see: samebench list backends", err=True)
        sys.exit(NOTHING)
    for reason in launch.left_out:
        say(f"Left out: {reason}", err=True)
    if dry:
        from harness.running.forecast import forecast

        folder = typed["out"] or Path("runs", "DATE-TIME")
        say(forecast(cells, launch.experiments, launch.plugins, launch.settings, folder))
        return
    launch.check()
    store, limits = Store(typed["out"] or usual_folder()), launch.limits()
    with _ending_well(store.folder), _served(store.folder, typed.get("serve", False)), watching(len(cells)) as watcher:
        if warning := busy_since(start, before):
            watcher.say(warning)
        if typed.get("aa"):
            folders = run_twice(store.folder, limits, watcher, launch)
        else:
            Runner(store, limits, watcher, sinks).run(cells, launch.record, config.parity)
    if typed.get("aa"):
        _report_twice(folders)
        return
    report = Report.of(store, full=form != OVERVIEW)
    say("\n" + launch.plugins.reporters[form](report))
    say(f"\n{details(store.folder, report)}")
    named = {backend for source in sources for backend in source.named}
    demands = Demands(named, typed["strict"], typed["allow_differs"])
    if problems := list(shortfalls(store.folder, cells, report.results, demands)):
        say("\n" + "\n".join(problems), err=True)
        sys.exit(NOT_OK)


def run_twice(folder: Path, limits: Limits, watcher: Watcher, launch: Launch) -> tuple[Path, Path]:
    """Run the cells twice, in two folders. For each seed both runs take their turn, and the order alternates."""
    folders, cells = (folder / "a", folder / "b"), launch.cells
    seeds = list(dict.fromkeys(cell.seed for cell in cells))
    for number in range(len(seeds)):
        so_far = [cell for cell in cells if cell.seed in seeds[: number + 1]]
        for place in folders if number % 2 == 0 else folders[::-1]:
            Runner(Store(place), limits, watcher).run(so_far, launch.record, launch.settings.config.parity)
    return folders


def _report_twice(folders: tuple[Path, Path]) -> None:
    """Compare both runs. A difference between them is a false alarm."""
    first, second = (Report.of(Store.open(place)) for place in folders)
    found = Comparison.of(first, second, (str(folders[0]), str(folders[1])))
    say("\n" + FORMATS["table"](found))
    different = [change for change in (*found.speeds, *found.accuracies) if change.verdict in ("higher", "lower")]
    judged = [change for change in found.speeds if change.verdict and change.n >= FEWEST_RATES]
    if different or not judged:
        reason = "a backend differs from itself" if different else "no speed could be judged"
        say(f"\n{reason}: this machine is too noisy to compare backends on", err=True)
        sys.exit(NOT_OK)
    say("\nThe backend does not differ from itself: differences that this machine shows between backends are real.")


@contextmanager
def _served(folder: Path, wanted: bool) -> Iterator[None]:
    """Serve the page of the run while it runs, if the user wants that."""
    if not wanted:
        yield
        return
    from harness.running.serving import serving

    with serving(folder) as url:
        say(f"The run is shown at {url}; afterwards: {shlex.join(['samebench', 'watch', str(folder)])}", err=True)
        yield


@contextmanager
def _ending_well(folder: Path) -> Iterator[None]:
    """On Ctrl-C, SIGTERM and SIGHUP: end the worker, keep the folder valid, and print the command that resumes the run."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        yield
    except (KeyboardInterrupt, Terminated) as ending:
        say(f"\nStopped. To resume: {_again(folder)}", err=True)
        sys.exit(TERMINATED if isinstance(ending, Terminated) else INTERRUPTED)
    except OSError as error:
        say(f"Error: {error}. To resume when this is repaired: {_again(folder)}", err=True)
        sys.exit(NOT_OK)


def _again(folder: Path) -> str:
    """The command that resumes the run in this folder."""
    typed = sys.argv[1:]
    named = any(word == "--out" or word.startswith("--out=") for word in typed)
    return shlex.join(["samebench", *typed, *(() if named else ("--out", str(folder)))])


def _end(number: int, frame: object) -> None:
    raise Terminated
