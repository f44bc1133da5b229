"""The forecast of a run: its cells, their time, downloads, and disk space. It starts nothing and writes nothing."""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from tabulate import tabulate

from harness.data import Dataset
from harness.environment import describe_host
from harness.errors import SamebenchError
from harness.pictures.inputs import NetworkInput, load
from harness.plugins import Plugins, find_backends
from harness.pretrained.entries import Start
from harness.result import Cell, Result
from harness.running.config import Settings
from harness.running.experiments import Experiment
from harness.running.progress import duration
from harness.running.store import RECORD, Store
from harness.storage.places import Download, Places
from harness.storage.survey import Kept, NotMade, SurveyPlaces, ToMake
from harness.text import format_bytes, is_file
from harness.worker.networks import builder_of, network_of

RUNS = 50
"""The number of earlier runs, the newest first, in which times of cells are looked up."""


class Measured(NamedTuple):
    """A cell that this machine has run before."""

    cell: Cell
    seconds: float
    bytes: int
    """The size of its folder."""


@dataclass(frozen=True)
class Expected:
    """The forecast of one cell."""

    cell: Cell
    done: bool
    """Whether the run's folder already has its result."""

    seconds: float | None
    bytes: int | None
    exact: bool
    """Whether the forecast rests on cells with the same options."""


@dataclass(frozen=True)
class Needs:
    """The missing downloads and cache entries."""

    downloads: Sequence[Download]
    to_make: Sequence[ToMake]
    problems: Sequence[str]
    """Reasons why some weights are not available, such as a package that is not installed."""

    unseen: Sequence[str]
    """Datasets that are not here yet. The cache entries that they need are unknown."""


def needs_of(chosen: Iterable[Experiment], plugins: Plugins, settings: Settings, places: Places) -> Needs:
    """The missing data and weights of these experiments. Options are checked if the data are here."""
    survey, problems, unseen = SurveyPlaces.of(places), list[str](), list[str]()
    of_weights = replace(survey, reads=False)  # it adds to the same lists
    for experiment in chosen:
        task = plugins.tasks[experiment.task]
        network, start = network_of(experiment.model, experiment.weights, plugins, of_weights)
        if start:
            problems += _problems_of(start, experiment.weights or "", plugins, of_weights)
        if start and task.keeps_head:
            with suppress(SamebenchError):  # classes without names are numbered
                start.class_names()
        if (data := _here(experiment.dataset, plugins, network, settings, survey)) is None:
            unseen.append(experiment.dataset)
        else:
            build = builder_of(task, network, start)
            task.subjects(build, data.shape, len(data.classes), settings.tasks[experiment.task])
    return Needs(survey.missing, survey.to_make, list(dict.fromkeys(problems)), list(dict.fromkeys(unseen)))


def _problems_of(start: Start, weights: str, plugins: Plugins, survey: SurveyPlaces) -> list[str]:
    """Record in `survey` what these weights need. The result says why they are not available, if that is known."""
    try:
        start.load()
    except Kept:
        return []
    except NotMade:
        try:
            plugins.weights[weights].file(survey)
        except SamebenchError as error:
            return [str(error)]
    return []


def _here(
    name: str, plugins: Plugins, network: NetworkInput, settings: Settings, survey: SurveyPlaces
) -> Dataset | None:
    """The dataset, or None if loading it would fetch or write files: these are recorded in `survey`."""
    known = len(survey.missing)
    try:
        return load(name, plugins.datasets, network, settings.data, survey)
    except NotMade:
        return None
    except SamebenchError:
        if len(survey.missing) == known:
            raise  # no file is missing: a run would fail with the same error
        return None


def measured_on(host: Mapping[str, object], folders: Iterable[Path]) -> Iterator[Measured]:
    """The cells that have finished in these runs, on this machine."""
    for folder in folders:
        store = Store(folder)
        try:
            if not store.exists or not _same_machine(store.run["host"], host):
                continue
            results = list(store.results())
        except SamebenchError:  # a run of another version, or no run
            continue
        for result in results:
            if result.status == "ok" and (seconds := _seconds(result)) is not None:
                yield Measured(result.cell, seconds, _size(store.cell_folder(result.cell)))


