"""The command that serves the page of a run."""

from __future__ import annotations

import time
from pathlib import Path

import click

from harness.commands.once import option
from harness.commands.output import say


@click.command("watch", epilog="Example: samebench watch runs/2026-11-21-101500")
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@option("--port", type=click.IntRange(0, 65535), default=0, help="The port on this machine. Default: a free one.")
def watch_command(folder: Path, port: int) -> None:
    """Serve the page of a run on this machine, and keep it up to date while the run goes on."""
    from harness.running.serving import serving
    from harness.running.store import Store

    Store.open(folder)
    with serving(folder, port) as url:
        say(f"{folder} is shown at {url} (Ctrl-C ends this)")
        while True:
            time.sleep(3600)
