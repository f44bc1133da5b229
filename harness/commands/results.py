"""The command that renders stored runs."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.commands import NOT_OK
from harness.commands.once import option
from harness.commands.output import say


@click.command("results", epilog="Example: samebench results results/")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@option("--check", is_flag=True, help="Write nothing. Exit with 1 if a file is not as it would be written.")
def results_command(folder: Path, check: bool) -> None:
    """Write README.md, report.html, figures and pictures beside the stored cells of each run in a folder."""
    from harness.commands.rendering import different, rendered, runs_in, write

    is_old = False
    for run in runs_in(folder):
        files = rendered(run)
        if not check:
            write(run, files)
            say(f"{run}: {len(files)} files")
        elif found := different(run, files):
            is_old = True
            say(f"{run}: not up to date: {', '.join(found)}")
        else:
            say(f"{run}: up to date")
    if is_old:
        sys.exit(NOT_OK)
