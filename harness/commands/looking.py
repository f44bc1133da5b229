"""The commands that only read: list, show, report."""

from __future__ import annotations

import gc
import inspect
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands import names
from harness.commands.once import option
from harness.commands.output import say, write_output
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.report.summary import Report

PLUGIN_KINDS = ("backends", "tasks", "models", "datasets", "weights", "reporters", "sinks")


@click.command("list", epilog="Example: samebench list backends --json")
@click.argument("kind", required=False, type=click.Choice(PLUGIN_KINDS))
@option("--json", "as_json", is_flag=True, help="Print JSON.")
@option("--probe", is_flag=True, help="Start each backend in a process of its own to test whether it works.")
def list_command(kind: str | None, as_json: bool, probe: bool) -> None:
    """List backends, tasks, networks, datasets, weights, report formats and sinks. Imports no framework."""
    from harness.commands.listing import as_text, everything

    found = everything(probe)
    found = {kind: found[kind]} if kind else found
    say(json.dumps(found, indent=1) if as_json else as_text(found))


@click.command("show", epilog="Example: samebench show two-block-cnn --input 8x8x1")
@click.argument("model", shell_complete=names.MODELS)
@option("--input", "shape", metavar="ROWSxCOLUMNSxCHANNELS", help="Default: the published input.")
@option("--classes", type=click.IntRange(1), help="Default: the published number.")
def show_command(model: str, shape: str | None, classes: int | None) -> None:
    """Show a network layer by layer. Imports no framework."""
    from harness.commands.listing import layer_table
    from harness.plugins import load_plugins

    given: dict[str, Any] = {"classes": classes} if classes else {}
    if shape:
        if not re.fullmatch(r"[1-9]\d*x[1-9]\d*x[1-9]\d*", shape):
            raise UsageError(
                f"--input takes rows x columns x channels, such as 32x32x3; not {shape!r}", code="wrong-form"
            )
        given["input_shape"] = tuple(map(int, shape.split("x")))
    say(layer_table(load_plugins().models[model](**given)))


@click.command("report", epilog="Example: samebench report runs/2026-11-21-101500 --format markdown -o report.md")
@click.argument("folders", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@option(
    "--format",
    "name",
    shell_complete=names.REPORTERS,
    default="table",
    show_default=True,
    help="See: samebench list reporters",
)
@option("--full", is_flag=True, help="Print all tables and notes instead of the overview (format table).")
@option(
    "--steps",
    type=click.IntRange(1),
    help="Print how long a training of this many steps takes on each backend (formats table and markdown).",
)
@option(
    "-o", "--output", type=click.Path(path_type=Path), help="A file to write to; a folder for the formats svg and png."
)
def report_command(folders: tuple[Path, ...], name: str, full: bool, steps: int | None, output: Path | None) -> None:
    """Write the report of a run from its stored cells. The run may be partial or failed. The format html takes several runs."""
    from harness.commands.ending import OVERVIEW, details
    from harness.plugins import load_plugins
    from harness.report.summary import Report
    from harness.running.store import Store

    gc.disable()  # a report keeps all objects, and garbage collection would take a third of the time
    write = load_plugins().reporters[name]
    _check_number_of_runs(name, write, folders, steps)
    reports = [Report.of(Store.open(folder), full or name != OVERVIEW) for folder in folders]
    found = write(*reports) if steps is None else _times(reports[0], steps, name)
    if isinstance(found, str):
        found = found.encode(errors="backslashreplace").decode()  # half of a surrogate pair, in the name of a file
    if isinstance(found, Mapping):
        _write_files(found, output, name)
    elif output is not None:
        write_output(found, output, "report")
    elif isinstance(found, bytes):
        raise UsageError(f"the format {name} is not text: write it to a file, with -o FILE", code="missing-option")
    else:
        say(found)
        if not reports[0].full and steps is None:
            say(f"\n{details(folders[0], reports[0])}")


def _write_files(files: Mapping[str, bytes], folder: Path | None, name: str) -> None:
    """Write several files into a folder."""
    if folder is None:
        raise UsageError(
            f"the format {name} is several files: name a folder for them, with -o FOLDER", code="missing-option"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot hold files: {error.strerror}; choose another folder", code="not-writable"
        ) from None
    for file, data in files.items():
        write_output(data, folder / file, "report")
    say("\n".join(str(folder / file) for file in files) or "This run has no charts.")


def _check_number_of_runs(name: str, write: Any, folders: Sequence[Path], steps: int | None) -> None:
    """Raise UsageError if there are several runs, and this format takes only one."""
    kinds = {parameter.kind for parameter in inspect.signature(write).parameters.values()}
    if len(folders) > 1 and (steps is not None or inspect.Parameter.VAR_POSITIONAL not in kinds):
        what = "--steps" if steps is not None else f"the format {name}"
        raise UsageError(
            f"{what} is for one run, and {len(folders)} are given: use --format html, or samebench compare",
            code="conflicting-options",
        )


def _times(report: Report, steps: int, form: str) -> str:
    """The time of a training of this many steps, for each experiment."""
    from harness.report.markdown import markdown_table
    from harness.report.terminal import draw_table
    from harness.report.text.costs import training_times

    draw = {"table": draw_table, "markdown": markdown_table}.get(form)
    if draw is None:
        raise UsageError(f"--steps is for the formats table and markdown, not for {form}", code="conflicting-options")
    tables = training_times(report, steps)
    if not tables:
        raise UsageError(
            "--steps: the run has no finished training with an undisturbed speed: run it again on a quiet machine",
            code="not-found",
        )
    return "\n\n".join(map(draw, tables))
