"""Writes docs/reference.md from the code: commands, options, names, hooks and errors. A test compares them.

Run it after every change of a command, an option or a code of an error: python docs/make_reference.py
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import click

from harness import errors, hookspecs
from harness.cli import GROUPS, main
from harness.pictures.inputs import DataOptions
from harness.plugins import Plugins, find_backends, load_plugins
from harness.running.config import Config
from harness.text import format_size

FILE = Path(__file__).parent / "reference.md"
HEAD = """\
# Reference

Written by `python docs/make_reference.py` from the code; do not edit it. A test compares the two.

- [Commands](#commands)
- [Options of a configuration file](#options-of-a-configuration-file)
- [Names](#names)
- [Hooks](#hooks)
- [Errors](#errors)
"""


def reference() -> str:
    plugins = load_plugins()
    parts = [HEAD, "## Commands\n", *_commands(), *_options(plugins), *_names(plugins), *_hooks(), *_errors()]
    return "\n".join(parts).rstrip() + "\n"


def _commands() -> Iterator[str]:
    context = click.Context(main, info_name="samebench")
    for title, names in GROUPS.items():
        yield f"### {title}\n"
        for name in names:
            command = main.get_command(context, name)
            assert command
            yield from _command(command, f"samebench {name}", context)


def _command(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=name.rpartition(" ")[2], parent=parent)
    yield f"#### `{name}`\n"
    yield f"{_flat(inspect.cleandoc(command.help or ''))}\n"
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found
            yield from _command(found, f"{name} {inner}", context)
        return
    yield f"```text\n{' '.join([name, *command.collect_usage_pieces(context)])}\n```\n"
    records = [one.get_help_record(context) for one in command.params if isinstance(one, click.Option)]
    rows = [(f"`{_cell(names)}`", _cell(text)) for names, text in filter(None, records)]
    if rows:
        yield _table(("option", "what it does"), rows)
    yield f"{command.epilog.partition(': ')[0]}: `{command.epilog.partition(': ')[2]}`\n" if command.epilog else ""


def _options(plugins: Plugins) -> Iterator[str]:
    yield "## Options of a configuration file\n"
    yield "A file in TOML says them, and `--set PATH=VALUE` says one of them. Tables of the file are steps of the path.\n"
    yield "### Of the run\n"
    yield _table(("path", "value", "default", "meaning"), _rows(Config()))
    yield "`profile` is `quick`, `standard` or `rigorous`. `python.BACKEND` is the interpreter of a backend.\n"
    yield "### Of the data\n"
    yield _table(("path", "value", "default", "meaning"), _rows(DataOptions(), "data."))
    for name in plugins.tasks:
        yield f"### Of {name}\n"
        yield _table(("path", "value", "default", "meaning"), _rows(plugins.tasks[name].options(), f"{name}."))


def _rows(options: Any, path: str = "") -> Iterator[tuple[str, ...]]:
    """Each option by its path: what it may be, its default, and its docstring or its text in the help of `run`."""
    hints, told = get_type_hints(type(options)), _docstrings(type(options))
    if isinstance(options, Config):
        told = _help_of_run() | told
    for field in fields(options):
        value, kind = getattr(options, field.name), hints[field.name]
        if not is_dataclass(value):
            yield f"`{path}{field.name}`", _kind(kind), f"`{_shown(value)}`", _cell(told.get(field.name, ""))
            continue
        choices = [arm for arm in get_args(kind) if is_dataclass(arm)] if get_origin(kind) in (Union, UnionType) else []
        if choices:
            names = ", ".join(f"`{arm.__name__.lower()}`" for arm in choices if isinstance(arm, type))
            yield (
                f"`{path}{field.name}.name`",
                names,
                f"`{type(value).__name__.lower()}`",
                _cell(told.get(field.name, "")),
            )
        yield from _rows(value, f"{path}{field.name}.")
        for arm in choices:
            if arm is not type(value) and isinstance(arm, type):
                yield from _rows_of_another(arm, value, f"{path}{field.name}.")


def _rows_of_another(arm: type, default: Any, path: str) -> Iterator[tuple[str, ...]]:
    """Options that only another choice has, such as the momentum of SGD where Adam is the default."""
    known = {field.name for field in fields(default)}
    for row, field in zip(_rows(arm(), path), fields(arm), strict=True):
        if field.name not in known:
            known.add(field.name)
            yield *row[:3], f"Only with `{arm.__name__.lower()}`. {row[3]}".strip()


def _help_of_run() -> dict[str, str]:
    """The help of the options of `samebench run`, by their names in a configuration file."""
    command = main.get_command(click.Context(main), "run")
    options = [option for option in command.params if isinstance(option, click.Option)] if command else []
    names = {field.name for field in fields(Config)}
    plural = {name.removesuffix("s"): name for name in names}
    return {plural.get(str(o.name), str(o.name)): (o.help or "").partition(" Default:")[0] for o in options}


def _docstrings(kind: type) -> dict[str, str]:
    """The text below each field of a dataclass and of those that it is made of."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        if not is_dataclass(one):
            continue
        [body] = [
            node for node in ast.parse(textwrap.dedent(inspect.getsource(one))).body if isinstance(node, ast.ClassDef)
        ]
        for field, text in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found[ast.unparse(field.target)] = _flat(str(text.value.value))
    return found


def _kind(kind: Any) -> str:
    """A type in words."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (Union, UnionType):
        return " or ".join(_kind(one) for one in arguments if one is not NoneType)
    if origin is tuple:
        return f"a list of {_kind(arguments[0])}"
    return {int: "a whole number", float: "a number", str: "text", bool: "`true` or `false`"}[kind]


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return (
        {True: "true", False: "false", None: "none"}[value] if value is None or isinstance(value, bool) else str(value)
    )


def _names(plugins: Plugins) -> Iterator[str]:
    yield "## Names\n"
    yield f"Backends: {', '.join(f'`{name}`' for name in find_backends())}.\n"
    yield f"Report formats: {', '.join(f'`{name}`' for name in plugins.reporters)}.\n"
    yield f"Datasets: {', '.join(f'`{name}`' for name in plugins.datasets)}.\n"
    models = [(name, plugins.models[name]()) for name in plugins.models]
    rows = [
        (f"`{name}`", format_size(one.input_shape), f"{one.counts().total:,}", f"{one.flops / 1e6:,.1f}")
        for name, one in models
    ]
    yield _table(("network", "published input", "parameters", "Mflop a picture"), rows)
    entries = [plugins.weights[name] for name in plugins.weights]
    rows = [(f"`{one.name}`", f"`{one.model}`", one.trained_on, one.licence) for one in entries]
    yield _table(("weights", "network", "trained on", "licence"), rows)
    tasks = [plugins.tasks[name] for name in plugins.tasks]
    rows = [
        (f"`{one.name}`", one.rate, f"`{one.dataset}`", f"`{one.weights}`" if one.weights else "none") for one in tasks
    ]
    yield _table(("task", "its rate counts", "dataset by default", "starts from"), rows)


def _hooks() -> Iterator[str]:
    yield "## Hooks\n"
    yield "A plugin implements one or more of them, each marked with `harness.hookimpl`.\n"
    rows = []
    for name, hook in vars(hookspecs).items():
        if name.startswith("samebench_"):
            signature = inspect.signature(hook)
            returned = str(signature.return_annotation)
            rows.append(
                (
                    f"`{name}{signature.replace(return_annotation=inspect.Signature.empty)}`",
                    f"`{returned}`",
                    _cell(hook.__doc__ or ""),
                )
            )
    yield _table(("hook", "returns", "what it does"), rows)


def _errors() -> Iterator[str]:
    yield "## Errors\n"
    yield (
        "An error of samebench is a `harness.SamebenchError`. `error.code` says which kind of mistake was made. "
        "Match the class or the code in your programs, not the message: its wording may change.\n"
    )
    kinds = [
        kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, errors.SamebenchError)
    ]
    rows = [(f"`{kind.__name__}`", f"`{kind.code}`", _cell(kind.__doc__ or "")) for kind in kinds]
    yield _table(("class", "code by default", "meaning"), rows)
    yield _table(("code", "meaning"), [(f"`{code}`", _cell(meaning)) for code, meaning in errors.CODES.items()])


def _table(heads: tuple[str, ...], rows: Any) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return _flat(text).replace("|", "\\|")


def _flat(text: str) -> str:
    return " ".join(text.replace("\b", "").split())


if __name__ == "__main__":
    FILE.write_text(reference(), encoding="utf-8")
