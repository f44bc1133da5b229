"""Commands that run: run, rerun, prepare."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from harness.commands import INTERRUPTED, NOT_OK, NOTHING, TERMINATED
from harness.data import Dataset
from harness.errors import UsageError
from harness.inputs import Taker, load
from harness.options import flatten
from harness.places import Places
from harness.plugins import Plugins, load_plugins
from harness.pretrained import Start, start_from
from harness.result import Cell
from harness.running.config import Layer, Settings, from_file, from_profile, from_words, seeds_of
from harness.running.experiments import experiments, network_of
from harness.running.plan import LIMIT, plan_cells

HALVES, FEWEST = 5, 64
"""How often a learning curve halves its pictures, and how many it needs: fewer do not fill the usual batches."""

LISTS = {"task": "tasks", "backend": "backends", "mode": "modes"}


class Terminated(BaseException):
    """SIGTERM or SIGHUP came: end the worker, then ourselves."""


def _where_to(command: Callable[..., None]) -> Callable[..., None]:
    """The options that run and rerun share."""
    for option in (
        click.option("--yes", is_flag=True, help="Run a matrix of more than 1,000 cells."),
        click.option("--strict", is_flag=True, help="Count unsupported cells as not ok."),
        click.option(
            "--out",
            type=click.Path(path_type=Path),
            help="The run's folder. Default: runs/DATE-TIME. The same one resumes.",
        ),
    ):
        command = option(command)
    return command


def _what_to_run(command: Callable[..., None]) -> Callable[..., None]:
    """The options of run that make sense for learning-curve too."""
    for option in reversed((
        click.option("--task", multiple=True, help="A task; may be given again. Default: all."),
        click.option("--backend", multiple=True, help="A backend, or FILE.py; may be given again. Default: those installed."),
        click.option("--mode", multiple=True, help="default or compiled; may be given again. Default: default."),
        click.option("--model", help="See: samebench list models. Default: each task's own, two-block-cnn."),
        click.option("--dataset", help="See: samebench list datasets; or folder:PATH. Default: each task's own, of digits."),
        click.option("--weights", help="What transfer starts from. See: samebench list weights; or the path of a file."),
        click.option("--seeds", help="How many, or which: 3, or 0,1,2. Default: 1."),
        click.option("--device", help="auto, cpu or gpu. Default: auto."),
        click.option("--precision", help="float32, tf32, bfloat16 or float64. Default: float32."),
        click.option("--semantics", help="aligned, or native: each framework's own optimiser and first weights."),
        click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Anything a CONFIG.toml may say: scratch-cnn.epochs=3."),
        click.option("--python", "pythons", multiple=True, metavar="BACKEND=PATH", help="The interpreter to run a backend with."),
        click.option("--data-dir", help="Where your data lies. Default: SAMEBENCH_DATA_DIR."),
        click.option("--timeout", type=float, help="Seconds that one cell may take. Default: 3600."),
        click.option("--no-parity", is_flag=True, help="Leave the certificates out; verdicts say not-checked."),
        click.option("--offline", is_flag=True, help="Use no network."),
    )):  # fmt: skip
        command = option(command)
    return command


@click.command(
    "run", epilog="Example: samebench run --backend pytorch --backend jax --seeds 3 --set scratch-cnn.epochs=5"
)
@click.argument("file", metavar="[CONFIG.toml]", required=False, type=click.Path(path_type=Path))
@click.option("--profile", help="quick, standard or rigorous. Default: quick.")
@_what_to_run
@_where_to
def run_command(
    file: Path | None, profile: str | None, sets: Sequence[str], pythons: Sequence[str], no_parity: bool,
    out: Path | None, strict: bool, yes: bool, **typed: Any,
) -> None:  # fmt: skip
    """Run experiments, then print their table."""
    layers = [from_file(file)] if file else []
    named = layers[0].settings.get("profile", "quick") if layers else "quick"
    layers = [from_profile(profile or named)] + [
        Layer(layer.where, {path: value for path, value in layer.settings.items() if path != "profile"})
        for layer in layers
    ]
    layers += from_words(sets)
    layers.append(Layer("the command line", _chosen(typed, pythons, no_parity)))
    _run(layers, out, strict, yes)


@click.command(
    "learning-curve",
    epilog="Example: samebench learning-curve --dataset cats-vs-dogs --weights efficientnet-lite0 --counts 100,200,400",
)
@click.option(
    "--counts", help="Numbers of training pictures: 100,200,400. Default: all of them, and halves down to 64."
)
@_what_to_run
@_where_to
def learning_curve_command(
    counts: str | None, sets: Sequence[str], pythons: Sequence[str], no_parity: bool,
    out: Path | None, strict: bool, yes: bool, **typed: Any,
) -> None:  # fmt: skip
    """Accuracy against the number of training pictures: from scratch, on features, fine-tuned."""
    plugins = load_plugins()
    tasks = [plugins.tasks[name] for name in plugins.tasks if LIMIT in flatten(plugins.tasks[name].options())]
    together = next(
        (task.dataset for task in tasks if task.weights), "digits"
    )  # curves of one data set can be compared
    usual = {"tasks": [task.name for task in tasks], "dataset": together}
    layers = [Layer("learning-curve", usual), *from_words(sets)]
    layers.append(Layer("the command line", _chosen(typed, pythons, no_parity)))
    numbers = _numbers(counts) if counts else _halves(Settings.of(plugins, layers), plugins)
    layers.append(Layer("--counts", {"train_limits": numbers}))
    _run(layers, out, strict, yes, "learning-curve")


@click.command("rerun", epilog="Example: samebench rerun results/digits --out runs/again")
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@_where_to
def rerun_command(folder: Path, out: Path | None, strict: bool, yes: bool) -> None:
    """Repeat a run from its own record, in a new folder."""
    from harness.running.store import Store

    if out and out.resolve() == folder.resolve():
        raise UsageError(f"{folder} is the run itself, and would only be resumed: choose another --out")
    _run([Layer(f"{folder}/run.json", Store.open(folder).run["config"])], out, strict, yes)


@click.command("prepare", epilog="Example: samebench prepare --dataset cifar10")
@click.option("--dataset", "datasets", multiple=True, help="A data set; may be given again.")
@click.option("--weights", multiple=True, help="An entry of weights; may be given again.")
@click.option(
    "--model", help="The network whose input decides the size. Default: that of the weights, or two-block-cnn."
)
@click.option("--data-dir", help="Where your data lies. Default: SAMEBENCH_DATA_DIR.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="data.size=64 or data.broken=skip.")
def prepare_command(
    datasets: Sequence[str], weights: Sequence[str], model: str | None, data_dir: str | None, sets: Sequence[str]
) -> None:
    """Fetch, verify and decode data and weights, so that `run --offline` needs no network."""
    if not datasets and not weights:
        raise UsageError("say what to prepare: --dataset NAME or --weights NAME; see: samebench list")
    plugins = load_plugins()
    chosen = Layer("the command line", {"data_dir": data_dir} if data_dir else {})
    settings = Settings.of(plugins, [*from_words(sets), chosen])
    _set_places(settings)
    places = Places.from_environment()
    starts = [start_from(name, model, plugins.weights, plugins.models, places) for name in weights]
    for start in starts:
        start.load()
        click.echo(_weights_in_words(start))
    takers = [Taker.untrained(plugins.models[model or "two-block-cnn"])] if model or not starts else []
    takers += [Taker(start.build, start.model.input_shape, trained=True) for start in starts]
    for name in datasets:
        for taker in takers:
            click.echo(_data_in_words(name, load(name, plugins.datasets, taker, settings.data, places)))


def _weights_in_words(start: Start) -> str:
    count, about = start.model.counts().total, start.about
    return f"{start.name}: {count:,} parameters of {start.network}, {about['licence']}, from {about['source']}"


def _data_in_words(name: str, found: Dataset) -> str:
    size = "x".join(map(str, found.shape))
    first = f"{name}: {len(found.train):,} + {len(found.test):,} pictures, {size}, {len(found.classes)} classes"
    return "\n".join([first, *(f"  {note}" for note in found.notes)])


def _chosen(typed: Mapping[str, Any], pythons: Sequence[str], no_parity: bool) -> dict[str, Any]:
    """What the command line says, and only that, by the names of a configuration file."""
    chosen = {LISTS.get(name, name): value for name, value in typed.items() if value}
    if seeds := typed["seeds"]:
        chosen["seeds"] = seeds_of(seeds)
    for text in pythons:
        backend, equals, path = text.partition("=")
        if not (backend and equals and path):
            raise UsageError(f"--python takes BACKEND=PATH, such as keras=/opt/tf/bin/python; not {text!r}")
        chosen[f"python.{backend}"] = path
    return chosen | ({"parity": False} if no_parity else {})


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--counts takes numbers of training pictures, 100,200,400; not {text!r}") from None


def _halves(settings: Settings, plugins: Plugins) -> list[int]:
    """The number of training pictures, its half, and so on."""
    _set_places(settings)
    one, places = experiments(plugins, settings.config).chosen[0], Places.from_environment()
    network, _ = network_of(one.model, one.weights, plugins, places)
    size = len(load(one.dataset, plugins.datasets, network, settings.data, places).train)
    return [size // 2**step for step in reversed(range(HALVES)) if size // 2**step >= FEWEST] or [size]


def _run(layers: Sequence[Layer], out: Path | None, strict: bool, yes: bool, form: str = "table") -> None:
    """Run what the layers say into a folder, and print its report."""
    from harness.report import Report
    from harness.running.progress import watching
    from harness.running.runner import Limits, Runner
    from harness.running.store import Store

    plugins = load_plugins()
    settings = Settings.of(plugins, layers)
    config = settings.config
    _set_places(settings)
    chosen, left_out = experiments(plugins, config)
    cells = plan_cells(settings, chosen, yes=yes)
    if not cells:
        click.echo("Nothing to run: no backend is installed; see: samebench list backends", err=True)
        sys.exit(NOTHING)
    for reason in left_out:
        click.echo(f"Left out: {reason}", err=True)
    for one in chosen:  # what is wrong with data or weights is said now, not by every cell
        network, start = network_of(one.model, one.weights, plugins, Places.from_environment())
        load(one.dataset, plugins.datasets, network, settings.data, Places.from_environment())
        if start:
            start.load()
    store = Store(out or Path("runs", datetime.now().strftime("%Y-%m-%d-%H%M%S")))
    memory = int(config.memory_gb * 2**30) if config.memory_gb else None
    limits = Limits(config.timeout, config.threads, memory, settings.python)
    with _ending_well(store.folder), watching(len(cells)) as watcher:
        record = settings.as_record(list(dict.fromkeys(cell.task for cell in cells)))
        Runner(store, limits, watcher).run(cells, record, config.parity)
    report = Report.of(store.run, store.results())
    click.echo("\n" + plugins.reporters[form](report))
    click.echo(f"\nThis run is kept in {store.folder}; for programs: samebench report {store.folder} --format json")
    if not _all_ok(report, cells, strict):
        sys.exit(NOT_OK)


def _set_places(settings: Settings) -> None:
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
