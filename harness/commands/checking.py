"""Commands that hold a backend, or this machine, to what is promised: check, doctor."""

from __future__ import annotations

import json
import os
import sys

import click

from harness.commands import NOT_OK
from harness.commands.once import option
from harness.environment import worker_environment
from harness.text import printable


@click.command("check", epilog="Example: samebench check my_backend.py")
@click.argument("backend", metavar="NAME_OR_FILE")
@option("--device", type=click.Choice(["auto", "cpu", "gpu"]), default="auto", show_default=True)
@option("--mode", type=click.Choice(["default", "compiled"]), default="default", show_default=True)
def check_command(backend: str, device: str, mode: str) -> None:
    """Hold a backend to every rule of the contract, one line each."""
    os.environ.update(worker_environment())
    from harness.conformance import RULES
    from harness.conformance import check as outcomes
    from harness.plugins import load_backend

    loaded = load_backend(backend)
    counts = dict.fromkeys(("passed", "failed", "declined", "known failure", "unexpected pass"), 0)
    for outcome in outcomes(loaded, device, mode):
        counts[outcome.status] += 1
        said = f": {outcome.message}" if outcome.status != "passed" else ""
        click.echo(printable(f"{outcome.status:<16}{outcome.rule}{said}"))
        if outcome.status == "failed":
            click.echo(f"{'':16}The rule: {RULES[outcome.rule].__doc__}")
    click.echo(f"{loaded.name}: " + ", ".join(f"{count} {status}" for status, count in counts.items() if count))
    if counts["failed"] or counts["unexpected pass"] or not counts["passed"]:
        sys.exit(NOT_OK)


@click.command("doctor", epilog="Example: samebench doctor")
@option("--json", "as_json", is_flag=True, help="For programs.")
def doctor_command(as_json: bool) -> None:
    """This machine, and whether each backend works on it: started in a process of its own, with devices, versions and
    the switches that change speed or rounding."""
    from harness.places import Places
    from harness.running.doctor import as_text, examine

    found = examine(Places.from_environment())
    click.echo(json.dumps(found, indent=1) if as_json else printable(as_text(found)))
    if any(backend["status"] == "broken" for backend in found["backends"].values()):
        sys.exit(NOT_OK)
