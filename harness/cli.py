"""The command line. Slow imports are in the commands that need them."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from harness import __version__
from harness.commands import INTERRUPTED, NOT_OK, USAGE
from harness.errors import SamebenchError, UsageError

GROUPS = {
    "Run": {
        "run": "running",
        "rerun": "running",
        "learning-curve": "running",
        "predict": "predicting",
        "prepare": "preparing",
    },
    "Look": {
        "report": "looking",
        "list": "looking",
        "show": "looking",
        "doctor": "checking",
        "completion": "completing",
    },
    "Trust": {"check": "checking", "compare": "comparing", "bench-overhead": "overhead"},
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


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="samebench")
def main() -> None:
    """The same deep-learning experiment on every framework, with proof that it was the same."""
