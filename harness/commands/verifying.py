"""The command that verifies a run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.commands import NOT_OK
from harness.commands.once import option
from harness.commands.output import say

if TYPE_CHECKING:
    from harness.running.verifying import Verification


@click.command("verify", epilog="Example: samebench verify results/digits")
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@option("--no-certificates", is_flag=True, help="Do not make certificates again, so that no framework is needed.")
@option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def verify_command(folder: Path, no_certificates: bool, form: str) -> None:
    """Verify a stored run here: its seals, files, data, networks, certificates and numbers. Exits with 1 if anything is refuted."""
    from harness.report.terminal import draw_table, wrap_lines
    from harness.report.text.tables import Table
    from harness.running.store import Store
    from harness.running.verifying import CHECKS, verify

    found = verify(Store.open(folder), not no_certificates)
    if form == "json":
        rows = [check._asdict() | {"cell": check.cell.key} for check in found.checks]
        say(json.dumps({"schema": 1, "refuted": len(found.refuted), "checks": rows}, indent=1))
    else:
        marks = {"confirmed": "yes", "refuted": "REFUTED", "not confirmable": "?"}
        by_cell: dict[str, dict[str, str]] = {}
        names: dict[str, tuple[str, str]] = {}
        for check in found.checks:
            by_cell.setdefault(check.cell.key, {})[check.name] = marks[check.outcome]
            names[check.cell.key] = check.cell.task, f"{check.shown}/{check.cell.mode}, seed {check.cell.seed}"
        rows_of = [(*names[key], *(outcomes.get(name, "-") for name in CHECKS)) for key, outcomes in by_cell.items()]
        say(draw_table(Table(f"{folder}: what is confirmed here", ("task", "backend", *CHECKS), rows_of)))
        say("\n" + wrap_lines(_reasons(found)))
    sys.exit(NOT_OK if found.refuted else 0)


def _reasons(found: Verification) -> list[str]:
    """Each reason once, with the number of its cells; what is refuted comes first, with the names of the cells."""
    lines = [
        f"Refuted: {check.cell.task}, {check.shown}/{check.cell.mode}, seed {check.cell.seed}, {check.name}: {check.reason}"
        for check in found.refuted
    ]
    others: dict[tuple[str, str], int] = {}
    for check in found.checks:
        if check.outcome == "not confirmable":
            others[check.name, check.reason] = others.get((check.name, check.reason), 0) + 1
    lines += [f"Not confirmable, {name}, {count} cells: {reason}" for (name, reason), count in others.items()]
    return lines or ["Everything is confirmed."]
