"""The command line. Slow imports are in the commands that need them."""

from __future__ import annotations

import importlib
import io
import os
import sys
from contextlib import suppress
from typing import Any

import click

from harness import __version__
from harness.commands import INTERRUPTED, NOT_OK, USAGE
from harness.errors import FULL_DISK, SamebenchError, UsageError

GROUPS = {
    "Run": {
        "run": "running",
        "rerun": "running",
        "learning-curve": "running",
        "predict": "predicting",
        "attack": "picturing",
        "dream": "picturing",
        "prepare": "preparing",
    },
    "Look": {
        "report": "looking",
        "watch": "watching",
        "results": "results",
        "list": "looking",
        "show": "looking",
        "doctor": "checking",
        "completion": "completing",
    },
    "Trust": {
        "check": "checking",
        "compare": "comparing",
        "verify": "verifying",
        "bench-overhead": "overhead",
    },
    "Scale": {"cache": "caching"},
}
"""The commands in the groups of `--help`, each with its module in `harness.commands`."""

COMMANDS = {name: module for group in GROUPS.values() for name, module in group.items()}

LONGEST = 2000
"""The maximum number of characters of an error. A value that it repeats may be very long."""

SENTENCE = 120
"""`--help` shows the first sentence about each command, up to this many characters."""


class Commands(click.Group):
    """Imports a command when it is used. Errors of samebench end it with one line and an exit code."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run a command. Characters that the terminal does not have are escaped, and a full disk ends the command with one line."""
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            return super().main(*args, **options)
        except OSError as error:
            if error.errno not in FULL_DISK:
                raise
            _drop_output()
            click.echo(f"Error: {error}. Repeat the command when this is repaired; stored results are kept.", err=True)
            sys.exit(NOT_OK)

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(
            importlib.import_module(f"harness.commands.{COMMANDS[name]}"), f"{name.replace('-', '_')}_command"
        )
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, COMMANDS))
        for title, names in GROUPS.items():
            found = [(name, self.get_command(context, name)) for name in names]
            with formatter.section(title):
                formatter.write_dl(
                    [(f"{name:<{width}}", one.get_short_help_str(SENTENCE)) for name, one in found if one]
                )

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except click.NoSuchOption as error:
            from harness.commands.unknown import with_settings

            raise with_settings(error) from None
        except KeyboardInterrupt:
            click.echo("\nStopped.", err=True)
            sys.exit(INTERRUPTED)
        except SamebenchError as error:
            from harness.text import printable, shortened

            click.echo(f"Error: {printable(shortened(str(error), LONGEST))}", err=True)
            sys.exit(USAGE if isinstance(error, UsageError) else NOT_OK)


def _drop_output() -> None:
    """Let the rest of the output go nowhere. Python writes it when the process ends, and that would fail again."""
    with suppress(OSError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="samebench")
def main() -> None:
    """The same deep-learning experiment on every framework, with proof that it was the same."""
