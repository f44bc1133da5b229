"""Every place where a plugin may add something.

Mark your function with `harness.hookimpl`, in a module named by an entry point: one module for each backend in the
group `samebench.backends`, the entry point named like the backend; anything else in the group `samebench.plugins`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from harness.backend import Backend
    from harness.pictures.inputs import DatasetLoader
    from harness.pretrained.entries import Pretrained
    from harness.report.summary import Report
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
    """Return networks by name: functions of input shape and classes, whose defaults give the published network."""
    raise NotImplementedError


@hookspec
def samebench_datasets() -> Mapping[str, DatasetLoader]:
    """Return data sets by name: functions that load them, with their fixed splits, from what they are `LoadRequest` as."""
    raise NotImplementedError


@hookspec
def samebench_weights() -> Sequence[Pretrained]:
    """Return weights that somebody has trained, with all that a reader should know of them."""
    raise NotImplementedError


@hookspec
def samebench_tasks() -> Sequence[Task]:
    """Return experiments."""
    raise NotImplementedError


@hookspec
def samebench_reporters() -> Mapping[str, Callable[[Report], str]]:
    """Return report formats by name: functions that write a report as text."""
    raise NotImplementedError
