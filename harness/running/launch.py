"""From the settings of a run to all that its start needs: the experiments, the cells and the limits of their workers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import UsageError
from harness.options import flatten
from harness.pictures.augmentation import Augmentation
from harness.pictures.inputs import load
from harness.pictures.own_pipeline import FileExamples
from harness.plugins import Plugins, load_plugins
from harness.result import Cell
from harness.running.config import Settings, Source, from_file, from_profile
from harness.running.doctor import one_device
from harness.running.experiments import Experiment, experiments
from harness.running.plan import TRAIN_LIMIT, plan_cells
from harness.running.runner import Limits
from harness.running.sinks import Wanted, wanted_sinks
from harness.storage.places import Places
from harness.worker.networks import builder_of, network_of


class Launch(NamedTuple):
    """A run that can be started."""

    plugins: Plugins
    settings: Settings
    experiments: list[Experiment]
    left_out: list[str]
    """The reasons why tasks are left out."""

    cells: list[Cell]

    @property
    def record(self) -> dict[str, Any]:
        """The settings for run.json."""
        return self.settings.as_record(self.cells)

    @property
    def sinks(self) -> list[Wanted]:
        """The trackers of experiments that get every finished cell."""
        return wanted_sinks(self.settings.config.sinks, self.plugins)

    def check(self) -> None:
        """Raise an error now, not in every cell, if data or weights are wrong, or if a network does not allow the options."""
        for experiment in self.experiments:
            _check(experiment, self.plugins, self.settings)

    def limits(self) -> Limits:
        """The limits of every worker. The device of the run is decided here."""
        config = self.settings.config
        memory = int(config.memory_gb * 2**30) if config.memory_gb else None
        backends = dict.fromkeys(cell.backend for cell in self.cells)
        return Limits(
            config.timeout, config.threads, memory, config.segment_s, config.compiler_caches == "fresh",
            one_device(config.device, backends, Places.from_environment(), self.settings.python), self.settings.python,
        )  # fmt: skip


def launch_of(sources: Sequence[Source], *, yes: bool = False, start: bool = True) -> Launch:
    """The run that these sources describe; with `yes`, it may be very large. Without `start`, interpreters of other environments
    are not looked at. The places of data are set for this process and its workers."""
    plugins = load_plugins()
    settings = Settings.of(plugins, sources)
    set_places(settings)
    chosen, left_out = experiments(plugins, settings.config, settings.data.pipeline)
    if not any(source.recorded for source in sources):
        _refuse_two_limits(settings, plugins, chosen)
    return Launch(plugins, settings, chosen, left_out, plan_cells(settings, chosen, yes=yes, start=start))


def with_profile(file: Path | None, profile: str | None) -> list[Source]:
    """The sources of a configuration file and of a profile. The profile is the given one, or that of the file, or quick."""
    sources = [from_file(file)] if file else []
    named = sources[0].settings.get("profile", "quick") if sources else "quick"
    return [from_profile(named if profile is None else profile)] + [
        Source(source.where, {path: value for path, value in source.settings.items() if path != "profile"})
        for source in sources
    ]


def usual_folder() -> Path:
    """The folder of a run, if the user names none."""
    return Path("runs", datetime.now().strftime("%Y-%m-%d-%H%M%S"))


def _refuse_two_limits(settings: Settings, plugins: Plugins, chosen: Sequence[Experiment]) -> None:
    """Raise UsageError if `train_limits` would override the `train_limit` that the user has set for a task."""
    for experiment in chosen if settings.config.train_limits else ():
        limit = flatten(settings.tasks[experiment.task]).get(TRAIN_LIMIT)
        if limit != flatten(plugins.tasks[experiment.task].options()).get(TRAIN_LIMIT):
            path, numbers = f"{experiment.task}.{TRAIN_LIMIT}", ",".join(map(str, settings.config.train_limits))
            raise UsageError(
                f"{path} is {limit}, and train_limits (--counts) are {numbers}: leave {path} out",
                code="conflicting-options",
            )


def _check(experiment: Experiment, plugins: Plugins, settings: Settings) -> None:
    task, places = plugins.tasks[experiment.task], Places.from_environment()
    network, start = network_of(experiment.model, experiment.weights, plugins, places)
    data = load(experiment.dataset, plugins.datasets, network, settings.data, places)
    if start:
        start.load()
    if settings.data.pipeline == "own":
        FileExamples.of(data.train, Augmentation(), 0)
    task.subjects(builder_of(task, network, start), data.shape, len(data.classes), settings.tasks[experiment.task])


def set_places(settings: Settings) -> None:
    """Set the places of data for this process and its workers."""
    if settings.config.data_dir:
        if not Path(settings.config.data_dir).is_dir():
            raise UsageError(
                f"the data folder {settings.config.data_dir} does not exist: create it, or give another --data-dir",
                code="not-found",
            )
        os.environ["SAMEBENCH_DATA_DIR"] = os.path.abspath(settings.config.data_dir)
    if settings.config.offline:
        os.environ["SAMEBENCH_OFFLINE"] = "1"
