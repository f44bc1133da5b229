"""The text of a command, for a terminal or for a file."""

from __future__ import annotations

from pathlib import Path

import click

from harness.errors import UsageError
from harness.text import printable


def say(text: str, *, err: bool = False) -> None:
    """Print a text. Control characters are escaped, so that a terminal does not execute them."""
    click.echo(printable(text), err=err)


def write_output(found: str | bytes, output: Path, what: str) -> None:
    """Write a text, or data, to a file that the user has named. A file that is there stays whole until the new one is. `what` names it
    in an error."""
    from harness.storage.atomic import written_whole  # here, because every command imports this module

    data = (found + "\n").encode(errors="backslashreplace") if isinstance(found, str) else found
    try:
        if output.is_symlink() or (output.exists() and not output.is_file()):  # /dev/stdout, or a pipe
            output.write_bytes(data)
        else:
            with written_whole(output) as file:
                file.write(data)
    except OSError as error:
        raise UsageError(
            f"the {what} cannot be written to {output}: {error.strerror}; choose another file", code="not-writable"
        ) from None
