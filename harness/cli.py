"""The command line. Slow imports are in the commands that need them."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from harness import __version__
from harness.commands import NOT_OK, USAGE
from harness.errors import SamebenchError, UsageError

COMMANDS = {
    "run": "running",
    "rerun": "running",
    "learning-curve": "running",
    "prepare": "preparing",
    "report": "looking",
    "list": "looking",
    "show": "looking",
    "predict": "predicting",
    "check": "checking",
    "doctor": "checking",
}
"""The module of each command in `harness.commands`."""


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

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except click.NoSuchOption as error:
            from harness.commands.unknown import with_settings

            raise with_settings(error) from None
        except SamebenchError as error:
            from harness.text import printable

            click.echo(f"Error: {printable(str(error))}", err=True)
            sys.exit(USAGE if isinstance(error, UsageError) else NOT_OK)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="samebench")
def main() -> None:
    """The same deep-learning experiment on every framework, with proof that it was the same."""
