"""The commands for the cache: cache list, cache clean."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from harness.commands import NOT_OK
from harness.commands.once import option
from harness.commands.output import say
from harness.errors import UsageError
from harness.storage.cache import KINDS, RECORDS, cache_entries, chosen_entries, remove_entry
from harness.text import format_bytes, printable

if TYPE_CHECKING:
    from harness.storage.cache import Entry

DAY, YEARS = 24 * 3600.0, 100
UNITS = {"h": 3600.0, "d": DAY, "w": 7 * DAY}


@click.group("cache", epilog="Example: samebench cache list")
def cache_command() -> None:
    """List or remove the datasets, downloads, weights and certificates in the cache."""


@cache_command.command("list", epilog="Example: samebench cache list --json")
@option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_command(as_json: bool) -> None:
    """List the entries of the cache: kind, size, last use and name."""
    from harness.storage.places import Places

    cache = Places.from_environment().cache
    entries = cache_entries(cache)
    if as_json:
        say(json.dumps({"cache": str(cache), "entries": [_plain(entry) for entry in entries]}, indent=1))
        return
    say(f"{cache}: {_total(entries)}")
    if entries:
        say(_table(entries))


@cache_command.command("clean", epilog="Example: samebench cache clean --kind downloads --older-than 30d")
@option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(KINDS),
    help="A kind of entry; may be repeated. Default: all kinds.",
)
@option("--older-than", "age", metavar="AGE", help="Entries not used for this time: 12h, 30d or 8w. Default: any age.")
@option("--yes", is_flag=True, help="Do not ask.")
def clean_command(kinds: Sequence[str], age: str | None, yes: bool) -> None:
    """Remove entries of the cache. They are fetched or made again when a run needs them."""
    from harness.storage.places import Places

    cache = Places.from_environment().cache
    since = None if age is None else time.time() - _seconds(age)
    entries = chosen_entries(cache_entries(cache), kinds, since)
    if not entries:
        say(f"{cache}: nothing to remove")
        return
    say(_table(entries))
    if not yes:
        click.confirm(printable(f"Remove {_total(entries)} from {cache}?"), abort=True)
    kept = [(entry, reason) for entry in entries if (reason := remove_entry(cache, entry))]
    removed = [entry for entry in entries if entry not in [stays for stays, _ in kept]]
    say(f"Removed {_total(removed)} from {cache}")
    for entry, reason in kept:
        say(f"Error: {entry.name} was not removed: {reason}", err=True)
    if kept:
        sys.exit(NOT_OK)


def _seconds(age: str) -> float:
    number, unit = age[:-1], age[-1:]
    if unit in UNITS and number.isascii() and number.isdigit() and int(number) * UNITS[unit] <= YEARS * 365 * DAY:
        return int(number) * UNITS[unit]
    raise UsageError(f"--older-than takes hours, days or weeks, such as 12h, 30d or 8w; not {age!r}", code="wrong-form")


def _plain(entry: Entry) -> dict[str, Any]:
    return entry._asdict() | {"used": datetime.fromtimestamp(entry.used, UTC).isoformat(timespec="seconds")}


def _table(entries: Sequence[Entry]) -> str:
    """A line for each entry. Certificates and probes are many and small, so each of these kinds has one line."""
    from tabulate import tabulate

    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.kind if entry.kind in RECORDS else entry.name, []).append(entry)
    rows = [_row(group) for group in groups.values()]
    heads, align = ("kind", "size", "last used", "name"), ("left", "right", "left", "left")
    table: str = tabulate(rows, heads, disable_numparse=True, colalign=align)
    return table


def _row(entries: Sequence[Entry]) -> tuple[str, ...]:
    """The line for an entry, or for all entries of a kind."""
    used = datetime.fromtimestamp(max(entry.used for entry in entries))
    name = entries[0].name if len(entries) == 1 else f"{len(entries):,} files"
    return entries[0].kind, format_bytes(sum(entry.bytes for entry in entries)), f"{used:%Y-%m-%d}", name


def _total(entries: Sequence[Entry]) -> str:
    count = "1 entry" if len(entries) == 1 else f"{len(entries):,} entries"
    return f"{count}, {format_bytes(sum(entry.bytes for entry in entries))}"
