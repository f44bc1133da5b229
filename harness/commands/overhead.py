"""The command that compares backends with programs written by hand."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import click

from harness.commands import NOT_OK, names
from harness.commands.once import option
from harness.commands.output import say, write_output


@click.command(
    "bench-overhead", epilog="Example: samebench bench-overhead --backend jax --task two-block-cnn --pairs 15"
)
@option(
    "--backend", "backends", multiple=True, shell_complete=names.BACKENDS,
    help="A backend, or FILE.py; may be repeated. Default: all installed backends of samebench.",
)  # fmt: skip
@option(
    "--mode",
    "modes",
    multiple=True,
    help="A mode of the backends, such as compiled; may be repeated. Default: default.",
)
@option(
    "--task",
    "tasks",
    multiple=True,
    shell_complete=names.OVERHEADS,
    help="A kind of work; may be repeated. Default: all.",
)
@option("--pairs", type=click.IntRange(6), default=11, show_default=True, help="The number of pairs of segments.")
@option(
    "--against", type=click.Path(path_type=Path),
    help="A file with yardsticks of your own for one backend. docs/overhead.md describes it.",
)  # fmt: skip
@option(
    "--from", "files", multiple=True, type=click.Path(path_type=Path),
    help="A file that --format json has written, or a folder of them; may be repeated. Print them, and measure nothing.",
)  # fmt: skip
@option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@option("-o", "--output", type=click.Path(path_type=Path), help="A file to write to.")
def bench_overhead_command(
    backends: tuple[str, ...], modes: tuple[str, ...], tasks: tuple[str, ...], pairs: int, against: Path | None,
    files: tuple[Path, ...], form: str, output: Path | None,
) -> None:  # fmt: skip
    """Compare the speed of backends with programs that experienced users of the frameworks would write. Both do the same work
    in turn, in one process. Exits with 1 if a backend is slower."""
    from harness.running.overhead import as_text, failures, measure, pairings, stored, tasks_of

    wanted = tasks_of(tasks)
    if files:
        found = stored(files, backends, modes, wanted)
    else:
        chosen = pairings(backends, modes or ("default",), against)
        found = measure(chosen, wanted, pairs, partial(say, err=True))
    text = json.dumps(found, indent=1) if form == "json" else as_text(found)
    if output is None:
        say(text)
    else:
        write_output(text, output, "result")
    if reasons := list(failures(found)):
        for reason in reasons:
            say(f"Error: {reason}", err=True)
        sys.exit(NOT_OK)
