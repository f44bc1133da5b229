"""The commands that test a backend or this machine: check, doctor."""

from __future__ import annotations

import json
import sys
from collections import Counter

import click

from harness.commands import NOT_OK, names
from harness.commands.once import option
from harness.commands.output import say


@click.command("check", epilog="Example: samebench check my_backend.py")
@click.argument("backend", metavar="NAME_OR_FILE", shell_complete=names.BACKENDS)
@option("--device", type=click.Choice(["auto", "cpu", "gpu"]), default="auto", show_default=True)
@option("--mode", metavar="MODE", default="default", show_default=True, help="A mode of the backend.")
def check_command(backend: str, device: str, mode: str) -> None:
    """Check a backend against every rule of the contract, with a line for each rule."""
    from harness.conformance import RULES, STATUSES, Outcome
    from harness.running.checking import check_apart

    def show(outcome: Outcome) -> None:
        message = f": {outcome.message}" if outcome.status != "passed" else ""
        say(f"{outcome.status:<16}{outcome.rule}{message}")
        if outcome.status == "failed":
            say(f"{'':16}The rule: {RULES[outcome.rule].__doc__}")

    held = check_apart(backend, device, mode, show)
    if held.error:
        raise held.error
    statuses = Counter(outcome.status for outcome in held.outcomes.values())
    for rule in held.missing:
        say(f"{'not run':<16}{rule}")
    counts = ", ".join(f"{statuses[status]} {status}" for status in STATUSES if statuses[status])
    ran = f"{len(held.outcomes)} of {len(RULES)} rules ran"
    say(f"{held.name or backend}: {counts}{'; ' if counts else ''}{ran}")
    if held.missing:
        say(f"Error: {backend} ended its process before every rule had run ({held.how})", err=True)
    elif held.code:
        say(f"Warning: the process of {backend} failed after the last rule ({held.how})", err=True)
    if held.missing or not statuses["passed"] or any(outcome.bad for outcome in held.outcomes.values()):
        sys.exit(NOT_OK)


@click.command("doctor", epilog="Example: samebench doctor")
@option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor_command(as_json: bool) -> None:
    """Describe this machine and test whether each backend works on it. Each backend is started in a process of its own and
    reports its device, its versions and the settings that change speed or rounding."""
    from harness.running.doctor import as_text, examine
    from harness.storage.places import Places

    found = examine(Places.from_environment())
    say(json.dumps(found, indent=1) if as_json else as_text(found))
    if any(backend["status"] == "broken" for backend in found["backends"].values()):
        sys.exit(NOT_OK)
