"""Runs for scripts and notebooks: `harness.run` starts one, and `harness.load` opens a stored one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.report.loaded import Run
from harness.running.config import Source
from harness.running.launch import launch_of, usual_folder, with_profile
from harness.running.progress import watching
from harness.running.runner import Runner
from harness.running.store import Store

AnyPath = str | os.PathLike[str]


def load(folder: AnyPath) -> Run:
    """A stored run, which may be partial or failed: `harness.load("results/digits")`."""
    return Run(Store.open(Path(folder)), Path(folder))


def run(
    config: AnyPath | None = None, /, *, out: AnyPath | None = None, profile: str | None = None,
    options: Mapping[str, Any] | None = None, yes: bool = False, **settings: Any,
) -> Run:  # fmt: skip
    """Run experiments as `samebench run` does, and return the run.

    `settings` have the names of a configuration file, such as `tasks`, `backends`, `seeds`, `model` and `dataset`; `options` has those with a
    dot. `config` is the path of such a file. The same `out` resumes a run. Each cell runs in a process of its own, so this process
    imports no framework.

    >>> run = harness.run(tasks=["scratch-cnn"], backends=["pytorch", "jax"], seeds=6, options={"scratch-cnn.epochs": 3})
    """
    typed = Source("harness.run()", settings | dict(options or {}))
    launch = launch_of([*with_profile(Path(config) if config else None, profile), typed], yes=yes)
    if not launch.cells:
        raise UsageError(
            "there is nothing to run: install a backend, or name one with backends=[...]", code="not-installed"
        )
    launch.check()
    store = Store(Path(out) if out else usual_folder())
    with watching(len(launch.cells)) as watcher:
        for reason in launch.left_out:
            watcher.say(f"left out: {reason}")
        Runner(store, launch.limits(), watcher, launch.sinks).run(
            launch.cells, launch.record, launch.settings.config.parity
        )
    return Run(store, store.folder)
