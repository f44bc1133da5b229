"""The commands that only read: list, show, report."""

from __future__ import annotations

import gc
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands import names
from harness.commands.once import option
from harness.commands.output import say, write_output
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.report.summary import Report

PLUGIN_KINDS = ("backends", "tasks", "models", "datasets", "weights", "reporters")


@click.command("list", epilog="Example: samebench list backends --json")
@click.argument("kind", required=False, type=click.Choice(PLUGIN_KINDS))
@option("--json", "as_json", is_flag=True, help="Print JSON.")
@option("--probe", is_flag=True, help="Start each backend in a process of its own to test whether it works.")
def list_command(kind: str | None, as_json: bool, probe: bool) -> None:
    """List backends, tasks, networks, datasets, weights and report formats. Imports no framework."""
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
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
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
@option("-o", "--output", type=click.Path(path_type=Path), help="A file to write to.")
def report_command(folder: Path, name: str, full: bool, steps: int | None, output: Path | None) -> None:
    """Write the report of a run from its stored cells. The run may be partial or failed."""
    from harness.commands.ending import OVERVIEW, details
    from harness.plugins import load_plugins
    from harness.report.summary import Report
    from harness.running.store import Store

    gc.disable()  # a report keeps all objects, and garbage collection would take a third of the time
    store = Store.open(folder)
    report = Report.of(store, full or name != OVERVIEW)
    text = load_plugins().reporters[name](report) if steps is None else _times(report, steps, name)
    text = text.encode(errors="backslashreplace").decode()  # half of a surrogate pair, in the name of a file
    if output is None:
        say(text)
        if not report.full and steps is None:
            say(f"\n{details(folder, report)}")
        return
    write_output(text, output, "report")


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
