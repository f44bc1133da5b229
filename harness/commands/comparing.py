"""The command that compares two runs: compare."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.commands import REGRESSION
from harness.commands.once import option
from harness.commands.output import say, write_output

RUN = click.Path(path_type=Path)


@click.command("compare", epilog="Example: samebench compare runs/base runs/new --fail-if images_per_s:-10%")
@click.argument("first", metavar="RUN_A", type=RUN)
@click.argument("second", metavar="RUN_B", type=RUN)
@option(
    "--fail-if",
    "gates",
    metavar="METRIC:LIMIT",
    multiple=True,
    help="Exit with 3 if a metric changes by more than the limit, such as images_per_s:-10% or test_accuracy:-0.01; may be "
    "repeated. Only the whole interval beyond the limit is evidence. A gate that measures nothing fails too.",
)
@option("--force", is_flag=True, help="Give verdicts although the hardware, the data or the precision differ.")
@option(
    "--format",
    "name",
    type=click.Choice(["table", "markdown", "json", "junit"]),
    default="table",
    show_default=True,
    help="The format of the comparison.",
)
@option("-o", "--output", type=click.Path(path_type=Path), help="A file to write to.")
def compare_command(
    first: Path, second: Path, gates: tuple[str, ...], force: bool, name: str, output: Path | None
) -> None:
    """Compare two runs: whether they can be compared, cells, speeds with verdicts, accuracies and parity."""
    from harness.report.compare import FORMATS, Comparison, Gate
    from harness.report.summary import Report
    from harness.running.store import Store

    limits = [Gate.from_text(text) for text in dict.fromkeys(gates)]
    reports = [Report.of(Store.open(folder)) for folder in (first, second)]
    found = Comparison.of(reports[0], reports[1], (str(first), str(second)), limits, force)
    text = FORMATS[name](found)
    if output:
        write_output(text, output, "comparison")
    else:
        say(text)
    if found.has_regressed:
        sys.exit(REGRESSION)
