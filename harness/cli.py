"""The command line. Whatever is heavy is imported by the command that needs it."""

from __future__ import annotations

import json
import re
import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from harness import __version__
from harness.errors import SamebenchError, UsageError

MODES = ("default", "compiled")
NOT_OK, USAGE, NOTHING, INTERRUPTED, TERMINATED = 1, 2, 5, 130, 143


class Terminated(BaseException):
    """SIGTERM or SIGHUP came: end the worker, then ourselves."""


class Commands(click.Group):
    """Turns our own errors into one line and an exit code."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except SamebenchError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(USAGE if isinstance(error, UsageError) else NOT_OK)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="samebench")
def main() -> None:
    """The same deep-learning experiment on every framework, with proof that it was the same."""


@main.command("list", epilog="Example: samebench list backends --json")
@click.argument("kind", required=False, type=click.Choice(["backends", "tasks", "models", "datasets", "reporters"]))
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_command(kind: str | None, as_json: bool) -> None:
    """What there is. Imports no framework."""
    from harness.listing import as_text, everything

    found = everything()
    found = {kind: found[kind]} if kind else found
    click.echo(json.dumps(found, indent=1) if as_json else as_text(found))


@main.command(epilog="Example: samebench show two-block-cnn --input 8x8x1")
@click.argument("model")
@click.option("--input", "shape", metavar="ROWSxCOLUMNSxCHANNELS", help="Default: the published input.")
@click.option("--classes", type=click.IntRange(1), help="Default: the published number.")
def show(model: str, shape: str | None, classes: int | None) -> None:
    """A network layer by layer. Imports no framework."""
    from harness.listing import layer_table
    from harness.plugins import load_plugins

    given: dict[str, Any] = {"classes": classes} if classes else {}
    if shape:
        if not re.fullmatch(r"[1-9]\d*x[1-9]\d*x[1-9]\d*", shape):
            raise UsageError(f"--input takes rows x columns x channels, such as 32x32x3; not {shape!r}")
        given["input_shape"] = tuple(map(int, shape.split("x")))
    click.echo(layer_table(load_plugins().models[model](**given)))


@main.command(epilog="Example: samebench run --backend pytorch --backend jax --seeds 3 --set scratch-cnn.epochs=5")
@click.option("--task", "tasks", multiple=True, help="A task; may be given again. Default: all.")
@click.option(
    "--backend", "backends", multiple=True, help="A backend, or FILE.py; may be given again. Default: those installed."
)
@click.option("--mode", "modes", multiple=True, type=click.Choice(MODES), help="May be given again. Default: default.")
@click.option("--model", default="two-block-cnn", show_default=True)
@click.option("--dataset", default="digits", show_default=True)
@click.option("--seeds", default="1", show_default=True, help="How many, or which: 3, or 0,1,2.")
@click.option("--device", type=click.Choice(["auto", "cpu", "gpu"]), default="auto", show_default=True)
@click.option(
    "--precision", type=click.Choice(["float32", "tf32", "bfloat16", "float64"]), default="float32", show_default=True
)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="An option of a task: scratch-cnn.epochs=3.")
@click.option("--timeout", default=3600.0, show_default=True, help="Seconds that one cell may take.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="The run's folder. Default: runs/DATE-TIME. The same one resumes."
)
@click.option("--no-parity", is_flag=True, help="Leave the certificates out; verdicts say not-checked.")
@click.option("--strict", is_flag=True, help="Count unsupported cells as not ok.")
def run(out: Path | None, timeout: float, no_parity: bool, strict: bool, **choices: Any) -> None:
    """Run experiments, then print their table."""
    from harness.plan import plan_cells
    from harness.plugins import load_plugins
    from harness.report import Report
    from harness.runner import run as run_plan
    from harness.store import Store

    plugins = load_plugins()
    cells = plan_cells(plugins, **choices)
    if not cells:
        click.echo("Nothing to run: no backend is installed; see: samebench list backends", err=True)
        sys.exit(NOTHING)
    store = Store(out or Path("runs", datetime.now().strftime("%Y-%m-%d-%H%M%S")))
    config = choices | {"timeout": timeout, "parity": not no_parity}
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        run_plan(store, cells, config, timeout, not no_parity, lambda line: click.echo(line, err=True))
    except (KeyboardInterrupt, Terminated) as ending:
        click.echo(f"\nStopped. The same command with --out {store.folder} goes on from here.", err=True)
        sys.exit(TERMINATED if isinstance(ending, Terminated) else INTERRUPTED)
    report = Report.of(store.run, store.results())
    click.echo("\n" + plugins.reporters["table"](report))
    click.echo(f"\nThis run is kept in {store.folder}; for programs: samebench report {store.folder} --format json")
    asked = {cell.key for cell in cells}
    statuses = {result.status for result in report.results if result.cell.key in asked}
    if statuses - ({"ok"} if strict else {"ok", "unsupported"}):
        sys.exit(NOT_OK)


@main.command(epilog="Example: samebench report runs/2026-11-21-101500 --format json -o report.json")
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--format", "name", default="table", show_default=True, help="See: samebench list reporters")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A file to write to.")
def report(folder: Path, name: str, output: Path | None) -> None:
    """Write the report of a run, from its stored cells; also of a partial or failed one."""
    from harness.plugins import load_plugins
    from harness.report import Report
    from harness.store import Store

    store = Store.open(folder)
    text = load_plugins().reporters[name](Report.of(store.run, store.results()))
    if output:
        output.write_text(text + "\n")
    else:
        click.echo(text)


@main.command(epilog="Example: samebench check my_backend.py")
@click.argument("backend", metavar="NAME_OR_FILE")
@click.option("--device", type=click.Choice(["auto", "cpu", "gpu"]), default="auto", show_default=True)
@click.option("--mode", type=click.Choice(MODES), default="default", show_default=True)
def check(backend: str, device: str, mode: str) -> None:
    """Hold a backend to every rule of the contract, one line each."""
    import os

    from harness.environment import worker_environment

    os.environ.update(worker_environment())
    from harness.conformance import RULES
    from harness.conformance import check as outcomes
    from harness.plugins import load_backend

    loaded = load_backend(backend)
    counts = dict.fromkeys(("passed", "failed", "declined", "known failure", "unexpected pass"), 0)
    for outcome in outcomes(loaded, device, mode):
        counts[outcome.status] += 1
        click.echo(
            f"{outcome.status:<16}{outcome.rule}" + (f": {outcome.message}" if outcome.status != "passed" else "")
        )
        if outcome.status == "failed":
            click.echo(f"{'':16}The rule: {RULES[outcome.rule].__doc__}")
    click.echo(f"{loaded.name}: " + ", ".join(f"{count} {status}" for status, count in counts.items() if count))
    if counts["failed"] or counts["unexpected pass"] or not counts["passed"]:
        sys.exit(NOT_OK)


def _end(number: int, frame: object) -> None:
    raise Terminated