def earlier_runs(out: Path) -> list[Path]:
    """The newest runs: in the run's own folder, beside it, and in `runs`."""
    found: dict[Path, float] = {}
    for place in (out.parent, Path("runs")):
        with suppress(OSError):  # the folder does not exist, or cannot be read
            for path in (out, *place.iterdir()):
                with suppress(OSError):
                    found[path.resolve()] = (path / RECORD).stat().st_mtime
    return sorted(found, key=lambda path: -found[path])[:RUNS]


def expected_of(cells: Sequence[Cell], measured: Sequence[Measured], done: set[str]) -> list[Expected]:
    """The forecast of each cell, from measured cells of the same experiment: with the same options, or else with any."""
    by_options: dict[str, list[Measured]] = {}
    by_network: dict[tuple[object, ...], list[Measured]] = {}
    for earlier in measured:
        by_options.setdefault(earlier.cell.configuration, []).append(earlier)
        by_network.setdefault(_network(earlier.cell), []).append(earlier)
    found = []
    for cell in cells:
        like = by_options.get(cell.configuration) or by_network.get(_network(cell), [])
        seconds = statistics.fmean(earlier.seconds for earlier in like) if like else None
        size = round(statistics.fmean(earlier.bytes for earlier in like)) if like else None
        found.append(Expected(cell, cell.key in done, seconds, size, cell.configuration in by_options))
    return found


def forecast(
    cells: Sequence[Cell], chosen: Sequence[Experiment], plugins: Plugins, settings: Settings, out: Path
) -> str:
    """The whole forecast as text. The run's folder need not exist."""
    Store(out).check_contents()
    places = Places.from_environment()
    measured = list(measured_on(describe_host(), earlier_runs(out)))
    done = _done_in(out)
    expected = expected_of(cells, measured, done)
    needs = needs_of(chosen, plugins, settings, places)
    parts = [
        "\n".join([_cells_text(expected), *_lacking(expected, settings)]),
        _time_text(expected, settings),
        _downloads_text(needs, places),
        _disk_text(expected, needs, out, places),
        "Nothing was started, and nothing was written.",
    ]
    return "\n\n".join(parts)


def _network(cell: Cell) -> tuple[object, ...]:
    names = ("task", "backend", "mode", "precision", "device", "model", "dataset", "weights", "semantics")
    return tuple(getattr(cell, name) for name in names)


def _same_machine(recorded: Mapping[str, object], host: Mapping[str, object]) -> bool:
    return all(recorded.get(name) == host[name] for name in ("processor", "cores"))


def _seconds(result: Result) -> float | None:
    """The time of the whole process, imports included; of the phases alone, if only those were measured."""
    seconds = result.time.get("process_s", result.time.get("total_s"))
    return float(seconds) if isinstance(seconds, int | float) else None


def _size(folder: Path) -> int:
    """The bytes of the regular files in a folder. Links are not followed."""
    total = 0
    for inside, _, files in os.walk(folder):
        for name in files:
            path = os.path.join(inside, name)
            with suppress(OSError):  # the file has been removed meanwhile
                total += 0 if os.path.islink(path) else os.path.getsize(path)
    return total


def _done_in(out: Path) -> set[str]:
    """The keys of the cells that have a good result in this folder."""
    store = Store(out)
    return {result.cell.key for result in store.results() if result.status == "ok"} if store.exists else set()


def _cells_text(expected: Sequence[Expected]) -> str:
    """A line for each task and backend."""
    groups: dict[tuple[str, ...], list[Expected]] = {}
    for forecast in expected:
        cell = forecast.cell
        who = Path(cell.backend).name if is_file(cell.backend) else cell.backend
        groups.setdefault((cell.task, cell.model, cell.dataset, cell.weights or "-", f"{who}/{cell.mode}"), []).append(
            forecast
        )
    rows = [
        (*names, len(forecasts), sum(forecast.done for forecast in forecasts), _about(_left(forecasts)))
        for names, forecasts in groups.items()
    ]
    table = tabulate(
        rows, ("task", "network", "dataset", "weights", "backend", "cells", "done", "time"), disable_numparse=True,
        colalign=("left",) * 5 + ("right",) * 3,
    )  # fmt: skip
    done = sum(forecast.done for forecast in expected)
    count = "1 cell" if len(expected) == 1 else f"{len(expected):,} cells"
    return f"{count}, {done:,} of them done already\n{table}" if done else f"{count}\n{table}"


