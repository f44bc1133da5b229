"""All hooks of plugins.

Mark your function with `harness.hookimpl`, and name its module in an entry point. The group `samebench.backends` has one
module for each backend, under the name of the backend. All other plugins are in the group `samebench.plugins`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from harness.backend import Backend
    from harness.pictures.inputs import DatasetLoader
    from harness.pretrained.entries import Pretrained
    from harness.report.logbook import Logbook
    from harness.task import ModelBuilder, Task

PROJECT = "samebench"
hookspec = pluggy.HookspecMarker(PROJECT)
"""Marks the declaration of a hook, as below."""

hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a plugin's function that implements a hook of the same name."""


@hookspec(firstresult=True)
def samebench_backend() -> type[Backend[Any]]:
    """Return the class that runs a framework."""
    raise NotImplementedError


@hookspec
def samebench_models() -> Mapping[str, ModelBuilder]:
    """Return networks by name: functions of input shape and classes. Their defaults build the published network."""
    raise NotImplementedError


@hookspec
def samebench_datasets() -> Mapping[str, DatasetLoader]:
    """Return datasets by name: functions that take a `LoadRequest` and return a dataset with fixed splits."""
    raise NotImplementedError


@hookspec
def samebench_weights() -> Sequence[Pretrained]:
    """Return pretrained weights, with their source, licence and training data."""
    raise NotImplementedError


@hookspec
def samebench_tasks() -> Sequence[Task]:
    """Return tasks."""
    raise NotImplementedError


@hookspec
def samebench_reporters() -> Mapping[str, Callable[..., str | bytes | Mapping[str, bytes]]]:
    """Return report formats by name: functions that write a report as text, as bytes, or as several files by their names. A function
    with the parameter `*reports` takes several runs."""
    raise NotImplementedError


@hookspec
def samebench_sinks() -> Mapping[str, Callable[[Logbook], None]]:
    """Return trackers of experiments by name: functions that take a `Logbook` and write each of its cells. A function runs in a
    process of its own, between the cells of the run."""
    raise NotImplementedError
