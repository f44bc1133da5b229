"""A suggestion for an unknown option of the command line that is an option of a task or of the data."""

from __future__ import annotations

import click

from harness.options import flatten
from harness.pictures.inputs import PREFIX, DataOptions
from harness.plugins import load_plugins


def with_settings(error: click.NoSuchOption) -> click.UsageError:
    """The error with a suggestion of --set; the same error if no option of a task or of the data has this name."""
    takes_set = error.ctx is not None and any("--set" in option.opts for option in error.ctx.command.params)
    paths = paths_named(error.option_name.lstrip("-").replace("-", "_")) if takes_set else []
    if not paths:
        return error
    settings = " or ".join(f"--set {path}=VALUE" for path in paths)
    return click.UsageError(f"No such option {error.option_name!r}. Did you mean {settings}?", error.ctx)


def paths_named(name: str) -> list[str]:
    """The shortest paths of options with this name, such as scratch-cnn.epochs."""
    tasks = load_plugins().tasks
    known = [f"{task}.{path}" for task in tasks for path in flatten(tasks[task].options())]
    known += [f"{PREFIX}{path}" for path in flatten(DataOptions())]
    found = [path for path in known if path.endswith(f".{name}")]
    fewest_dots = min((path.count(".") for path in found), default=0)
    return [path for path in found if path.count(".") == fewest_dots]
