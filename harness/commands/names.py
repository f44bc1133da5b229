"""The names that a shell completes. Finding them imports no framework, and broken plugins are ignored."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def backends() -> Iterable[str]:
    from harness.plugins import find_backends

    return find_backends()


def plugins_of(kind: str) -> Callable[[], Iterable[str]]:
    """The names of a kind of plugins, such as models."""

    def names() -> Iterable[str]:
        from harness.plugins import load_plugins

        catalogue: Iterable[str] = getattr(load_plugins(), kind)
        return catalogue

    return names


def overheads() -> Iterable[str]:
    from harness.worker.overhead import WORKS

    return WORKS


def completed(names: Callable[[], Iterable[str]], files: bool = False) -> Complete:
    """A function that completes an option or an argument with these names, or with files if no name fits."""

    def complete(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
        found = [CompletionItem(name) for name in sorted(names()) if name.startswith(typed)]
        return found or ([CompletionItem(typed, type="file")] if files else [])

    return complete


BACKENDS = completed(backends, files=True)
MODELS, TASKS, REPORTERS, SINKS = (completed(plugins_of(kind)) for kind in ("models", "tasks", "reporters", "sinks"))
OVERHEADS = completed(overheads)
DATASETS = completed(plugins_of("datasets"))
WEIGHTS = completed(plugins_of("weights"), files=True)
