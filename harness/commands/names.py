"""The names that a shell completes. No framework is imported for them, and a broken plugin does not matter."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def backends() -> Iterable[str]:
    from harness.plugins import find_backends

    return find_backends()


def plugins_of(kind: str) -> Callable[[], Iterable[str]]:
    """Names of one kind of plugin, such as models."""

    def names() -> Iterable[str]:
        from harness.plugins import load_plugins

        catalogue: Iterable[str] = getattr(load_plugins(), kind)
        return catalogue

    return names


def completed(names: Callable[[], Iterable[str]], files: bool = False) -> Complete:
    """What completes an option or an argument whose value is one of these names, or a file if none of them fits."""

    def complete(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
        found = [CompletionItem(name) for name in sorted(names()) if name.startswith(typed)]
        return found or ([CompletionItem(typed, type="file")] if files else [])

    return complete


BACKENDS = completed(backends, files=True)
MODELS, TASKS, REPORTERS = (completed(plugins_of(kind)) for kind in ("models", "tasks", "reporters"))
DATASETS = completed(plugins_of("datasets"))
WEIGHTS = completed(plugins_of("weights"), files=True)