def _lacking(expected: Sequence[Expected], settings: Settings) -> Iterator[str]:
    """Backends that cannot run here, and why. Backends in another interpreter are not tested."""
    named = dict.fromkeys(each.cell.backend for each in expected if each.cell.backend not in settings.python)
    found = find_backends()
    for name in named:
        if name in found and found[name].status != "available":
            yield f"{name} is {found[name].status}: {found[name].reason}"


def _left(expected: Iterable[Expected]) -> float | None:
    """The seconds of the cells that are not done; None if the time of a cell is unknown."""
    seconds = [each.seconds for each in expected if not each.done]
    return None if None in seconds else sum(filter(None, seconds))


def _about(seconds: float | None) -> str:
    return "unknown" if seconds is None else duration(seconds)


def _time_text(expected: Sequence[Expected], settings: Settings) -> str:
    todo = [each for each in expected if not each.done]
    known = [each for each in todo if each.seconds is not None]
    other = sum(not each.exact for each in known)
    if not todo:
        return "Time: none; every cell is done."
    if not known:
        return "Time: unknown; this machine has no stored run of such cells here, or in the folder of the run."
    text = f"Time: about {_about(_left(known))} for {len(known):,} of {len(todo):,} cells"
    text = text if len(known) < len(todo) else f"Time: about {_about(_left(todo))}"
    text += ", as long as such cells took on this machine before"
    text += f" ({other:,} of them had other options)" if other else ""
    rest = ["certificates that are not in the cache"] if settings.config.parity else []
    return f"{text}. Not in it: {' and '.join([*rest, 'what is fetched'])}."


def _downloads_text(needs: Needs, places: Places) -> str:
    lines = [f"  {file.owner}: {file.file}, {_bytes(file.size)}, from {file.url}" for file in needs.downloads]
    sizes = [file.size for file in needs.downloads]
    head = f"Downloads: {len(sizes):,}, {_sum(sizes)}" if sizes else "Downloads: none; all data and weights are here"
    if sizes and places.offline:
        head += "; they are not fetched, because the network must not be used (offline)"
    if needs.problems and not sizes:
        head = "Downloads: none"
    return "\n".join([head, *lines, *(f"  missing: {problem}" for problem in needs.problems)])


def _disk_text(expected: Sequence[Expected], needs: Needs, out: Path, places: Places) -> str:
    cells = [each.bytes for each in expected if not each.done]
    cache = [each.size for each in needs.downloads] + [made.size for made in needs.to_make]
    return "\n".join(
        [
            "Disk:",
            f"  {out}: {_sum(cells)}, {_free(out)}",
            f"  {places.cache}: {_sum(cache)}, {_free(places.cache)}",
            *(f"    {made.name}: {_bytes(made.size)}" for made in needs.to_make),
            *(f"    {name} is not here yet; what is made of it may need more" for name in needs.unseen),
        ]
    )


def _bytes(size: int | None) -> str:
    return "size unknown" if size is None else format_bytes(size)


def _sum(sizes: Sequence[int | None]) -> str:
    """The sum of the known sizes, and the number of unknown sizes."""
    known = [size for size in sizes if size is not None]
    if not sizes:
        return "nothing"
    if not known:
        return "unknown"
    unknown = len(sizes) - len(known)
    return f"about {format_bytes(sum(known))}" + (f" and {unknown:,} of unknown size" if unknown else "")


def _free(path: Path) -> str:
    """The free disk space at a path. The path need not exist."""
    there = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    return f"{format_bytes(shutil.disk_usage(there).free)} free"
